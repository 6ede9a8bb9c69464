"""A series on an even grid: what drift, effects and change points work on.

A series is a frame of ``at`` (a time-zone-aware Datetime) and ``value`` (a number; null, NaN and infinite values are
gaps). A row stands for the time from its ``at`` to the next row, as the rows of a windowed frame do. Rows may come in
any order, several may share a time (their mean counts), and times may be missing: the grid keeps the hole. A hole much
longer than the series itself leaves few cells for what was seen; a resumed run has none in soak time
(:func:`soaklib.analysis.measures.metrics.in_soak_time`).

A mask is a frame of ``start`` and ``end`` (both time-zone-aware): windows in which something was done on purpose or the
measurement is invalid. A row that reaches into a window is left out; a window of no length takes the row it falls into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "BoolArray",
    "FloatArray",
    "Grid",
    "IntArray",
    "epoch_us",
    "gridded",
    "in_mask",
    "ranks",
    "regular",
    "require",
    "times_us",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]

_US_PER_HOUR = 3.6e9


@dataclass(frozen=True)
class Grid:
    """A series on equal cells of time.

    Attributes
    ----------
    time_h
        Shape (cells,): hours since ``origin_us``; the mean time of a cell's rows, the nominal time of an empty cell.
    value
        Shape (cells,): mean of the cell's values, NaN for a gap.
    cell_h
        Width of a cell in hours; 0 for a series of one time.
    origin_us
        Time of the series' first row, gap or not, in microseconds since 1970 UTC.
    span_h
        Hours from the first to the last row, masked ones and gaps included.
    rows
        How many rows with a value are in the grid.
    """

    time_h: FloatArray
    value: FloatArray
    cell_h: float
    origin_us: int
    span_h: float
    rows: int

    @property
    def seen(self) -> BoolArray:
        """Shape (cells,): where there is a value."""
        return np.isfinite(self.value)


def epoch_us(moment: datetime, name: str) -> int:
    """Microseconds since 1970 UTC of a time-zone-aware moment.

    Parameters
    ----------
    moment
        The moment.
    name
        What the caller calls it, for the error's sentence.

    Raises
    ------
    SettingsError
        When the moment has no time zone.
    """
    if moment.tzinfo is None:
        message = f"{name} has no time zone; pass it as {name}.replace(tzinfo=UTC)"
        raise SettingsError(message)
    return int(pl.Series([moment]).dt.epoch("us")[0])


def gridded(
    series: pl.DataFrame, *, mask: pl.DataFrame | None = None, warm_up: float = 0.0, max_cells: int = 1440
) -> Grid:
    """Put a series on an even grid, without its warm-up and without masked windows.

    The cell is the median distance of the rows' times, or a multiple of it where that would make more than
    ``max_cells`` cells.

    Parameters
    ----------
    series
        ``at``, ``value``.
    mask
        ``start``, ``end``; None for no window.
    warm_up
        Share of the span, from its start, that is left out; in [0, 1).
    max_cells
        Most cells wanted.

    Raises
    ------
    SettingsError
        When a column is missing or of the wrong type, a time is null or has no time zone, a window ends before
        it starts, or ``warm_up`` is out of range.
    """
    if not 0 <= warm_up < 1:
        message = f"warm_up is {warm_up:g}; pass the share of the span to leave out, at least 0 and below 1"
        raise SettingsError(message)
    time_us = times_us(series, "at", "series")
    value = _values(series)
    if not len(time_us):
        return regular(np.empty(0), np.empty(0), max_cells=max_cells)
    order = np.argsort(time_us, kind="stable")
    time_us, value = time_us[order], value[order]
    origin_us, span_us = int(time_us[0]), int(time_us[-1] - time_us[0])
    steps = np.diff(time_us)
    step_us = float(np.median(steps[steps > 0])) if span_us else 0.0
    keep = time_us >= origin_us + warm_up * span_us
    if mask is not None:
        keep &= ~in_mask(time_us, step_us, mask)
    value = np.where(keep, value, np.nan)
    return regular((time_us - origin_us) / _US_PER_HOUR, value, max_cells=max_cells, origin_us=origin_us)


def regular(time_h: FloatArray, value: FloatArray, *, max_cells: int, origin_us: int = 0) -> Grid:
    """Put values at sorted times on an even grid; see :func:`gridded`.

    Parameters
    ----------
    time_h
        Shape (rows,): sorted hours since ``origin_us``.
    value
        Shape (rows,): NaN for a gap.
    max_cells, origin_us
        As in :func:`gridded` and :class:`Grid`.
    """
    span_h = float(time_h[-1] - time_h[0]) if len(time_h) else 0.0
    steps = np.diff(time_h)
    step_h = float(np.median(steps[steps > 0])) if span_h else 0.0
    position = np.rint((time_h - time_h[:1]) / step_h).astype(np.int64) if span_h else np.zeros(len(time_h), np.int64)
    merged = -(-(int(position[-1]) + 1) // max_cells) if len(position) else 1
    cell = position // merged
    cells = int(cell[-1]) + 1 if len(cell) else 0
    seen = np.isfinite(value)
    count = np.bincount(cell[seen], minlength=cells)
    # Sums are taken around the median, so that equal values have exactly equal means whatever their number.
    middle = float(np.median(value[seen])) if seen.any() else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = middle + np.bincount(cell[seen], weights=value[seen] - middle, minlength=cells) / count
        time = np.bincount(cell[seen], weights=time_h[seen], minlength=cells) / count
    nominal = (np.arange(cells) + (merged - 1) / (2 * merged)) * merged * step_h + (time_h[0] if cells else 0.0)
    return Grid(
        time_h=np.where(count > 0, time, nominal),
        value=mean,
        cell_h=merged * step_h,
        origin_us=origin_us,
        span_h=span_h,
        rows=int(seen.sum()),
    )


def in_mask(time_us: IntArray, step_us: float, mask: pl.DataFrame) -> BoolArray:
    """Say which rows reach into a window of the mask.

    Parameters
    ----------
    time_us
        Shape (rows,): starts of the rows, microseconds since 1970 UTC.
    step_us
        How long a row lasts.
    mask
        ``start``, ``end``.

    Raises
    ------
    SettingsError
        When the mask is not as described.
    """
    start, end = times_us(mask, "start", "mask"), times_us(mask, "end", "mask")
    if (end < start).any():
        message = f"row {int(np.argmax(end < start))} of the mask ends before it starts; swap its start and end"
        raise SettingsError(message)
    out = np.zeros(len(time_us), dtype=bool)
    for low, high in zip(start, end, strict=True):
        out |= (time_us + step_us > low) & ((time_us < high) | (time_us == low))
    return out


def times_us(frame: pl.DataFrame, column: str, what: str) -> IntArray:
    """Read a column of times as microseconds since 1970 UTC.

    Parameters
    ----------
    frame, column
        Where they are.
    what
        What the caller calls the frame, for the error's sentence.

    Raises
    ------
    SettingsError
        When the column is missing, of another type, without time zone, or holds nulls.
    """
    require(frame, column, what)
    dtype = frame.schema[column]
    if not isinstance(dtype, pl.Datetime):
        message = f"column {column!r} of the {what} is {dtype}; pass Datetime in UTC"
        raise SettingsError(message)
    if dtype.time_zone is None:
        message = f"column {column!r} of the {what} has no time zone; pass it with .dt.replace_time_zone('UTC')"
        raise SettingsError(message)
    if frame[column].null_count():
        message = f"column {column!r} of the {what} holds nulls; drop those rows"
        raise SettingsError(message)
    return frame[column].dt.epoch("us").to_numpy().astype(np.int64)


def _values(series: pl.DataFrame) -> FloatArray:
    require(series, "value", "series")
    dtype = series.schema["value"]
    if not (dtype.is_numeric() or dtype == pl.Null):
        message = f"column 'value' of the series is {dtype}; pass numbers"
        raise SettingsError(message)
    value = series["value"].cast(pl.Float64).to_numpy().astype(np.float64)
    return np.where(np.isfinite(value), value, np.nan)


def ranks(value: FloatArray) -> FloatArray:
    """Give the rank of each value, from 1 on; equal ones share the mean of theirs.

    Parameters
    ----------
    value
        Shape (points,): no gaps.

    Returns
    -------
    FloatArray
        Shape (points,).
    """
    _, place, times = np.unique(value, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[place])


def require(frame: pl.DataFrame, column: str, what: str) -> None:
    """Refuse a frame without a column; parameters and error as for :func:`times_us`."""
    if column not in frame.columns:
        message = f"the {what} has no column {column!r} but {frame.columns}; rename or add it"
        raise SettingsError(message)
