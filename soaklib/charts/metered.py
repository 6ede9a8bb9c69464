"""How often did the gateway retry, and how much came from its cache? Its own counters over time."""

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
    from matplotlib.figure import Figure

    from soaklib.charts.windows import Grid

__all__ = ["retries_and_cache"]


@themed
def retries_and_cache(
    retries: pl.DataFrame,
    cache_hits: pl.DataFrame,
    *,
    figure: Figure,
    every_s: float | None = None,
    marks: pl.DataFrame | None = None,
) -> Figure:
    """Draw the gateway's retries, and below them its cache hits, stacked by tool.

    Parameters
    ----------
    retries, cache_hits
        As ``soaklib.metered(run, "gateway_retries_total")`` and ``soaklib.metered(run, "gateway_cache_hits_total")``
        give them: ``soak_s``, ``tool``, ``n``.
    figure
        An empty figure; it gets two axes on one time axis.
    every_s
        Length of a window in soak seconds; None to tell it from the frame, which goes wrong where windows are rare.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        A frame lacks a column.
    """
    upper, lower = figure.subplots(2, 1, sharex=True)
    for ax, frame, what in ((upper, retries, "retries"), (lower, cache_hits, "cache hits")):
        need(frame, ("soak_s", "tool", "n"), "soaklib.metered(run, metric)")
        _draw(ax, frame, what, grid_of(frame, every_s, marks), marks, labels=ax is upper)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    figure.align_ylabels([upper, lower])
    return figure


def _draw(ax: Axes, frame: pl.DataFrame, what: str, grid: Grid, marks: pl.DataFrame | None, *, labels: bool) -> None:
    draw_time_axis(ax, marks, grid, labels=labels)
    values, looks = counts_by(frame, "tool", "n", grid, TOOL_LOOKS)
    counted = {tool: value for tool, value in values.items() if value.sum() > 0}
    areas = stack_steps(ax, grid, counted, looks)
    count_axis(ax, f"{what} in {grid.length}")
    if not counted:
        note(ax, f"the gateway counted no {what}" if values else f"the gateway exposes no {what}")
    legend_below(
        ax, list(areas.values()), [f"{tool}: {value.sum():,.0f}" for tool, value in counted.items()],
        below_points=6.0 if labels else None,
    )  # fmt: skip
