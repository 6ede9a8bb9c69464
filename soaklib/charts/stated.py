"""What does the gateway say of itself beside its answers? Its own time, its tries, and what its limits leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLUE, ORANGE, QUANTILE_LOOKS, SKY, Look
from soaklib.charts.milliseconds import milliseconds_axis
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, stack_steps
from soaklib.charts.stage import column_of_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import on_grid, step_line
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Grid

__all__ = ["gateway_stated"]

_TIMES: Final = {"gateway_p50_ms": 0.5, "gateway_p99_ms": 0.99}
_TRIES: Final = {"retries": Look(SKY, "", "-", "o"), "fallbacks": Look(ORANGE, "//", "--", "s")}
_LEFT: Final = "remaining_least"
_PANELS: Final = (tuple(_TIMES), tuple(_TRIES), (_LEFT,))
_MADE_BY: Final = "soaklib.stated(run, by=())"


@themed
def gateway_stated(
    frame: pl.DataFrame, *, figure: Figure, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Figure:
    """Draw what answers state of the gateway: the time it took itself, retries and fallbacks, calls its limits leave.

    Of all calls, refused ones too.

    What no answer states has no axes; where nothing is stated, a sentence says so.

    Parameters
    ----------
    frame
        As ``soaklib.stated(run, by=())`` gives it: ``soak_s``, ``end_s``, ``gateway_p50_ms``, ``gateway_p99_ms``,
        ``retries``, ``fallbacks``, ``remaining_least``, one row a window.
    figure
        An empty figure; it gets an axes for each on one time axis.
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
        The frame lacks a column, or has several rows of one window.
    """
    columns = [name for panel in _PANELS for name in panel]
    shown = [panel for panel in _PANELS if any(name in frame and frame[name].count() for name in panel)]
    axes = column_of_axes(figure, max(1, len(shown)))
    grid = windows_on(axes, frame, columns, _MADE_BY, marks=marks, xlim=xlim)
    if frame["soak_s"].is_duplicated().any():
        msg = f"the frame has several rows of one window; pass what {_MADE_BY} gives"
        raise SettingsError(msg)
    for ax, panel in zip(axes, shown, strict=False):  # without any there is one axes, for the sentence
        below_points = None if ax is axes[-1] else 6.0
        handles = _draw(ax, frame, panel, grid)
        legend_below(ax, handles, [str(handle.get_label()) for handle in handles], below_points=below_points)
    if not shown:
        axes[0].clear()
        axes[0].set_axis_off()
        note(axes[0], "no answer states the gateway's own time, its retries, or what its limits leave")
    figure.align_ylabels(axes)
    return figure


def _draw(ax: Axes, frame: pl.DataFrame, panel: tuple[str, ...], grid: Grid) -> list[Artist]:
    """Draw one quantity, and give what is to be explained of it."""
    if panel == tuple(_TRIES):
        sums = frame.with_columns(pl.col(panel).fill_null(0))
        values = {name: on_grid(sums, name, grid, absent=0.0) for name in panel}
        areas = stack_steps(ax, grid, values, _TRIES)
        count_axis(ax, f"tries in {grid.length}")
        if not any(value.any() for value in values.values()):
            note(ax, "no retries and no fallbacks")
        for name, area in areas.items():
            area.set_label(f"{name}: {values[name].sum():,.0f}")
        return list(areas.values())
    lines: list[Artist] = []
    for name in panel:
        look = QUANTILE_LOOKS[_TIMES[name]] if name in _TIMES else Look(BLUE, "", "-", "o")
        label = f"p{100 * _TIMES[name]:g}" if name in _TIMES else "fewest in the window"
        steps = step_line(grid.edges_h, on_grid(frame, name, grid, absent=np.nan))[1]
        lines += ax.plot(
            grid.edges_h, steps, drawstyle="steps-post", color=look.colour, linestyle=look.line, label=label, gid=name
        )
    if panel == tuple(_TIMES):
        milliseconds_axis(ax, "own time,\nall calls (ms)")
    else:
        count_axis(ax, "calls that a\nlimit still leaves")
    return lines
