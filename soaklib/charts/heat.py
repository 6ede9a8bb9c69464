"""How do latencies spread, and does the spread change? A heat map over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.colors import LogNorm, PowerNorm
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import TOOL_LOOKS, VERMILLION, looks_for
from soaklib.charts.milliseconds import milliseconds_axis
from soaklib.charts.notes import note
from soaklib.charts.stage import column_of_axes, windows_on
from soaklib.charts.theme import themed
from soaklib.charts.windows import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Floats, Grid

__all__ = ["latency_heat_map", "latency_heat_maps"]

_MOST_SHADED: Final = 0.6
_SHADES = "Blues"  # from faint to dark: a single call does not shout, and it reads the same in grey


@themed
def latency_heat_map(
    frame: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Axes:
    """Draw how many calls of each window had which latency.

    Parameters
    ----------
    frame
        As ``soaklib.latency_bins(run)`` gives it: ``soak_s``, ``end_s``, ``low_ms``, ``high_ms``, ``censored``, ``n``.
        Calls that were given up are drawn as triangles at the least latency they can have had.
    ax
        Where to draw; it gets a colour bar.
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
    grid = windows_on(
        ax, frame, ("low_ms", "high_ms", "censored", "n"), "soaklib.latency_bins(run)", marks=marks, xlim=xlim
    )
    answered = frame.filter(~pl.col("censored"))
    if answered.is_empty():
        note(ax, "no call was answered")
    else:
        _draw_mesh(ax, answered, grid)
    _draw_given_up(ax, frame.filter(pl.col("censored")), grid)
    milliseconds_axis(ax, "latency (ms)")
    ax.grid(visible=False)
    return ax


@themed
def latency_heat_maps(
    frame: pl.DataFrame, *, figure: Figure, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Figure:
    """Draw for each tool which share of a window's calls had which latency, on one scale.

    Parameters
    ----------
    frame
        As ``soaklib.latency_bins(run, by=("tool",))`` gives it. Calls that were given up are triangles, as in
        :func:`latency_heat_map`.
    figure
        An empty figure; it gets one axes a tool on one time axis, and a colour bar.
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
    columns = ("tool", "low_ms", "high_ms", "censored", "n")
    need(frame, columns, 'soaklib.latency_bins(run, by=("tool",))')
    tools = list(looks_for(frame["tool"].to_list(), TOOL_LOOKS))
    axes = column_of_axes(figure, max(1, len(tools)), sharey=True)
    grid = windows_on(axes, frame, columns, 'soaklib.latency_bins(run, by=("tool",))', marks=marks, xlim=xlim)
    mesh, is_more = None, False
    for ax, tool in zip(axes, tools, strict=False):
        answered = frame.filter(~pl.col("censored"), tool=tool)
        if answered.height:
            mesh, most = _draw_shares(ax, answered, grid)
            is_more |= most > _MOST_SHADED
        _draw_given_up(ax, frame.filter(pl.col("censored"), tool=tool), grid)
        milliseconds_axis(ax, f"{tool}\n(ms)")
        ax.grid(visible=False)
    if not tools:
        note(axes[0], "no call was answered")
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=40, extend="max" if is_more else "neither")
        bar.set_label(f"share of the calls in {grid.length}")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.outline.set_visible(False)
    figure.align_ylabels(axes)
    return figure


def _draw_shares(ax: Axes, answered: pl.DataFrame, grid: Grid) -> tuple[QuadMesh, float]:
    """Draw what share of each window's calls had which latency; give the largest share too."""
    edges_ms, counts = _cells(answered, grid)
    in_window = counts.sum(axis=0, keepdims=True)
    shares = np.ma.masked_equal(counts / np.maximum(in_window, 1.0), 0)
    mesh = ax.pcolormesh(
        grid.edges_h, edges_ms, shares, cmap=_SHADES, norm=PowerNorm(0.5, 0.0, _MOST_SHADED), zorder=2, rasterized=True
    )
    return mesh, float(shares.max())


def _draw_given_up(ax: Axes, given_up: pl.DataFrame, grid: Grid) -> None:
    if given_up.height:
        middle_h = grid.middles_h(given_up["soak_s"].to_numpy())
        (points,) = ax.plot(middle_h, given_up["low_ms"].to_numpy(), "^", color=VERMILLION, zorder=3, gid="given up")
        legend_below(ax, [points], [f"given up, at least so long: {given_up['n'].sum():,}"])


def _draw_mesh(ax: Axes, answered: pl.DataFrame, grid: Grid) -> QuadMesh:
    edges_ms, counts = _cells(answered, grid)
    shown = np.ma.masked_equal(counts, 0)
    mesh = ax.pcolormesh(
        grid.edges_h, edges_ms, shown, cmap=_SHADES, norm=LogNorm(1, max(2, int(counts.max()))), zorder=2,
        rasterized=True,
    )  # fmt: skip
    figure = ax.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(mesh, ax=ax, pad=0.01, aspect=25)
        bar.set_label(f"calls in {grid.length}")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.outline.set_visible(False)
    return mesh


def _cells(answered: pl.DataFrame, grid: Grid) -> tuple[Floats, Floats]:
    """Give the edges of all bins between the lowest and the highest, and the counts; shape (bins, grid.size)."""
    low_ms = answered["low_ms"].to_numpy()
    ratio = float(answered["high_ms"][0] / answered["low_ms"][0])
    lowest = float(low_ms.min())
    row = np.rint(np.log(low_ms / lowest) / np.log(ratio)).astype(int)
    column = np.rint((answered["soak_s"].to_numpy() - grid.start_s) / grid.every_s).astype(int)
    counts = np.zeros((int(row.max()) + 1, grid.size))
    counts[row, column] = answered["n"].to_numpy()
    edges_ms: Floats = lowest * np.power(ratio, np.arange(counts.shape[0] + 1, dtype=np.float64))
    return edges_ms, counts
