"""Can the measurement be trusted? Planned against sent calls, and how late the generator was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, GREY, ORANGE, VERMILLION
from soaklib.charts.notes import note
from soaklib.charts.stage import column_of_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import on_grid, step_line

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span

__all__ = ["measurement_validity"]

_COLUMNS = ("planned_per_s", "sent_per_s", "schedule_lag_max_ms", "loop_lag_max_ms")


@themed
def measurement_validity(
    frame: pl.DataFrame,
    *,
    figure: Figure,
    late_ms: float | None = None,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Figure:
    """Draw the planned and the sent rate, and below them the largest lag of each window.

    Parameters
    ----------
    frame
        As ``soaklib.measurement_validity(run)`` gives it: ``soak_s``, ``end_s``, ``planned_per_s``, ``sent_per_s``,
        ``schedule_lag_max_ms``, ``loop_lag_max_ms``. A window without a row is a gap.
    figure
        An empty figure; it gets two axes on one time axis.
    late_ms
        The lag from which the generator counts as late, wall milliseconds.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.
    xlim
        What to show, such as ``("H+11:50", "H+12:40")``; None for all.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    upper, lower = axes = column_of_axes(figure, 2)
    grid = windows_on(axes, frame, _COLUMNS, "soaklib.measurement_validity(run)", marks=marks, xlim=xlim)
    planned, sent, schedule_ms, loop_ms = (
        step_line(grid.edges_h, on_grid(frame, column, grid, absent=np.nan))[1] for column in _COLUMNS
    )
    lines = [
        *upper.plot(grid.edges_h, planned, drawstyle="steps-post", color=GREY, linewidth=2.6, label="planned"),
        *upper.plot(grid.edges_h, sent, drawstyle="steps-post", color=BLUE, linewidth=0.9, label="sent"),
    ]
    upper.set_ylim(0, max(1.0, 1.15 * float(np.nanmax([*planned, *sent, 0.0]))))
    upper.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    upper.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    upper.set_ylabel("calls a wall second")
    for values, colour, style, label in (
        (schedule_ms, BLACK, "-", "schedule lag"),
        (loop_ms, ORANGE, (0, (2.5, 1.0)), "event loop's own lag"),
    ):
        lines += lower.plot(
            grid.edges_h,
            values,
            drawstyle="steps-post",
            color=colour,
            linestyle=style,
            label=label,
        )
    if late_ms is not None:
        lines.append(lower.axhline(late_ms, color=VERMILLION, linestyle="--", label=f"late: {late_ms:g} ms"))
    if frame.is_empty():
        note(upper, "nothing was planned")
    lower.set_yscale("symlog", linthresh=1.0)  # 0 is a common value, and has no place on a log scale
    lower.set_ylim(bottom=0.0)
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.set_ylabel("largest lag (ms)")
    figure.align_ylabels([upper, lower])
    legend_below(lower, lines, [str(line.get_label()) for line in lines])
    return figure
