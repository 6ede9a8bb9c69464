"""What was the gateway asked to do? Calls by tool over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import TOOL_LOOKS
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, counts_by, stack_steps
from soaklib.charts.stage import windows_on
from soaklib.charts.theme import themed

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

    from soaklib.charts.stage import Span

__all__ = ["tool_usage"]


@themed
def tool_usage(frame: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None) -> Axes:
    """Stack the calls that were sent in each window by tool.

    Parameters
    ----------
    frame
        As :func:`soaklib.tool_usage` gives it: ``soak_s``, ``end_s``, ``tool``, ``sent``; rows of several actions of a
        tool are added up.
    ax
        Where to draw.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.
    xlim
        What to show, such as ``("H+11:50", "H+12:40")``; None for all.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    grid = windows_on(ax, frame, ("tool", "sent"), "soaklib.tool_usage(run)", marks=marks, xlim=xlim)
    values, looks = counts_by(frame, "tool", "sent", grid, TOOL_LOOKS)
    areas = stack_steps(ax, grid, values, looks)
    count_axis(ax, f"calls sent in {grid.length}")
    if not areas:
        note(ax, "no call was sent")
    totals = {tool: int(value.sum()) for tool, value in values.items()}
    legend_below(ax, list(areas.values()), [f"{tool}: {total:,}" for tool, total in totals.items()])
    return ax
