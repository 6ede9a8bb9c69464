"""What happened when, drawn the same way on every time axis: phases, changes and gaps.

Marks are a frame as :func:`soaklib.analysis.measures.marks.marks` gives it: ``start_s`` and ``end_s`` (soak seconds,
the latter null for a moment), ``kind`` (``phase``, ``change``, ``gap``, ``invalid``) and ``label``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.charts.looks import BLACK, GAP_COLOUR, INVALID_COLOUR, INVALID_EDGE
from soaklib.charts.mark_labels import BandName, MarkLabels, Moment
from soaklib.charts.time_axis import bears_soak_time, soak_axis
from soaklib.charts.windows import SECONDS_PER_HOUR, phases_begin_s, phases_end_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soaklib.charts.windows import Grid

__all__ = ["draw_time_axis"]

_LATE: Final = "generator late"
_SAME_MOMENT_S: Final = 300.0
_PHASE_COLOUR: Final = "#F3F3F3"


def draw_time_axis(ax: Axes, marks: pl.DataFrame | None, grid: Grid, *, labels: bool = True) -> None:
    """Make an axes' x axis one of soak time and draw the marks on it.

    Parameters
    ----------
    ax
        Its x data are soak hours.
    marks
        What happened when; None for a bare axis.
    grid
        The windows drawn; the axis spans them and the phases, and begins at 0 where no phase is marked, unless it bears
        soak time already, of what is laid under them.
    labels
        Whether to say above the axes what the marks are: once a figure, on its uppermost time axis.
    """
    begin_s = grid.start_s if marks is None and bears_soak_time(ax) else phases_begin_s(marks)
    start_s, end_s, stop_s = min(begin_s, grid.start_s), grid.end_s, phases_end_s(marks)
    soak_axis(ax, start_s, max(end_s, stop_s) if math.isfinite(stop_s) else end_s)
    if marks is not None:
        _draw_bands(ax, marks)
        if labels:
            _draw_labels(ax, marks)


def _draw_bands(ax: Axes, marks: pl.DataFrame) -> None:
    for number, (start_s, end_s) in enumerate(marks.filter(kind="phase").select("start_s", "end_s").iter_rows()):
        if number % 2:
            ax.axvspan(_hours(start_s), _hours(end_s), color=_PHASE_COLOUR, linewidth=0, zorder=0, gid="phase")
    for start_s, end_s in marks.filter(kind="gap").select("start_s", "end_s").iter_rows():
        if end_s is None:  # soak time stood still: a gap on the wall clock has no width here
            ax.axvline(_hours(start_s), color=GAP_COLOUR, linewidth=2.4, zorder=1, gid="gap")
        else:
            ax.axvspan(_hours(start_s), _hours(end_s), color=GAP_COLOUR, linewidth=0, zorder=1, gid="gap")
    for start_s, end_s in marks.filter(kind="invalid").select("start_s", "end_s").iter_rows():
        # the edge lets a minute of a day be seen, and in grey tells the band from what is as light
        ax.axvspan(
            _hours(start_s), _hours(end_s), facecolor=INVALID_COLOUR, edgecolor=INVALID_EDGE,
            linewidth=0.8, zorder=1, gid="invalid",
        )  # fmt: skip
    for start_s in marks.filter(kind="change")["start_s"]:
        ax.axvline(_hours(start_s), color=BLACK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=2.5, gid="change")


def _draw_labels(ax: Axes, marks: pl.DataFrame) -> None:
    told = marks.filter(~pl.col("kind").is_in(["phase", "invalid"]))
    moments = [Moment(_hours(start_s), label) for start_s, label in told.select("start_s", "label").iter_rows()]
    if (invalid := marks.filter(kind="invalid").sort("start_s")).height:
        # told once: on a busy machine they are many, and each looks like the others
        first_s, label = invalid.select("start_s", "label").row(0)
        late = invalid["label"].str.starts_with(_LATE)
        why = _LATE if late.all() else f"{_LATE} or out of ports" if late.any() else label
        text = label if invalid.height == 1 else f"{why}, {invalid.height} windows like this"
        moments.append(Moment(_hours(first_s), text))
    starts_s = [moment.x * SECONDS_PER_HOUR for moment in moments]
    bands = [
        BandName(
            _hours(start_s), _hours(end_s), label,
            needed=start_s > 0 and all(abs(start_s - other_s) > _SAME_MOMENT_S for other_s in starts_s),
        )
        for start_s, end_s, label in marks.filter(kind="phase").select("start_s", "end_s", "label").iter_rows()
    ]  # fmt: skip
    MarkLabels(ax, moments, bands)


def _hours(soak_s: float) -> float:
    return soak_s / SECONDS_PER_HOUR
