"""Verdicts as a table to be read: which criterion, what was measured, what is required, and why."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.charts.windows import need
from soaklib.records import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["VerdictTable", "verdict_table"]

_COLUMNS: Final = ("state", "name", "measure", "low", "high", "threshold", "n", "detail")
_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    State.PASS: ("✔", "#00664B"),
    State.FAIL: ("✘", "#B22F00"),
    State.INSUFFICIENT: ("?", "#5A5A5A"),
    State.NOT_APPLICABLE: ("·", "#5A5A5A"),
}
_CELL: Final = "text-align:left;vertical-align:top;white-space:normal;padding:0.25em 0.8em"


class VerdictTable(NamedTuple):
    """Rows of a verdict table, in HTML where a notebook shows it.

    Attributes
    ----------
    rows
        For each verdict: state, criterion, measured, required, n, what was seen.
    """

    rows: tuple[tuple[str, str, str, str, str, str], ...]

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<th style='{_CELL}'>{name}</th>"
            for name in ("", "criterion", "measured", "required", "n", "what was seen")
        )
        body = "".join(f"<tr>{_state_cell(state)}{''.join(map(_cell, rest))}</tr>" for state, *rest in self.rows)
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


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
    return VerdictTable(
        tuple(
            (state, name, _measured(measure, low, high), threshold, f"{n:,}", detail)
            for state, name, measure, low, high, threshold, n, detail in verdicts.select(_COLUMNS).iter_rows()
        )
    )


def _measured(measure: float | None, low: float | None, high: float | None) -> str:
    if measure is None:
        return "none"
    interval = "" if low is None or high is None else f" ({_number(low)} to {_number(high)})"
    return _number(measure) + interval


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3f}"


def _state_cell(state: str) -> str:
    sign, colour = _SIGNS.get(state, ("", "inherit"))
    return f"<td style='{_CELL};color:{colour};font-weight:bold;white-space:nowrap'>{sign} {html.escape(state)}</td>"


def _cell(text: str) -> str:
    return f"<td style='{_CELL}'>{html.escape(text)}</td>"
