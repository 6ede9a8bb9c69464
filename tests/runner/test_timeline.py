"""What is done at stated times, by a runner that comes after some of them."""

import asyncio
import datetime as dt

import pytest
from kept_events import KeptEvents
from virtual_time import run_virtually

from soaklib.plan.model import load_plan
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.timeline import Timeline
from soaklib.store.views import Segment

ANCHOR = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
HOURS, HOUR_S, SPEED = 8, 3600.0, 60.0


class Scraper:
    """Takes snapshots, and knows of those that were not taken."""

    def __init__(self):
        self.taken, self.missed = [], []

    async def snapshot(self, name, *, key, within_s):
        del key, within_s
        self.taken.append(name)

    def say_missed(self, name, why, *, key):
        del why
        self.missed.append((name, key))


class Pool:
    """Counts how often its tokens are replaced."""

    generation, agent_count, rotated = 0, 1, 0

    def __init__(self):
        self.within_s = []

    async def rotate(self, *, within_s):
        self.within_s.append(within_s)
        self.rotated += 1
        return True


def _live_through(*, begun_s, duration_s):
    """Take snapshots and rotate tokens from a soak second to the end."""
    scraper, pool, events = Scraper(), Pool(), KeptEvents()

    async def main(loop):
        clock = RunClock(ANCHOR, not_before_us=0, monotonic_ns=loop.monotonic_ns, utc_now=lambda: ANCHOR)
        began = Segment(segment=1, started_at_us=clock.now_us(), soak_started_s=begun_s)
        timeline = Timeline(
            plan=load_plan(), duration_s=duration_s, clock=clock, soak_clock=SoakClock(began, SPEED),
            events=events, pool=pool, changes=None, scraper=scraper, agents_lost=asyncio.Event(),
        )  # fmt: skip
        await asyncio.gather(timeline._take_snapshots(), timeline._rotate_tokens())

    run_virtually(main)
    return scraper, pool, events


@pytest.mark.parametrize("begun_h", [0.0, 2.0, 2.6, 7.9])
def test_what_nobody_lived_for_is_not_made_up_for(begun_h):
    """A conductor that was gone for hours takes no metrics of now for those of then, and rotates once, not ten times.

    What is due by now, and whose own interval is not over, it still does.
    """
    scraper, pool, events = _live_through(begun_s=begun_h * HOUR_S, duration_s=HOURS * HOUR_S)
    hour, quarter = int(begun_h), int(begun_h * 4)
    assert scraper.missed == [(f"soak-h{number}.prom", f"snapshot:{number}") for number in range(hour)]
    assert scraper.taken == [f"soak-h{number}.prom" for number in range(hour, HOURS)]
    failed = [key for name, _, key in events.written if name == "TOKENS_ROTATION_FAILED"]
    assert failed == [f"rotation:{number}" for number in range(1, quarter)]
    assert pool.rotated == 4 * HOURS - 1 - len(failed)


def test_a_rotation_is_tried_no_longer_than_the_soak_lasts():
    """The last of a soak that is no whole number of intervals long; each other until the next is due."""
    _, pool, _ = _live_through(begun_s=0.0, duration_s=2 * HOUR_S + 120.0)
    assert pool.within_s == pytest.approx([15.0] * 7 + [2.0])
