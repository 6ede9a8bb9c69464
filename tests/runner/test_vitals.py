"""How the generator is doing, second by second on virtual time, and when the system does not say."""

import asyncio
import shutil
import threading

import psutil
import pytest
from outcome_rows import answered, cut_off, unsent
from virtual_time import run_virtually

from soaklib.records import Kind
from soaklib.runner.vitals import Vitals, watch_vitals
from soaklib.targets.transport import Connections


class Parts:
    """What vitals are read from, and where they go."""

    queued_rows = 7

    def __init__(self, loop):
        self.loop, self.ticks, self.said = loop, [], []

    def now_us(self):
        return round(self.loop.time() * 1e6)

    def offset_us(self):
        return -3

    def take_longest_wait_us(self):
        return 11

    def take_connections(self):
        return Connections(open=5, opened=4, lost=1)

    def health_tick(self, row):
        self.ticks.append(row)


def watched(folder, work):
    """Give what was recorded and said while `work(vitals, loop)` went on."""

    async def main(loop):
        parts, vitals = Parts(loop), Vitals()
        watching = asyncio.create_task(
            watch_vitals(vitals, clock=parts, recorder=parts, client=parts, folder=folder, warn=parts.said.append)
        )
        await work(vitals, loop)
        assert not watching.done()
        watching.cancel()
        return parts

    return run_virtually(main)


async def idle(_, loop):
    """Do nothing for three seconds and a half."""
    del loop
    await asyncio.sleep(3.5)


def test_each_second_has_its_counts_and_its_largest_lags(tmp_path):
    """Calls count in the second in which they happen, and the lags are of that second alone."""

    async def work(vitals, _):
        await asyncio.sleep(0.5)
        vitals.saw_sending("load", "serpapi", 40)
        vitals.saw_sending("load", "serpapi", 20)
        vitals.saw_outcome(unsent("load", "openai", Kind.DROPPED))
        vitals.in_flight = 2
        await asyncio.sleep(1)
        vitals.saw_outcome(answered("load", "serpapi", Kind.OK, 5000))
        vitals.in_flight = 1
        await asyncio.sleep(1.6)

    ticks = watched(tmp_path, work).ticks
    assert [round(tick.at_us / 1e6) for tick in ticks] == [1, 2, 3]
    assert [(tick.planned, tick.sent, tick.done, tick.in_flight) for tick in ticks] == [
        (3, 2, 0, 2), (0, 0, 1, 1), (0, 0, 0, 1),
    ]  # fmt: skip
    assert [tick.schedule_lag_max_us for tick in ticks] == [40, 0, 0]
    assert {(tick.queue_rows, tick.connect_wait_max_us, tick.clock_offset_us) for tick in ticks} == {(7, 11, -3)}
    assert {(tick.connections_open, tick.connections_opened, tick.connections_lost) for tick in ticks} == {(5, 4, 1)}


def test_a_stall_of_the_loop_is_seen(tmp_path):
    """In the second in which it ends; the rate of sending is by the time that really went by."""
    rates = []

    async def work(vitals, loop):
        await asyncio.sleep(1.2)
        vitals.saw_sending("load", "serpapi", 0)
        loop.advance(3.0)
        await asyncio.sleep(0.01)
        rates.append(vitals.sent_per_s)
        await asyncio.sleep(1.5)

    ticks = watched(tmp_path, work).ticks
    assert [round(tick.loop_lag_max_us / 1e6, 1) for tick in ticks] == [0.0, 3.0, 0.0]
    assert rates == [pytest.approx(1 / 3.2, rel=0.05)]


def test_the_figures_are_those_of_this_process_and_this_disk(tmp_path):
    """As the system gives them."""
    [tick, *_] = watched(tmp_path, idle).ticks
    process = psutil.Process()
    assert tick.rss_bytes == pytest.approx(process.memory_info().rss, rel=0.2)
    assert 0 < tick.cpu_s <= sum(process.cpu_times()[:2])
    assert tick.open_files == pytest.approx(process.num_fds(), abs=5)
    assert tick.disk_free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


@pytest.mark.parametrize(
    ("method", "figure"), [("memory_info", "rss_bytes"), ("cpu_times", "cpu_s"), ("num_fds", "open_files")]
)
@pytest.mark.parametrize("error", [psutil.AccessDenied(1), OSError(24, "Too many open files"), ValueError("/proc")])
def test_a_figure_that_the_system_does_not_give_costs_that_figure(tmp_path, monkeypatch, method, figure, error):
    """The row is there, the others in it are right, and the loss is said once."""

    def fail(_):
        raise error

    monkeypatch.setattr(psutil.Process, method, fail)
    parts = watched(tmp_path, idle)
    values = {name: getattr(parts.ticks[-1], name) for name in ("rss_bytes", "cpu_s", "open_files", "disk_free_bytes")}
    assert len(parts.ticks) == 3
    assert values.pop(figure) == 0
    assert min(values.values()) > 0
    assert parts.said == [f"{figure} cannot be read, runner_health repeats its last value: {error}"]


