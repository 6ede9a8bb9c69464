"""Looking at a run from another process while it is written."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from rehearsals import Rehearsal, kill_with_its_recorder

import soaklib
from soaklib.analysis.sources.run import FRESH_S, is_being_written
from soaklib.errors import RunError
from soaklib.records import RunStatus


@pytest.mark.slow
def test_a_live_run_shows_what_it_has_now_and_ends_undisturbed(tmp_path):
    """Data of the last 5 s is there, counts only grow, and after the end the same object shows the finished run."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--rps", "0.2", "--no-report",
            "--out", str(tmp_path),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        while not (tmp_path / "latest").exists():
            time.sleep(0.05)
        time.sleep(3)  # a run that goes on in real time
        seen = []
        with soaklib.open_run(tmp_path / "latest") as run:
            assert run.info.status == RunStatus.RUNNING
            for _ in range(4):
                count, age_s = run.sql(
                    "select count(*), (epoch_us(now()) - epoch_us(max(utc(coalesce(done_at_us, planned_at_us))))) / 1e6"
                    " from outcomes"
                ).row(0)
                assert age_s < 5
                seen.append(count)
                assert run.outcomes(columns=["kind"]).height >= count
                assert not soaklib.success_rate(run, "5m").is_empty()
                time.sleep(1)
            stdout, stderr = process.communicate(timeout=60)
            assert run.info.status == RunStatus.RUNNING
            time.sleep(2.1)  # what is shown of a live run may be 2 s old
            final = run.sql("select count(*) from outcomes").item()
            assert run.info.status == RunStatus.COMPLETED
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] < final
    ended = Rehearsal(subprocess.CompletedProcess([], process.returncode, stdout))
    assert ended.summary["totals"]["total"] == final, stderr
    assert not (ended.folder / "live").exists()


@pytest.mark.slow
def test_a_run_whose_every_process_was_killed_is_read_from_its_file(tmp_path):
    """What was published is passed over when nobody answers; the file itself has every acknowledged row."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--rps", "0.2", "--no-report",
            "--out", str(tmp_path),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "latest").exists():
        time.sleep(0.05)
    time.sleep(3)
    with soaklib.open_run(tmp_path / "latest") as run:
        live = run.sql("select count(*) from outcomes").item()
    kill_with_its_recorder(process)
    process.wait()
    assert (tmp_path / "latest" / "live").exists()
    with soaklib.open_run(tmp_path / "latest") as run:
        assert run.sql("select count(*) from outcomes").item() >= live > 0
        assert run.info.status == RunStatus.RUNNING


@contextmanager
def _soak(*arguments):
    """Run the command in a session of its own, and leave none of its processes behind."""
    with subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", "--no-report", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _rehearsal(out):
    """A rehearsal of one soak-hour in 10 s."""
    return _soak("--hours", 1, "--speed", 360, "--rps", 0.2, "--out", out)


def _wait_for(folder, process):
    """Wait until a run is written; give its folder."""
    while not (folder.exists() and is_being_written(folder)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return folder.resolve()


def _look(run):
    """Read of a run what the live notebook reads; give how many outcomes there were."""
    seen = run.sql("select count(*) from outcomes").item()
    assert run.events().height > 0
    assert run.samples().height >= 0
    assert not soaklib.marks(run).is_empty()
    assert run.info.run_id in run._repr_html_()
    return seen


@pytest.mark.slow
def test_two_readers_follow_a_run_over_its_end(tmp_path):
    """Both see counts grow until all is there, with verdicts; and the run ends as if nobody had looked."""
    with _rehearsal(tmp_path) as process, ThreadPoolExecutor(2) as pool:
        folder = _wait_for(tmp_path / "latest", process)

        def follow():
            return [(_look(run), run.verdicts().height) for run in soaklib.follow(folder, pause_s=1.0)]

        first, second = (told.result() for told in [pool.submit(follow), pool.submit(follow)])
        _, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, 1), stderr  # 1: a busy machine was late
    with soaklib.open_run(folder) as run:
        total, verdicts = run.sql("select count(*) from outcomes").item(), run.verdicts().height
        assert run.info.status == RunStatus.COMPLETED
    for looks in (first, second):
        assert len(looks) > 3
        assert looks == sorted(looks)
        assert looks[-1] == (total, verdicts)
        assert looks[0][0] < total
    assert verdicts > 0


@pytest.mark.slow
def test_following_ends_when_the_run_is_killed_and_begins_anew_with_its_resumption(tmp_path):
    """What was acknowledged is seen and told to be cut off; after --resume the same run is followed to its end."""
    shown = []
    with _rehearsal(tmp_path) as process:
        folder = _wait_for(tmp_path / "latest", process)
        for run in soaklib.follow(folder, pause_s=0.3):
            _look(run)
            shown.append(run._repr_html_())
            if len(shown) == 3:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    assert "running, seen at" in shown[0]
    assert "cut off: it was not ended" in shown[-1]
    with _soak("--resume", folder) as resumed:
        _wait_for(folder, resumed)
        shown = [(_look(run), run._repr_html_())[1] for run in soaklib.follow(folder, pause_s=0.3)]
        _, stderr = resumed.communicate(timeout=60)
    assert resumed.returncode in (0, 1), stderr
    assert "running, seen at" in shown[0]
    assert "completed" in shown[-1]


@pytest.mark.slow
def test_a_run_that_is_moved_away_is_told_in_a_sentence(tmp_path):
    """Who follows it learns that it is not there any more."""
    with _rehearsal(tmp_path) as process:
        folder = _wait_for(tmp_path / "latest", process)
        with soaklib.open_run(folder) as run:
            folder.rename(tmp_path / "elsewhere")
            time.sleep(FRESH_S)
            with pytest.raises(RunError, match=r"the run in .* is not there any more: it was moved or removed"):
                run.events()
