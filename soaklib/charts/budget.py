"""How fast does the error budget burn? The share that is used, and the burn rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.ticker import MaxNLocator

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, SKY, VERMILLION
from soaklib.charts.notes import note
from soaklib.charts.numbers import number_formatter
from soaklib.charts.stage import column_of_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import length_text, on_grid, step_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Grid

__all__ = ["error_budget_burn"]

_COLUMNS: Final = ("window", "threshold", "long_rate", "short_rate", "alert", "used_ratio")
_PAIR_LOOKS: Final = ((BLUE, "-"), (SKY, (0, (4.0, 1.5))), (BLACK, (0, (1.0, 1.0))))


@themed
def error_budget_burn(
    frame: pl.DataFrame, *, figure: Figure, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Figure:
    """Draw the share of the error budget that is used, and below it the burn rate of each pair's long window.

    The short window of a pair says only whether the burning still goes on; its rate is not drawn, the alert is.

    Parameters
    ----------
    frame
        As ``soaklib.error_budget(run)`` gives it: ``soak_s``, ``end_s``, ``window``, ``threshold``, ``long_rate``,
        ``short_rate``, ``alert``, ``used_ratio``; ``window`` names both lengths of a pair in minutes, such as
        ``60m/5m``. An alert is a red stretch at the foot of the lower axes.
    figure
        An empty figure; it gets two axes on one time axis.
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
    grid = windows_on(axes, frame, _COLUMNS, "soaklib.error_budget(run)", marks=marks, xlim=xlim)
    lines = (
        []
        if frame.is_empty()
        else [*_draw_used(upper, frame, grid), *_draw_rates(lower, frame, grid, is_cut=xlim is not None)]
    )
    if frame.is_empty():
        note(upper, "no call counts")
    upper.set_ylabel("budget used (%)")
    lower.set_ylabel("burn rate")
    figure.align_ylabels([upper, lower])
    legend_below(lower, lines, [str(line.get_label()) for line in lines])
    return figure


def _draw_used(ax: Axes, frame: pl.DataFrame, grid: Grid) -> list[Line2D]:
    used = on_grid(frame.unique("soak_s", keep="first"), "used_ratio", grid, absent=np.nan) * 100
    (line,) = ax.plot(*step_line(grid.edges_h, used), drawstyle="steps-post", color=BLACK, label="budget used")
    whole = ax.axhline(100.0, color=VERMILLION, linestyle="--", label="whole budget")
    ax.set_ylim(0, 1.08 * max(100.0, float(used[np.isfinite(used)].max(initial=0.0))))
    if np.isinf(used).any():
        note(ax, "no failure was allowed: there was no budget to use")
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    return [line, whole]


def _draw_rates(ax: Axes, frame: pl.DataFrame, grid: Grid, *, is_cut: bool) -> list[Line2D]:
    lines = []
    for number, pair in enumerate(_by_length(frame)):
        rows = frame.filter(pl.col("window") == pair)
        colour, style = _PAIR_LOOKS[number % len(_PAIR_LOOKS)]
        rate = on_grid(rows, "long_rate", grid, absent=np.nan)
        threshold = float(rows["threshold"][0])
        lines += ax.plot(
            *step_line(grid.edges_h, rate), drawstyle="steps-post", color=colour, linestyle=style,
            label=_told(pair, threshold),
        )  # fmt: skip
        ax.axhline(threshold, color=colour, linestyle=":", linewidth=0.6)
    alert = on_grid(frame.group_by("soak_s").agg(pl.col("alert").any()), "alert", grid, absent=0.0)
    if alert.any():
        height = np.where(alert > 0, 0.0, np.nan)
        lines += ax.plot(
            *step_line(grid.edges_h, height), drawstyle="steps-post", color=VERMILLION, linewidth=5, zorder=4,
            label="alert", solid_capstyle="butt", clip_on=is_cut,
        )  # fmt: skip
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set_ylim(bottom=0.0)
    ax.yaxis.set_major_formatter(number_formatter())
    return lines


def _by_length(frame: pl.DataFrame) -> list[str]:
    """Give the pairs of windows, the shortest first."""
    return sorted(frame["window"].unique(), key=_lengths_s)


def _lengths_s(pair: str) -> tuple[float, ...]:
    """Give the lengths of the two windows that ``60m/5m`` names, in seconds."""
    return tuple(60.0 * float(minutes.removesuffix("m")) for minutes in pair.split("/"))


def _told(pair: str, threshold: float) -> str:
    """Give what a pair's line is and when it alerts, in words."""
    long, short = map(length_text, _lengths_s(pair))
    return f"over {long}: alert above {threshold:g}, if over {short} too"
