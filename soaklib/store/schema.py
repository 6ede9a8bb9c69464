"""Is a database that someone handed over a run's, and nothing but that? Asked before any of it is queried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.errors import RunError
from soaklib.store.faults import first_line
from soaklib.store.foreign import columns_of, not_data, unlike
from soaklib.store.reader import connect_to_read, stored_version
from soaklib.store.tables import SCHEMA_VERSION, tables_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["foreign_schema"]


def foreign_schema(database: Path) -> list[str]:
    """Compare a DuckDB file with a run's: its tables, with their columns, order, types and constraints.

    Returns
    -------
    list of str
        A sentence for each thing that is not as in a run; of a file that holds more than data, only for that.
    """
    try:
        with connect_to_read(database) as connection:
            if found := not_data(connection):
                return found
            described = columns_of(connection)
            version = min(
                max(1, stored_version(connection, described)), SCHEMA_VERSION
            )  # any other is told by who opens it
            return unlike(connection, tables_of(version), described)
    except RunError as exc:
        return [f"it cannot be opened: {first_line(exc.__cause__ or exc)}"]
