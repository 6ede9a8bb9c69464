"""How often did the gateway retry, and how much came from its cache? Its own counters over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import TOOL_LOOKS
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, counts_by, spread_label, stack_steps
from soaklib.charts.stage import column_of_axes, span_of, time_axes
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Grid

__all__ = ["retries_and_cache"]


@themed
def retries_and_cache(
    retries: pl.DataFrame,
    cache_hits: pl.DataFrame,
    *,
    figure: Figure,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Figure:
    """Draw the gateway's retries, and below them its cache hits, stacked by tool.

    Of two of which one counted nothing only the other is drawn. When a counter
    counted between its scrapes is not known, so its steps are pale.

    Parameters
    ----------
    retries, cache_hits
        As ``soaklib.counted_as(run, "retries")`` and ``soaklib.counted_as(run, "cache hits")`` give them:
        ``soak_s``, ``end_s``, ``tool``, ``n``.
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
        A frame lacks a column.
    """
    both = ((retries, "retries"), (cache_hits, "cache hits"))
    for frame, _ in both:
        need(frame, ("soak_s", "end_s", "tool", "n"), "soaklib.counted_as(run, meaning)")
    shown = [(frame, what) for frame, what in both if frame["n"].sum() > 0] or both
    axes = column_of_axes(figure, len(shown))
    for ax, (frame, what) in zip(axes, shown, strict=True):
        _draw(ax, frame, what, grid_of(frame, marks), is_last=ax is axes[-1])
    spans = span_of(grid_of(retries, marks), grid_of(cache_hits, marks))
    time_axes(axes, spans, marks=marks, xlim=xlim)
    figure.align_ylabels(axes)
    return figure


def _draw(ax: Axes, frame: pl.DataFrame, what: str, grid: Grid, *, is_last: bool) -> None:
    values, looks = counts_by(frame, "tool", "n", grid, TOOL_LOOKS)
    counted = {tool: value for tool, value in values.items() if value.sum() > 0}
    areas = stack_steps(ax, grid, counted, looks, is_spread=True)
    count_axis(ax, spread_label(what, grid))
    if not counted:
        unknown = f"what the gateway counted of {what} is not known" if frame["n"].null_count() else None
        note(ax, unknown or (f"the gateway counted no {what}" if values else f"the gateway exposes no {what}"))
    legend_below(
        ax, list(areas.values()), [f"{tool or 'all tools'}: {value.sum():,.0f}" for tool, value in counted.items()],
        below_points=None if is_last else 6.0,
    )  # fmt: skip
