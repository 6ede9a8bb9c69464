"""One number of the whitepaper, or one word that depends on the run, with the query that gives it.

``claims.json`` is a list of them. An entry can be recomputed from itself alone: ``query`` is SQL over the run's views
or a call of this library, ``where`` picks the row of what it gives and ``column`` the cell::

    run = soaklib.open_run(folder)
    run.sql(entry["query"])  # or, when it begins with ``soaklib.``, the expression itself, after ledger.IMPORTS
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from soaklib.errors import RunError
from soaklib.reports.wording import Value, places_for, worded, worded_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["CLAIMS_NAME", "Claim", "read_claims", "same_value", "written"]

CLAIMS_NAME: Final = "claims.json"

_TOLERANCE: Final = 1e-9
"""Relative. Whole numbers have to be the same; sums of fractions depend on the order in which threads add them."""

_KEPT_DIGITS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the whitepaper says of one thing.

    Attributes
    ----------
    name
        Unique: ``family.column``, or ``family[key].column`` for a row of a table.
    query
        SQL, or a call of the library.
    column
        Column of what the query gives that holds the value.
    where
        Column -> value that picks the row; empty where there is one.
    value, unit
        The value; ``""`` for what has no unit.
    n
        Observations behind it; None where it counts nothing.
    low, high
        Its interval; None where none applies.
    text
        How it is said.
    """

    name: str
    query: str
    column: str
    where: Mapping[str, Value] = field(default_factory=dict)
    value: Value
    unit: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""

    @classmethod
    def made(
        cls,
        name: str,
        query: str,
        column: str,
        where: Mapping[str, Value],
        *,
        value: object,
        unit: str,
        n: object,
        low: object,
        high: object,
    ) -> Claim:
        """Give the claim on a cell as a query gave it, with its wording."""
        kept = _plain(value)
        least, most = _number(low), _number(high)
        return cls(
            name=name, query=query, column=column, where=dict(where), value=kept, unit=unit,
            n=None if n is None else int(str(n)), low=least, high=most,
            text=worded(_said(value), unit, places_for(least, most)),
        )  # fmt: skip

    def worded(self, part: str) -> str:
        """Give how the value is said, or its ``n``, ``low``, ``high`` or ``interval`` (both)."""
        match part:
            case "value":
                return self.text
            case "n":
                return worded(self.n, "")
            case "low":
                return worded(self.low, self.unit, places_for(self.low, self.high))
            case "high":
                return worded(self.high, self.unit, places_for(self.low, self.high))
            case "interval":
                return worded_interval(self.low, self.high, self.unit)
        msg = f"{self.name} has no {part!r}: value, n, low, high or interval can be said of it"
        raise KeyError(msg)


def _plain(value: object) -> Value:
    """Give a value as JSON keeps it: times as ISO 8601, no NaN, fractions to 12 digits."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return float(f"{value:.{_KEPT_DIGITS}g}") if math.isfinite(value) else None
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat()
    return str(value)


def _said(value: object) -> Value:
    return value if isinstance(value, dt.datetime) else _plain(value)


def _number(value: object) -> float | None:
    kept = _plain(value)
    return float(kept) if isinstance(kept, int | float) else None


def same_value(old: object, new: object) -> bool:
    """Say whether two recorded values are the same: whole numbers exactly, fractions to nine digits."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return type(old) is type(new) and old == new


def written(claims: Iterable[Claim]) -> str:
    """Give claims as the text of claims.json."""
    return json.dumps([asdict(claim) for claim in claims], indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_claims(folder: Path) -> list[Claim] | None:
    """Read the claims of a run's folder; None where there are none yet.

    Raises
    ------
    RunError
        The file is no list of claims.
    """
    path = folder / CLAIMS_NAME
    if not path.is_file():
        return None
    try:
        return [Claim(**entry) for entry in json.loads(path.read_text("utf-8"))]
    except (ValueError, TypeError) as exc:
        msg = f"{path} is no list of claims ({exc}); make it anew with: python -m soaklib.report RUN --renew"
        raise RunError(msg) from exc
