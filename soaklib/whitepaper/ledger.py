"""The ledger: every claim of a run, made from the catalogue by asking each query once."""

from __future__ import annotations

import dataclasses
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

import soaklib
from soaklib.analysis.sources.run import Run
from soaklib.errors import SoaklibError
from soaklib.whitepaper.catalogue import CATALOGUE
from soaklib.whitepaper.claims import Claim, same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from soaklib.whitepaper.families import Family

__all__ = ["IMPORTS", "BrokenClaim", "ClaimError", "Ledger", "Row", "broken_claims", "evaluate"]

IMPORTS: Final = """\
import polars as pl

import soaklib
import soaklib.analysis.measures.changes
import soaklib.whitepaper.levels
import soaklib.whitepaper.standing
import soaklib.analysis.measures.rates
import soaklib.analysis.verdicts.summary"""
"""What has to be imported before an expression of the catalogue is asked, as somebody would type it."""

_LITERALS: Final = (str, int, float, tuple, list, type(None))


class ClaimError(SoaklibError):
    """A claim of the whitepaper does not follow from the run."""


class Row(NamedTuple):
    """One row of a family's table.

    Attributes
    ----------
    name
        ``family[key]``; a claim of it is ``family[key].column``.
    claims
        Column -> claim.
    """

    name: str
    claims: Mapping[str, Claim]