def test_a_process_that_psutil_does_not_see_costs_three_figures(tmp_path, monkeypatch):
    """There is no /proc: the run goes on."""

    def fail():
        raise psutil.NoSuchProcess(1)

    monkeypatch.setattr(psutil, "Process", fail)
    parts = watched(tmp_path, idle)
    assert [(tick.rss_bytes, tick.cpu_s, tick.open_files) for tick in parts.ticks] == [(0, 0, 0)] * 3
    assert len(parts.said) == 3


def test_a_disk_that_goes_away_and_comes_back_is_said_each_time(tmp_path, monkeypatch):
    """Its last value is repeated meanwhile."""
    free = iter([100, None, None, 90, None, 80])

    def disk_usage(_):
        if (value := next(free)) is None:
            raise OSError(5, "Input/output error")
        return shutil._ntuple_diskusage(0, 0, value)

    async def work(*_):
        await asyncio.sleep(6.5)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    parts = watched(tmp_path, work)
    assert [tick.disk_free_bytes for tick in parts.ticks] == [100, 100, 100, 90, 90, 80]
    said = "disk_free_bytes cannot be read, runner_health repeats its last value: [Errno 5] Input/output error"
    assert parts.said == [said, said]


def test_a_disk_that_does_not_answer_holds_up_nothing(tmp_path, monkeypatch):
    """Every second has its row, with the last value; that it is slow is said once, and one thread waits for it."""
    asked = []

    async def slow(call, *args):
        asked.append(call)
        await asyncio.sleep(0.0 if len(asked) == 1 else 25.0)
        return call(*args)

    async def work(*_):
        await asyncio.sleep(30.5)

    monkeypatch.setattr(asyncio, "to_thread", slow)
    parts = watched(tmp_path, work)
    assert [round(tick.at_us / 1e6, 1) for tick in parts.ticks] == pytest.approx(list(range(1, 31)), abs=0.1)
    assert min(tick.disk_free_bytes for tick in parts.ticks) > 0
    assert max(tick.loop_lag_max_us for tick in parts.ticks) < 1000
    assert parts.said == ["disk_free_bytes cannot be read, runner_health repeats its last value: no answer within 10 s"]
    assert len(asked) == 3


def test_the_disk_is_asked_by_another_thread(tmp_path, monkeypatch):
    """However long it takes, the loop goes on."""
    askers = []
    disk_usage = shutil.disk_usage

    def ask(folder):
        askers.append(threading.current_thread())
        return disk_usage(folder)

    monkeypatch.setattr(shutil, "disk_usage", ask)

    async def main():
        loop = asyncio.get_running_loop()
        parts = Parts(loop)
        ticked = asyncio.Event()
        parts.health_tick = lambda _: ticked.set()
        watching = asyncio.create_task(
            watch_vitals(Vitals(), clock=parts, recorder=parts, client=parts, folder=tmp_path, warn=parts.said.append)
        )
        await asyncio.wait_for(ticked.wait(), 10)
        watching.cancel()

    asyncio.run(main())
    assert askers[0] is not threading.main_thread()


def test_what_was_planned_is_what_was_sent_and_what_never_was():
    """Answers do not count twice; a call cut off was sent."""
    vitals = Vitals()
    vitals.saw_sending("load", "serpapi", 0)
    vitals.saw_sending("load", "serpapi", 0)
    vitals.saw_outcome(answered("load", "serpapi", Kind.OK, 1000))
    vitals.saw_outcome(cut_off("load", "serpapi"))
    vitals.saw_outcome(unsent("probe", "gmail_send", Kind.MISSED))
    assert dict(vitals.planned_calls) == {("load", "serpapi"): 2, ("probe", "gmail_send"): 1}
    assert dict(vitals.kinds) == {"ok": 1, "interrupted": 1, "missed": 1}
    assert vitals.take_second() == (3, 2, 1, 0, 0)
    assert vitals.take_second() == (0, 0, 0, 0, 0)


def test_quantiles_are_of_the_answers():
    """None while there are none."""
    vitals = Vitals()
    assert vitals.service_quantiles_us(0.5, 0.99) == [None, None]
    for service_us in range(100):
        vitals.saw_outcome(answered("load", "serpapi", Kind.OK, service_us))
    assert vitals.service_quantiles_us(0.0, 0.5, 0.99, 1.0) == [0, 50, 99, 99]
