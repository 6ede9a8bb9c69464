"""Do breakers open and recover? Their state as scraped, and what the calls met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.patches import Patch

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import GREEN, KIND_LOOKS, STATE_LOOKS
from soaklib.charts.notes import note
from soaklib.charts.stacks import count_axis, stack_steps
from soaklib.charts.stage import column_of_axes, time_axes
from soaklib.charts.theme import themed
from soaklib.charts.windows import SECONDS_PER_HOUR, Grid, grid_of, need, on_grid
from soaklib.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.figure import Figure

    from soaklib.charts.looks import Look
    from soaklib.charts.stage import Span

__all__ = ["breaker_activity"]

_USUAL_SCRAPES: Final = 2.5  # scrapes further apart than so many usual distances leave a gap
_BAR_HEIGHT: Final = 0.7
_LABEL_POINTS: Final = 6.0
_UNNAMED: Final = "all tools"  # whose breaker it is that names no tool
_LEAST_AIR: Final = 4.0  # windows
_COUNTED: Final = {Kind.UPSTREAM_ERROR: "upstream_errors", Kind.FAST_FAIL: "fast_fails"}


@themed
def breaker_activity(
    states: pl.DataFrame,
    fast_fails: pl.DataFrame,
    *,
    figure: Figure,
    marks: pl.DataFrame | None = None,
    recoveries: pl.DataFrame | None = None,
    xlim: Span | None = None,
    zoom: bool = False,
) -> Figure:
    """Draw each tool's breaker state as scraped, above the fast-fails and upstream errors that the calls met.

    Between two scrapes a state is not seen: at high speed a breaker opens and closes between them, and the lower part
    shows it although the upper does not.

    Parameters
    ----------
    states
        As ``soaklib.breaker_states(run)`` gives it: ``soak_s``, ``end_s``, ``tool``, ``state``. A state is drawn
        halfway to its neighbours; where scrapes are more than two and a half usual distances apart there is a gap.
    fast_fails
        As ``soaklib.fast_fails(run)`` gives it: ``soak_s``, ``end_s``, ``fast_fails``, ``upstream_errors``; tools are
        added up.
    figure
        An empty figure; it gets two axes on one time axis.
    marks
        As ``soaklib.marks(run)`` gives it; None for a bare axis.
    xlim
        What to show, such as ``("H+11:50", "H+12:40")``; None for all.
    zoom
        Whether to show only the time in which breakers acted, with some time before and after; all if none did.
    recoveries
        As ``soaklib.recoveries(run)`` gives it: ``tool``, ``ended_s``, ``recovered_s``. On the tool's strip a line
        spans the time from the end of chaos to the last call that failed for it, if any did, and says how long it was.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        A frame lacks a column.
    """
    need(states, ("soak_s", "tool", "state"), "soaklib.breaker_states(run)")
    need(fast_fails, ("soak_s", "end_s", "fast_fails", "upstream_errors"), "soaklib.fast_fails(run)")
    states = states.with_columns(pl.col("tool").fill_null(_UNNAMED))
    tools = states["tool"].unique().sort().to_list()
    upper, lower = axes = column_of_axes(figure, 2, height_ratios=[max(1.0, 0.35 * len(tools)), 1.6])
    grid = grid_of(fast_fails, marks)
    # The axis ends with the run, as everywhere: the last scrape comes a moment after it.
    scraped_s = min(grid.stop_s, max([0.0, *states["soak_s"].to_list()]))
    if zoom and xlim is None:
        xlim = _acted(states, fast_fails, grid)
    whole = Grid(grid.start_s, max(grid.end_s, scraped_s) - grid.start_s, 1)
    time_axes(axes, whole, marks=marks, xlim=xlim)
    _draw_states(upper, states, tools)
    if recoveries is not None:
        need(recoveries, ("tool", "ended_s", "recovered_s"), "soaklib.recoveries(run)")
        _draw_recoveries(upper, recoveries, states, tools)
    areas = _draw_counts(lower, fast_fails, grid)
    seen = {name: look for name, look in STATE_LOOKS.items() if name in set(states["state"])}
    handles = [*(_patch(look) for look in seen.values()), *areas.values()]
    legend_below(lower, handles, [*(f"breaker {name}" for name in seen), *_count_labels(fast_fails)])
    figure.align_ylabels([upper, lower])
    return figure


def _acted(states: pl.DataFrame, fast_fails: pl.DataFrame, grid: Grid) -> Span | None:
    """Give the time in which a breaker was not closed or a call met what it does, with half as much on each side."""
    open_s = states.filter(pl.col("state") != "closed")["soak_s"].to_list()
    met = fast_fails.filter(pl.col("fast_fails") + pl.col("upstream_errors") > 0)
    at_s = [*open_s, *met["soak_s"].to_list(), *met["end_s"].to_list()]
    if not at_s:
        return None
    air_s = max(_LEAST_AIR * grid.every_s, (max(at_s) - min(at_s)) / 2)
    return max(grid.start_s, min(at_s) - air_s), min(grid.end_s, max(at_s) + air_s)


def _draw_states(ax: Axes, states: pl.DataFrame, tools: list[str]) -> None:
    for row, tool in enumerate(tools):
        for start_s, end_s, state in _stretches(states.filter(tool=tool)):
            look = STATE_LOOKS.get(state, STATE_LOOKS["unknown"])
            ax.barh(
                row, (end_s - start_s) / SECONDS_PER_HOUR, left=start_s / SECONDS_PER_HOUR, height=_BAR_HEIGHT,
                facecolor=look.colour, hatch=look.hatch or None, edgecolor="white" if look.hatch else look.colour,
                linewidth=0.3, zorder=2, gid=state,
            )  # fmt: skip
    ax.set_yticks(range(len(tools)), tools)
    ax.set_ylim(max(1, len(tools)) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.tick_params(axis="y", length=0)
    if not tools:
        note(ax, "no breaker state was scraped")


def _draw_recoveries(ax: Axes, recoveries: pl.DataFrame, states: pl.DataFrame, tools: list[str]) -> None:
    """Draw how long each tool took to answer again; the words stand behind the open breaker that it falls into."""
    for tool, ended_s, recovered_s in recoveries.select("tool", "ended_s", "recovered_s").iter_rows():
        if tool not in tools or recovered_s <= ended_s:  # of a tool that was well at once there is nothing to tell
            continue
        row = tools.index(tool)
        low, high = ended_s / SECONDS_PER_HOUR, recovered_s / SECONDS_PER_HOUR
        ax.hlines(row, low, high, color=GREEN, linewidth=1.6, zorder=3, gid="recovery")
        covers = (
            end_s for start_s, end_s, state in _stretches(states.filter(tool=tool))
            if state != "closed" and start_s <= recovered_s <= end_s
        )  # fmt: skip
        free = max(covers, default=recovered_s) / SECONDS_PER_HOUR
        ax.annotate(
            f"ok after {recovered_s - ended_s:.0f} soak s", (free, row), xytext=(3, 0), textcoords="offset points",
            verticalalignment="center", fontsize=_LABEL_POINTS, zorder=4, gid="recovery",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
        )  # fmt: skip


def _stretches(one_tool: pl.DataFrame) -> Iterator[tuple[float, float, str]]:
    """Give (start_s, end_s, state): neighbouring scrapes of one state as one, broken where scrapes are missing."""
    ordered = one_tool.sort("soak_s")
    at_s, states = ordered["soak_s"].to_numpy(), ordered["state"].to_list()
    apart_s = np.diff(at_s)
    reach_s = _USUAL_SCRAPES * float(np.median(apart_s)) / 2 if apart_s.size else 0.0
    # Each state holds halfway to its neighbours, which is where it changed as far as anybody can tell.
    from_s = at_s - np.minimum(np.append(0.0, apart_s / 2), reach_s)
    until_s = at_s + np.minimum(np.append(apart_s / 2, 0.0), reach_s)
    begin = 0
    for index in range(1, at_s.size + 1):
        if index == at_s.size or states[index] != states[begin] or until_s[index - 1] < from_s[index]:
            yield float(from_s[begin]), float(until_s[index - 1]), states[begin]
            begin = index


def _draw_counts(ax: Axes, fast_fails: pl.DataFrame, grid: Grid) -> dict[str, FillBetweenPolyCollection]:
    sums = fast_fails.group_by("soak_s").agg(pl.col(column).sum() for column in _COUNTED.values())
    values = {str(kind): on_grid(sums, column, grid, absent=0.0) for kind, column in _COUNTED.items()}
    areas = stack_steps(ax, grid, values, {str(kind): KIND_LOOKS[kind] for kind in _COUNTED})
    count_axis(ax, f"calls in {grid.length}")
    if not any(value.any() for value in values.values()):
        note(ax, "no upstream error and no fast-fail")
    return areas


def _count_labels(fast_fails: pl.DataFrame) -> list[str]:
    return [f"{kind}: {fast_fails[column].sum():,}" for kind, column in _COUNTED.items()]


def _patch(look: Look) -> Patch:
    return Patch(
        facecolor=look.colour, hatch=look.hatch or None, edgecolor="white" if look.hatch else look.colour, linewidth=0.3
    )
