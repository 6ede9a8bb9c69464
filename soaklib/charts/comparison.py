"""What has changed between two runs? The difference of each endpoint, in the measure of what would matter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, GREY, LIGHT, VERMILLION
from soaklib.charts.notes import note
from soaklib.charts.theme import themed
from soaklib.charts.windows import need

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["run_comparison"]

_COLUMNS: Final = ("endpoint", "unit", "a", "b", "difference", "low", "high", "margin", "state")
_STATES: Final = {"same": (BLACK, "o"), "different": (VERMILLION, "D"), "inconclusive": (GREY, "s")}
_LEAST_REACH: Final = 1.5


@themed
def run_comparison(frame: pl.DataFrame, *, ax: Axes) -> Axes:
    """Draw each endpoint's difference with its interval, in margins: from -1 to 1 nothing that matters changed.

    Parameters
    ----------
    frame
        As :func:`soaklib.compare` gives it: ``endpoint``, ``unit``, ``a``, ``b``, ``difference``, ``low``, ``high``,
        ``margin``, ``state``. An endpoint that could not be compared has a row and no point; one whose margin or
        difference cannot be drawn has a row that says why. A bound that is not known, or infinite, is an arrow out of
        the picture.
    ax
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(frame, _COLUMNS, "soaklib.compare(run_a, run_b)")
    band = ax.axvspan(-1.0, 1.0, color=LIGHT, linewidth=0, zorder=0)
    ax.axvline(0.0, color=BLACK, linewidth=0.6, zorder=1)
    shown: dict[str, Artist] = {"within the margin": band}
    drawn = []
    for row, line in enumerate(frame.iter_rows(named=True)):
        if line["difference"] is None:
            continue
        if (why := _undrawable(line)) is not None:
            ax.text(
                0.5, row, why, transform=ax.get_yaxis_transform(), horizontalalignment="center",
                verticalalignment="center", style="italic", gid="undrawable", zorder=4,
            )  # fmt: skip
            continue
        drawn.append((row, line["state"], *_in_margins(line)))
    reach = max([_LEAST_REACH, *(1.1 * abs(end) for _, _, *ends in drawn for end in ends if math.isfinite(end))])
    for row, state, middle, low, high in drawn:
        colour, marker = _STATES[state]
        ends = [max(low, -reach), min(high, reach)]
        ax.plot(ends, [row, row], color=colour, linewidth=1.2, zorder=2, gid="interval")
        for end, arrow in ((low, "<"), (high, ">")):
            if math.isinf(end):
                # within the frame, since a marker on its edge is half cut off
                ax.plot(math.copysign(0.98 * reach, end), row, arrow, color=colour, zorder=3, gid="open")
        shown[state] = ax.plot(middle, row, marker, color=colour, zorder=3, gid=state)[0]
    ax.set_xlim(-reach, reach)
    ax.set_yticks(range(frame.height), [_name(line) for line in frame.iter_rows(named=True)])
    ax.set_ylim(max(1, frame.height) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("difference, later less earlier run (margins)")
    if frame["difference"].drop_nulls().is_empty():
        note(ax, "nothing could be compared")
    legend_below(ax, list(shown.values()), list(shown))
    return ax


def _undrawable(line: dict[str, Any]) -> str | None:
    """Say why a row cannot be drawn in margins; None where it can."""
    if not 0 < line["margin"] < math.inf:
        return f"the margin is {line['margin']:g}: nothing can be measured in it"
    if not math.isfinite(line["difference"]):
        return f"the difference is {line['difference']:g}"
    return None


def _in_margins(line: dict[str, Any]) -> tuple[float, float, float]:
    """Give difference and bounds in margins; a bound that is not known is as far as can be."""
    low, high = (
        open_end if line[name] is None or math.isnan(line[name]) else line[name] / line["margin"]
        for name, open_end in (("low", -math.inf), ("high", math.inf))
    )
    return line["difference"] / line["margin"], low, high


def _name(line: dict[str, object]) -> str:
    """Give an endpoint's name with both means."""
    means = " to ".join("none" if line[run] is None else f"{line[run]:.4g}" for run in ("a", "b"))
    return f"{line['endpoint']}\n{means} {line['unit']}"
