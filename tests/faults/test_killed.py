"""kill -9 at random points of a compressed run: nothing acknowledged is lost, and the run is completed by --resume."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from rehearsals import Rehearsal, kill_with_its_recorder, run_command, wait_until_recorded

import soaklib

KILLS = int(os.environ.get("SOAK_TEST_KILLS", "5"))
SEED = int(os.environ.get("SOAK_TEST_SEED", "20261124"))


def start(*arguments):
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *arguments, "--no-report"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def rows(folder):
    """Give every row of outcomes by its key."""
    with soaklib.open_run(folder) as run:
        frame = run.sql("select * from outcomes")
    return {(row["purpose"], row["slot"], row["step"]): row for row in frame.iter_rows(named=True)}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_is_completed_with_every_call_once(tmp_path):
    """Keys partition exactly, rows once recorded stay as they were, scheduled events happen once, gaps are marked."""
    draw = random.Random(SEED)  # noqa: S311 - when to kill, not a secret
    process = start("--hours", "1", "--speed", "240", "--rps", "0.5", "--out", str(tmp_path))
    folder, recorded = tmp_path / "latest", {}
    for _ in range(KILLS):
        _wait_for_load(folder, process)
        time.sleep(draw.uniform(0.2, 2.0))  # real time passes under real load
        if draw.random() < 0.5:
            kill_with_its_recorder(process)
        else:
            process.kill()  # the runner alone
        process.communicate()
        wait_until_recorded(folder)
        now = rows(folder)
        assert {key: now[key] for key in recorded} == recorded
        recorded = now
        process = start("--resume", str(folder.resolve()))
    process.communicate(timeout=120)
    assert process.returncode in {0, 1}

    final = rows(folder)
    assert {key: final[key] for key in recorded} == recorded
    with soaklib.open_run(folder) as run:
        assert run.info.status == "completed"
        slots, probes, twice = run.sql(
            "select count(distinct slot) filter (purpose = 'load'), count(*) filter (purpose = 'probe'),"
            " count(*) - count(distinct (purpose, slot, step)) from outcomes"
        ).row(0)
        incomplete_chains = run.sql(
            "select slot from outcomes where purpose = 'load' and role = 'enricher' group by slot having count(*) <> 2"
        )
        keys = run.sql("select event_key from events where event_key is not null")["event_key"].to_list()
        gaps = run.sql("select count(*) from events where name = 'RUN_GAP'").item()
        segments = run.info.segments
        marks = soaklib.marks(run)
    assert (slots, probes, twice) == (1800, 60, 0)
    assert incomplete_chains.is_empty()
    assert len(keys) == len(set(keys))
    assert {key for key in keys if key.startswith(("rotation", "snapshot"))} == {
        "rotation:1", "rotation:2", "rotation:3", "snapshot:0", "snapshot:final",
    }  # fmt: skip
    assert {"change:0:rotate-credentials", "change:1:chaos", "change:1:chaos:off", "change:2:update-policy"} <= set(
        keys
    )
    assert gaps == len(segments) - 1 == KILLS
    assert marks.filter(kind="gap").height == KILLS


def _wait_for_load(folder, process):
    """Wait until this runner has begun its segment."""
    ends = time.monotonic() + 60
    log = folder / "soak-events.log"
    before = log.read_text() if log.exists() else ""
    while True:
        assert process.poll() is None, process.stderr.read()
        now = log.read_text() if log.exists() else ""
        news = now.removeprefix(before) if now.startswith(before) else now
        last_start = news.rfind("SOAK_TEST_RESUMED") if "SOAK_TEST_RESUMED" in news else news.rfind("SOAK_TEST_STARTED")
        if last_start >= 0:
            return
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_that_a_live_process_owns_is_not_resumed(tmp_path):
    """The sentence names the process."""
    process = start("--hours", "1", "--speed", "240", "--rps", "0.5", "--out", str(tmp_path))
    try:
        _wait_for_load(tmp_path / "latest", process)
        ended = run_command("--resume", str(tmp_path / "latest"))
        assert ended.returncode == 2
        assert f"is owned by a live process (pid {process.pid})" in ended.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_second_signal_leaves_at_once_with_the_data_consistent(tmp_path):
    """Two interrupts in a row end the process at once; what was recorded can be read and resumed."""
    process = start("--hours", "1", "--speed", "240", "--rps", "0.5", "--out", str(tmp_path))
    _wait_for_load(tmp_path / "latest", process)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode in {130, 143}
    wait_until_recorded(tmp_path / "latest")
    assert len(rows(tmp_path / "latest")) > 0
    resumed = Rehearsal(run_command("--resume", str(tmp_path / "latest"), "--no-report"))
    assert resumed.summary["status"] == "completed"
