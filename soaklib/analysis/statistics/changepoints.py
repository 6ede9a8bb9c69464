"""Where the level of a series changes: to locate, not to judge.

Circular binary segmentation (Olshen, Venkatraman, Lucito, Wise, *Biostatistics* 5, 2004) looks for the stretch whose
mean differs most from the rest, which finds a step as well as a bump, and looks again inside the parts. Whether a
stretch counts is asked of an AR-sieve of the residuals beside it (:mod:`soaklib.analysis.statistics.sieve`): PELT with
its textbook penalty takes the memory of quiet noise for changes in 82 to 94 % of 24-hour series.

A drift shows as a staircase: ask :func:`soaklib.analysis.statistics.drift.drift` first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from soaklib.analysis.statistics.series import gridded
from soaklib.analysis.statistics.sieve import fit_sieve, long_run_sd

if TYPE_CHECKING:
    import numpy.typing as npt

    from soaklib.analysis.statistics.series import BoolArray, FloatArray

__all__ = ["CHANGE_POINTS_SCHEMA", "change_points"]

LEVEL = 0.005
MAX_CELLS = 144

_MIN_SEGMENT = 36
_MIN_STRETCH = 3
_STEP_PREFERENCE = 0.9
_RESAMPLES = 399
_CHUNK_VALUES = 1 << 20
_SEED = 20_040_501
_NOTHING = 1e-9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CHANGE_POINTS_SCHEMA = pl.Schema(
    {
        "at": pl.Datetime("us", "UTC"),
        "before": pl.Float64(),
        "after": pl.Float64(),
        "change": pl.Float64(),
    }
)
"""Columns of :func:`change_points`."""


class _Stretch(NamedTuple):
    start: int
    end: int
    size: float


def change_points(series: pl.DataFrame, *, mask: pl.DataFrame | None = None, warm_up: float = 0.05) -> pl.DataFrame:
    """Locate changes of level, each to within a cell (of at most 144 over the series).

    Parameters
    ----------
    series, mask
        As for :func:`soaklib.analysis.statistics.drift.drift`.
    warm_up
        Share of the span left out at its start.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`CHANGE_POINTS_SCHEMA`, in order of time: the first time of the new level, the mean from the
        change before it (or the start), the mean to the next (or the end), and the difference. Empty when there is no
        change, or fewer than 36 points.

    Raises
    ------
    SettingsError
        When series, mask or ``warm_up`` are not as described.
    """
    grid = gridded(series, mask=mask, warm_up=warm_up, max_cells=MAX_CELLS)
    seen = np.flatnonzero(grid.seen)
    edges = _edges(grid.value, 0, len(grid.value), np.random.default_rng(_SEED))
    if not edges:
        return pl.DataFrame(schema=CHANGE_POINTS_SCHEMA)
    bounds = [0, *edges, len(grid.value)]
    levels = [float(np.nanmean(grid.value[low:high])) for low, high in pairwise(bounds)]
    times = [
        _EPOCH + timedelta(microseconds=grid.origin_us) + timedelta(hours=float(grid.time_h[seen[seen >= edge][0]]))
        for edge in edges
    ]
    rows = [
        (time, before, after, after - before)
        for time, before, after in zip(times, levels[:-1], levels[1:], strict=True)
    ]
    return pl.DataFrame(rows, schema=CHANGE_POINTS_SCHEMA, orient="row")


def _edges(value: FloatArray, low: int, high: int, rng: np.random.Generator) -> list[int]:
    """Cells in (low, high) at which a new level starts, sorted."""
    part = value[low:high]
    seen = np.isfinite(part)
    if int(seen.sum()) < _MIN_SEGMENT:
        return []
    row = np.nan_to_num(part)[None, :]
    found = _widest(row, seen)
    residual = np.where(seen, _without(row, seen, found)[0], np.nan)
    stretch = found[0]
    if np.nanmax(np.abs(residual)) > _NOTHING * np.abs(row).max():
        sieve = fit_sieve(residual, lambda rows: _without(rows, seen, _widest(rows, seen)), rng)
        made = sieve.simulate(_RESAMPLES, len(part), rng)
        made_found = _widest(made, seen)
        order = len(sieve.coefficients)
        # Each size is taken over what its own residuals make of the noise, so that both err alike.
        made_sizes = _sizes(made_found) / long_run_sd(_without(made, seen, made_found), seen, order)
        size = stretch.size / long_run_sd(np.nan_to_num(residual)[None, :], seen, order).item()
        if (1 + np.count_nonzero(made_sizes >= size)) / (_RESAMPLES + 1) > LEVEL:
            return []
    elif stretch.size <= _NOTHING * np.abs(row).max():
        return []
    inner = sorted({low + stretch.start, low + stretch.end} - {low, high})
    if not inner:
        return []
    bounds = [low, *inner, high]
    deeper = [_edges(value, first, last, rng) for first, last in pairwise(bounds)]
    return sorted({*inner, *(edge for part_edges in deeper for edge in part_edges)})


def _widest(rows: FloatArray, seen: BoolArray) -> list[_Stretch]:
    """Give each row's stretch of seen cells whose mean differs most, in standard errors of independent noise."""
    places = np.flatnonzero(seen)
    n = len(places)
    first, last = _pairs(n)
    length = (last - first).astype(np.float64)
    scale = np.sqrt(n / (length * (n - length)))
    # A step is a stretch that reaches an end; noise there must not make a bump of it.
    preferred = np.where((first == 0) | (last == n), scale, _STEP_PREFERENCE * scale)
    edge = np.append(places, len(seen))
    out: list[_Stretch] = []
    step = max(_CHUNK_VALUES // len(first), 1)
    for begin in range(0, len(rows), step):
        chunk = rows[begin : begin + step][:, places]
        sums = np.zeros((len(chunk), n + 1))
        np.cumsum(chunk - chunk.mean(axis=1, keepdims=True), axis=1, out=sums[:, 1:])
        size = sums.take(last, axis=1)
        size -= sums.take(first, axis=1)
        np.abs(size, out=size)
        size *= preferred
        best = size.argmax(axis=1)
        # A stretch that starts at the first seen cell starts the segment, gaps before it included.
        start = np.where(first[best] == 0, 0, edge[first[best]])
        found = size[np.arange(len(best)), best] * (scale / preferred)[best]
        out.extend(map(_Stretch, start.tolist(), edge[last[best]].tolist(), found.tolist()))
    return out


def _sizes(found: list[_Stretch]) -> FloatArray:
    return np.array([one.size for one in found])


def _pairs(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Stretches of which neither the inside nor an outside part is shorter than the least stretch."""
    first, last = np.triu_indices(n + 1, _MIN_STRETCH)
    before, after = first, n - last
    fits = ((before == 0) | (before >= _MIN_STRETCH)) & ((after == 0) | (after >= _MIN_STRETCH)) & (before + after > 0)
    return first[fits].astype(np.int64), last[fits].astype(np.int64)


def _without(rows: FloatArray, seen: BoolArray, found: list[_Stretch]) -> FloatArray:
    """Take the mean of each row's stretch and the mean of the rest off it; 0 at the gaps."""
    cell = np.arange(rows.shape[1])
    start, end = np.array([one.start for one in found]), np.array([one.end for one in found])
    inside = (cell >= start[:, None]) & (cell < end[:, None]) & seen
    outside = ~inside & seen
    out = np.zeros_like(rows)
    for part in (inside, outside):
        level = (rows * part).sum(axis=1) / part.sum(axis=1)
        out += part * (rows - level[:, None])
    return out
