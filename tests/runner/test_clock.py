import asyncio
import datetime as dt

import pytest
from virtual_time import run_virtually

from soaklib.runner.clock import ClockJumpedError, RunClock, SoakClock
from soaklib.store.views import Segment

ANCHOR = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)


class Machine:
    """The two clocks of a machine, set by hand."""

    def __init__(self):
        self.monotonic = 5_000_000_000
        self.wall = ANCHOR

    def clock(self, **options):
        return RunClock(ANCHOR, monotonic_ns=lambda: self.monotonic, utc_now=lambda: self.wall, **options)


def test_a_new_run_starts_at_zero_and_counts_monotonic_microseconds():
    """A clock made at the anchor reads 0, and 1.5 s later 1,500,000."""
    machine = Machine()
    clock = machine.clock()
    assert clock.now_us() == 0
    machine.monotonic += 1_500_000_000
    assert clock.now_us() == 1_500_000


def test_an_ntp_step_changes_no_duration_and_is_recorded_as_an_offset():
    """The wall clock jumping ahead by an hour leaves the run's clock alone and shows as an offset."""
    machine = Machine()
    clock = machine.clock()
    machine.monotonic += 2_000_000_000
    machine.wall = ANCHOR + dt.timedelta(hours=1, seconds=2)
    assert clock.now_us() == 2_000_000
    assert clock.offset_us() == 3_600_000_000


def test_a_resumed_run_goes_on_from_the_wall_clock():
    """A clock made ten minutes after the anchor, in another process, reads ten minutes."""
    machine = Machine()
    machine.wall = ANCHOR + dt.timedelta(minutes=10)
    assert machine.clock().now_us() == 600_000_000


def test_a_resumed_run_never_goes_back():
    """With the wall clock set back before the anchor, the clock starts where the run had come to."""
    machine = Machine()
    machine.wall = ANCHOR - dt.timedelta(days=1)
    assert machine.clock(not_before_us=123).now_us() == 123


@pytest.mark.parametrize(("soak_s", "at_us"), [(100.0, 7_000), (820.0, 1_007_000), (86_400.0, 119_868_111)])
def test_soak_time_runs_at_its_speed_from_where_the_segment_began(soak_s, at_us):
    """At speed 720 the segment's soak second 100 is its start, and 720 soak seconds are one wall second."""
    soak_clock = SoakClock(Segment(segment=1, started_at_us=7_000, soak_started_s=100.0), speed=720.0)
    assert soak_clock.at_us(soak_s) == at_us
    assert soak_clock.soak_s(at_us) == pytest.approx(soak_s, abs=1e-3)


def test_sleeping_until_a_time_never_ends_before_it():
    """A loop that wakes a millisecond early is sent back to sleep."""

    async def main(loop):
        clock = RunClock(ANCHOR, monotonic_ns=loop.monotonic_ns, utc_now=lambda: ANCHOR)
        sleep, slept = asyncio.sleep, []

        async def early(seconds):
            slept.append(seconds)
            await sleep(max(seconds - 0.001, 1e-6))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", early)
            await clock.sleep_until(5_000_000)
        return clock.now_us(), len(slept)

    now_us, times = run_virtually(main)
    assert now_us >= 5_000_000
    assert times > 1


def test_a_clock_that_stood_still_is_noticed_once_and_caught_up():
    """The wall clock went on for two hours and the monotonic one did not; steps back and small steps are no gap."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += dt.timedelta(seconds=0.9)
    clock.raise_if_jumped()
    machine.wall -= dt.timedelta(hours=1)
    clock.raise_if_jumped()
    machine.wall += dt.timedelta(hours=1)
    clock.raise_if_jumped()
    machine.wall += dt.timedelta(hours=2)
    with pytest.raises(ClockJumpedError, match=r"jumped ahead by 7200\.0 s"):
        clock.raise_if_jumped()
    clock.raise_if_jumped()
    clock.catch_up()
    assert clock.utc(clock.now_us()) == machine.wall
    clock.raise_if_jumped()


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_a_clock_that_has_to_catch_up_tells_what_it_will_read_then(is_looked_at):
    """From the moment at which the machine is awake, whether it was noticed or not; a small step is none."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += dt.timedelta(seconds=0.5)
    assert clock.caught_up_us() == clock.now_us() == 0
    machine.wall += dt.timedelta(hours=8)
    if is_looked_at:
        with pytest.raises(ClockJumpedError):
            clock.raise_if_jumped()
    told_us = clock.caught_up_us()
    assert (told_us, clock.now_us()) == (8 * 3600 * 1_000_000 + 500_000, 0)
    clock.catch_up()
    assert clock.caught_up_us() == clock.now_us() == told_us
