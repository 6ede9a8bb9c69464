"""Stacked steps: how many, of which kinds, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.ticker import MaxNLocator

from soaklib.charts.looks import looks_for
from soaklib.charts.numbers import number_formatter
from soaklib.charts.windows import on_grid, step_area

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection

    from soaklib.charts.looks import Look
    from soaklib.charts.windows import Floats, Grid

__all__ = ["count_axis", "counts_by", "spread_label", "stack_steps"]

_PALE: Final = 0.5


def counts_by(
    frame: pl.DataFrame, by: str, column: str, grid: Grid, known: Mapping[str, Look]
) -> tuple[dict[str, Floats], dict[str, Look]]:
    """Add up a column by window and by name.

    Returns
    -------
    tuple
        For each name (``""`` for a null) its sum in each window of the grid, 0 where there is no row, shape
        (grid.size,); and its look.
        Both in the order in which they are stacked.
    """
    sums = frame.with_columns(pl.col(by).cast(pl.String).fill_null("")).group_by("soak_s", by).agg(pl.col(column).sum())
    looks = looks_for(sums[by].to_list(), known)
    return {name: on_grid(sums.filter(pl.col(by) == name), column, grid, absent=0.0) for name in looks}, looks


def stack_steps(
    ax: Axes, grid: Grid, values: Mapping[str, Floats], looks: Mapping[str, Look], *, is_spread: bool = False
) -> dict[str, FillBetweenPolyCollection]:
    """Stack filled steps on one another, first at the bottom.

    Parameters
    ----------
    ax
        Where to draw; x data are soak hours.
    grid
        The windows.
    values
        For each name its value in each window; shape (grid.size,).
    looks
        For each name its look.
    is_spread
        Whether what was counted between two readings is spread over the windows between them: such steps are pale, as
        nobody saw them.

    Returns
    -------
    dict
        For each name its area.
    """
    base = np.zeros(grid.size)
    areas = {}
    for name, value in values.items():
        top = base + value
        x_h, upper = step_area(grid.edges_h, top)
        look = looks[name]
        areas[name] = ax.fill_between(
            x_h, step_area(grid.edges_h, base)[1], upper, where=np.repeat(value > 0, 2),
            facecolor=look.colour, hatch=look.hatch or None, edgecolor="white" if look.hatch else look.colour,
            linewidth=0.3, zorder=2, label=name, alpha=_PALE if is_spread else None,
        )  # fmt: skip
        base = top
    return areas


def count_axis(ax: Axes, label: str) -> None:
    """Make a y axis one of counts, from 0; to 1 where nothing was counted, and not to a fraction of something."""
    ax.set_ylim(bottom=0)
    if not ax.dataLim.y1 > 0:
        ax.set_ylim(top=1)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    ax.yaxis.set_major_formatter(number_formatter())  # counts that are spread over windows can be below 1
    ax.set_ylabel(label)


def spread_label(what: str, grid: Grid) -> str:
    """Say what an axis counts whose steps are averages between a counter's scrapes."""
    return f"{what} in {grid.length},\nmean between scrapes"
