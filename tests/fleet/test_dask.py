"""Lanes that Dask places: each once, where it was put, and by nobody again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import duckdb
import pytest
from rehearsals import REHEARSAL, states_to_compare
from running_fleet import QUIET_DASK

pytestmark = pytest.mark.slow

_HABITS = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
}
_CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        print(cluster.scheduler_address, *(worker.pid for worker in cluster.workers.values()), flush=True)
        sys.stdin.read()
"""
_SETTINGS = ("--senders", "2", "--hours", "0.5", "--speed", "180", "--rps", "0.2", "--no-report")
_SLOTS = 360


@contextlib.contextmanager
def _cluster(tmp_path, habits=_HABITS, workers=2):
    """Give a scheduler's address, the ids of its workers, each a process, and its own."""
    script = tmp_path / "cluster.py"
    script.write_text(_CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(workers)], env=os.environ | QUIET_DASK | habits, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address, *pids = process.stdout.readline().split()
        yield address, [int(pid) for pid in pids], process.pid
    finally:
        with contextlib.suppress(BrokenPipeError):  # it may have been killed
            process.communicate("", timeout=60)


def _start(out, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *_SETTINGS, *arguments, "--out", str(out)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _rows(out, query):
    [folder] = [path for path in out.glob("2*") if path.is_dir()]
    with duckdb.connect(str(folder / "run.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


class _Clusters:
    """A cluster that outlives the tests that look at it, and another after one that killed part of it."""

    def __init__(self, new_folder):
        self._new_folder = new_folder
        self._stack = contextlib.ExitStack()
        self._made = None

    def whole(self):
        """Give one of which nothing was killed."""
        if self._made is None:
            self._made = self._stack.enter_context(_cluster(self._new_folder()))
        return self._made

    @contextlib.contextmanager
    def to_be_killed(self):
        """Give one that nobody is given after the block."""
        made, self._made = self.whole(), None
        with self._stack.pop_all():
            yield made

    def close(self):
        self._stack.close()


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """What gives clusters."""
    with contextlib.closing(_Clusters(lambda: tmp_path_factory.mktemp("cluster"))) as made:
        yield made


def test_a_local_cluster_sends_the_schedule_of_one_sender(tmp_path, rehearsal, clusters):
    """Two lanes on two workers leave one sender's rows and verdicts, though all of Dask stood still for a while."""
    address, pids, scheduler = clusters.whole()
    process = subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *REHEARSAL, "--senders", "2", "--scheduler", address,
         "--out", str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    _wait_for_lane(tmp_path, 1)
    for pid in (*pids, scheduler):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # as long as all of Dask is to stand still
    for pid in (*pids, scheduler):
        os.kill(pid, signal.SIGCONT)
    said, _ = process.communicate(timeout=150)
    keys = "select purpose, slot, step, tool from outcomes order by all"
    with duckdb.connect(str(rehearsal.folder / "run.duckdb"), read_only=True) as connection:
        assert _rows(tmp_path, keys) == connection.execute(keys).fetchall(), said
    assert _rows(tmp_path, "select count(*) from outcomes where kind = 'missed'") == [(0,)]
    assert _rows(
        tmp_path, "select lane, count(distinct slot % 2) from outcomes where purpose = 'load' group by 1 order by 1"
    ) == [(0, 1), (1, 1)]
    assert "2 of 2 lanes live" in said
    [summary] = tmp_path.glob("2*/soak-summary.json")
    verdicts = {verdict["name"]: verdict for verdict in json.loads(summary.read_text())["verdicts"]}
    two, one = states_to_compare(verdicts, rehearsal.verdicts)
    assert two == one


def test_a_fleet_that_is_told_to_stop_loses_no_lane(tmp_path, clusters):
    """The word goes out by Dask; each lane stops in order, and none is called lost."""
    process = _start(tmp_path, "--scheduler", clusters.whole()[0])
    for lane in (0, 1):
        _wait_for_lane(tmp_path, lane)
    process.terminate()
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 143, said
    ended = _rows(
        tmp_path, "select name, split_part(detail, ' ', 2) from events where name in ('LANE_LOST', 'LANE_ENDED')"
    )
    assert ended == [("LANE_ENDED", "interrupted")] * 2


def test_a_lane_whose_worker_is_lost_is_not_run_again(tmp_path, clusters):
    """When a worker and its sender are killed the lane is lost: Dask does not run it again, and the other sends on."""
    with clusters.to_be_killed() as (address, pids, _):
        process = _start(tmp_path, "--scheduler", address)
        _wait_for_lane(tmp_path, 1)
        time.sleep(2)  # for which it is to send
        [lock] = tmp_path.glob("2*/lanes/1/.lock")
        sender = int(json.loads(lock.read_text())["pid"])
        with open(f"/proc/{sender}/status") as status:  # noqa: PTH123 - the kernel's own
            [worker] = [int(line.split()[1]) for line in status if line.startswith("PPid")]
        assert worker in pids
        os.kill(worker, signal.SIGKILL)
        os.kill(sender, signal.SIGKILL)
        said, _ = process.communicate(timeout=150)
    slots = _rows(
        tmp_path, "select lane, count(distinct slot) from outcomes where purpose = 'load' group by 1 order by 1"
    )
    assert slots == [(0, _SLOTS // 2), (1, _SLOTS // 2)], said
    assert _rows(tmp_path, "select count(*) from events where name = 'LANE_LOST'") == [(1,)]
    missed = dict(
        _rows(
            tmp_path, "select lane, count(*) filter (kind = 'missed') from outcomes where lane is not null group by 1"
        )
    )
    assert missed[0] == 0
    assert missed[1] > 0


def test_a_scheduler_that_is_killed_costs_no_call(tmp_path, gateway, clusters):
    """When the scheduler and its workers are killed the senders send to their end, and the conductor says it."""
    with clusters.to_be_killed() as (address, _, scheduler):
        process = _start(tmp_path, "--hours", "1", "--speed", "360", "--gateway-url", gateway, "--scheduler", address)
        for lane in (0, 1):
            _wait_for_lane(tmp_path, lane)
        os.kill(scheduler, signal.SIGKILL)
        said, _ = process.communicate(timeout=150)
    slots = _rows(tmp_path, "select slot, lane from outcomes where purpose = 'load' and step = 0 order by slot")
    assert slots == [(n, n % 2) for n in range(2 * _SLOTS)], said
    assert _rows(tmp_path, "select count(*) from outcomes where kind = 'missed'") == [(0,)]
    told = [detail for (detail,) in _rows(tmp_path, "select detail from events where name = 'LANE_LOST'")]
    assert len(told) == 2
    assert all(detail.endswith("its sender goes on, unheard") for detail in told)


def _wait_for_lane(out, lane):
    """Wait until a lane sends."""
    ends = time.monotonic() + 90
    while not any("LANE_STARTED" in log.read_text() for log in out.glob(f"2*/lanes/{lane}/soak-events.log")):
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_scheduler_that_runs_tasks_again_is_refused(tmp_path):
    """A scheduler with Dask's own habits is refused, and the words say how to start it."""
    with _cluster(tmp_path, {}, workers=0) as (address, *_):
        process = _start(tmp_path, "--scheduler", address)
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 2
    assert "ALLOWED_FAILURES=0" in said
