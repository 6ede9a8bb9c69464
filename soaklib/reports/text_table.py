"""A table of values as text: for a terminal and a .txt file, or as Markdown."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Strong", "cell", "markdown_table", "plain_table"]

_WHOLE_FROM: Final = 999_999.5  # six digits of it would be told with an exponent

_MARKUP: Final = str.maketrans({character: f"\\{character}" for character in "\\|<[`*"})


class Strong(str):
    """Words of ours that stand out: bold in Markdown."""

    __slots__ = ()


def cell(value: object) -> str:
    """Give a value as people read it: separators, six significant digits, UTC to the second, - for none."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return _number(value)
        case dt.datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}Z"
        case _:
            return " ".join(str(value).split())


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return str(value)
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= _WHOLE_FROM else f"{value:,.6g}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Give a Markdown table; what would end a cell, or begin markup of a stranger's, is escaped."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def told(value: object) -> str:
        text = cell(value).translate(_MARKUP)
        return f"**{text}**" if isinstance(value, Strong) else text

    head = [line(text.translate(_MARKUP) for text in columns), line(["---"] * len(columns))]
    return "\n".join([*head, *(line(map(told, row)) for row in rows)])


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Give a table of columns that are as wide as they must be; numbers stand at the right."""
    values = [list(row) for row in rows]
    texts = [list(columns), *([cell(value) for value in row] for row in values)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(columns))]
    right = [
        bool(values) and all(isinstance(row[place], int | float | None) for row in values)
        for place in range(len(columns))
    ]
    return "\n".join(
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    )
