"""The run's clocks: monotonic microseconds from one UTC anchor, and soak time within a segment."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soaklib.errors import SoaklibError

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.store.views import Segment

__all__ = ["ClockJumpedError", "RunClock", "SoakClock"]

_MICROSECOND: Final = dt.timedelta(microseconds=1)
_GAP_US: Final = 1_000_000
"""A jump of the wall clock from which on the machine is taken to have slept."""


class ClockJumpedError(SoaklibError):
    """The machine slept, or its clock was set ahead: what is planned by the old time must be planned anew.

    Attributes
    ----------
    gap_s
        For how long, in seconds.
    """

    def __init__(self, gap_s: float) -> None:
        super().__init__(f"the machine's clock jumped ahead by {gap_s:.1f} s")
        self.gap_s = gap_s


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
        since_anchor_us = (utc_now() - anchor_utc) // _MICROSECOND
        self._zero_ns = monotonic_ns() - max(since_anchor_us, not_before_us) * 1000
        self._last_offset_us = 0
        self._is_behind = False

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
        return (self._utc_now() - self.utc(self.now_us())) // _MICROSECOND

    def raise_if_jumped(self) -> None:
        """Look whether this clock has stood still since the last look.

        A machine that sleeps stops the monotonic clock and not the wall clock, which then has jumped ahead. So it has
        when somebody set it; from inside one cannot be told from the other, and both leave times that are wrong from
        here on. Small steps, and steps back, are no gap: :meth:`offset_us` tells of them.

        Raises
        ------
        ClockJumpedError
            It has; :meth:`catch_up` puts it right.
        """
        offset_us = self.offset_us()
        gap_us = min(offset_us - self._last_offset_us, offset_us)
        self._last_offset_us = offset_us
        if gap_us > _GAP_US:
            self._is_behind = True
            raise ClockJumpedError(gap_us / 1e6)

    def catch_up(self) -> None:
        """Put this clock on the time that the wall clock says it is; never back."""
        offset_us = max(0, self.offset_us())
        self._zero_ns -= offset_us * 1000
        self._last_offset_us = self.offset_us()
        self._is_behind = False

    def caught_up_us(self) -> int:
        """Give what this clock reads once it has caught up with a jump, also one that nobody has looked at yet."""
        offset_us = self.offset_us()
        gap_us = min(offset_us - self._last_offset_us, offset_us)
        is_behind = self._is_behind or gap_us > _GAP_US
        return self.now_us() + (max(0, offset_us) if is_behind else 0)


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
