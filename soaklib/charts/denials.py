"""Do denials deny, and when? Denials by policy over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import REASON_LOOKS
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, counts_by, stack_steps
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, length_text, need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

__all__ = ["denial_spikes"]


@themed
def denial_spikes(
    frame: pl.DataFrame, *, ax: Axes, every_s: float | None = None, marks: pl.DataFrame | None = None
) -> Axes:
    """Stack the denials in each window by reason.

    Parameters
    ----------
    frame
        As :func:`soaklib.denials` gives it: ``soak_s``, ``reason``, ``n``, with one or more rows a reason and window,
        which are added up.
    ax
        Where to draw.
    every_s
        Length of a window in soak seconds; None for the least distance between two rows. Say it where denials are rare.
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
    need(frame, ("soak_s", "reason", "n"), "soaklib.denials(run)")
    grid = grid_of(frame, every_s)
    draw_time_axis(ax, marks, grid)
    values, looks = counts_by(frame, "reason", "n", grid, REASON_LOOKS)
    areas = stack_steps(ax, grid, values, looks)
    count_axis(ax, f"denials in {length_text(grid.every_s)}")
    if not areas:
        note(ax, "no call was denied")
    totals = {reason: int(value.sum()) for reason, value in values.items()}
    legend_below(ax, list(areas.values()), [f"{reason}: {total:,}" for reason, total in totals.items()])
    return ax
