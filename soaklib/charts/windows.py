"""From windows of soak time to what is drawn: steps that end where their window ends, and break where data is missing.

Charts are in soak hours on the x axis. A window's value holds from its start to its end, so it is drawn as a step; a
line between the middles of windows would show values at times for which nobody measured them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

__all__ = [
    "SECONDS_PER_HOUR", "Floats", "Grid", "grid_of", "length_text", "need", "on_grid", "phases_begin_s", "phases_end_s",
    "step_area", "step_line",
]  # fmt: skip

if TYPE_CHECKING:
    Floats = npt.NDArray[np.float64]

SECONDS_PER_HOUR: Final = 3600.0
_LONE_WINDOW_S: Final = 60.0


class Grid(NamedTuple):
    """Windows of equal length, without holes.

    Attributes
    ----------
    start_s
        Start of the first, soak seconds.
    every_s
        Length of each.
    size
        How many.
    stop_s
        End of the run, soak seconds: the last window is cut off there.
    is_told
        Whether the length is known rather than a width for a window that stands alone.
    """

    start_s: float
    every_s: float
    size: int
    stop_s: float = math.inf
    is_told: bool = True

    @property
    def edges_h(self) -> Floats:
        """Starts of all windows and the end of the last, soak hours; shape (size + 1,)."""
        edges_s = self.start_s + np.arange(self.size + 1, dtype=np.float64) * self.every_s
        edges_s[-1] = self.end_s
        return np.asarray(edges_s / SECONDS_PER_HOUR)

    @property
    def end_s(self) -> float:
        """End of the last window, soak seconds."""
        end_s = self.start_s + self.size * self.every_s
        is_cut = end_s - self.every_s < self.stop_s < end_s  # a window that begins after the end of the run is whole
        return self.stop_s if is_cut and self.size else end_s

    @property
    def length(self) -> str:
        """The length of a window in words, for ``calls in ...``."""
        if not self.is_told:
            return "one window"
        return length_text(min(self.every_s, self.end_s - self.start_s) if self.size else self.every_s)

    def middles_h(self, starts_s: Floats) -> Floats:
        """Give the middles of the windows that begin at `starts_s`, soak hours; shape as theirs."""
        ends_s = np.minimum(starts_s + self.every_s, self.end_s)
        return np.asarray((starts_s + ends_s) / 2 / SECONDS_PER_HOUR)


def need(frame: pl.DataFrame, columns: Iterable[str], made_by: str) -> None:
    """Refuse a frame that lacks columns.

    Raises
    ------
    SettingsError
        Says which column is missing and which function makes such a frame.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        msg = f"the frame has no column {', '.join(missing)}; pass what {made_by} gives"
        raise SettingsError(msg)


def grid_of(frame: pl.DataFrame, marks: pl.DataFrame | None = None) -> Grid:
    """Give the windows that a frame with ``soak_s`` and ``end_s`` spans.

    Parameters
    ----------
    frame
        Its windows are of one length; holes are allowed. One over everything has no end: it reaches to that of the run,
        or over a minute where that is not known, and its length is then not told.
    marks
        As ``soaklib.marks(run)`` gives it, for the end of the run; None where that is not known.
    """
    starts_s = np.unique(frame["soak_s"].to_numpy())
    lengths_s = (frame["end_s"] - frame["soak_s"]).drop_nulls()
    stop_s = phases_end_s(marks)
    if not starts_s.size:
        return Grid(0.0, _LONE_WINDOW_S, 0, stop_s, is_told=False)
    start_s = float(starts_s[0])
    if lengths_s.is_empty():
        is_told = start_s < stop_s < math.inf
        return Grid(start_s, stop_s - start_s if is_told else _LONE_WINDOW_S, 1, stop_s, is_told)
    every_s = round(float(lengths_s.to_numpy()[0]), 6)
    return Grid(start_s, every_s, round(float(starts_s[-1] - start_s) / every_s) + 1, stop_s)


def phases_begin_s(marks: pl.DataFrame | None) -> float:
    """Give where the first phase begins, soak seconds: later than 0 for a stretch of a run, 0 where none is marked.

    Raises
    ------
    SettingsError
        The marks lack a column.
    """
    return min(_phases(marks, "start_s"), default=0.0)


def phases_end_s(marks: pl.DataFrame | None) -> float:
    """Give the end of the last phase, soak seconds; infinity where no phase is marked.

    Raises
    ------
    SettingsError
        The marks lack a column.
    """
    return max(_phases(marks, "end_s"), default=math.inf)


def _phases(marks: pl.DataFrame | None, column: str) -> list[float]:
    if marks is None:
        return []
    need(marks, ("start_s", "end_s", "kind", "label"), "soaklib.marks(run)")
    return marks.filter(kind="phase")[column].drop_nulls().to_list()


def on_grid(frame: pl.DataFrame, column: str, grid: Grid, *, absent: float) -> Floats:
    """Give a column's value in each window of a grid.

    Parameters
    ----------
    frame
        At most one row a window.
    column
        The values; null becomes NaN, which is drawn as a gap.
    grid
        The windows.
    absent
        For a window without a row: 0 where that means that nothing happened, NaN where it means that nobody looked.

    Returns
    -------
    numpy.ndarray
        Shape (grid.size,).
    """
    values = np.full(grid.size, absent)
    places = np.rint((frame["soak_s"].to_numpy() - grid.start_s) / grid.every_s).astype(int)
    values[places] = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values


def step_line(edges_h: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Give x and y for ``drawstyle="steps-post"``, the last window drawn to its end; shape (size + 1,)."""
    return edges_h, np.append(values, values[-1:]) if values.size else np.full(edges_h.size, np.nan)


def step_area(edges_h: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Give x and y of the corners of a step, two a window, for areas; shape (2 * size,).

    ``fill_between(step="post")`` would lose a window that stands alone between two gaps.
    """
    return np.repeat(edges_h, 2)[1:-1], np.repeat(values, 2)


def length_text(every_s: float) -> str:
    """Give a window's length in words, for labels: ``5 min``, ``1 h``."""
    for size_s, unit in ((SECONDS_PER_HOUR, "h"), (60.0, "min")):
        if every_s >= size_s and every_s % size_s == 0:
            return f"{every_s / size_s:g} {unit}"
    return f"{every_s:g} s"
