"""Does it hold? The success rate over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLUE, GAP_COLOUR, SKY, VERMILLION
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, need, on_grid, step_area, step_line

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from soaklib.charts.windows import Floats, Grid

__all__ = ["success_rate"]

_LEAST_SPAN_PERCENT: Final = 0.5


@themed
def success_rate(
    frame: pl.DataFrame,
    *,
    ax: Axes,
    threshold: float | None = None,
    every_s: float | None = None,
    marks: pl.DataFrame | None = None,
) -> Axes:
    """Draw the success rate in each window, with its 95 % interval.

    Parameters
    ----------
    frame
        As :func:`soaklib.success_rate` gives it: ``soak_s``, ``n``, ``success_rate``, ``low``, ``high`` (percent). A
        window with n = 0 is a gap and is shaded.
    ax
        Where to draw.
    threshold
        The rate that is required, percent.
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
    need(frame, ("soak_s", "n", "success_rate", "low", "high"), "soaklib.success_rate(run)")
    grid = grid_of(frame, every_s, marks)
    draw_time_axis(ax, marks, grid)
    rate, low, high = (on_grid(frame, name, grid, absent=np.nan) for name in ("success_rate", "low", "high"))
    edges_h = grid.edges_h
    band = ax.fill_between(
        *step_area(edges_h, low), step_area(edges_h, high)[1], color=SKY, alpha=0.45, linewidth=0, zorder=2,
        label="95 % interval",
    )  # fmt: skip
    (line,) = ax.plot(*step_line(edges_h, rate), drawstyle="steps-post", color=BLUE, zorder=3, label="success rate")
    handles: list[Artist] = [line, band]
    labels = [f"success rate in {grid.length}", "95 % interval"]
    if threshold is not None:
        handles.append(ax.axhline(threshold, color=VERMILLION, linestyle="--", zorder=2.5))
        labels.append(f"required: {threshold:g} %")
    gap = _shade_gaps(ax, grid, rate)
    if gap is not None:
        handles.append(gap)
        labels.append("no calls")
    seen = np.concatenate([low, rate, [] if threshold is None else [threshold]])
    _set_percent_axis(ax, float(np.nanmin(seen)) if np.isfinite(seen).any() else 0.0)
    ax.set_ylabel("success rate (%)")
    legend_below(ax, handles, labels)
    return ax


def _shade_gaps(ax: Axes, grid: Grid, rate: Floats) -> Artist | None:
    """Shade the windows without a rate; give one of the shades for the legend."""
    edges_h = grid.edges_h
    shade = None
    for index in np.flatnonzero(np.isnan(rate)):
        shade = ax.axvspan(edges_h[index], edges_h[index + 1], color=GAP_COLOUR, linewidth=0, zorder=1, gid="no calls")
    return shade


def _set_percent_axis(ax: Axes, lowest: float) -> None:
    """Show from a little under the lowest value to 100 %, with 100 % not on the edge."""
    span = max(100.0 - lowest, _LEAST_SPAN_PERCENT)
    ax.set_ylim(max(0.0, 100.0 - 1.06 * span), 100.0 + 0.03 * span)
