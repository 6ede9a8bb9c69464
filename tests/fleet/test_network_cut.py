"""A network that is cut between a lane's machine and that of scheduler and conductor: two rooms, two cables."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from network_rooms import two_rooms
from running_fleet import PATIENCE_S, QUIET_DASK, Running, rows_of

pytestmark = pytest.mark.slow

_VARIABLES = QUIET_DASK | {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",  # the least it takes, not 30: a cut may be as short
    "SOAK_GATEWAY_ADMIN_TOKEN": "of-the-test",  # a gateway that more than its own machine reaches asks for one
}


@contextlib.contextmanager
def _process(log, said, *words, **environment):
    """Run a process of the rooms while the block lasts; give it when it has said something, in its log."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment
        ) as process,
    ):
        try:
            ends = time.monotonic() + PATIENCE_S
            while said not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < ends
                time.sleep(0.1)  # it is another process that is waited for
            yield process
        finally:
            process.terminate()


def test_a_cut_between_a_lane_and_the_scheduler_costs_no_call(tmp_path):
    """Dask gives the lane up when it hears nothing; its sender sends on, and is neither started again nor stopped."""
    with two_rooms() as rooms, contextlib.ExitStack() as stack:
        (here, there), (gateway_at, _) = rooms.lay_cable(1), rooms.lay_cable(2)

        def start(room, said, module, *words):
            log = tmp_path / f"{module}.log"
            stack.enter_context(
                _process(log, said, *room, sys.executable, "-m", module, *words, TMPDIR=str(tmp_path), **_VARIABLES)
            )
            return log

        told = start(rooms.near, "\n", "soaklib.gateway", "--host", gateway_at, "--speed", "240")
        flags = "--no-dashboard", "--scheduler-file", str(tmp_path / "scheduler.json")
        start(rooms.near, "Scheduler at:", "distributed.cli.dask_scheduler", "--host", here, *flags)
        start(rooms.far, "Registered to:", "distributed.cli.dask_worker", "--host", there, "--no-nanny", *flags)
        run = Running(
            tmp_path, "--senders", "1", "--hours", "2", "--speed", "240", "--rps", "0.1", "--yes",
            "--gateway-url", json.loads(told.read_text().splitlines()[0])["url"], "--scheduler", f"tcp://{here}:8786",
            before=rooms.near, **_VARIABLES,
        )  # fmt: skip
        run.wait_for_lanes(0)
        rooms.plug(1, is_in=False)
        run.wait_for("LANE_LOST")
        rooms.plug(1, is_in=True)
        said = run.end()
    assert "1 of 1 lanes live" in said
    slots = rows_of(run.folder, "select slot, kind = 'missed' from outcomes where purpose = 'load' and step = 0")
    assert sorted(slots) == [(slot, False) for slot in range(720)], said
    [(lost,)] = rows_of(run.folder, "select detail from events where name = 'LANE_LOST'")
    assert lost.endswith("its sender goes on, unheard")
    assert rows_of(run.folder, "select count(*) from segments where lane = 0") == [(1,)]
    told = rows_of(run.folder, "select name from events where name like 'CLOCK_OFFSET%' order by at_us")
    assert told == [("CLOCK_OFFSET",)] * 2  # the desk is heard again at the end
