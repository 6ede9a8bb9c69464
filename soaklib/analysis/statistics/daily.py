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

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import Grid, IntArray

__all__ = ["without_day_of"]

_DAY_H: Final = 24.0
_LEAST_BIN_H: Final = 1 / 6
_LEAST_COVERED: Final = 0.5
_US_PER_HOUR: Final = 3.6e9


def without_day_of(grid: Grid, reference: Grid) -> Grid:
    """Take from a series what a reference shows at the same time of day, but for the reference's middle.

    Parameters
    ----------
    grid
        The series.
    reference
        Another, of any date; where it has several days, their mean counts. Cells of the series at whose time of day it
        has no value become gaps.

    Raises
    ------
    SettingsError
        It has a value at the times of less than half of the series' points.
    """
    width_h = max(grid.cell_h, reference.cell_h, _LEAST_BIN_H)
    bins = max(round(_DAY_H / width_h), 1)
    seen = reference.seen
    place = _bin_of(reference, bins)[seen]
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):  # a time of day without a value is a gap
        shape = np.bincount(place, weights=reference.value[seen], minlength=bins) / count
    expected = shape[_bin_of(grid, bins)]
    covered = np.isfinite(expected) & grid.seen
    if covered.sum() < _LEAST_COVERED * grid.seen.sum():
        message = (
            f"the reference has values at the time of day of {int(covered.sum())} of {int(grid.seen.sum())} points; "
            "pass a run that covers the same hours of the day"
        )
        raise SettingsError(message)
    middle = float(np.median(expected[covered])) if covered.any() else 0.0
    return replace(grid, value=np.where(covered, grid.value - expected + middle, np.nan))


def _bin_of(grid: Grid, bins: int) -> IntArray:
    hour = (grid.origin_us / _US_PER_HOUR + grid.time_h) % _DAY_H
    return np.floor(hour / _DAY_H * bins + 1e-6).astype(np.int64) % bins
