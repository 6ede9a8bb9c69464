"""A real rehearsal, run as a person would run it, and a look at what it left."""

import fcntl
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from forked_commands import run_forked

import soaklib

REHEARSAL = ("--hours", "2", "--speed", "240", "--seed", "1", "--no-report", "--thresholds.late-ms", "500")
"""Two soak-hours in 30 s: slow enough that a busy machine does not fail it, long enough that the quota is reached."""

WHATEVER_THE_CLOCK = frozenset(
    {
        "full duration", "every slot accounted for", "all tools exercised", "denials happen", "no false-allow",
        "no false-deny", "identities refused", "limits held", "lasting changes show in the data",
        "recovers after lasting changes", "token books balanced", "money books balanced", "upstream asked once",
        "sessions closed", "no drift in time to first token", "no drift in event-loop lag",
    }
)  # fmt: skip
"""Criteria that follow from the plan, from which calls there are, and from whom a gateway lets in: a machine that is
late moves none of them. Every other one rests on when something was sent, answered, measured, or changed in time."""


def run_command(*arguments, cwd=None):
    """Run ``python -m soaklib.run`` as a person would, but for who has done its imports; give the ended process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
    return run_forked(arguments, env=environment, cwd=cwd, timeout=180)


def kill_with_its_recorder(process):
    """Kill a runner and its recorder, which is in no process group of its runner's, at the same moment."""
    process.send_signal(signal.SIGSTOP)
    for child in psutil.Process(process.pid).children():
        if "soaklib.runner.recorder_process" in child.cmdline():
            child.kill()
    process.kill()


def side_by_side(makes):
    """Call functions of no argument at the same time, and wait for all of them; by its name, give each one's future.

    For soaks that do little but wait for their clock: one after the other, each of them would hold a worker up. None of
    them is to be judged by less than seconds. One that fails does so where its result is asked for.
    """
    with ThreadPoolExecutor(len(makes)) as pool:
        return {name: pool.submit(make) for name, make in makes.items()}


def shared(tmp_path_factory, name, make):
    """Give the ended process of a run that several workers need.

    Parameters
    ----------
    tmp_path_factory
        The fixture.
    name
        What it is called.
    make
        Makes it in a folder that it is given; gives the ended process.
    """

    def tell(folder):
        ended = make(folder)
        told = {part: getattr(ended, part) for part in ("returncode", "stdout", "stderr")}
        folder.with_suffix(".json").write_text(json.dumps(told))

    told = made_once(tmp_path_factory, name, tell).with_suffix(".json").read_text()
    return subprocess.CompletedProcess([], **json.loads(told))


def made_once(tmp_path_factory, name, make):
    """Give a folder that several workers need and nobody may change, made by the first of them; the others wait.

    Parameters
    ----------
    tmp_path_factory
        The fixture.
    name
        What it is called.
    make
        Makes what is in the folder, whose path it is given.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers
    is_made = root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made.exists():
            make(root / name)
            is_made.touch()
    return root / name


def wait_until_recorded(folder):
    """Wait until the recorder that outlives a killed runner has let go of the file."""
    ends = time.monotonic() + 60
    while True:
        try:
            soaklib.open_run(folder).close()
        except soaklib.SoaklibError:
            assert time.monotonic() < ends
            time.sleep(0.1)
        else:
            return


class Rehearsal:
    """A finished run: its folder, its process, its summary."""

    def __init__(self, ended):
        self.ended = ended
        self.folder = Path(ended.stdout.splitlines()[-1])
        self.summary = json.loads((self.folder / "soak-summary.json").read_text())
        self.verdicts = {verdict["name"]: verdict for verdict in self.summary["verdicts"]}


def states_to_compare(*of_runs):
    """Give each run's states of the criteria that a machine's clock moves nothing of, by their names.

    The others are compared where no machine is late, on virtual time (`tests/fleet/test_virtual_fleet.py`): here a
    stall of half a second costs tokens their lives, and a change its gate.
    """
    return [{name: verdicts[name]["state"] for name in WHATEVER_THE_CLOCK} for verdicts in of_runs]
