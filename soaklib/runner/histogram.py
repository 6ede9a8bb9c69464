"""A histogram that costs a bisection and two additions: what the hot path can afford to count."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Histogram"]

_US_PER_S = 1e6


class Histogram:
    """Counts of durations in fixed buckets.

    Parameters
    ----------
    bounds_us
        Upper bounds of the buckets, ascending, microseconds; one without a bound comes after them.
    """

    __slots__ = ("_bounds_us", "_counts", "_sum_us")

    def __init__(self, bounds_us: Sequence[int]) -> None:
        self._bounds_us = tuple(bounds_us)
        self._counts = [0] * (len(self._bounds_us) + 1)
        self._sum_us = 0

    def observe(self, duration_us: int) -> None:
        """Count a duration; one that equals a bound belongs below it, as Prometheus's ``le`` says."""
        self._counts[bisect_left(self._bounds_us, duration_us)] += 1
        self._sum_us += duration_us

    @property
    def sum_s(self) -> float:
        """The sum of all durations, seconds."""
        return self._sum_us / _US_PER_S

    def cumulative(self) -> list[tuple[str, float]]:
        """Give (upper bound in seconds, count up to it) for each bucket, ``+Inf`` last, as the exposition has them."""
        bounds = [*(str(bound / _US_PER_S) for bound in self._bounds_us), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
