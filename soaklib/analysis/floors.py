"""The floors of a sawtooth: what memory falls back to when it is collected.

A heap climbs and is collected, again and again; whether it leaks shows in what is left after each collection.
"""

from __future__ import annotations

import numpy as np

from soaklib.analysis.series import Grid, regular

__all__ = ["floors"]

_FALL_SHARE = 0.25
_MIN_TEETH = 3


def floors(grid: Grid) -> Grid | None:
    """Keep the lowest value of every tooth; None where the series has fewer than three whole teeth.

    A tooth ends where the value falls by more than a quarter of the range that the middle 90 % of the series span
    around its line. What comes before the first fall is no whole tooth and has no floor.

    Parameters
    ----------
    grid
        The series, fine enough to show its teeth.
    """
    seen = grid.seen
    time_h, value = grid.time_h[seen], grid.value[seen]
    if len(value) <= _MIN_TEETH:
        return None
    line = np.polynomial.Polynomial.fit(time_h, value, 1)
    low, high = np.quantile(value - line(time_h), [0.05, 0.95])
    starts = np.flatnonzero(np.diff(value) < -_FALL_SHARE * (high - low)) + 1
    if high <= low or len(starts) < _MIN_TEETH:
        return None
    lowest = [start + int(np.argmin(tooth)) for start, tooth in zip(starts, np.split(value, starts)[1:], strict=True)]
    return regular(time_h[lowest], value[lowest], max_cells=len(value), origin_us=grid.origin_us)
