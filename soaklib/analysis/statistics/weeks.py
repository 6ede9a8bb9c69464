"""Whether a measure of some runs, one value a week, changed its level, and when: for few values that are independent.

The split whose parts differ most in rank is looked for, each split weighed as Pettitt's test (*Applied Statistics* 28,
1979) does not: by its own spread, so that a change near an end can be found too. How often chance would give as large a
split anywhere is asked of shuffled weeks, which is exact where weeks are exchangeable, whatever their distribution; so
one wild week is no change. Where there is a change, both parts are looked at again.

A series is asked anew each week, and chance has a say each time: at .01 a look, ten of a hundred series that never
change are said at some week of a year to have changed, and soon after often not. So a change is told where it shows at
:data:`LOOKS` looks in a row, which leaves five of them, and tells a step two weeks later.

:func:`~soaklib.analysis.statistics.changepoints.change_points` is for the many dependent readings inside a run, and
needs 36 of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soaklib.analysis.statistics.series import ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["FEWEST_WEEKS", "LOOKS", "LevelChange", "lasting_changes", "level_changes"]

FEWEST_WEEKS: Final = 10
"""With fewer values no split can be told from chance at the level that is asked for."""

LEVEL: Final = 0.01
"""How often weeks that do not change look as if they had: once in a hundred measures, for there are many."""

LOOKS: Final = 3
"""At so many looks in a row, a week apart, a change has to show; at fewer where there were no more yet."""

_FEWEST_IN_PART: Final = 3
_NEAR: Final = 2  # weeks: so far apart, two looks speak of one change
_SHUFFLES: Final = 1999
_SEED: Final = 1979


class LevelChange(NamedTuple):
    """A change of level.

    Attributes
    ----------
    place
        Of the first value of the new level, 0 for the first of all.
    before, after
        Medians of the level before and after it, up to the changes next to it.
    p_value
        How often shuffled weeks have as large a split, at this look alone.
    """

    place: int
    before: float
    after: float
    p_value: float


def level_changes(values: Sequence[float]) -> list[LevelChange]:
    """Give the changes of level of a series of weeks, the earliest first.

    Parameters
    ----------
    values
        One a week, in order; fewer than :data:`FEWEST_WEEKS` have no change that could be told.
    """
    series = np.asarray(values, dtype=np.float64)
    found = sorted(_splits(series, 0))
    edges = [0, *(place for place, _ in found), series.size]
    return [
        LevelChange(
            place,
            float(np.median(series[edges[number] : place])),
            float(np.median(series[place : edges[number + 2]])),
            p,
        )
        for number, (place, p) in enumerate(found)
    ]


def lasting_changes(values: Sequence[float]) -> list[LevelChange]:
    """Give those changes of level that the series had a week and two weeks ago, too, where it was long enough.

    Parameters
    ----------
    values
        As for :func:`level_changes`.
    """
    found = level_changes(values)
    for weeks in range(len(values) - 1, max(len(values) - LOOKS, FEWEST_WEEKS - 1), -1):
        if not found:
            break
        seen = [change.place for change in level_changes(values[:weeks])]
        found = [change for change in found if any(abs(change.place - place) <= _NEAR for place in seen)]
    return found


def _splits(series: FloatArray, start: int) -> Iterator[tuple[int, float]]:
    if series.size < FEWEST_WEEKS or np.ptp(series) == 0:
        return
    sizes = _sizes(ranks(series)[None, :])[0]
    place = int(np.argmax(sizes)) + _FEWEST_IN_PART
    largest = _largest_of_shuffled(tuple(np.sort(ranks(series)).tolist()))
    p_value = (1 + int(np.count_nonzero(largest >= sizes.max() * (1 - 1e-12)))) / (1 + _SHUFFLES)
    if p_value <= LEVEL:
        yield start + place, p_value
        yield from _splits(series[:place], start)
        yield from _splits(series[place:], start + place)


def _sizes(ranks: FloatArray) -> FloatArray:
    """Give for each row and split how far the ranks' mean before it is off, in its own spread; shape (rows, splits)."""
    weeks = ranks.shape[1]
    counts = np.arange(1, weeks + 1)[_FEWEST_IN_PART - 1 : weeks - _FEWEST_IN_PART]
    sums = np.cumsum(ranks - ranks.mean(axis=1, keepdims=True), axis=1)[:, counts - 1]
    sizes: FloatArray = np.abs(sums) / np.sqrt(counts * (weeks - counts) / weeks)
    return sizes


@lru_cache(maxsize=64)
def _largest_of_shuffled(ranks: tuple[float, ...]) -> FloatArray:
    generator = np.random.default_rng(_SEED)
    shuffled = generator.permuted(np.tile(ranks, (_SHUFFLES, 1)), axis=1)
    largest: FloatArray = _sizes(shuffled).max(axis=1)
    return largest
