"""The one place where a row of ``outcomes`` is made: whatever became of a planned call, it ends as one."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.records import Kind, Outcome, Reason
from soaklib.targets.base import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.plan.workload import Call
    from soaklib.records import Purpose
    from soaklib.runner.clock import SoakClock
    from soaklib.targets.base import Identity

__all__ = ["CUT_OFF", "DROPPED", "MISSED", "SKIPPED", "Phases", "Planned", "outcome_of"]

DROPPED: Final = Reading(Kind.DROPPED, Reason.IN_FLIGHT_CAP)
SKIPPED: Final = Reading(Kind.SKIPPED, Reason.STEP_NOT_OK)
MISSED: Final = Reading(Kind.MISSED, Reason.NO_RUNNER)
CUT_OFF: Final = Reading(Kind.INTERRUPTED, Reason.STOPPED)


class Phases:
    """The phases of a plan on the run's clock, to the microsecond: whoever makes a row, it is of the same one.

    Parameters
    ----------
    starts
        (soak second, name) of the plan's phases, in order.
    soak_clock
        Maps them to the run's clock.
    """

    def __init__(self, starts: Sequence[tuple[float, str]], soak_clock: SoakClock) -> None:
        self._starts_us = [soak_clock.at_us(start_s) for start_s, _ in starts]
        self._names = [name for _, name in starts]

    def at(self, planned_us: int) -> str:
        """Give the phase of an operation that was planned at a reading of the run's clock."""
        return self._names[max(0, bisect_right(self._starts_us, planned_us) - 1)]


class Planned(NamedTuple):
    """One slot's operation: its key, its calls, and what they carry.

    Attributes
    ----------
    purpose, slot
        With the step, the key of a row.
    calls
        What is called, one after the other.
    number
        Of the query.
    phase
        Of the plan, at its planned time.
    lane
        Which sender of a fleet it is for; None where there is one sender.
    """

    purpose: Purpose
    slot: int
    calls: tuple[Call, ...]
    number: int
    phase: str
    lane: int | None = None


def outcome_of(
    planned: Planned,
    step: int,
    planned_us: int,
    reading: Reading,
    expected: str,
    *,
    identity: Identity | None = None,
    sent_us: int | None = None,
    done_us: int | None = None,
    status: int | None = None,
) -> Outcome:
    """Give the row of one call.

    Parameters
    ----------
    planned, step, planned_us
        Which call it was, and when it was meant to leave.
    reading
        What became of it.
    expected
        What policy should say to it.
    identity
        Whom it was made as; None for a call that was never put on the wire.
    sent_us, done_us, status
        When it left and was answered, and with what; None for what did not happen.
    """
    call = planned.calls[step]
    sent, generation, name, key_id = (
        (0, None, None, None) if identity is None else (1, identity.generation, identity.name, identity.key_id)
    )
    (kind, reason, limit, correlation_id, first_byte, first_token, chunks, tokens_in, tokens_out, gateway_us, _,
     retries, fallbacks, remaining, cost_usd) = reading  # fmt: skip
    return Outcome._make((  # three times as fast as a call with so many arguments
        planned.purpose, planned.slot, step, call.role, call.tool, call.action, planned_us, sent_us, done_us, status,
        kind, expected, reason, sent, generation, correlation_id, planned.phase, planned.lane, name, first_byte,
        first_token, chunks, tokens_in, tokens_out, gateway_us, limit, retries, fallbacks, remaining, cost_usd, key_id,
    ))  # fmt: skip
