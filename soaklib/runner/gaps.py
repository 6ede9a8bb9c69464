"""Rows for calls that were planned while nobody lived to send them, of a stretch of which nothing has a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.plan.cadence import occurrences
from soaklib.plan.workload import probe_slot
from soaklib.records import Kind, Outcome, Purpose, Reason
from soaklib.runner.rows import Phases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from soaklib.plan.model import Plan
    from soaklib.plan.pacer import Pacer
    from soaklib.plan.workload import Call, Workload
    from soaklib.runner.clock import SoakClock

__all__ = ["ROWS_AT_A_TIME", "due_turns", "missed_probes", "missed_slots"]

ROWS_AT_A_TIME: Final = 50_000
"""So many such rows are written before the next are made: a long gap has millions."""


def missed_slots(
    slots: Iterable[int], *, workload: Workload, pacer: Pacer, soak_clock: SoakClock, phases: list[tuple[float, str]]
) -> Iterator[Outcome]:
    """Give a row for every call of some slots of the load.

    Parameters
    ----------
    slots
        Slots of which no call has a row.
    workload, pacer
        What each does, and when it was due.
    soak_clock
        Maps that to the run's clock.
    phases
        (soak second, name) of the plan's phases, in order.
    """
    phase = Phases(phases, soak_clock)
    for slot in slots:
        calls, _ = workload.operation(slot)
        due_us = soak_clock.at_us(pacer.due_s(slot))
        yield from _rows(Purpose.LOAD, slot, calls, due_us, phase.at(due_us))


def missed_probes(
    plan: Plan, which: int, turns: Iterable[int], *, workload: Workload, soak_clock: SoakClock, duration_s: float
) -> Iterator[Outcome]:
    """Give a row for some turns of a probe; parameters as :func:`missed_slots`."""
    phase = Phases(plan.phase_starts(duration_s), soak_clock)
    for turn in turns:
        due_us = soak_clock.at_us(turn * plan.probes[which].every_s)
        slot = probe_slot(turn, which, len(plan.probes))
        yield from _rows(Purpose.PROBE, slot, (workload.probes[which],), due_us, phase.at(due_us))


def due_turns(plan: Plan, firsts: Iterable[int], soak_s: float, duration_s: float) -> list[range]:
    """Give the turns of each probe that were due before a soak second, from its first one that was not sent."""
    return [
        range(first, min(occurrences(soak_s, probe.every_s), occurrences(duration_s, probe.every_s)))
        for probe, first in zip(plan.probes, firsts, strict=False)  # none of a run that never began
    ]


def _rows(purpose: Purpose, slot: int, calls: tuple[Call, ...], due_us: int, phase: str) -> Iterator[Outcome]:
    for step, call in enumerate(calls):
        kind, reason = (Kind.SKIPPED, Reason.STEP_NOT_OK) if step else (Kind.MISSED, Reason.NO_RUNNER)
        yield Outcome(
            purpose, slot, step, call.role, call.tool, call.action, due_us, None, None, None, kind, call.expected,
            reason, 0, None, None, phase,
        )  # fmt: skip
