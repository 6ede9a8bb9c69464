"""Do the books of tokens and money agree? What answers state beside what the gateway counted, key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.charts.legend import legend_below
from soaklib.charts.looks import BLUE, SKY, VERMILLION
from soaklib.charts.notes import note
from soaklib.charts.numbers import number_formatter
from soaklib.charts.theme import themed
from soaklib.charts.windows import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["usage_books"]

_COLUMNS: Final = ("source", "stated_most", "counted", "lost", "too_many")
_HEIGHT: Final = 0.38
_MOST_CHARACTERS: Final = 18
_ELLIPSIS: Final = "\u2026"
_MOST_ROWS: Final = 8


@themed
def usage_books(tokens: pl.DataFrame, spend: pl.DataFrame, *, figure: Figure) -> Figure:
    """Draw tokens in, tokens out and US dollars: for each key or model what answers state, and what was counted.

    What is lost, or counted beyond what calls explain, is marked. Of more than eight keys those with such a difference
    and the largest are shown, and the others as one. What nobody knows to have been counted has no bar. A book that was
    not kept has no axes; where none was, a sentence says so.

    Parameters
    ----------
    tokens, spend
        As :func:`soaklib.tokens` and :func:`soaklib.spend` give them, by key or by model: ``direction`` (of tokens),
        ``key`` or ``model``, ``source``, ``stated_most``, ``counted``, ``lost``, ``too_many``.
    figure
        An empty figure; it gets an axes for each book.

    Returns
    -------
    matplotlib.figure.Figure
        The same.

    Raises
    ------
    SettingsError
        A frame lacks a column.
    """
    need(tokens, ("direction", _whose(tokens), *_COLUMNS), "soaklib.tokens(run, by='key')")
    need(spend, (_whose(spend), *_COLUMNS), "soaklib.spend(run, by='key')")
    books = [
        (tokens.filter(direction="in"), "tokens in"),
        (tokens.filter(direction="out"), "tokens out"),
        (spend, "US dollars"),
    ]
    kept = [(_few(frame), what) for frame, what in books if frame.height]
    if not kept:
        ax = figure.subplots()
        ax.set_axis_off()
        note(ax, "no answer states tokens or money\nthat a counter of the gateway could be held against")
        return figure
    heights = [frame.height + 1 for frame, _ in kept]
    column = figure.subplots(len(kept), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (frame, what) in zip(column, kept, strict=True):
        _draw(ax, frame, what)
    _explain(column[-1], pl.concat([frame.select(_COLUMNS).cast({"stated_most": pl.Float64}) for frame, _ in kept]))
    return figure


def _few(frame: pl.DataFrame) -> pl.DataFrame:
    """Give so few rows that they can be read: those that differ and the largest, and the sum of the others."""
    if frame.height <= _MOST_ROWS:
        return frame
    ranked = frame.with_row_index("place").sort(
        pl.col("lost") + pl.col("too_many"), "stated_most", descending=True, maintain_order=True
    )
    first, others = ranked.head(_MOST_ROWS - 1).sort("place"), ranked.tail(-(_MOST_ROWS - 1))
    summed = others.select(
        pl.lit(f"{others.height} others").alias(_whose(frame)),
        pl.col("source").first(),
        pl.col("stated_most").sum(),
        pl.when(pl.col("counted").count() > 0).then(pl.col("counted").sum()),
        pl.col("lost", "too_many").sum(),
    )
    return pl.concat([first.select(summed.columns), summed])


def _whose(frame: pl.DataFrame) -> str:
    return "model" if "model" in frame.columns else "key"


def _draw(ax: Axes, frame: pl.DataFrame, what: str) -> None:
    for place, row in enumerate(frame.iter_rows(named=True)):
        stated, counted = row["stated_most"], row["counted"]
        ax.barh(place - _HEIGHT / 2, stated, _HEIGHT, color=SKY, gid="stated")
        if counted is None:
            ax.text(0.0, place + _HEIGHT / 2, " not known", va="center", fontsize="small", gid="not known")
            continue
        ax.barh(place + _HEIGHT / 2, counted, _HEIGHT, color=BLUE, gid="counted")
        # both ways: what was counted too often of one key makes nothing good that is missing of another
        for wrong in filter(None, (row["lost"], -row["too_many"])):
            ax.barh(place + _HEIGHT / 2, wrong, _HEIGHT, left=counted, color=VERMILLION, hatch="//", gid="wrong")
    names = [_short(name) for name in frame[_whose(frame)].to_list()]
    ax.set_yticks(range(frame.height), names)
    ax.set_ylim(frame.height - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_formatter(number_formatter())
    ax.set_xlim(left=0.0)
    ax.set_xlabel(what)


def _short(name: str | None) -> str:
    name = name or "no key"
    return name if len(name) <= _MOST_CHARACTERS else name[: _MOST_CHARACTERS - 1] + _ELLIPSIS


def _explain(ax: Axes, rows: pl.DataFrame) -> None:
    sources = " and ".join(rows["source"].unique().sort())
    bars = [(ax.barh(0, 0, color=SKY), "stated by answers"), (ax.barh(0, 0, color=BLUE), f"counted by the {sources}")]
    if (rows["lost"] + rows["too_many"] > 0).any():
        bars.append((ax.barh(0, 0, color=VERMILLION, hatch="//"), "lost, or beyond what calls explain"))
    legend_below(ax, [bar[0] for bar, _ in bars], [label for _, label in bars])
