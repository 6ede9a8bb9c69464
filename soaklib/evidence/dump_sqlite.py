"""The dump of a SQLite database, consistent while its owner writes."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from soaklib.errors import SourceError
from soaklib.evidence.dump_reading import dump_lines, restore_sqlite, sqlite_rows
from soaklib.evidence.manifest import TableRows
from soaklib.store.quoting import name_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

__all__ = ["dump_sqlite"]


def dump_sqlite(
    source: Path, dump: Path, scratch: Path, *, holds_secrets: Callable[[str, Collection[str]], bool]
) -> tuple[TableRows, ...]:
    """Dump a database, restore the dump and count.

    What is dumped is a copy, taken in one step by SQLite's online backup: a snapshot that holds no writer up.

    Parameters
    ----------
    source
        The database.
    dump
        The file to write, SQL compressed by gzip.
    scratch
        An empty folder for the copy and for the restored database.
    holds_secrets
        Says of a table and its columns whether it goes in as schema only.

    Returns
    -------
    tuple of TableRows
        What was dumped, and found in the restored database.

    Raises
    ------
    SourceError
        There is no such database, it cannot be read, or what is restored is not what was dumped.
    """
    if not source.is_file():
        msg = f"there is no SQLite file {source}"
        raise SourceError(msg)
    copy = scratch / "copy.sqlite"
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(copy, isolation_level=None)) as copied,
        ):
            original.backup(copied, pages=-1)
            tables = _without_secrets(copied, holds_secrets)
            _refuse_what_no_dump_holds(copied)
            with dump.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped:
                for statement in copied.iterdump():
                    zipped.write(f"{statement}\n".encode())
    except sqlite3.Error as exc:
        msg = f"the SQLite file {source} cannot be dumped: {exc}"
        raise SourceError(msg) from exc
    with dump_lines(dump) as lines:
        restored = restore_sqlite(lines, scratch / "restored.sqlite")
    dumped = {table.table: table.rows for table in tables}
    if restored != dumped:
        msg = f"the dump does not restore to what was dumped: {restored} instead of {dumped} rows"
        raise SourceError(msg)
    return tables


def _refuse_what_no_dump_holds(copy: sqlite3.Connection) -> None:
    """Refuse a database with a NUL in a text: SQL ends the text there, and the rest would be gone without a word."""
    for table in sqlite_rows(copy):
        for (column,) in copy.execute("select name from pragma_table_info(?)", [table]).fetchall():
            of_it = f"typeof({name_sql(column)}) = 'text' and instr(cast({name_sql(column)} as blob), x'00') > 0"
            query = f"select count(*) from {name_sql(table)} where {of_it}"  # noqa: S608 - quoted
            if rows := copy.execute(query).fetchone()[0]:
                msg = f"{rows} texts in the column {column} of {table} hold a NUL, which a dump in SQL cannot hold"
                raise SourceError(msg)


def _without_secrets(
    copy: sqlite3.Connection, holds_secrets: Callable[[str, Collection[str]], bool]
) -> tuple[TableRows, ...]:
    """Empty the copy's tables that hold secrets; give what is left."""
    copy.execute("pragma foreign_keys = off")
    secret = set()
    for table in sqlite_rows(copy):
        columns = [name for (name,) in copy.execute("select name from pragma_table_info(?)", [table])]
        if holds_secrets(table, columns):
            copy.execute(f"delete from {name_sql(table)}")  # noqa: S608 - quoted
            secret.add(table)
    return tuple(
        TableRows(table=table, rows=rows, schema_only=table in secret) for table, rows in sqlite_rows(copy).items()
    )
