"""Looking at a run from another process while it is written."""

import os
import signal
import subprocess
import sys
import time

import pytest
from rehearsals import Rehearsal

import soaklib
from soaklib.records import RunStatus


@pytest.mark.slow
def test_a_live_run_shows_what_it_has_now_and_ends_undisturbed(tmp_path):
    """Data of the last 5 s is there, counts only grow, and after the end the same object shows the finished run."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--no-report", "--out",
            str(tmp_path),
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
            sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--no-report", "--out",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "latest").exists():
        time.sleep(0.05)
    time.sleep(3)
    with soaklib.open_run(tmp_path / "latest") as run:
        live = run.sql("select count(*) from outcomes").item()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "latest" / "live").exists()
    with soaklib.open_run(tmp_path / "latest") as run:
        assert run.sql("select count(*) from outcomes").item() >= live > 0
        assert run.info.status == RunStatus.RUNNING
