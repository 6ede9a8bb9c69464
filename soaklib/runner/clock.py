"""The run's clocks: monotonic microseconds from one UTC anchor, and soak time within a segment."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.store import Segment

__all__ = ["RunClock", "SoakClock"]


class RunClock:
    """Microseconds since the run's anchor, from the monotonic clock: an NTP step or DST changes no duration.

    Parameters
    ----------
    anchor_utc
        UTC time of the run's microsecond 0. What the clock reads now is the wall clock's distance from it; from here on
        only the monotonic clock counts.
    not_before_us
        The clock reads at least this now: a resumed run never goes back, whatever was done to the wall clock.
    monotonic_ns, utc_now
        The two clocks of the machine; injected by tests.
    """

    def __init__(
        self,
        anchor_utc: dt.datetime,
        *,
        not_before_us: int = 0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        utc_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.anchor_utc = anchor_utc
        self._monotonic_ns = monotonic_ns
        self._utc_now = utc_now
        since_anchor_us = (utc_now() - anchor_utc) // dt.timedelta(microseconds=1)
        self._zero_ns = monotonic_ns() - max(since_anchor_us, not_before_us) * 1000

    def now_us(self) -> int:
        """Give the time in microseconds since the anchor."""
        return (self._monotonic_ns() - self._zero_ns) // 1000

    async def sleep_until(self, at_us: int) -> None:
        """Sleep until this clock reads `at_us`, and never less: loops round their timers, down too."""
        while (left_us := at_us - self.now_us()) > 0:  # noqa: ASYNC110 - time itself is what is waited for
            await asyncio.sleep(left_us / 1e6)

    def utc(self, at_us: int) -> dt.datetime:
        """Give the UTC time of a reading of this clock."""
        return self.anchor_utc + dt.timedelta(microseconds=at_us)

    def offset_us(self) -> int:
        """Give how far the machine's wall clock is ahead of this one; jumps by the size of an NTP step."""
        return (self._utc_now() - self.utc(self.now_us())) // dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class SoakClock:
    """The mapping between wall and soak time in one segment: soak time runs at `speed` from where the segment began."""

    segment: Segment
    speed: float

    def at_us(self, soak_s: float) -> int:
        """Give the reading of the run's clock at a soak second."""
        return self.segment.started_at_us + round((soak_s - self.segment.soak_started_s) * 1e6 / self.speed)

    def soak_s(self, at_us: int) -> float:
        """Give the soak second at a reading of the run's clock."""
        return self.segment.soak_started_s + (at_us - self.segment.started_at_us) * self.speed / 1e6
