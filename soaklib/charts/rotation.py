"""Does a call notice that tokens are rotated? All rotations laid over one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, GREY
from soaklib.charts.notes import note
from soaklib.charts.theme import themed
from soaklib.charts.windows import need, step_area, step_line

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["rotation_impact"]

_PANELS: Final = (("failures", "failed calls (%)"), ("response", "mean response (ms)"))
_COLUMNS: Final = ("offset_s", "measure", "value", "low", "high", "n", "events")


@themed
def rotation_impact(frame: pl.DataFrame, *, figure: Figure, event: str = "rotation") -> Figure:
    """Draw what calls met before and after an event, with the band in which chance alone would lie.

    Parameters
    ----------
    frame
        As ``soaklib.aligned(run, "TOKENS_ROTATED")`` gives it: ``offset_s``, ``measure``, ``value``, ``low``, ``high``,
        ``n``, ``events``.
    figure
        An empty figure; it gets an axes for failures and one for response time.
    event
        What happened at 0, for the axis label.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(frame, _COLUMNS, 'soaklib.aligned(run, "TOKENS_ROTATED")')
    axes = figure.subplots(2, 1, sharex=True)
    handles: list[Artist] = []
    for ax, (measure, label) in zip(axes, _PANELS, strict=True):
        handles = _draw(ax, frame.filter(pl.col("measure") == measure).sort("offset_s"))
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
    axes[1].set_xlabel(f"soak seconds after the {event}")
    figure.align_ylabels(list(axes))
    if handles:
        events = int(frame["events"][0])
        legend_below(
            axes[1],
            handles,
            [f"mean over {events:,} {event}{'s' * (events != 1)}", "95 % of placebos, step by step", event],
        )
    return figure


def _draw(ax: Axes, rows: pl.DataFrame) -> list[Artist]:
    if rows.height < 2:  # noqa: PLR2004 - a step's width is the distance of two
        note(ax, "nothing happened often enough")
        return []
    offset_s = rows["offset_s"].to_numpy()
    edges_s = np.append(offset_s, 2 * offset_s[-1] - offset_s[-2])
    low, high, value = (rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("low", "high", "value"))
    band = ax.fill_between(
        *step_area(edges_s, low), step_area(edges_s, high)[1], color=GREY, alpha=0.35, linewidth=0, label="placebo"
    )
    (line,) = ax.plot(*step_line(edges_s, value), drawstyle="steps-post", color=BLUE, label="events")
    moment = ax.axvline(0.0, color=BLACK, linestyle=(0, (4, 2)), linewidth=0.6)
    ax.set_xlim(edges_s[0], edges_s[-1])
    return [line, band, moment]
