"""From windows of soak time to what is drawn: steps that end where their window ends, and break where data is missing.

Charts are in soak hours on the x axis. A window's value holds from its start to its end, so it is drawn as a step; a
line between the middles of windows would show values at times for which nobody measured them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

__all__ = ["SECONDS_PER_HOUR", "Floats", "Grid", "grid_of", "length_text", "need", "on_grid", "step_area", "step_line"]

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
    """

    start_s: float
    every_s: float
    size: int

    @property
    def edges_h(self) -> Floats:
        """Starts of all windows and the end of the last, soak hours; shape (size + 1,)."""
        edges_h: Floats = (self.start_s + np.arange(self.size + 1, dtype=np.float64) * self.every_s) / SECONDS_PER_HOUR
        return edges_h

    @property
    def end_s(self) -> float:
        """End of the last window, soak seconds."""
        return self.start_s + self.size * self.every_s


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


def grid_of(frame: pl.DataFrame, every_s: float | None = None) -> Grid:
    """Give the windows that a frame with ``soak_s`` spans.

    Parameters
    ----------
    frame
        Its ``soak_s`` are the starts of windows; holes are allowed.
    every_s
        Their length; None for the least distance between two of them, or a minute where there are no two.
    """
    starts_s = np.unique(frame["soak_s"].to_numpy())
    if every_s is None:
        every_s = float(np.diff(starts_s).min()) if starts_s.size > 1 else _LONE_WINDOW_S
    if not starts_s.size:
        return Grid(0.0, every_s, 0)
    return Grid(float(starts_s[0]), every_s, round(float(starts_s[-1] - starts_s[0]) / every_s) + 1)


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
