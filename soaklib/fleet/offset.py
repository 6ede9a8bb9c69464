"""How far a lane's clock is ahead of the conductor's: measured, written down, kept between two looks, read again."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from soaklib.errors import TargetError
from soaklib.fleet.desk import MOST_BOUND_US, ClockOffset, measure_offset
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from soaklib.fleet.job import LaneJob
    from soaklib.runner.clock import ClockJumpedError, RunClock
    from soaklib.runner.events import EventLog

__all__ = ["IN_WORDS_KEY", "KeptOffset", "kept_offsets", "offset_sql"]

IN_WORDS_KEY: Final = "offset in words"
"""What the event of a merged run is known by that says which offsets were not applied, behind its lane."""
_DRIFT: Final = 0.0005  # as fast as clocks are slewed, and no quartz is that bad
_STEP_US: Final = 1_000_000


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


def kept_offsets(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[tuple[int, int], ...], int | None]:
    """Give the offsets in a lane's file, and when it told the first of those that cannot be read: None for none.

    Earlier builds wrote them in words, and not as data.

    Returns
    -------
    tuple
        (time, offset) in microseconds by the lane's clock, in order, and the time of the first in words alone.
    """
    measured = connection.execute(
        """select at_us, (data->>'applied_us')::BIGINT from events
           where name = $name and (data->>'bound_us')::BIGINT <= $most order by at_us""",
        {"name": EventName.CLOCK_OFFSET.value, "most": MOST_BOUND_US},
    ).fetchall()
    [(in_words_us,)] = connection.execute(
        "select min(at_us) from events where name = $name and data is null", {"name": EventName.CLOCK_OFFSET.value}
    ).fetchall()
    return tuple(measured), in_words_us


def offset_sql(offsets: Sequence[tuple[int, int]]) -> str:
    """Give SQL for how far a lane's clock was ahead at its own time ``us``.

    It is linear between two measurements, or a step at the later one where no drift makes so much of a difference.
    """
    if not any(offset for _, offset in offsets):
        return "0"
    branches = [f"when us <= {offsets[0][0]} then {offsets[0][1]}"]
    for (from_us, before), (to_us, after) in pairwise(offsets):
        if abs(after - before) > _STEP_US + _DRIFT * (to_us - from_us):
            branches.append(f"when us < {to_us} then {before}")
        elif to_us > from_us:
            slope = (after - before) / (to_us - from_us)
            branches.append(f"when us <= {to_us} then {before} + round((us - {from_us}) * {slope!r})::BIGINT")
    return f"(case {' '.join(branches)} else {offsets[-1][1]} end)"
