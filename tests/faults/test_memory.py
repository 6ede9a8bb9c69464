"""Memory runs out: the kernel kills the recorder or the runner; loudly, with nothing acknowledged lost."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from rehearsals import Rehearsal, run_command, wait_until_recorded

import soaklib
from soaklib.commands.collect import main as collect
from soaklib.evidence.checking import verify


def start(out):
    """Start a soak of half an hour, 7.5 s of wall time, and wait for its load; give it and its recorder."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--hours", "0.5", "--speed", "240", "--rps", "0.5", "--no-report",
            "--out", str(out),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    log = out / "latest" / "soak-events.log"
    ends = time.monotonic() + 60
    while not (log.exists() and "SOAK_TEST_STARTED" in log.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    time.sleep(1)  # real load takes real time
    [recorder] = [
        child for child in psutil.Process(process.pid).children() if "recorder_process" in " ".join(child.cmdline())
    ]
    return process, recorder


@pytest.mark.slow
def test_a_recorder_killed_for_memory_ends_the_run_loudly_and_can_be_resumed(tmp_path):
    """Code 4, a sentence, chaos off and policies removed; every row that was there stays, and resume completes."""
    process, recorder = start(tmp_path)
    with soaklib.open_run(tmp_path / "latest") as run:
        acknowledged = run.sql("select purpose, slot, step, kind, done_at_us from outcomes").rows()
    recorder.send_signal(signal.SIGKILL)  # as the kernel does when memory runs out
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 4, stderr
    assert "was killed by SIGKILL, as the kernel does when memory runs out" in stderr.splitlines()[-1]
    folder = (tmp_path / "latest").resolve()
    log = (folder / "soak-events.log").read_text()
    assert "POLICIES_REMOVED" in log
    assert log.splitlines()[-1].split("] ")[1].startswith("SOAK_TEST_FAILED")
    assert json.loads((folder / "soak-summary.json").read_text())["status"] == "failed"
    with soaklib.open_run(folder) as run:
        left = run.sql("select purpose, slot, step, kind, done_at_us from outcomes").rows()
    assert len(acknowledged) > 30
    assert set(acknowledged) <= set(left)

    resumed = Rehearsal(run_command("--resume", str(folder), "--no-report"))
    assert resumed.summary["status"] == "completed"
    with soaklib.open_run(folder) as run:
        now = run.sql("select purpose, slot, step, kind, done_at_us from outcomes").rows()
        slots = run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item()
    assert set(left) <= set(now)
    assert len({row[:3] for row in now}) == len(now)
    assert slots == 900


@pytest.mark.slow
def test_a_runner_that_is_killed_leaves_a_run_that_can_be_packed_and_resumed(tmp_path):
    """SIGKILL of the runner: its recorder writes what it was given, and `collect` makes a bundle that verifies."""
    process, _ = start(tmp_path)
    process.kill()
    process.communicate()
    folder = (tmp_path / "latest").resolve()
    wait_until_recorded(folder)
    assert collect([str(folder)]) == 0
    problems, notes = verify(folder / f"soak-artifacts-{folder.name}.tar.gz")
    assert problems == []
    assert "the run did not come to its end" in "; ".join(notes)
    assert Rehearsal(run_command("--resume", str(folder), "--no-report")).summary["status"] == "completed"
