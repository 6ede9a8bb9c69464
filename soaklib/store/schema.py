"""Is a database that someone handed over a run's, and nothing but that? Asked before any of it is queried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.errors import RunError
from soaklib.store.faults import first_line
from soaklib.store.foreign import FileState, columns_of, not_data, unlike
from soaklib.store.reader import connect_to_read, stored_version
from soaklib.store.scratch import spill_name
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
    before = FileState.of(database)
    try:
        with connect_to_read(database) as connection:
            is_shared = spill_name(connection) is not None  # with a reader of what the file may have been before
            if found := not_data(connection):
                return found
            described = columns_of(connection)
            stored = stored_version(connection, described)
            version = min(max(1, stored), SCHEMA_VERSION)  # any other is told by who opens it
            differing = unlike(connection, tables_of(version), described)
    except RunError as exc:
        return [f"it cannot be opened: {first_line(exc.__cause__ or exc)}"]
    is_a_runs = version == stored and not differing and not is_shared
    if is_a_runs and before is not None and FileState.of(database) == before:
        before.remember(version)  # who opens it need not ask again
    return differing
