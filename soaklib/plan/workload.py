"""What each slot does: a pure function of (seed, slot).

Nothing is drawn from a stream, so a resumed run sends in slot n what the first one would have sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from soaklib.records import Expected

if TYPE_CHECKING:
    from soaklib.plan.model import Operation, Plan, Step

__all__ = ["LAST_SHIFT", "MASK", "ROUNDS", "STEP", "Call", "Workload", "probe_slot"]

MASK: Final = 2**64 - 1
STEP: Final = 0x9E3779B97F4A7C15
ROUNDS: Final = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
LAST_SHIFT: Final = 31
_RECENT_SLOTS: Final = 50


def probe_slot(turn: int, which: int, probes: int) -> int:
    """Give the slot of a probe's turn: the probes of a plan number theirs together, so that each has its own."""
    return turn * probes + which


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation.

    Attributes
    ----------
    place
        Its place among :attr:`Workload.calls`: what is made once for each call of the plan is found by it.
    role, tool, action
        Who calls what.
    expected
        What policy should say to it under the baseline policies.
    step
        The call as the plan has it.
    """

    place: int
    role: str
    tool: str
    action: str
    expected: Expected
    step: Step


def _mix(value: int) -> int:
    """Scramble 64 bits (SplitMix64's finaliser: Steele, Lea and Flood, OOPSLA 2014)."""
    value = (value + STEP) & MASK
    for shift, factor in ROUNDS:
        value = ((value ^ (value >> shift)) * factor) & MASK
    return value ^ (value >> LAST_SHIFT)


class Workload:
    """The load's operations and the probes of a plan.

    Parameters
    ----------
    plan
        The plan.
    seed
        Which of the plan's possible loads this is.

    Attributes
    ----------
    seed
        The seed, scrambled: what a slot's number is mixed with.
    calls
        Every call that the plan knows, those of the operations and then the probes.
    probes
        The probes.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        self.seed = _mix(seed)
        self.calls: list[Call] = []
        self._operations: list[tuple[Call, ...]] = [
            tuple(self._add(step, operation.role, Expected.ALLOW) for step in operation.steps)
            for operation in plan.operations
        ]
        self._bounds = [bound * 2**64 for bound in accumulate(operation.share for operation in plan.operations)]
        self._bounds[-1] = 2**64  # whatever the rounding of the shares
        self._repeat_below = [_repeat_bound(operation) for operation in plan.operations]
        self.probes: list[Call] = [self._add(probe, probe.role, Expected.DENY) for probe in plan.probes]

    def _add(self, step: Step, role: str, expected: Expected) -> Call:
        call = Call(len(self.calls), role, step.tool, step.action, expected, step)
        self.calls.append(call)
        return call

    def operation(self, slot: int) -> tuple[tuple[Call, ...], int]:
        """Give the calls of a slot, in order, and the number of the query they carry."""
        kind = self._kind(slot)
        return self._operations[kind], self._query_number(slot, kind)

    @property
    def bounds(self) -> list[int]:
        """Give what a slot's draw of 64 bits is held against: the operation is the first whose bound is above it."""
        return [math.ceil(bound) for bound in self._bounds]  # a whole number is below a bound if it is below the next

    def _kind(self, slot: int) -> int:
        draw = _mix(self.seed ^ slot)
        for kind, bound in enumerate(self._bounds):
            if draw < bound:
                return kind
        return len(self._bounds) - 1  # not reached: the last bound is above every draw

    def _repeats(self, slot: int, kind: int) -> bool:
        return _mix(self.seed + 2 * slot + 1) < self._repeat_below[kind]

    def _query_number(self, slot: int, kind: int) -> int:
        """Give the slot's own number, or a recent fresh slot's of the same kind when this one repeats it."""
        if not self._repeats(slot, kind):
            return slot
        start = slot - 1 - _mix(self.seed + 3 * slot + 2) % _RECENT_SLOTS
        for earlier in range(start, max(-1, start - _RECENT_SLOTS), -1):
            if earlier >= 0 and self._kind(earlier) == kind and not self._repeats(earlier, kind):
                return earlier
        return slot


def _repeat_bound(operation: Operation) -> float:
    return operation.repeat_share * 2**64
