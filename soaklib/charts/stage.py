"""What every chart of windows begins with: the frame checked, its windows told, the time axes drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from matplotlib.axes import Axes

from soaklib.charts.marks import draw_time_axis
from soaklib.charts.windows import SECONDS_PER_HOUR, Grid, grid_of, need, phases_begin_s
from soaklib.records.moments import soak_s_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from matplotlib.figure import Figure

    from soaklib.records.moments import SoakTime

__all__ = ["Span", "column_of_axes", "span_of", "span_until", "time_axes", "windows_on"]

Span: TypeAlias = "tuple[SoakTime, SoakTime]"
"""From when to when: ``("H+11:50", "H+12:40")``, or soak seconds."""


def windows_on(
    axes: Axes | Sequence[Axes],
    frame: pl.DataFrame,
    columns: Iterable[str],
    made_by: str,
    *,
    marks: pl.DataFrame | None,
    xlim: Span | None,
) -> Grid:
    """Give the windows of a frame, and make axes that stand in a column ready for them.

    Parameters
    ----------
    axes
        One, or several from the top down.
    frame
        ``soak_s`` and ``end_s`` are the windows.
    columns, made_by
        What it has to have besides, and which function gives such a frame.
    marks, xlim
        As for :func:`time_axes`.

    Raises
    ------
    SettingsError
        The frame lacks a column, or `xlim` is no span.
    """
    need(frame, ("soak_s", "end_s", *columns), made_by)
    grid = grid_of(frame, marks)
    time_axes(axes, grid, marks=marks, xlim=xlim)
    return grid


def time_axes(axes: Axes | Sequence[Axes], grid: Grid, *, marks: pl.DataFrame | None, xlim: Span | None = None) -> None:
    """Make axes that stand in a column bear one time axis: the marks named on the first, the hours below the last.

    Parameters
    ----------
    axes
        One, or several from the top down; what was drawn on them before stays within the axis.
    grid
        The windows drawn.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.
    xlim
        What to show; None for all.
    """
    column = [axes] if isinstance(axes, Axes) else list(axes)
    for ax in column:
        draw_time_axis(ax, marks, grid, labels=ax is column[0])
        if ax is not column[-1]:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
        if xlim is not None:
            start, end = xlim
            ax.set_xlim(soak_s_of(start) / SECONDS_PER_HOUR, soak_s_of(end) / SECONDS_PER_HOUR)


def span_until(last_s: float, marks: pl.DataFrame | None, *, first_s: float = 0.0) -> Grid:
    """Give the span of a chart that has points in place of windows: from the phases, or the first, to the last."""
    begin_s = first_s if marks is None else phases_begin_s(marks)
    return Grid(begin_s, max(last_s - begin_s, 1.0), 1)


def span_of(*grids: Grid) -> Grid:
    """Give the span of several grids, whose windows may be of different lengths."""
    start_s = min(grid.start_s for grid in grids)
    return Grid(start_s, max(grid.end_s for grid in grids) - start_s, 1)


def column_of_axes(
    figure: Figure, number: int, *, sharey: bool = False, height_ratios: Sequence[float] | None = None
) -> list[Axes]:
    """Give axes below one another on one x axis: those of the figure, if it has so many, otherwise new ones.

    So the same chart of another run can be laid over one that is there.
    """
    there = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    if len(there) == number:
        return there
    made = figure.subplots(number, 1, sharex=True, sharey=sharey, squeeze=False, height_ratios=height_ratios)
    return list(made[:, 0])
