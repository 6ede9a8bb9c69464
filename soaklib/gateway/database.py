"""SQLite and PostgreSQL behind one interface: make the tables, upsert rows in one transaction.

A batch goes in with a few statements of many rows. Inserting row by row would let go of the interpreter lock and
ask for it again at every row, and each time wait for the event loop to let go of it. The numbers of rows are powers
of two: both drivers keep the statements they have seen, and a statement for every number would be a slow leak.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from soaklib.gateway.records import TABLES, ColumnType, Row, Table

if TYPE_CHECKING:
    import psycopg

SqlValue = str | int | float | datetime | None


class DatabaseError(Exception):
    """The database cannot be reached or refuses what it is asked."""


class Database(Protocol):
    """A place for rows. Used by one thread at a time."""

    path: Path | None
    """The file it is, while it is open; None where it is none."""

    def open(self) -> None:
        """Connect and make the tables that are missing; raise `DatabaseError` when that fails."""

    def write(self, rows: Sequence[Row]) -> None:
        """Upsert rows, all or none; raise `DatabaseError` when that fails."""

    def close(self) -> None:
        """Disconnect; what was temporary is removed."""


def database_from_url(url: str | None) -> Database:
    """Return the database of a URL that the settings have checked; None is a private temporary file."""
    if url is None:
        return SqliteDatabase(None)
    parts = urlsplit(url)
    # As elsewhere: sqlite:///relative/path, sqlite:////absolute/path.
    return SqliteDatabase(Path(parts.path[1:])) if parts.scheme == "sqlite" else PostgresDatabase(url)


def create_statement(table: Table, types: dict[ColumnType, str]) -> str:
    """Return the statement that makes a table unless it exists."""
    columns = ", ".join(f"{name} {types[kind]}" for name, kind in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({columns}, PRIMARY KEY ({table.key}))"


@lru_cache(maxsize=128)
def upsert_statement(table: Table, rows: int, placeholder: str) -> str:
    """Return the statement that inserts so many rows or replaces those with the same key."""
    names = [name for name, _ in table.columns]
    row = f"({', '.join([placeholder] * len(names))})"
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join([row] * rows)} "  # noqa: S608 - own names
        f"ON CONFLICT ({table.key}) DO UPDATE SET {changes}"
    )


def powers_of_two(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into parts whose lengths are powers of two, the largest first."""
    start = 0
    while start < len(rows):
        length = 1 << ((len(rows) - start).bit_length() - 1)
        yield rows[start : start + length]
        start += length


def newest_by_table(rows: Iterable[Row]) -> dict[type[Row], list[Row]]:
    """Sort rows by their table; of several with the same key only the newest stays, since one statement takes one."""
    by_key: dict[type[Row], dict[str, Row]] = {}
    for row in rows:
        by_key.setdefault(type(row), {})[row[0]] = row
    return {kind: list(keyed.values()) for kind, keyed in by_key.items()}


class SqliteDatabase:
    """A SQLite file.

    Parameters
    ----------
    path
        The file, made when it does not exist; None is one in a private folder that `close` removes.
    """

    _TYPES: dict[ColumnType, str] = {  # noqa: RUF012 - a constant
        "text": "TEXT",
        "integer": "INTEGER",
        "real": "REAL",
        "boolean": "INTEGER",
        "time": "TEXT",
    }

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._folder: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Connect and make the tables that are missing."""
        if self.path is None:
            self._folder = Path(tempfile.mkdtemp(prefix="soaklib-gateway-"))
            self.path = self._folder / "gateway.sqlite"
        path = self.path
        try:
            # Opened in the main thread, so that a bad path is refused at the start; then used by the writer alone.
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            for table in TABLES.values():
                self._connection.execute(f"{create_statement(table, self._TYPES)} WITHOUT ROWID")
        except sqlite3.Error as problem:
            message = f"{path}: {problem}"
            raise DatabaseError(message) from problem

    def write(self, rows: Sequence[Row]) -> None:
        """Upsert rows, all or none."""
        if self._connection is None:
            self.open()
        connection = self._connection
        if connection is None:
            message = "the database is closed"
            raise DatabaseError(message)
        try:
            connection.execute("BEGIN")
            try:
                for kind, found in newest_by_table(rows).items():
                    table = TABLES[kind]
                    times = [index for index, (_, column) in enumerate(table.columns) if column == "time"]
                    for part in powers_of_two(found):
                        values = [_without_nul(value) for row in part for value in _with_iso_times(row, times)]
                        connection.execute(upsert_statement(table, len(part), "?"), values)
            except sqlite3.Error:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as problem:
            raise DatabaseError(str(problem)) from problem

    def close(self) -> None:
        """Disconnect; a temporary file is removed with its folder."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self.path = None


class PostgresDatabase:
    """A PostgreSQL database, through psycopg.

    Parameters
    ----------
    url
        A connection URL, ``postgresql://...``.
    """

    _TYPES: dict[ColumnType, str] = {  # noqa: RUF012 - a constant
        "text": "TEXT",
        "integer": "INTEGER",
        "real": "DOUBLE PRECISION",
        "boolean": "BOOLEAN",
        "time": "TIMESTAMPTZ",
    }

    def __init__(self, url: str) -> None:
        self.path: Path | None = None
        self._url = url
        self._connection: psycopg.Connection | None = None

    def open(self) -> None:
        """Connect and make the tables that are missing."""
        try:
            import psycopg  # noqa: PLC0415 - only this database needs it
        except ImportError as problem:
            message = "PostgreSQL needs psycopg: install soaklib[gateway]"
            raise DatabaseError(message) from problem
        try:
            self._connection = psycopg.connect(self._url, connect_timeout=5, application_name="soaklib-gateway")
            with self._connection.transaction(), self._connection.cursor() as cursor:
                for table in TABLES.values():
                    cursor.execute(create_statement(table, self._TYPES).encode())
        except psycopg.Error as problem:
            message = str(problem).strip()
            raise DatabaseError(message) from problem

    def write(self, rows: Sequence[Row]) -> None:
        """Upsert rows, all or none; a lost connection is made anew at the next call."""
        import psycopg  # noqa: PLC0415 - only this database needs it

        if self._connection is None:
            self.open()
        connection = self._connection
        if connection is None:
            message = "the database is closed"
            raise DatabaseError(message)
        try:
            with connection.transaction(), connection.cursor() as cursor:
                for kind, found in newest_by_table(rows).items():
                    table = TABLES[kind]
                    times = [index for index, (_, column) in enumerate(table.columns) if column == "time"]
                    for part in powers_of_two(found):
                        values = [_without_nul(value) for row in part for value in _with_times(row, times)]
                        cursor.execute(upsert_statement(table, len(part), "%s").encode(), values)
        except psycopg.Error as problem:
            self._connection = None
            with suppress(psycopg.Error):  # the connection is given up, whatever it says to that
                connection.close()
            raise DatabaseError(str(problem).strip()) from problem

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _with_times(row: Row, times: Sequence[int]) -> list[SqlValue]:
    values: list[SqlValue] = list(row)
    for index in times:
        value = values[index]
        if isinstance(value, float):
            values[index] = datetime.fromtimestamp(value, UTC)
    return values


def _without_nul(value: SqlValue) -> SqlValue:
    # PostgreSQL has no NUL in a text, and in a dump of SQLite a text ends there; one that a caller sent must not keep a
    # batch from being written.
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _with_iso_times(row: Row, times: Sequence[int]) -> list[SqlValue]:
    values = _with_times(row, times)
    for index in times:
        value = values[index]
        if isinstance(value, datetime):
            values[index] = value.isoformat(timespec="microseconds")
    return values
