"""Tables to be read: verdicts, with what fails first, events, and any frame."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.charts.windows import need
from soaklib.records import State
from soaklib.records.moments import soak_text
from soaklib.records.units import unit_behind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["EventTable", "FrameTable", "VerdictTable", "event_table", "frame_table", "verdict_table"]

_COLUMNS: Final = ("state", "name", "measure", "low", "high", "threshold", "n", "detail")
_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    State.FAIL: ("✘", "#B22F00"),
    State.INSUFFICIENT: ("?", "#5A5A5A"),
    State.NOT_APPLICABLE: ("·", "#5A5A5A"),
    State.PASS: ("✔", "#00664B"),
}
"""State -> its sign and colour, in the order in which a reader wants to see them."""

_TABLE: Final = "width:100%;table-layout:auto"  # the last column, which says most, has at least 45 %
_CELL: Final = "text-align:left;vertical-align:top;white-space:normal;padding:0.35em 0.6em"
_FIGURES: Final = _CELL.replace("left", "right")
_WORDS: Final = f"{_CELL};overflow-wrap:anywhere"  # of any length: no table is wider than its notebook
# white on the state's own colour is readable whatever the theme's background is
_BADGE: Final = "color:white;font-weight:bold;white-space:nowrap;border-radius:0.3em;padding:0.1em 0.5em"
_ASIDE: Final = "opacity:0.8"
_PLACES: Final = 3
_MOST_PLACES: Final = 10
_WHOLE: Final = 100.0
_FOUR_DIGITS: Final = 999.5


class VerdictTable(NamedTuple):
    """Rows of a verdict table, in HTML where a notebook shows it.

    Attributes
    ----------
    rows
        For each verdict: state, criterion, measured, required, n, what was seen. Failures stand first, then what could
        not be judged, then what passed; within each the order is that of the criteria.
    """

    rows: tuple[tuple[str, str, str, str, str, str], ...]

    def _repr_html_(self) -> str:
        return _table(("", "criterion", "what was seen"), "".join(map(_row, self.rows)))


class EventTable(NamedTuple):
    """Rows of an event table, in HTML where a notebook shows it.

    Attributes
    ----------
    rows
        For each event: soak time, UTC date and time of day, name, detail.
    """

    rows: tuple[tuple[str, str, str, str], ...]

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td style='{_CELL}'>{soak_time}</td><td style='{_CELL}'>{at}</td>"
            f"<td style='{_WORDS}'>{html.escape(name)}</td><td style='{_WORDS}'>{html.escape(detail)}</td></tr>"
            for soak_time, at, name, detail in self.rows
        )
        return _table(("soak time", "UTC", "event", "detail"), body)


class FrameTable(NamedTuple):
    """Rows of a frame, in HTML where a notebook shows it: texts without quotes, numbers to the right.

    Attributes
    ----------
    heads
        Name of each column, and whether it is one of numbers.
    rows
        What is written.
    """

    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        looks = [_FIGURES if is_number else _CELL for _, is_number in self.heads]
        heads = "".join(
            f"<th style='{look}'>{html.escape(name)}</th>" for look, (name, _) in zip(looks, self.heads, strict=True)
        )
        body = "".join(
            f"<tr>{''.join(map(_written, looks, row))}</tr>" for row in self.rows
        )  # fmt: skip
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def frame_table(frame: pl.DataFrame, *, places: Mapping[str, int] | None = None) -> FrameTable:
    """Make a frame readable.

    Parameters
    ----------
    frame
        All its rows are written; what is null or no number is left empty.
    places
        Column -> decimal places of its numbers; those of other columns have four significant digits.
    """
    known = places or {}

    def cell(name: str, value: object) -> str:
        if isinstance(value, float):
            if math.isnan(value):
                return ""
            return f"{value:,.{known[name]}f}" if name in known else _four_digits(value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return f"{value:,}" if is_number else "" if value is None else str(value)

    rows = (tuple(cell(name, value) for name, value in zip(frame.columns, row, strict=True)) for row in frame.rows())
    heads = zip(frame.columns, (kind.is_numeric() for kind in frame.dtypes), strict=True)
    return FrameTable(tuple(heads), tuple(rows))


def verdict_table(verdicts: pl.DataFrame) -> VerdictTable:
    """Make verdicts readable.

    Parameters
    ----------
    verdicts
        As :func:`soaklib.criteria` or ``run.verdicts()`` gives them.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(verdicts, _COLUMNS, "soaklib.criteria(run)")
    rows = [
        (state, name, _measured(name, measure, low, high), threshold, f"{n:,}", detail)
        for state, name, measure, low, high, threshold, n, detail in verdicts.select(_COLUMNS).iter_rows()
    ]
    order = list(_SIGNS)
    return VerdictTable(tuple(sorted(rows, key=lambda row: order.index(row[0]))))


def event_table(events: pl.DataFrame) -> EventTable:
    """Make events readable.

    Parameters
    ----------
    events
        As ``run.events()`` gives them.

    Raises
    ------
    SettingsError
        The frame lacks a column.
    """
    need(events, ("at", "soak_s", "name", "detail"), "run.events()")
    return EventTable(
        tuple(
            (soak_text(soak_s), f"{at:%Y-%m-%d %H:%M:%S}", name, detail)
            for at, soak_s, name, detail in events.select("at", "soak_s", "name", "detail").iter_rows()
        )
    )


def _measured(name: str, measure: float | None, low: float | None, high: float | None) -> str:
    if measure is None:
        return "nothing"
    interval = "" if low is None or high is None else f" ({_number(low)} to {_number(high)})"
    return f"{_number(measure)} {unit_behind(name, measure)}".rstrip() + interval


def _number(value: float) -> str:
    """Give a whole number as one and others with three decimals: more where a share would become none, or all."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    texts = (f"{value:,.{places}f}" for places in range(_PLACES, _MOST_PLACES))
    return next((text for text in texts if abs(float(text.replace(",", ""))) not in {0.0, _WHOLE}), f"{value:g}")


def _four_digits(value: float) -> str:
    """Give four significant digits, but all of a whole number's: no exponent says how many seconds a day has."""
    return f"{value:,.0f}" if _FOUR_DIGITS <= abs(value) < math.inf else f"{value:,.4g}"


def _written(look: str, text: str) -> str:
    return f"<td style='{look}'>{html.escape(text)}</td>"


def _table(names: tuple[str, ...], body: str) -> str:
    *first, last = names
    heads = "".join(f"<th style='{_CELL}'>{name}</th>" for name in first)
    heads += f"<th style='{_CELL};width:45%'>{last}</th>"
    return f"<table style='{_TABLE}'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: tuple[str, str, str, str, str, str]) -> str:
    state, name, measured, threshold, n, detail = map(html.escape, row)
    sign, colour = _SIGNS[row[0]]
    return (
        f"<tr><td style='{_CELL}'><span style='{_BADGE};background:{colour}'>{sign} {state}</span></td>"
        f"<td style='{_CELL}'><b>{name}</b><br><span style='{_ASIDE}'>required: {threshold}</span></td>"
        f"<td style='{_WORDS}'>{detail}<br><span style='{_ASIDE}'>measured: {measured}; n = {n}</span></td></tr>"
    )
