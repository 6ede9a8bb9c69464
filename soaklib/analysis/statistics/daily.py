"""The shape of a day, taken from one series out of another.

Load, machines and people have a day. In a run of 24 hours one cycle of it looks like a drift; another run of the same
hours that is known to be good has the cycle, too. What is left when that is taken out is what this run does beyond it.
The other's values are taken as they are and not smoothed: their scatter stays in what is left, where whoever judges
that sees it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.analysis.statistics.series import gridded
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.statistics.series import BoolArray, FloatArray, Grid, IntArray

__all__ = ["covers_the_day", "returns_to_its_start", "without_day_of"]

_DAY_H: Final = 24.0
_LEAST_BIN_H: Final = 1 / 6
_LEAST_COVERED: Final = 0.5
_US_PER_HOUR: Final = 3.6e9
_CELLS: Final = 2880
_NEAR_H: Final = 4.0
_LEAST_NEAR: Final = 6


def without_day_of(grid: Grid, reference: pl.DataFrame) -> Grid:
    """Take from a series what a reference shows at the same time of day, but for the reference's middle.

    Parameters
    ----------
    grid
        The series.
    reference
        ``at``, ``value`` of another, of any date; where it has several days, their mean counts. Cells of the series at
        whose time of day it has no value become gaps.

    Raises
    ------
    SettingsError
        It has a value at the times of less than half of the series' points.
    """
    expected, covered = _expected(grid, reference)
    if not _suffices(grid, covered):
        message = (
            f"the reference has values at the time of day of {int(covered.sum())} of {int(grid.seen.sum())} points; "
            "pass a run that covers the same hours of the day"
        )
        raise SettingsError(message)
    middle = float(np.median(expected[covered])) if covered.any() else 0.0
    return replace(grid, value=np.where(covered, grid.value - expected + middle, np.nan))


def covers_the_day(series: pl.DataFrame, reference: pl.DataFrame) -> bool:
    """Say whether a reference has a value at the times of at least half of a series' points; both ``at``, ``value``."""
    grid = gridded(series, max_cells=_CELLS)
    return _suffices(grid, _expected(grid, reference)[1])


def returns_to_its_start(series: pl.DataFrame, margin: float) -> bool:
    """Say whether a series of a day or more ends its first day where it began it, as a cycle of the day does.

    One that does not drifts by itself, and as a reference would take as much of another's drift away.

    Parameters
    ----------
    series
        ``at``, ``value``.
    margin
        How far apart start and end may lie, value units.
    """
    grid = gridded(series, warm_up=0.0, max_cells=_CELLS)
    ends = []
    for hour in (0.0, _DAY_H):
        near = grid.seen & (np.abs(grid.time_h - hour) <= _NEAR_H)
        if near.sum() < _LEAST_NEAR:
            return False
        ends.append(np.polynomial.Polynomial.fit(grid.time_h[near], grid.value[near], 1)(hour))
    return bool(abs(ends[1] - ends[0]) <= margin)


def _suffices(grid: Grid, covered: BoolArray) -> bool:
    return bool(covered.sum() >= _LEAST_COVERED * grid.seen.sum())


def _expected(grid: Grid, reference: pl.DataFrame) -> tuple[FloatArray, BoolArray]:
    """Give what the reference shows at each cell's time of day, and where both have a value."""
    other = gridded(reference, max_cells=_CELLS)
    bins = max(round(_DAY_H / max(grid.cell_h, other.cell_h, _LEAST_BIN_H)), 1)
    place = _bin_of(other, bins)[other.seen]
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):  # a time of day without a value is a gap
        shape = np.bincount(place, weights=other.value[other.seen], minlength=bins) / count
    expected = shape[_bin_of(grid, bins)]
    return expected, np.isfinite(expected) & grid.seen


def _bin_of(grid: Grid, bins: int) -> IntArray:
    hour = (grid.origin_us / _US_PER_HOUR + grid.time_h) % _DAY_H
    return np.floor(hour / _DAY_H * bins + 1e-6).astype(np.int64) % bins
