"""Does it hold? The success rate over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLUE, GAP_COLOUR, SKY, VERMILLION
from soaklib.charts.stage import windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import on_grid, step_area, step_line

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Floats, Grid

__all__ = ["success_rate"]

_BAND_ALPHA: Final = 0.45
_LEAST_SPAN_PERCENT: Final = 0.5


@themed
def success_rate(
    frame: pl.DataFrame,
    *,
    ax: Axes,
    threshold: float | None = None,
    label: str | None = None,
    colour: str | None = None,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Axes:
    """Draw the success rate in each window, with its 95 % interval.

    Parameters
    ----------
    frame
        As :func:`soaklib.success_rate` gives it: ``soak_s``, ``end_s``, ``n``, ``success_rate``, ``low``, ``high``
        (percent). A window with n = 0 is a gap and is shaded.
    ax
        Where to draw.
    threshold
        The rate that is required, percent.
    label, colour
        What the legend calls this line, and its colour: to lay one run over another. None for the usual ones.
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
    is_bare = not ax.has_data()
    columns = ("n", "success_rate", "low", "high")
    grid = windows_on(ax, frame, columns, "soaklib.success_rate(run)", marks=marks, xlim=xlim)
    rate, low, high = (on_grid(frame, name, grid, absent=np.nan) for name in ("success_rate", "low", "high"))
    edges_h = grid.edges_h
    band = ax.fill_between(
        *step_area(edges_h, low), step_area(edges_h, high)[1], color=colour or SKY, alpha=_BAND_ALPHA, linewidth=0,
        zorder=2, label="95 % interval",
    )  # fmt: skip
    (line,) = ax.plot(
        *step_line(edges_h, rate), drawstyle="steps-post", color=colour or BLUE, zorder=3, label="success rate"
    )
    handles: list[Artist] = [line, band]
    told = "" if label is None else f"{label}: "
    labels = [f"{told}success rate in {grid.length}", f"{told}95 % interval"]
    if threshold is not None:
        handles.append(ax.axhline(threshold, color=VERMILLION, linestyle="--", zorder=2.5))
        labels.append(f"required: {threshold:g} %")
    gap = _shade_gaps(ax, grid, rate)
    if gap is not None:
        handles.append(gap)
        labels.append("no calls")
    seen = np.concatenate([low, rate, [] if threshold is None else [threshold]])
    _set_percent_axis(ax, float(np.nanmin(seen)) if np.isfinite(seen).any() else 0.0, is_bare=is_bare)
    ax.set_ylabel("success rate (%)" if ax.get_ylim()[0] <= 0 else "success rate (%), axis cut")
    legend_below(ax, handles, labels)
    return ax


def _shade_gaps(ax: Axes, grid: Grid, rate: Floats) -> Artist | None:
    """Shade the windows without a rate; give one of the shades for the legend."""
    edges_h = grid.edges_h
    shade = None
    for index in np.flatnonzero(np.isnan(rate)):
        shade = ax.axvspan(edges_h[index], edges_h[index + 1], color=GAP_COLOUR, linewidth=0, zorder=1, gid="no calls")
    return shade


def _set_percent_axis(ax: Axes, lowest: float, *, is_bare: bool) -> None:
    """Show from a little under the lowest value to 100 %, with 100 % not on the edge; and what was shown before."""
    span = max(100.0 - lowest, _LEAST_SPAN_PERCENT)
    low, high = max(0.0, 100.0 - 1.06 * span), 100.0 + 0.03 * span
    if not is_bare:
        before_low, before_high = ax.get_ylim()
        low, high = min(low, before_low), max(high, before_high)
    ax.set_ylim(low, high)
