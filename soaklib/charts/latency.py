"""How long does an answer take? Latency percentiles by tool over time."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.lines import Line2D

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, QUANTILE_LOOKS, SERIES_LOOKS, TOOL_LOOKS, looks_for
from soaklib.charts.milliseconds import milliseconds_axis
from soaklib.charts.notes import note
from soaklib.charts.stage import column_of_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, need, on_grid, step_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.looks import Look
    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Grid

__all__ = ["latency_percentiles"]

_COLUMNS: Final = ("tool", "measure", "quantile", "latency_ms", "at_least", "sufficient")
_THIN: Final = 0.5
_THICK: Final = 1.0
_SPARE: Final = [
    look for look in SERIES_LOOKS if look.colour not in {known.colour for known in QUANTILE_LOOKS.values()}
]
"""Looks of the quantiles that are seldom asked for."""
_WIDTHS: Final = {"response": _THIN, "service": _THICK, "first token": _THICK}


@themed
def latency_percentiles(
    frame: pl.DataFrame,
    *,
    figure: Figure,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    tail: pl.DataFrame | None = None,
    label: str | None = None,
    colour: str | None = None,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Figure:
    """Draw percentiles of service time (thick) and response time (thin), one axes a tool, on a common log scale.

    Where response time leaves service time, calls waited before they were sent: the generator or the gateway stalled.
    Time to first token is drawn as service time is.

    Parameters
    ----------
    frame
        As :func:`soaklib.latency` or :func:`soaklib.first_token` gives it by tool: ``soak_s``, ``end_s``, ``tool``,
        ``measure``, ``quantile``, ``latency_ms``, ``at_least``, ``sufficient``. A percentile that too few observations
        lie beyond is a gap; one of which only a lower bound is known bears an upward triangle.
    figure
        An empty figure; it gets one axes a tool.
    quantiles
        The levels to draw, of those in the frame.
    tail
        The same by longer windows: levels that `frame` has too few calls for are drawn from it.
    label, colour
        What the legend calls these lines, and one colour for all: to lay one run over another on the figure that a
        first call has filled. None for the usual ones.
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
    need(frame, _COLUMNS, "soaklib.latency(run)")
    told = "" if label is None else f"{label}: "
    levels = [float(level) for level in quantiles]
    drawn = frame.filter(pl.col("quantile").is_in(levels), pl.col("sufficient"), pl.col("latency_ms") > 0)
    tools = list(looks_for(frame["tool"].to_list(), TOOL_LOOKS))
    axes = column_of_axes(figure, max(1, len(tools)), sharey=True)
    grid = windows_on(axes, frame, _COLUMNS, "soaklib.latency(run)", marks=marks, xlim=xlim)
    given = dict.fromkeys(levels, (drawn, grid))
    if tail is not None:
        need(tail, _COLUMNS, "soaklib.latency(run)")
        longer = tail.filter(pl.col("sufficient"), pl.col("latency_ms") > 0)
        for level in levels:
            if not _covers(drawn, level, tools):
                given[level] = (longer, grid_of(tail, marks))
    looks = _looks(levels, colour)
    for ax, tool in zip(axes, tools, strict=False):
        for level, (rows, windows) in given.items():
            _draw_level(ax, rows.filter(tool=tool, quantile=level), windows, level, looks[level])
        milliseconds_axis(ax, f"{tool}\n(ms)")
    if not tools:
        note(axes[0], "no call was answered")
    figure.align_ylabels(axes)
    bounded = any(rows["at_least"].any() for rows, _ in given.values())
    _explain(axes[-1], given, looks, bounded=bounded, told=told)
    return figure


def _looks(levels: Sequence[float], colour: str | None) -> dict[float, Look]:
    """Give how each quantile is drawn, no two alike, in a colour of the caller's if there is one."""
    strangers = sorted(set(levels) - set(QUANTILE_LOOKS))
    looks = dict(QUANTILE_LOOKS) | dict(zip(strangers, cycle(_SPARE), strict=False))
    return {level: looks[level] if colour is None else looks[level]._replace(colour=colour) for level in levels}


def _covers(drawn: pl.DataFrame, level: float, tools: Sequence[str]) -> bool:
    """Say whether a level is known in at least half of all windows of every tool."""
    rows = drawn.filter(pl.col("quantile") == level, pl.col("measure") != "response")
    windows = max(1, drawn["soak_s"].n_unique())
    return all(rows.filter(tool=tool).height * 2 >= windows for tool in tools)


def _draw_level(ax: Axes, one_level: pl.DataFrame, grid: Grid, level: float, look: Look) -> None:
    for measure, width in _WIDTHS.items():
        rows = one_level.filter(measure=measure)
        if measure == "first token" and rows.is_empty():
            continue
        values = on_grid(rows, "latency_ms", grid, absent=np.nan)
        ax.plot(
            *step_line(grid.edges_h, values), drawstyle="steps-post", color=look.colour, linestyle=look.line,
            linewidth=width, zorder=3, label=f"{measure} {level:g}",
        )  # fmt: skip
        bounds = rows.filter(pl.col("at_least"))
        if bounds.height:
            middle_h = grid.middles_h(bounds["soak_s"].to_numpy())
            ax.plot(middle_h, bounds["latency_ms"].to_numpy(), "^", color=look.colour, zorder=4, gid="at least")


def _explain(
    ax: Axes, given: Mapping[float, tuple[pl.DataFrame, Grid]], looks: Mapping[float, Look], *, bounded: bool, told: str
) -> None:
    handles = []
    labels = []
    for level, (rows, grid) in given.items():
        look = looks[level]
        handles.append(Line2D([], [], color=look.colour, linestyle=look.line, linewidth=_THICK))
        few = "" if level in set(rows["quantile"]) else ": too few calls"
        labels.append(f"{told}p{100 * level:g} in {grid.length}{few}")
    told_of = {measure for rows, _ in given.values() for measure in rows["measure"].unique()}
    if told_of == {"first token"}:
        labels = [f"{label}, to first token" for label in labels]
    else:
        handles += [Line2D([], [], color=BLACK, linewidth=width) for width in (_THICK + 0.4, _THIN)]
        labels += ["service time", "response time"]
    if bounded:
        handles.append(Line2D([], [], color=BLACK, marker="^", linestyle=""))
        labels.append("at least")
    legend_below(ax, handles, labels)
