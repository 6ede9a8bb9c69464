"""The floors of a sawtooth: what memory falls back to when it is collected.

A heap climbs and is collected, again and again; whether it leaks shows in what is left after each collection. A file
table that fills and is swept is the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from soaklib.analysis.statistics.series import Grid, regular
from soaklib.analysis.statistics.wander import LEAST_POINTS

__all__ = ["FINE_CELLS", "MAX_POINTS", "Judged", "coarse", "floors", "judged_points"]

FINE_CELLS: Final = 2880
"""Cells of a series in which teeth are looked for, at most."""
MAX_POINTS: Final = 144
"""Points that are judged, at most."""

_FALL_SHARE = 0.25
_STEP_SDS = 6.0
_MIN_TEETH = 3
_ALIKE = 0.75
_FALLS_A_RISE = 4
_LEAST_CLIMB = 0.5
_TO_SD = 1.4826


class Judged(NamedTuple):
    """What is judged of a series.

    Attributes
    ----------
    grid
        Its points, at most :data:`MAX_POINTS`.
    on_floors
        Whether they are the floors of a sawtooth.
    teeth
        How many whole teeth it has; None where it is no sawtooth, or was not asked for one.
    """

    grid: Grid
    on_floors: bool
    teeth: int | None


def judged_points(fine: Grid, *, floor: bool) -> Judged:
    """Give the points to judge: the floors where they are wanted and enough, else the whole series.

    Parameters
    ----------
    fine
        The series in at most :data:`FINE_CELLS` cells.
    floor
        Whether floors are wanted.
    """
    teeth = floors(fine) if floor else None
    if teeth is None:
        return Judged(coarse(fine), on_floors=False, teeth=None)
    lowest = coarse(teeth)
    on_floors = int(lowest.seen.sum()) >= LEAST_POINTS
    return Judged(lowest if on_floors else coarse(fine), on_floors, int(teeth.seen.sum()))


def coarse(grid: Grid) -> Grid:
    """Average a series into at most :data:`MAX_POINTS` cells."""
    if len(grid.value) <= MAX_POINTS:
        return grid
    merged = regular(grid.time_h, grid.value, max_cells=MAX_POINTS, origin_us=grid.origin_us)
    return replace(merged, rows=grid.rows)


def floors(grid: Grid) -> Grid | None:
    """Keep the lowest value of every tooth; None where the series is no sawtooth of at least three whole teeth.

    A tooth ends where the value falls, from one reading to the next, by more than a quarter of the range that the
    middle 90 % of the series span around its line, and by more than six times the spread of its other steps: noise that
    wanders falls as far, but takes many steps to. A spike falls at once, too, but rises at once: in a sawtooth no more
    than one rise of about that size comes to four falls, and the value climbs again by half a fall before the next.
    What comes before the first fall is no whole tooth and has no floor.

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
    step = np.diff(value)
    spread = _TO_SD * float(np.median(np.abs(step - np.median(step))))
    least = max(_FALL_SHARE * float(high - low), _STEP_SDS * spread)
    starts = np.flatnonzero(step < -least) + 1
    if high <= low or len(starts) < _MIN_TEETH:
        return None
    fall = float(np.median(-step[starts - 1]))
    teeth = np.split(value, starts)[1:]
    climb = float(np.median([tooth[-1] - tooth.min() for tooth in teeth[:-1]]))
    if climb < _LEAST_CLIMB * fall or np.count_nonzero(step > _ALIKE * fall) * _FALLS_A_RISE > len(starts):
        return None
    lowest = [start + int(np.argmin(tooth)) for start, tooth in zip(starts, teeth, strict=True)]
    return regular(time_h[lowest], value[lowest], max_cells=len(value), origin_us=grid.origin_us)
