"""How bad is the tail, phase by phase? Latency by percentile, on a scale that stretches the last one in a thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import SERIES_LOOKS
from soaklib.charts.milliseconds import milliseconds_axis
from soaklib.charts.notes import note
from soaklib.charts.theme import themed
from soaklib.charts.windows import need

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["percentile_plot"]

_BAND_ALPHA: Final = 0.15
_TICKS: Final = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


@themed
def percentile_plot(
    frame: pl.DataFrame,
    *,
    ax: Axes,
    by: str = "phase",
    measure: str = "response",
    label: str | None = None,
    colour: str | None = None,
    marks: pl.DataFrame | None = None,
) -> Axes:
    """Draw latency against percentile, one line a phase, in the manner of HdrHistogram's plots.

    Parameters
    ----------
    frame
        As ``soaklib.latency(run, every="all", by=("phase",), quantiles=...)`` gives it: `by`, ``measure``,
        ``quantile``, ``latency_ms``, ``at_least``, ``sufficient``, ``n``. A line ends where too few observations lie
        beyond; a point of which only a lower bound is known is an upward triangle. With ``low_ms`` and ``high_ms`` each
        line has its 95 % interval as a band, up to where its upper bound is known.
    ax
        Where to draw.
    by
        The column with a line for each value.
    measure
        ``service`` or ``response``.
    label, colour
        What the legend calls these lines, and one colour for all: to lay one run over another. None for the usual ones.
    marks
        As ``soaklib.marks(run)`` gives it, for the order of the phases; None for the frame's.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    columns = (by, "measure", "quantile", "latency_ms", "at_least", "sufficient", "n")
    need(frame, columns, f'soaklib.latency(run, every="all", by=("{by}",))')
    rows = frame.filter(pl.col("measure") == measure, pl.col("sufficient"))
    handles: list[Artist] = []
    labels = []
    looks = list(SERIES_LOOKS)
    names = frame[by].unique(maintain_order=True).to_list()
    band = {"low_ms", "high_ms"} <= set(frame.columns)
    if marks is not None:
        phases = marks.filter(pl.col("kind") == "phase")["label"].to_list()
        names.sort(key=lambda name: phases.index(name) if name in phases else len(phases))
    for number, name in enumerate(names):
        look = looks[number % len(looks)]
        look = look if colour is None else look._replace(colour=colour)
        line = rows.filter(pl.col(by) == name).sort("quantile")
        (drawn,) = ax.plot(
            _stretched(line), line["latency_ms"].to_numpy(), color=look.colour, linestyle=look.line, label=str(name)
        )
        if band:
            _draw_band(ax, line, look.colour)
        bounds = line.filter(pl.col("at_least"))
        ax.plot(_stretched(bounds), bounds["latency_ms"].to_numpy(), "^", color=look.colour, gid="at least")
        handles.append(drawn)
        n = frame.filter(pl.col(by) == name, pl.col("measure") == measure)["n"].to_list()
        told = str(name) if label is None else f"{label}, {name}"
        labels.append(f"{told}: n = {max(n, default=0):,}")
    if rows["at_least"].any():
        handles.append(Line2D([], [], color="black", marker="^", linestyle=""))
        labels.append("at least")
    if band and not rows.is_empty():
        handles.append(Patch(color="black", alpha=_BAND_ALPHA, linewidth=0))
        labels.append("95 % interval")
    if rows.is_empty():
        note(ax, "too few calls were answered")
    _percentile_axis(ax, rows)
    milliseconds_axis(ax, f"{measure} time (ms)")
    legend_below(ax, handles, labels)
    return ax


def _draw_band(ax: Axes, line: pl.DataFrame, colour: str) -> None:
    """Fill between the bounds of a line's interval; an infinite one is beyond the axes."""
    known = line.filter(pl.col("low_ms") > 0, pl.col("high_ms").is_finite())
    ax.fill_between(
        _stretched(known), known["low_ms"].to_numpy(), known["high_ms"].to_numpy(), color=colour, alpha=_BAND_ALPHA,
        linewidth=0, gid="interval",
    )  # fmt: skip


def _stretched(rows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give log10 of one in how many calls lies beyond each quantile."""
    return np.asarray(-np.log10(1.0 - rows["quantile"].to_numpy()))


def _percentile_axis(ax: Axes, rows: pl.DataFrame) -> None:
    highest = max([0.9, *rows["quantile"].to_list()])
    shown = [tick for tick in _TICKS if tick <= highest + 1e-12]
    ax.set_xticks([-np.log10(1.0 - tick) for tick in shown], [f"{100 * tick:g}" for tick in shown])
    ax.set_xlim(0.0, 1.03 * -np.log10(1.0 - highest))
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("percentile of calls (stretched towards 100)")
