"""Ends a hopeless run by a condition stated beforehand, such as ``success_rate < 50 for 10m``.

It is about what was seen, counted in each stretch of the run, and infers nothing: no interval is behind it. A floor
close to the rate itself is met sooner or later by chance, since it is looked at every second.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from soaklib.errors import AbortedError
from soaklib.plan.given import ABORT_PATTERN
from soaklib.records import Kind

if TYPE_CHECKING:
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.vitals import Vitals

__all__ = ["AbortRule", "watch_for_abort"]

_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LOOK_EVERY_S: Final = 1.0
_EXPECTED: Final = frozenset({Kind.DENIED, Kind.SKIPPED, Kind.MISSED})
"""Kinds that say nothing about success here: what is denied is for the verdicts to judge, and of what nobody lived to
send nothing was seen."""


@dataclass
class AbortRule:
    """A floor under the success rate of the last stretch of soak time.

    Attributes
    ----------
    floor
        Percent.
    stretch_s
        Soak seconds.
    """

    floor: float
    stretch_s: float
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``success_rate < 50 for 10m``, which the settings have checked."""
        match = re.fullmatch(ABORT_PATTERN, text)
        if match is None:
            msg = f"{text!r} is no condition"
            raise ValueError(msg)
        return cls(float(match["floor"]), float(match["length"]) * _UNIT_S[match["unit"]])

    def is_met(self, soak_s: float, kinds: dict[str, int]) -> bool:
        """Say whether the run is hopeless, given the counts of outcomes so far.

        A stretch in which nothing was planned, or which is not over yet, is no reason to stop.
        """
        ok = kinds.get(Kind.OK, 0)
        total = sum(count for kind, count in kinds.items() if kind not in _EXPECTED)
        self._seen.append((soak_s, ok, total))
        if soak_s - self._seen[0][0] < self.stretch_s:
            return False
        while len(self._seen) > 1 and soak_s - self._seen[1][0] >= self.stretch_s:
            self._seen.popleft()
        _, ok_before, total_before = self._seen[0]
        planned = total - total_before
        return planned > 0 and 100 * (ok - ok_before) < self.floor * planned


async def watch_for_abort(rule: AbortRule, vitals: Vitals, clock: RunClock, soak_clock: SoakClock) -> None:
    """Look at the counts each wall second until cancelled.

    Raises
    ------
    AbortedError
        The condition is met.
    """
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if rule.is_met(soak_clock.soak_s(clock.now_us()), dict(vitals.seen_kinds)):
            msg = f"aborted: the success rate was below {rule.floor:g} % for {rule.stretch_s / 60:g} soak-minutes"
            raise AbortedError(msg)
