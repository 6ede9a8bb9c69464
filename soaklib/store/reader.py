"""Opens a run's file to read: refuses what is no run of this schema, and adds what every reader wants."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb

from soaklib.errors import BusyError, RunError, SchemaError
from soaklib.store.faults import LOCKED, first_line
from soaklib.store.foreign import FileState, column_names, columns_of, is_kept_inside, seal_off, unlike
from soaklib.store.quoting import file_pattern, name_sql, refuse_no_text, text_sql
from soaklib.store.scratch import scratch_folder, spill_aside, spill_name
from soaklib.store.tables import SCHEMA_VERSION, added_between, defined_columns, tables_of
from soaklib.store.views import prepare_reader
from soaklib.store.writer import refuse_what_is_no_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soaklib.store.foreign import Columns

__all__ = ["add_what_it_lacks", "connect_to_read", "open_read_only", "stored_sql", "stored_version"]


_SHARED: Final[dict[str, int]] = {}
"""Which version's tables, and nothing else, was found in a database that readers share, by its spill folder's name."""

_REMEMBERED: Final = 256


def open_read_only(path: Path, *, is_foreign: bool = False, is_glance: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a finished or crashed run's file for reading, with the macros and the view ``calls``.

    A file that holds anything but a run's tables is refused before any of it is queried, whoever made it: a view, a
    macro, a default could run what its maker wrote. No extension is loaded.

    Parameters
    ----------
    path
        The DuckDB file.
    is_foreign
        Whether somebody else handed it over. Its queries then reach no file outside its folder, and no network.
    is_glance
        Whether its tables are enough: there are no macros and no views then.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Its session time zone is UTC; close it when done.

    Raises
    ------
    RunError
        There is no such file, or it is no run, or it holds more than data.
    BusyError
        A process holds it to write.
    SchemaError
        Its tables are of another schema version.
    """
    before = FileState.of(path)
    connection = connect_to_read(path)
    try:
        # what other readers of this process have opened already may be what the file was before
        shared = spill_name(connection)
        version = _SHARED.get(shared) if shared is not None else None
        if version is None:
            version = _check_schema(connection, path, before if shared is None else None)
        with _reading_errors(path):
            add_what_it_lacks(connection, version)
            if is_glance:
                connection.execute("set timezone = 'UTC'").fetchall()
                spill_aside(connection)
            else:
                prepare_reader(connection)
            _remember(shared or spill_name(connection), version)
            if is_foreign:
                _keep_inside(connection, path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _remember(shared: str | None, version: int) -> None:
    if shared is not None:
        _SHARED[shared] = version
    if len(_SHARED) > _REMEMBERED:
        del _SHARED[next(iter(_SHARED))]


def connect_to_read(path: Path) -> duckdb.DuckDBPyConnection:
    """Connect to a file as it is, before it is known what it holds; errors are those of :func:`open_read_only`."""
    if not path.is_file():
        msg = f"{path} does not exist: pass the folder of a run (data/runs/<run-id>) or its id"
        raise RunError(msg)
    refuse_no_text(path)
    with _reading_errors(path):
        # All readers of this process share one database, by its path: with one each, the first to close its file would
        # let go of the lock of all, since the kernel keeps such a lock a process. So nothing is configured here.
        connection = duckdb.connect(str(path), read_only=True)
        seal_off(connection)
    return connection


@contextmanager
def _reading_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as exc:
        if LOCKED in str(exc):
            msg = f"{path} is held by the process that writes it: look again in a moment"
            raise BusyError(msg) from exc
        msg = f"{path} cannot be opened as a run: {first_line(exc)}"
        raise RunError(msg) from exc


def _keep_inside(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Let queries reach no file outside a folder and this process's own, and no network, from now on."""
    if is_kept_inside(connection):
        return  # another reader of this process has done so
    # a folder is allowed by its name as written, which for a pattern that means only itself is another
    inside = {str(way) for place in (folder, scratch_folder()) for way in (place, file_pattern(place))}
    connection.execute(f"set allowed_directories = [{', '.join(map(text_sql, sorted(inside)))}]").fetchall()
    connection.execute("set enable_external_access = false").fetchall()


def _check_schema(connection: duckdb.DuckDBPyConnection, path: Path, before: FileState | None) -> int:
    """Refuse a file that is more than data, or whose tables are not exactly its version's; give the version."""
    if before is not None and before.version is not None and FileState.of(path) == before:
        return before.version
    with _reading_errors(path):
        refuse_what_is_no_data(connection, path, before)
        described = columns_of(connection)
        names = column_names(described)
        version = stored_version(connection, described)
        if not 1 <= version <= SCHEMA_VERSION:
            msg = (
                f"{path} has schema version {version}, this soaklib reads 1 to {SCHEMA_VERSION}: "
                "open it with the version that made it"
            )
            raise SchemaError(msg)
        tables = tables_of(version)
        differing = unlike(connection, tables, described)
        missing = [text for text in differing if text.startswith("it has no table")]
        if missing:
            msg = f"{path} is not a soaklib run: {missing[0]}"
            raise RunError(msg)
    for table, columns in tables.items():
        has, expected = names[table], [name for name, _ in defined_columns(columns)]
        if has != expected:
            msg = f"{path}: table {table!r} has columns {', '.join(has)}; expected {', '.join(expected)}"
            raise SchemaError(msg)
    if differing:
        msg = f"{path}: {differing[0]}"
        raise SchemaError(msg)
    if before is not None and FileState.of(path) == before:
        before.remember(version)
    return version


def stored_version(connection: duckdb.DuckDBPyConnection, described: Columns | None = None) -> int:
    """Give the version of the schema that a database says it has; this soaklib's where it says nothing.

    It must be known to hold nothing but data, and `described` be its columns where they are known.
    """
    if "schema_version" not in column_names(described or columns_of(connection)).get("run", ()):
        return SCHEMA_VERSION
    row = connection.execute("select schema_version from run").fetchone()
    return SCHEMA_VERSION if row is None else int(row[0])


def add_what_it_lacks(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Put a view before each table of an earlier version that has the later columns, too, as NULL."""
    for table in added_between(version, SCHEMA_VERSION):
        connection.execute(f"create temp view {table} as {stored_sql(connection, table, version)}").fetchall()


def stored_sql(connection: duckdb.DuckDBPyConnection, table: str, version: int) -> str:
    """Give the query of all that a table of a run's file holds, past any view of its name, with today's columns."""
    [(database,)] = connection.execute("select current_database()").fetchall()
    lacks = added_between(version, SCHEMA_VERSION).get(table)
    nulls = "".join(f", null::{type_} as {name_sql(name)}" for name, type_ in (defined_columns(lacks) if lacks else ()))
    return f"select *{nulls} from {name_sql(database)}.main.{name_sql(table)}"  # noqa: S608 - quoted
