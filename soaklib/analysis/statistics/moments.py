"""The windows around an event: before, during, after; and the same windows at every time that was quiet.

::

    |<-- before: window -->|<-- during -->|<- settling ->|<-- after: window -->|
                           at           until

For an event of no length, ``during`` is the settling time itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from soaklib.analysis.statistics.series import epoch_us
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from datetime import timedelta

    from soaklib.analysis.statistics.series import BoolArray, FloatArray, Grid

__all__ = ["Differences", "EventWindows", "Moments", "event_windows"]

_US_PER_HOUR = 3.6e9
_WINDOW_SHARE = 12
_SETTLING_SHARE = 4
_SPACING_SHARE = 0.4

Cells: TypeAlias = npt.NDArray[np.int64]
Moments: TypeAlias = datetime | Iterable[datetime] | pl.Series


class Differences(NamedTuple):
    """Means less the mean before, each of shape (series, places); NaN where a window is less than half seen."""

    shift: FloatArray
    transient: FloatArray


@dataclass(frozen=True)
class EventWindows:
    """Where the windows lie, in cells of a grid.

    Attributes
    ----------
    start, end
        Shape (events,): first cell of each event and the first after it; ``end`` of an event of no length is its start.
    window, settling
        Lengths in cells.
    end_us
        Shape (events,): when each event ended, microseconds since 1970 UTC.
    seen
        Shape (cells,): where the grid has a value.
    """

    start: Cells
    end: Cells
    window: int
    settling: int
    end_us: Cells
    seen: BoolArray

    @property
    def disturbed(self) -> BoolArray:
        """Shape (cells,): during an event or settling after it."""
        out = np.zeros(len(self.seen), dtype=bool)
        for low, high in zip(self.start, self.end + self.settling, strict=True):
            out[low:high] = True
        return out

    def differences(self, rows: FloatArray) -> Differences:
        """Give the mean difference over the events, shape (series,) each; see :meth:`at_places`."""
        shift, transient = self.at_places(rows, self.start, self.end)
        known = np.isfinite(shift[0]) & np.isfinite(transient[0])
        if not known.any():
            nothing = np.full(len(rows), np.nan)
            return Differences(nothing, nothing)
        return Differences(shift[:, known].mean(axis=1), transient[:, known].mean(axis=1))

    def at_places(self, rows: FloatArray, start: Cells, end: Cells) -> Differences:
        """Give the differences around given places.

        Parameters
        ----------
        rows
            Shape (series, cells); what stands at unseen cells is ignored.
        start, end
            Shape (places,).
        """
        sums = np.zeros((len(rows), rows.shape[1] + 1))
        np.cumsum(np.where(self.seen, rows, 0.0), axis=1, out=sums[:, 1:])
        counts = np.concatenate([[0], np.cumsum(self.seen)])
        during = np.where(end > start, end, start + self.settling)
        settled = end + self.settling
        before = _means(sums, counts, start - self.window, start)
        return Differences(
            _means(sums, counts, settled, settled + self.window) - before,
            _means(sums, counts, start, during) - before,
        )

    def placebos(self) -> Cells:
        """Give the cells at which an event like these could be placed where nothing happened.

        Around a single event none of the windows may touch it, since a shift lasts. Among several, which leave no such
        room, the time during the placebo may not touch theirs.
        """
        length = int(np.median(self.end - self.start))
        place = np.arange(len(self.seen))
        shift, transient = self.at_places(np.zeros((1, len(self.seen))), place, place + length)
        usable = np.isfinite(shift[0]) & np.isfinite(transient[0])
        reach = self.window if len(self.start) == 1 else 0
        low, high = place - reach, place + max(length, self.settling) + (self.settling + reach if reach else 0)
        for first, last in zip(self.start, self.end + self.settling, strict=True):
            usable &= (high <= first) | (low >= last)
        return np.asarray(place[usable])

    def independent(self, placebos: Cells) -> int:
        """Count the placebos that share no cell: each takes a window before it, itself, its settling and one after."""
        apart = 2 * self.window + self.settling + self.placebo_length
        count, free_from = 0, -1
        for place in placebos.tolist():
            if place >= free_from:
                count, free_from = count + 1, place + apart
        return count

    @property
    def placebo_length(self) -> int:
        """Cells from a placebo's start to its end."""
        return int(np.median(self.end - self.start))


