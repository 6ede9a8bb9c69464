"""Whether the level of a series moved and stayed there, from when on, and by how much.

A slope over a whole run sees little of what goes wrong in its last tenth. Here the step that explains most is looked
for, with at least three cells on either side, on normal scores of the ranks: of a tail of wild values only their order
counts. Whether it counts is asked of an AR-sieve of what it leaves (:mod:`soaklib.analysis.statistics.sieve`), at 0.5
%, each simulated series with its own best step; and, as for a slope, of a random walk where what it leaves hangs
together, and of one cycle of a day (:mod:`soaklib.analysis.statistics.wander`). Three or four last points that lie far
beyond all before need no ranks, and so the last two floors of a sawtooth: each is the least of a whole tooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from soaklib.analysis.statistics.daily import without_day_of
from soaklib.analysis.statistics.floors import FINE_CELLS, MAX_POINTS, judged_points
from soaklib.analysis.statistics.series import gridded, ranks
from soaklib.analysis.statistics.sieve import Sieve, fit_sieve, long_run_sd
from soaklib.analysis.statistics.wander import step_doubt

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.statistics.series import BoolArray, FloatArray, Grid, IntArray

__all__ = ["LEVEL", "Level", "level"]

LEVEL: Final = 0.005
"""Chance of calling a quiet series moved; the best of all steps is tried."""
MIN_POINTS: Final = 36

_LEAST_SIDE: Final = 3
_LEAST_FLOORS: Final = 20  # of fewer, a random walk puts its last points that far off in more than 0.5 % of cases
_LEAST_FLOORS_AFTER: Final = 2
_RESAMPLES: Final = 999
_CHUNK: Final = 4000
_SEED: Final = 19_540_615
_NOTHING: Final = 1e-9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REACH: Final = 1.645
_MEDIAN_COSTS: Final = 1.253
_TO_SD: Final = 1.4826
_POWER_REACH: Final = 0.842


@dataclass(frozen=True)
class Level:
    """What :func:`level` found.

    Attributes
    ----------
    state
        ``moved`` (for certain, and not within the margin), ``stable`` (no step shown, or one within the margin) or
        ``inconclusive`` (too short, or another explanation does as well).
    at
        First time of the new level; None where none was looked for.
    before, after
        Middle of the values on either side.
    interval
        90 % of the change, value units.
    p_value
        Of no step anywhere; None when too short to tell.
    n
        Points judged.
    detectable
        The smallest step in the middle of the series that the test finds four times of five; None when too short.
    detail
        One sentence.
    """

    state: Literal["moved", "stable", "inconclusive"]
    at: datetime | None
    before: float | None
    after: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    n: int
    detectable: float | None
    detail: str

    @property
    def change(self) -> float | None:
        """The difference of the levels."""
        return None if self.before is None or self.after is None else self.after - self.before


def level(
    series: pl.DataFrame,
    *,
    margin: float,
    mask: pl.DataFrame | None = None,
    warm_up: float = 0.05,
    tests: int = 1,
    reference: pl.DataFrame | None = None,
    floor: bool = False,
) -> Level:
    """Look for a level that moved and stayed.

    Parameters
    ----------
    series, mask, warm_up, reference
        As for :func:`soaklib.analysis.statistics.drift.drift`.
    margin
        Largest change, in value units, that does not matter.
    tests
        How many series are asked the same; the level is shared among them, and the more series are simulated where
        one may have moved.
    floor
        As for :func:`~soaklib.analysis.statistics.drift.drift`. Of fewer than 36 floors only the last few that lie far
        beyond all before have moved.

    Raises
    ------
    SettingsError
        When series, mask, ``warm_up`` or reference are not as described.
    """
    grid, on_floors = _points(series, mask, warm_up, reference, floor=floor)
    seen, n = grid.seen, int(grid.seen.sum())
    value, time_h = grid.value[seen], grid.time_h[seen]
    apart = _apart(value, _LEAST_FLOORS_AFTER if on_floors else _LEAST_SIDE)
    resamples = max(_RESAMPLES, math.ceil(2 * tests / LEVEL))
    if n >= MIN_POINTS:
        places = np.flatnonzero(seen)
        score = np.zeros(len(seen))
        score[places] = _normal_scores(value)
        edge, p_value, critical, inflation = _best_step(score, seen, resamples)
        if apart is not None:
            edge, p_value = apart, 1 / (resamples + 1)
    elif on_floors and n >= _LEAST_FLOORS and apart is not None:
        edge, p_value, critical, inflation = apart, LEVEL / tests, None, 1.0
    else:
        detail = f"Too short to look for a step: {n} points, at least {MIN_POINTS} are needed."
        return Level("inconclusive", None, None, None, None, None, n, None, detail)
    low, high = value[:edge], value[edge:]
    before, after = float(np.median(low)), float(np.median(high))
    left = np.concatenate([low - before, high - after])
    spread = max(_TO_SD * float(np.median(np.abs(left))), float(np.diff(np.quantile(left, [0.1, 0.9])).item()) / 2.563)
    error = _MEDIAN_COSTS * spread * inflation
    half = _REACH * error * (1 / len(low) + 1 / len(high)) ** 0.5
    change = after - before
    interval = (change - half, change + half)
    detectable = None if critical is None else (critical + _POWER_REACH) * inflation * spread * 2 / n**0.5
    at = _EPOCH + timedelta(microseconds=grid.origin_us) + timedelta(hours=float(time_h[edge]))
    words = (
        f"from {at:%H:%M:%S} on the level is {after:.4g} instead of {before:.4g}, by {change:+.4g} (90 % interval "
        f"{interval[0]:.4g} to {interval[1]:.4g}, p = {p_value:.3f}, {len(high)} of {n} "
        f"{'floors' if on_floors else 'points'})"
    )
    within, certain = max(abs(bound) for bound in interval) <= margin, p_value <= LEVEL / tests
    state: Literal["moved", "stable", "inconclusive"]
    if not certain or within:
        state, said = (
            "stable",
            "Moved for certain, within what was said not to matter:" if certain else "No step shown:",
        )
    elif min(abs(bound) for bound in interval) <= margin and abs(change) <= margin:
        state, said = "inconclusive", f"A step that may lie beyond the margin {margin:.4g}:"
    elif apart is None and (reason := step_doubt(value, time_h, edge)) is not None:
        state, said = "inconclusive", f"No step for certain, {reason}:"
    else:
        state, said = "moved", f"The level moved, beyond the margin {margin:.4g}:"
    return Level(state, at, before, after, interval, p_value, n, detectable, f"{said} {words}.")


def _points(
    series: pl.DataFrame,
    mask: pl.DataFrame | None,
    warm_up: float,
    reference: pl.DataFrame | None,
    *,
    floor: bool,
) -> tuple[Grid, bool]:
    """Give the points to look at, and whether they are the floors of a sawtooth."""
    if floor:
        fine = gridded(series, mask=mask, warm_up=warm_up, max_cells=FINE_CELLS)
        judged = judged_points(fine if reference is None else without_day_of(fine, reference), floor=True)
        if judged.on_floors:
            return judged.grid, True
    grid = gridded(series, mask=mask, warm_up=warm_up, max_cells=MAX_POINTS)
    return grid if reference is None else without_day_of(grid, reference), False


def _apart(value: FloatArray, least: int) -> int | None:
    """Give where the last points begin that all lie beyond all before by more than the range of those; None if none do.

    The ranks of so few points of a day cannot be certain; a distance like that can.
    """
    if len(value) <= least:
        return None
    for signed in (value, -value):
        top, bottom = np.maximum.accumulate(signed)[:-1], np.minimum.accumulate(signed)[:-1]
        lowest = np.minimum.accumulate(signed[::-1])[::-1][1:]
        edges = np.flatnonzero(lowest - top > top - bottom) + 1
        edges = edges[(edges >= len(value) // 2) & (edges <= len(value) - least)]
        if len(edges):
            return int(edges[0])
    return None


def _normal_scores(value: FloatArray) -> FloatArray:
    from scipy.special import ndtri  # noqa: PLC0415 - scipy is not for `import soaklib`

    return np.asarray(ndtri((ranks(value) - 0.375) / (len(value) + 0.25)))


def _best_step(score: FloatArray, seen: BoolArray, resamples: int) -> tuple[int, float, float, float]:
    """Give the best step's first seen cell, its p-value, the critical size and how much memory inflates an error.

    More than 999 series are simulated only where those show fewer steps as large than one in two hundred.
    """
    row = score[None, :]
    edge, size = _steps(row, seen)
    left = _without(row, seen, edge)
    residual = np.where(seen, left[0], np.nan)
    if np.nanmax(np.abs(residual)) <= _NOTHING * max(float(np.abs(row).max()), _NOTHING):
        return int(edge[0]), (1 / (resamples + 1) if np.ptp(score[seen]) > 0 else 1.0), 0.0, 1.0
    rng = np.random.default_rng(_SEED)
    sieve = fit_sieve(residual, lambda rows: _without(rows, seen, _steps(rows, seen)[0]), rng)
    error = long_run_sd(left, seen, len(sieve.coefficients)).item()
    sizes = _sizes_of_noise(sieve, _RESAMPLES, seen, rng)
    made, reached = _RESAMPLES, int(np.count_nonzero(sizes >= size.item() / error))
    while made < resamples and 1 + reached <= LEVEL * (made + 1):
        more = min(_CHUNK, resamples - made)
        reached += int(np.count_nonzero(_sizes_of_noise(sieve, more, seen, rng) >= size.item() / error))
        made += more
    p_value = (1 + reached) / (made + 1)
    inflation = max(error / float(np.nanstd(residual)), 1.0)
    return int(edge[0]), p_value, float(np.quantile(sizes, 1 - LEVEL)), inflation


def _sizes_of_noise(sieve: Sieve, series: int, seen: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Give the sizes of the best steps of so many series of noise, each in its own error."""
    made = sieve.simulate(series, len(seen), rng)
    edges, sizes = _steps(made, seen)
    return np.asarray(sizes / long_run_sd(_without(made, seen, edges), seen, len(sieve.coefficients)))


def _steps(rows: FloatArray, seen: BoolArray) -> tuple[IntArray, FloatArray]:
    """Give each row's best step: how many seen cells lie before it, and its size in standard errors of noise of 1."""
    kept = rows[:, seen]
    n = kept.shape[1]
    before = np.arange(_LEAST_SIDE, n - _LEAST_SIDE + 1)
    sums = np.cumsum(kept - kept.mean(axis=1, keepdims=True), axis=1)[:, before - 1]
    sizes = np.abs(sums) * np.sqrt(n / (before * (n - before)))
    best = sizes.argmax(axis=1)
    return before[best], sizes[np.arange(len(rows)), best]


def _without(rows: FloatArray, seen: BoolArray, edges: IntArray) -> FloatArray:
    """Take the mean of either side of each row's step off it; 0 at the gaps."""
    rank = np.cumsum(seen) - 1
    out = np.zeros_like(rows)
    for part in ((rank < edges[:, None]) & seen, (rank >= edges[:, None]) & seen):
        mean = (rows * part).sum(axis=1) / part.sum(axis=1)
        out += part * (rows - mean[:, None])
    return out
