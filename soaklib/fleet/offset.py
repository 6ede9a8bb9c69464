"""How far a lane's clock is ahead of the conductor's: measured, written down, and kept between two looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.errors import TargetError
from soaklib.fleet.desk import MOST_BOUND_US, ClockOffset, measure_offset
from soaklib.records import EventName

if TYPE_CHECKING:
    from soaklib.fleet.job import LaneJob
    from soaklib.runner.clock import ClockJumpedError, RunClock
    from soaklib.runner.events import EventLog

__all__ = ["KeptOffset"]


class KeptOffset:
    """The offset of a lane's clock; what is applied is told by events, and a merge corrects times by those.

    Parameters
    ----------
    job
        Says where the conductor's desk is, if it has one.
    clock, events
        The lane's.
    applied_us
        What was applied last in an earlier life of the lane.

    Attributes
    ----------
    applied_us
        By how much the clock is ahead, as far as that is known.
    """

    def __init__(self, job: LaneJob, clock: RunClock, events: EventLog, *, applied_us: int = 0) -> None:
        self._job, self._clock, self._events = job, clock, events
        self.applied_us = applied_us

    async def measure(self, *, is_start: bool = False, is_new: bool = False) -> None:
        """Measure it, and write it down; at the start of a new lane it has to be known.

        One that was begun goes on by what it applied last: no lane is given up for a way to the desk that is busy.

        Raises
        ------
        TargetError
            At the start of a new lane it is not known well enough.
        """
        if self._job.desk is None:
            if is_start:
                self._events.write(EventName.CLOCK_OFFSET_UNKNOWN, "no conductor's desk to ask: taken as none")
            return
        try:
            measured = await measure_offset(self._job.desk, self._job.run_id, self._clock.now_us)
        except TargetError as exc:
            if is_start and is_new:
                raise
            self._events.write(EventName.CLOCK_OFFSET_UNKNOWN, str(exc))
            return
        self._say(measured)
        if is_start and measured.bound_us > MOST_BOUND_US:
            msg = (
                f"this machine's clock is known only to {measured.bound_us / 1000:.0f} ms against the conductor's, "
                f"and must be to {MOST_BOUND_US / 1000:.0f} ms: the way to {self._job.desk} is too long or too busy"
            )
            if is_new:
                raise TargetError(msg)
            said = f"{msg}; it goes on by what was applied last, {self.applied_us / 1000:g} ms"
            self._events.write(EventName.CLOCK_OFFSET_UNKNOWN, said)

    async def was_awake(self, jumped: ClockJumpedError) -> bool:
        """Say whether this machine was awake while its wall clock jumped, because somebody set it.

        The conductor's clock tells: against that of a machine that slept it has gone ahead, and against one whose wall
        clock was set it is where it was. With nobody to ask the machine is taken to have slept.
        """
        if self._job.desk is None:
            return False
        try:
            measured = await measure_offset(self._job.desk, self._job.run_id, self._clock.now_us)
        except TargetError:
            return False
        is_awake = measured.offset_us - self.applied_us > -jumped.gap_s * 1e6 / 2
        if is_awake:
            self._say(measured)
        return is_awake

    async def wake_up(self) -> int:
        """Let the clock catch up with the wall clock; give by how much the offset has changed."""
        before_us = self.applied_us
        if self._job.desk is not None:
            self._say(ClockOffset(before_us, 0))  # it held up to here, and another one may hold from here on
        self._clock.catch_up()
        await self.measure()
        return self.applied_us - before_us

    def _say(self, measured: ClockOffset) -> None:
        if measured.bound_us <= MOST_BOUND_US:
            self.applied_us = measured.applied_us(self.applied_us)
        self._events.write(EventName.CLOCK_OFFSET, data=measured.told(self.applied_us))