def event_windows(
    grid: Grid,
    at: Moments,
    until: Moments | None,
    window: timedelta | None,
) -> EventWindows:
    """Lay the windows on a grid; parameters and errors as in :func:`soaklib.analysis.statistics.effect.effect`."""
    starts = _moments_us(at, "at")
    ends = starts if until is None else _moments_us(until, "until")
    if len(starts) != len(ends):
        message = f"there are {len(starts)} times in at and {len(ends)} in until; pass one until for each at"
        raise SettingsError(message)
    if not len(starts) or (ends < starts).any():
        message = "an event ends before it starts, or there is none; pass at least one at, and until after at"
        raise SettingsError(message)
    hours = np.stack([starts, ends]).astype(np.float64)
    hours = (hours - grid.origin_us) / _US_PER_HOUR
    if not grid.cell_h or hours.min() < 0 or hours.max() > grid.span_h + grid.cell_h:
        message = "an event lies outside the series; pass times between its first and its last row"
        raise SettingsError(message)
    # A hair of tolerance: 10:20 is the start of a ten-minute cell, however 10.333 hours are written.
    first = np.floor(hours[0] / grid.cell_h + 1e-6).astype(np.int64)
    last = np.ceil(hours[1] / grid.cell_h - 1e-6).astype(np.int64) if until is not None else first
    start, place = np.unique(first, return_inverse=True)  # in order of time; what begins in one cell is one event
    end, end_us = start.copy(), np.zeros(len(start), np.int64)
    np.maximum.at(end, place, last)
    np.maximum.at(end_us, place, ends)
    length = _window_cells(grid, start, end, window)
    settling = max(length // _SETTLING_SHARE, 1)
    return EventWindows(start, end, length, settling, end_us, grid.seen)


def _window_cells(grid: Grid, start: Cells, end: Cells, window: timedelta | None) -> int:
    cells = len(grid.value)
    if window is None:
        length = cells / _WINDOW_SHARE
        if len(start) > 1:
            length = min(length, _SPACING_SHARE * float(np.min(np.sort(start)[1:] - np.sort(end)[:-1])))
        return max(round(length), 2)
    length = window.total_seconds() / 3600 / grid.cell_h
    if not 0 < length < cells / 2:
        message = f"window is {window}; pass a time above 0 and below half the series"
        raise SettingsError(message)
    return max(round(length), 2)


def _means(sums: FloatArray, counts: Cells, low: Cells, high: Cells) -> FloatArray:
    inside = (low >= 0) & (high < len(counts))
    low, high = low.clip(0, len(counts) - 1), high.clip(0, len(counts) - 1)
    count = counts[high] - counts[low]
    enough = inside & (2 * count >= high - low) & (count > 0)
    return np.where(enough, (sums[:, high] - sums[:, low]) / np.maximum(count, 1), np.nan)


def _moments_us(moments: Moments, name: str) -> Cells:
    several = [moments] if isinstance(moments, datetime | np.datetime64 | str) else list(moments)
    if naive := [one for one in several if isinstance(one, np.datetime64)]:
        message = f"{name} holds {naive[0]} without time zone; pass datetimes in UTC, not numpy's"
        raise SettingsError(message)
    if strange := [one for one in several if not isinstance(one, datetime)]:
        message = f"{name} holds {strange[0]!r}; pass a datetime in UTC, or several"
        raise SettingsError(message)
    return np.array([epoch_us(moment, name) for moment in several], dtype=np.int64)
