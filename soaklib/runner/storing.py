"""Appends a batch of rows, or all of it but the rows that the database refuses.

A row may be refused for its values, which nothing checks on the hot path: an id that is no text, a number out of range.
Those beside it in the batch are whole, and are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from soaklib.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soaklib.store.writer import RunWriter

__all__ = ["Refusal", "Stored", "store"]

_OF_VALUES: Final = (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError)
"""What DuckDB raises for what a row holds; its other errors are of the file, the memory, or its own."""


class Refusal(NamedTuple):
    """A row that was not stored: whose it was, and why."""

    table: str
    reason: str


class Stored(NamedTuple):
    """What became of a batch: how many of its rows are on disk, and those that are not."""

    rows: int
    refused: list[Refusal]


def store(writer: RunWriter, batch: Mapping[str, Sequence[Sequence[Any]]]) -> Stored:
    """Append a batch in one transaction; if a row of it is refused, in as many as it takes to find the row.

    Raises
    ------
    RecordingError
        Nothing can be written any more.
    """
    try:
        return Stored(writer.append(batch), [])
    except RecordingError as exc:
        if not isinstance(exc.__cause__, _OF_VALUES):
            raise
        refusal = str(exc.__cause__)
    except (TypeError, ValueError, LookupError, ArithmeticError) as exc:  # from bringing a row into its columns' form
        refusal = f"{type(exc).__name__}: {exc}"
    parts = _parts(batch)
    if not parts:
        return Stored(0, [Refusal(table, refusal) for table in batch])
    stored = [store(writer, part) for part in parts]
    return Stored(sum(part.rows for part in stored), [row for part in stored for row in part.refused])


def _parts(batch: Mapping[str, Sequence[Sequence[Any]]]) -> list[dict[str, Sequence[Sequence[Any]]]]:
    """Split a batch by table, and the rows of one table in two; one row alone is not split."""
    if len(batch) > 1:
        return [{table: rows} for table, rows in batch.items()]
    return [
        {table: half}
        for table, rows in batch.items()
        if len(rows) > 1
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :])
    ]
