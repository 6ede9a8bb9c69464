"""Quantiles of the calls of one cell, each packed into one whole number, so that one sort puts them in order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from soaklib.analysis.statistics.blocks import design_effect
from soaklib.analysis.statistics.intervals import TAIL_OBSERVATIONS, order_shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PART_BITS", "US_BITS", "Ints", "Keys", "Quantile"]

PART_BITS: Final = 20
"""So many bits say the part of the window; the one above them, whether the call was given up."""
US_BITS: Final = PART_BITS + 1
"""Above so many bits are the microseconds."""
_PIECE: Final = 1 << 20
_PART_MASK: Final = (1 << PART_BITS) - 1

Ints: TypeAlias = npt.NDArray[np.int64]


class Quantile(NamedTuple):
    """A quantile as a row has it."""

    quantile: float
    latency_ms: float
    at_least: bool
    n: int
    sufficient: bool
    low_ms: float | None = None
    high_ms: float | None = None


class Keys(NamedTuple):
    """The calls of a cell: the bits of each are microseconds, whether it was given up, and the part of its window.

    Attributes
    ----------
    every
        Shape (calls,), sorted: those that were given up are among them, at what they waited.
    given_up
        Where those are, in order. The others are not copied: of all calls they are many.
    in_parts
        Shape (parts,): calls in each part.
    """

    every: Ints
    given_up: Ints
    in_parts: Ints

    @classmethod
    def of(cls, keys: Ints) -> Self:
        """Sort the keys of calls in any order, in place where they may be changed."""
        every = keys if keys.flags.writeable else keys.copy()
        every.sort()
        given_up = [np.flatnonzero(piece & (1 << PART_BITS)) + start for start, piece in _pieces(every)]
        return cls(every, np.concatenate(given_up or [every[:0]]), _by_part(every, 0))

    def quantiles(self, levels: Sequence[float]) -> Iterator[Quantile]:
        """Give the quantiles at ascending levels, with their intervals."""
        n, answered = len(self.every), len(self.every) - len(self.given_up)
        below, reached = np.zeros(len(self.in_parts)), 0
        for level in levels:
            rank = _rank(level, n)
            at_least = rank > answered
            value = int(self.every[rank - 1]) >> US_BITS if at_least else self._answered_us(rank)
            row = Quantile(level, value / 1000, at_least, n, round(n * min(level, 1 - level), 9) >= TAIL_OBSERVATIONS)
            if not row.sufficient:
                yield row
                continue
            if at_least:
                faster = self.every[: np.searchsorted(self.every, value << US_BITS)]
                effect = design_effect(self._in_parts(faster), self.in_parts.astype(np.float64))
            else:
                stop = int(np.searchsorted(self.every, (value + 1) << US_BITS))
                if stop > reached:
                    aside = self.given_up[slice(*np.searchsorted(self.given_up, (reached, stop)))]
                    below += self._in_parts(self.every[reached:stop]) - self._in_parts(self.every[aside])
                    reached = stop
                effect = design_effect(below, self.in_parts.astype(np.float64))
            low, high = (_rank(share, n) for share in order_shares(level, n, effect))
            yield row._replace(
                low_ms=(int(self.every[low - 1]) >> US_BITS) / 1000,
                high_ms=math.inf if high > answered else self._answered_us(high) / 1000,
            )

    def _answered_us(self, rank: int) -> int:
        """Give how long the call took that is of a rank, from 1, among those that were answered."""
        before = np.searchsorted(self.given_up - np.arange(len(self.given_up)), rank - 1, side="right")
        return int(self.every[rank - 1 + before]) >> US_BITS

    def _in_parts(self, keys: Ints) -> npt.NDArray[np.float64]:
        return _by_part(keys, len(self.in_parts)).astype(np.float64)


def _pieces(keys: Ints) -> Iterator[tuple[int, Ints]]:
    """Cut keys into pieces, each with its start, so that what is made of one on the way stays small."""
    for start in range(0, len(keys), _PIECE):
        yield start, keys[start : start + _PIECE]


def _by_part(keys: Ints, parts: int) -> Ints:
    """Count keys by the part of their window, which are so many at least."""
    counts = np.zeros(parts, dtype=np.int64)
    for _, piece in _pieces(keys):
        more = np.bincount(piece & _PART_MASK, minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    return counts


def _rank(share: float, n: int) -> int:
    """Give the rank, from 1, of the smallest value that at least this share of n does not exceed."""
    return max(math.ceil(round(share * n, 6)), 1)  # rounded first: 0.99 * 1000 has to be 990, not a hair more
