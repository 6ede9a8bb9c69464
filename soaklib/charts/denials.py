"""Do denials deny, and when? Denials by policy over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import REASON_LOOKS
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, counts_by, spread_label, stack_steps
from soaklib.charts.stage import column_of_axes, span_of, time_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import grid_of, need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Grid

__all__ = ["denial_sources", "denial_spikes"]

_NO_DENIAL: Final = "no call was denied"


@themed
def denial_spikes(
    frame: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Axes:
    """Stack the denials in each window by reason.

    Parameters
    ----------
    frame
        As :func:`soaklib.denials` gives it: ``soak_s``, ``end_s``, ``reason``, ``n``, with one or more rows a reason
        and window, which are added up.
    ax
        Where to draw.
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
    grid = windows_on(ax, frame, ("reason", "n"), "soaklib.denials(run)", marks=marks, xlim=xlim)
    _stack(ax, frame, "reason", grid, label=f"denials in {grid.length}")
    return ax


@themed
def denial_sources(
    denials: pl.DataFrame,
    counted: pl.DataFrame,
    *,
    figure: Figure,
    marks: pl.DataFrame | None = None,
    xlim: Span | None = None,
) -> Figure:
    """Draw the denials that the client met above those that the gateway's own counter counted.

    Parameters
    ----------
    denials
        As :func:`soaklib.denials` gives it: ``soak_s``, ``end_s``, ``reason``, ``n``.
    counted
        As ``soaklib.counted_as(run, "denials", by="kind")`` gives it: ``soak_s``, ``end_s``, ``kind``, ``n``. When in
        between its scrapes a counter counted is not known, so its steps are pale.
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
        A frame lacks a column.
    """
    need(denials, ("soak_s", "end_s", "reason", "n"), "soaklib.denials(run)")
    need(counted, ("soak_s", "end_s", "kind", "n"), 'soaklib.counted_as(run, "denials", by="kind")')
    upper, lower = axes = column_of_axes(figure, 2)
    grid = grid_of(denials, marks)
    _stack(
        upper,
        denials.filter(pl.col("n") > 0),
        "reason",
        grid,
        label=f"client: denials in {grid.length}",
        below_points=6.0,
    )
    grid = grid_of(counted, marks)
    nothing = "the gateway exposes no denials" if counted.is_empty() else _NO_DENIAL
    if counted["n"].null_count():
        nothing = "how many denials the gateway counted is not known"
    _stack(
        lower, counted.filter(pl.col("n") > 0), "kind", grid, label=spread_label("gateway: denials", grid),
        nothing=nothing, is_spread=True,
    )  # fmt: skip
    spans = span_of(grid_of(denials, marks), grid_of(counted, marks))
    time_axes(axes, spans, marks=marks, xlim=xlim)
    figure.align_ylabels([upper, lower])
    return figure


def _stack(
    ax: Axes, frame: pl.DataFrame, by: str, grid: Grid, *, label: str, nothing: str = _NO_DENIAL,
    below_points: float | None = None, is_spread: bool = False,
) -> None:  # fmt: skip
    values, looks = counts_by(frame, by, "n", grid, REASON_LOOKS)
    areas = stack_steps(ax, grid, values, looks, is_spread=is_spread)
    count_axis(ax, label)
    if not areas:
        note(ax, nothing)
    labels = [f"{reason or 'denied'}: {value.sum():,.0f}" for reason, value in values.items()]
    legend_below(ax, list(areas.values()), labels, below_points=below_points)
