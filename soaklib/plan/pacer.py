"""When each slot is due: a pure function of the slot's number, with no clock inside.

With rate r (slots a soak-second) slot n is due at

* constant arrivals: n / r;
* Poisson arrivals: slots come in blocks of K; block b holds the order statistics of K independent uniforms on
  [bK/r, (b+1)K/r), and the last one of N slots, if it is not full, those of N - bK on [bK/r, N/r). Given the number of
  arrivals in an interval, a Poisson process is exactly that (Cinlar, Introduction to Stochastic Processes, 1975, ch.
  4), so arrivals are Poisson within a block, the totals are exact, and any slot can be computed without those before.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from soaklib.plan.settings import SoakSettings

__all__ = ["Pacer"]

_BLOCK_SLOTS: Final = 1000


@dataclass
class Pacer:
    """Due times of slots, in soak seconds.

    Parameters
    ----------
    rps
        Slots a soak-second.
    arrivals
        ``constant`` or ``poisson``.
    seed
        Seed of the Poisson arrivals.
    slots
        How many there are in all, so that Poisson arrivals end with the load; None for ever more.
    """

    rps: float
    arrivals: Literal["constant", "poisson"] = "constant"
    seed: int = 0
    slots: int | None = None
    _block: tuple[int, list[float]] = field(default=(-1, []), repr=False)

    @classmethod
    def of(cls, settings: SoakSettings) -> Self:
        """Give the pacer of a soak, or of a lane of one, by its settings."""
        return cls(settings.rps, settings.arrivals, settings.seed, settings.total_slots)

    def due_s(self, slot: int) -> float:
        """Give the soak second at which a slot is due."""
        if self.arrivals == "constant" or (self.slots is not None and slot >= self.slots):
            return slot / self.rps
        number, place = divmod(slot, _BLOCK_SLOTS)
        size = _BLOCK_SLOTS if self.slots is None else min(_BLOCK_SLOTS, self.slots - number * _BLOCK_SLOTS)
        if self._block[0] != number:
            # a string seed: equal for equal (seed, block) in every process and on every platform
            draws = random.Random(f"{self.seed}/{number}")  # noqa: S311 - arrivals, not secrets
            self._block = (number, sorted(draws.random() for _ in range(size)))
        return (number + self._block[1][place] * (size / _BLOCK_SLOTS)) * _BLOCK_SLOTS / self.rps

    def first_slot_from(self, soak_s: float) -> int:
        """Give the first slot that is not due before a soak second."""
        slot = max(0, int(soak_s * self.rps) - (_BLOCK_SLOTS if self.arrivals == "poisson" else 1))
        while self.due_s(slot) < soak_s:
            slot += 1
        return slot