class Ledger:
    """What can be said of a run.

    Parameters
    ----------
    run
        The run.
    families
        What to ask; the whole catalogue if None.
    verdicts
        What ``soaklib.criteria(run)`` gives, where that is known; None to judge the run.
    started
        Called with the name, the 0-based place and the number of families before each is asked.
    """

    def __init__(
        self,
        run: Run,
        families: Sequence[Family] | None = None,
        *,
        verdicts: pl.DataFrame | None = None,
        started: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.claims: dict[str, Claim] = {}
        self._rows: dict[str, list[Row]] = {}
        asked = CATALOGUE if families is None else families
        library = Remembered(soaklib)
        if verdicts is not None:
            library.remember(verdicts, "criteria", run)
        frames: dict[str, pl.DataFrame] = {}
        for place, family in enumerate(asked):
            if started is not None:
                started(family.name, place, len(asked))
            query = family.query_for(run)
            if query not in frames:
                frames[query] = evaluate(run, query, library)
            self._rows[family.name] = _rows(family, query, frames[query])
            for row in self._rows[family.name]:
                self.claims |= {claim.name: claim for claim in row.claims.values()}

    def keep(self, recorded: Sequence[Claim]) -> None:
        """Take recorded claims in place of its own, which are the same to the last digit that counts.

        So a paper is built from the same claims, byte for byte, in whatever order threads add fractions up.
        """
        self.claims |= {claim.name: claim for claim in recorded}
        for family, rows in self._rows.items():
            self._rows[family] = [
                Row(row.name, {column: self.claims[claim.name] for column, claim in row.claims.items()}) for row in rows
            ]

    def __getitem__(self, name: str) -> Claim:
        try:
            return self.claims[name]
        except KeyError as exc:
            msg = f"the whitepaper names the claim {name!r}, which no query of its catalogue makes"
            raise ClaimError(msg) from exc

    def rows(self, family: str) -> list[Row]:
        """Give the rows of a family's table, in the order of its query."""
        return self._rows[family]

    def value(self, name: str) -> float:
        """Give a claim's value as a number; 0 where it is not known."""
        value = self[name].value
        return float(value) if isinstance(value, int | float) else 0.0


class Remembered:
    """A module whose functions are called once for the same run and the same literals: criteria take their time."""

    def __init__(self, module: ModuleType, memory: dict[str, object] | None = None) -> None:
        self._module, self._memory = module, {} if memory is None else memory

    def remember(self, result: object, name: str, *args: object) -> None:
        """Let a function give this when it is called with these arguments."""
        self._memory[_key(name, args, {})] = result

    def __getattr__(self, name: str) -> object:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return Remembered(found, self._memory)

        @wraps(found)
        def remembering(*args: object, **settings: object) -> object:
            told = [*args, *settings.values()]
            if not all(isinstance(value, (*_LITERALS, Run)) for value in told):
                return found(*args, **settings)  # a frame: it has no name to be remembered by
            key = _key(name, args, settings)
            if key not in self._memory:
                self._memory[key] = found(*args, **settings)
            return self._memory[key]

        return remembering


def _key(name: str, args: tuple[object, ...], settings: Mapping[str, object]) -> str:
    return f"{name}{args!r}{settings!r}"


def evaluate(run: Run, query: str, library: Remembered | None = None) -> pl.DataFrame:
    """Ask a run one query of the catalogue.

    Parameters
    ----------
    run
        The run.
    query
        SQL over the run's views; or an expression that begins with ``soaklib.``, in which ``run`` and the names of
        :data:`IMPORTS` are known. Only queries of the catalogue are ever asked, never those of a file.
    library
        What remembers the results of calls from one query to the next; None to call anew.

    Returns
    -------
    polars.DataFrame
        A result of one record (a dict, a dataclass) is one row; nested dicts become columns ``outer.inner``, an
        ``interval`` becomes ``low`` and ``high``.
    """
    if not query.startswith("soaklib."):
        return run.sql(query)
    names: dict[str, object] = {"run": run}
    exec(IMPORTS, names)  # noqa: S102 - our own words
    if library is not None:
        names["soaklib"] = library
    return _framed(eval(query, names))  # noqa: S307 - the catalogue's own expressions


def _framed(result: Any) -> pl.DataFrame:  # Any: eval says no type; a frame, a dict or a dataclass
    """Give what an expression of the catalogue gave as a frame."""
    if isinstance(result, pl.DataFrame):
        return result
    record = result if isinstance(result, dict) else {
        item.name: getattr(result, item.name) for item in dataclasses.fields(result)
    }  # fmt: skip
    return pl.DataFrame([dict(_flat(record))])


def _flat(record: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in record.items():
        if name == "interval":
            yield from zip(("low", "high"), value if isinstance(value, tuple) else (None, None), strict=True)
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list | tuple):
            yield f"{prefix}{name}", value


def _rows(family: Family, query: str, frame: pl.DataFrame) -> list[Row]:
    """Give the rows of a family's table, each with a name of its own: of two claims of one name one would be lost."""
    rows: dict[str, Row] = {}
    for record in frame.iter_rows(named=True):
        where = {name: record[name] for name in family.keys}
        key = "/".join("-" if value is None else str(value) for value in where.values())
        name = f"{family.name}[{key}]" if family.keys else family.name
        claims = {
            column: Claim.made(
                f"{name}.{column}", query, column, where, value=record[column], unit=family.unit_of(column, record),
                n=record.get(stated.n), low=record.get(stated.low), high=record.get(stated.high),
            )
            for column, stated in family.columns.items()
        }  # fmt: skip
        if name in rows:
            msg = f"two rows of what is claimed are called {name}, by {query}"
            raise ClaimError(msg)
        rows[name] = Row(name, claims)
    return list(rows.values())


class BrokenClaim(NamedTuple):
    """A claim that does not follow any more: what was recorded, and what the query gives now."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"the claim {self.name} was {self.old} and its query now gives {self.new}"


def broken_claims(recorded: Sequence[Claim], ledger: Ledger, *, is_same_version: bool = True) -> Iterator[BrokenClaim]:
    """Compare recorded claims with those that a run supports now.

    Parameters
    ----------
    recorded
        As they were written down.
    ledger
        As they are made now.
    is_same_version
        Whether this version of soaklib made them. If so, a claim that is not asked any more, is asked otherwise, or is
        missing, is broken as well: nothing stands behind it. If not, only claims that both ask alike are compared.
    """
    now = dict(ledger.claims)
    for old in recorded:
        new = now.pop(old.name, None)
        if new is None or (old.query, old.column, dict(old.where)) != (new.query, new.column, dict(new.where)):
            if is_same_version:
                yield BrokenClaim(old.name, f"{old.text} by another query", "nothing" if new is None else new.text)
            continue
        for part in ("value", "n", "low", "high"):
            if not same_value(getattr(old, part), getattr(new, part)):
                said = "" if part == "value" else f"{part} = "
                yield BrokenClaim(old.name, *(f"{said}{getattr(claim, part)}" for claim in (old, new)))
                break
        else:
            if is_same_version and (old.unit, old.text) != (new.unit, new.text):
                yield BrokenClaim(old.name, f"said as {old.text!r}", f"{new.text!r}")
    if is_same_version:
        for name, new in now.items():
            yield BrokenClaim(name, "not stated", new.text)
