"""A database of the gateway, SQLite or PostgreSQL, opened to read only."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from soaklib.errors import SettingsError, SourceError
from soaklib.safety.redaction import redacted, url_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

__all__ = ["Database", "Value", "opened"]

BATCH_ROWS: Final = 20_000
"""Rows held as Python objects at a time."""

CONNECT_TIMEOUT_S: Final = 10

Value = str | int | float | dt.datetime | None
"""What a column of a request log holds."""


class Database(Protocol):
    """What is asked of a database."""

    def columns(self, table: str) -> set[str]:
        """Give the names of a table's columns; none if there is no such table."""

    def batches(self, statement: str) -> Iterator[Sequence[tuple[Value, ...]]]:
        """Give the rows of a SELECT, some at a time."""


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database to read only, and turn its errors into ours, without the password.

    Parameters
    ----------
    url
        ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://user:password@host:port/name``.

    Raises
    ------
    SettingsError
        The URL is of another kind.
    SourceError
        The database cannot be reached, refuses the login, or fails while it is read.
    """
    path = url.removeprefix("sqlite:///")
    if path not in (url, ""):
        with _sqlite(Path(path)) as database:
            yield database
    elif url.startswith(("postgres://", "postgresql://")):
        with _postgres(url) as database:
            yield database
    else:
        message = "the database's URL is of no known kind: pass sqlite:///path or postgresql://user:password@host/name"
        raise SettingsError(message)


class _Sqlite:
    """A SQLite file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def columns(self, table: str) -> set[str]:
        """Give the names of a table's columns."""
        return {name for (name,) in self._connection.execute("select name from pragma_table_info(?)", [table])}

    def batches(self, statement: str) -> Iterator[Sequence[tuple[Value, ...]]]:
        """Give the rows of a SELECT."""
        cursor = self._connection.execute(statement)
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield rows


@contextmanager
def _sqlite(path: Path) -> Iterator[Database]:
    if not path.is_file():
        message = f"there is no SQLite file {path}: pass sqlite:///relative/path or sqlite:////absolute/path"
        raise SourceError(message)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            yield _Sqlite(connection)
    except sqlite3.Error as error:
        message = f"the SQLite file {path} cannot be read: {error}"
        raise SourceError(message) from error


class _Postgres:
    """A PostgreSQL database."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def columns(self, table: str) -> set[str]:
        """Give the names of a table's columns."""
        query = """
            select attname from pg_attribute
            where attrelid = to_regclass(quote_ident(%s)) and attnum > 0 and not attisdropped"""
        return {name for (name,) in self._connection.execute(query, [table])}

    def batches(self, statement: str) -> Iterator[Sequence[tuple[Value, ...]]]:
        """Give the rows of a SELECT, through a cursor on the server's side."""
        with self._connection.cursor("request_log", binary=True) as cursor:
            cursor.execute(statement.encode())
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows


@contextmanager
def _postgres(url: str) -> Iterator[Database]:
    try:
        import psycopg  # noqa: PLC0415 - only this database needs it
    except ImportError as error:
        message = "reading PostgreSQL needs psycopg: install soaklib[database]"
        raise SourceError(message) from error
    try:
        connecting = psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="soaklib")
        with closing(connecting) as connection:
            connection.read_only = True
            yield _Postgres(connection)
    except psycopg.Error as error:
        message = f"the PostgreSQL database cannot be read: {' '.join(redacted(str(error), url_secrets(url)).split())}"
        # The cause is left out: a complaint about the URL quotes it, password included.
        raise SourceError(message) from None
