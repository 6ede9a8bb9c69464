"""A family of claims: one query, and what is said of each column of the rows that it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soaklib.analysis.sources.run import Run

__all__ = ["Family", "Stated"]


class Stated(NamedTuple):
    """What is said of a column: its unit, and the columns that hold n and the interval."""

    unit: str = ""
    n: str = ""
    low: str = ""
    high: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One query, and the claims that are made of each of its rows.

    Attributes
    ----------
    name
        Begins the name of each of its claims.
    query
        SQL, or an expression that begins with ``soaklib.``; a function of the run where its text depends on it.
    columns
        Column -> what is said of it.
    keys
        Columns that tell rows apart; none where there is one row.
    units
        Key -> unit of ``measure``, where that differs from row to row.
    """

    name: str
    query: str | Callable[[Run], str]
    columns: Mapping[str, Stated]
    keys: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)

    def query_for(self, run: Run) -> str:
        """Give the query as it is asked of a run, without the margin that it has in the source: a call is one line."""
        text = self.query if isinstance(self.query, str) else self.query(run)
        if text.lstrip().startswith("soaklib."):
            return " ".join(text.split()).replace(" .", ".")
        lines = [line.rstrip() for line in text.strip("\n").splitlines()]
        margin = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
        return "\n".join(line[margin:] for line in lines).strip()

    def unit_of(self, column: str, record: Mapping[str, Any]) -> str:
        """Give a column's unit in a row."""
        if column == "measure" and self.units:
            return self.units.get(str(record[self.keys[0]]), "")
        return self.columns[column].unit
