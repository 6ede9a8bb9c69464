"""What was the gateway asked to do? Calls by tool over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import TOOL_LOOKS
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, counts_by, stack_steps
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

__all__ = ["tool_usage"]


@themed
def tool_usage(
    frame: pl.DataFrame, *, ax: Axes, every_s: float | None = None, marks: pl.DataFrame | None = None
) -> Axes:
    """Stack the calls that were sent in each window by tool.

    Parameters
    ----------
    frame
        As :func:`soaklib.tool_usage` gives it: ``soak_s``, ``tool``, ``sent``; rows of several actions of a tool are
        added up.
    ax
        Where to draw.
    every_s
        Length of a window in soak seconds; None to tell it from the frame, which goes wrong where windows are rare.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(frame, ("soak_s", "tool", "sent"), "soaklib.tool_usage(run)")
    grid = grid_of(frame, every_s, marks)
    draw_time_axis(ax, marks, grid)
    values, looks = counts_by(frame, "tool", "sent", grid, TOOL_LOOKS)
    areas = stack_steps(ax, grid, values, looks)
    count_axis(ax, f"calls sent in {grid.length}")
    if not areas:
        note(ax, "no call was sent")
    totals = {tool: int(value.sum()) for tool, value in values.items()}
    legend_below(ax, list(areas.values()), [f"{tool}: {total:,}" for tool, total in totals.items()])
    return ax
