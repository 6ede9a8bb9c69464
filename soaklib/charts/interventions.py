"""What was done to the gateway, and when? Every event of a run on its time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from soaklib.charts.notes import note
from soaklib.charts.stage import span_until, time_axes
from soaklib.charts.theme import themed
from soaklib.charts.windows import SECONDS_PER_HOUR, need
from soaklib.records import EventName
from soaklib.records.moments import soak_s_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soaklib.charts.stage import Span
    from soaklib.charts.windows import Floats

__all__ = ["intervention_timeline"]


class _Row(NamedTuple):
    label: str
    names: frozenset[str]
    marker: str
    colour: str


_ROWS: Final = (
    _Row(
        "run",
        frozenset(name for name in EventName if name.startswith(("SOAK_TEST", "RUN_GAP", "LOAD", "RECORDER"))),
        "o",
        BLACK,
    ),
    _Row(
        "policies, agents",
        frozenset(name for name in EventName if name.startswith(("POLICIES", "AGENTS", "SESSIONS", "TRIAL"))),
        "s",
        PURPLE,
    ),
    _Row(
        "token rotations",
        frozenset(name for name in EventName if name.startswith("TOKENS") and name != EventName.TOKENS_KEPT),
        "|",
        BLUE,
    ),
    _Row("tokens kept", frozenset({EventName.TOKENS_KEPT}), "|", SKY),
    _Row("lanes", frozenset(name for name in EventName if name.startswith(("LANE", "CLOCK"))), "|", SKY),
    _Row(
        "snapshots, counts",
        frozenset(name for name in EventName if name.startswith(("METRICS", "UPSTREAM"))),
        "|",
        GREEN,
    ),
    _Row("health gates", frozenset(name for name in EventName if name.startswith("HEALTH")), "d", GREY),
    _Row(
        "changes",
        frozenset(name for name in EventName if name.startswith(("CREDENTIALS", "CHAOS", "CHANGE"))),
        "D",
        ORANGE,
    ),
)
_REST: Final = _Row("other", frozenset(), "P", GREY)
_WENT_WRONG: Final = (
    "_FAILED",
    "_LOST",
    "_NOT_REMOVED",
    "_UNCERTAIN",
    "_UNKNOWN",
    "_UNSUPPORTED",
    "_WARNING",
    "_INTERRUPTED",
    "_GAP",
    "RATE_LIMITED",
    "LATE_SENDING",
)


@themed
def intervention_timeline(
    events: pl.DataFrame, *, ax: Axes, marks: pl.DataFrame | None = None, xlim: Span | None = None
) -> Axes:
    """Draw every event in the row of its sort; what went wrong is a red cross.

    What came before the start of the load (agents, policies) stands at H+0: further left are the names of the rows.

    Parameters
    ----------
    events
        As ``run.events()`` gives it: ``soak_s``, ``name``.
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
    need(events, ("soak_s", "name"), "run.events()")
    if xlim is not None:  # markers are not clipped, so that those at the edges are whole
        events = events.filter(pl.col("soak_s").is_between(soak_s_of(xlim[0]), soak_s_of(xlim[1])))
    last_s = max([1.0, *events["soak_s"].to_list()])
    time_axes(ax, span_until(last_s, marks), marks=marks, xlim=xlim)
    sorted_in = events.with_columns(row=pl.col("name").map_elements(_row_of, return_dtype=pl.Int64))
    rows = [*_ROWS, _REST]
    used = sorted_in["row"].unique().sort().to_list()
    wrong = pl.any_horizontal(pl.col("name").str.ends_with(ending) for ending in _WENT_WRONG)
    for place, number in enumerate(used):
        row = rows[number]
        fine = _hours(sorted_in.filter(pl.col("row") == number, ~wrong))
        if fine.size:  # an empty line that is not clipped would ask the layout for room at the figure's corner
            ax.plot(
                fine, [place] * fine.size, row.marker, color=row.colour, markersize=3.5, label=row.label, zorder=3,
                clip_on=False,
            )  # fmt: skip
    bad = sorted_in.filter(wrong)
    if bad.height:
        (crosses,) = ax.plot(
            _hours(bad), [used.index(number) for number in bad["row"]], "x",
            color=VERMILLION, markersize=5, markeredgewidth=1.2, zorder=4, label="went wrong", clip_on=False,
        )  # fmt: skip
        legend_below(ax, [crosses], [f"failed, uncertain, interrupted or late: {bad.height:,}"])
    counts = dict(sorted_in["row"].value_counts().iter_rows())
    ax.set_yticks(range(len(used)), [f"{rows[number].label}: {counts[number]:,}" for number in used])
    ax.set_ylim(max(1, len(used)) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0, pad=5)  # a marker at H+0 reaches over the axis
    if events.is_empty():
        note(ax, "nothing happened")
    return ax


def _hours(events: pl.DataFrame) -> Floats:
    return np.asarray(np.maximum(events["soak_s"].to_numpy(), 0.0) / SECONDS_PER_HOUR)


def _row_of(name: str) -> int:
    """Give the number of the row that an event belongs to."""
    if name.startswith("POLICY_UPDATED"):
        return len(_ROWS) - 1
    return next((number for number, row in enumerate(_ROWS) if name in row.names), len(_ROWS))
