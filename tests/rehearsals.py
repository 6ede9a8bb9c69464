"""A real rehearsal, run as a person would run it, and a look at what it left."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REHEARSAL = ("--hours", "2", "--speed", "360", "--seed", "1", "--no-report", "--thresholds.late-ms", "500")
"""Two soak-hours in 20 s: slow enough that a busy machine does not fail it, long enough that the quota is reached."""

BY_CHANCE = ("drift", "measurement valid", "latency", "books balanced", "recovers", "spike")
"""Verdicts of times and of how a busy machine does; the others follow from what was planned and answered."""


def run_command(*arguments, **options):
    """Run ``python -m soaklib.run`` as a person would; give the ended process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
    return subprocess.run(
        [sys.executable, "-m", "soaklib.run", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=180, env=environment, **options,
    )  # fmt: skip


def shared(tmp_path_factory, name, make):
    """Give the ended process of a run that several workers need, made by the first of them; the others wait.

    Parameters
    ----------
    tmp_path_factory
        The fixture.
    name
        What it is called.
    make
        Makes it in a folder that it is given; gives the ended process.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers
    told = root / f"{name}.json"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            ended = make(root / name)
            told.write_text(json.dumps({part: getattr(ended, part) for part in ("returncode", "stdout", "stderr")}))
    return subprocess.CompletedProcess([], **json.loads(told.read_text()))


class Rehearsal:
    """A finished run: its folder, its process, its summary."""

    def __init__(self, ended):
        self.ended = ended
        self.folder = Path(ended.stdout.splitlines()[-1])
        self.summary = json.loads((self.folder / "soak-summary.json").read_text())
        self.verdicts = {verdict["name"]: verdict for verdict in self.summary["verdicts"]}


def sure_states(*of_runs):
    """Give each run's states by the names of criteria, but those by chance; skip the test if one was ever late.

    On a machine that is too busy calls are left out and gates time out, and then no two runs are judged alike; on
    virtual time they are compared whatever the machine does (`tests/fleet/test_virtual_fleet.py`).
    """
    for verdicts in of_runs:
        if verdicts["measurement valid"]["measure"] != 0:
            pytest.skip(f"this machine was too busy: {verdicts['measurement valid']['detail']}")
    return [
        {name: one["state"] for name, one in verdicts.items() if not any(word in name for word in BY_CHANCE)}
        for verdicts in of_runs
    ]
