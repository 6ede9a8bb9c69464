"""What a database dump holds, found out by reading it: rows a table, without the server that it came from."""

from __future__ import annotations

import gzip
import re
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import SourceError
from soaklib.store.bounded import DECOMPRESSION_ERRORS, Allowance, Bounded
from soaklib.store.quoting import name_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["count_dump", "dump_lines", "restore_sqlite"]

_SQLITE_START: Final = "BEGIN TRANSACTION;\n"
_SQLITE_END: Final = "COMMIT;\n"
_POSTGRES_END: Final = "-- PostgreSQL database dump complete\n"
_COPY: Final = re.compile(r"COPY (?P<table>\S+|.*\"\S*) \(.*\) FROM stdin;\n")
_MOST_WORDS: Final = 80  # SQLite quotes the statement, of which no more than this is shown
_MOST_STATEMENT_LINES: Final = 100_000

# A statement may make rows out of nothing, without an end: a dump states its rows, so both are held to its length.
_ALWAYS_BYTES: Final = 64 << 20
_MOST_GROWTH: Final = 8  # of the scratch file, its indexes included, over the dump's text
_PAGE_BYTES: Final = 4096
_STEPS_A_LOOK: Final = 10_000  # of SQLite's machine; a statement of fewer is not counted
_ALWAYS_LOOKS: Final = 10_000
_BYTES_A_LOOK: Final = 10

_ALLOWED: Final = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_REINDEX, sqlite3.SQLITE_RECURSIVE,
    }
)  # fmt: skip
"""What a dump may do: nothing that reaches outside the scratch database, such as ATTACH or a PRAGMA."""


@contextmanager
def dump_lines(dump: Path) -> Iterator[Iterator[str]]:
    """Open a dump and give its lines, their ends included.

    Raises
    ------
    SourceError
        It is cut short or damaged, also when that shows only while it is read.
    """
    try:
        with dump.open("rb") as file, gzip.open(file) as stream:
            bounded = Bounded(stream, Allowance(dump.stat().st_size, dump.name))
            yield _lines(bounded)
    except DECOMPRESSION_ERRORS as exc:
        msg = f"the dump is cut short or damaged: {exc}"
        raise SourceError(msg) from exc


def count_dump(dump: Path) -> dict[str, int]:
    """Read a dump to its end and give the number of rows of each table.

    A dump of SQLite is restored into a scratch file; of PostgreSQL's, which needs a server for that, the rows of its
    COPY blocks are counted.

    Raises
    ------
    SourceError
        It is cut short or damaged, or no dump.
    """
    with dump_lines(dump) as lines:
        first = next(lines, "")
        if first == _SQLITE_START:
            with tempfile.TemporaryDirectory(prefix="soaklib-") as folder:
                return restore_sqlite(chain([first], lines), Path(folder) / "scratch.sqlite")
        return _count_copied(chain([first], lines))


def restore_sqlite(lines: Iterable[str], into: Path) -> dict[str, int]:
    """Run a dump of SQLite into a new file and count the rows of its tables.

    Raises
    ------
    SourceError
        A statement fails, or does what no dump does: it makes far more than it states, or never comes to its end.
    """
    statement, parts, last = "", 0, ""
    length, bounded_at, looks = 0, -1, 0

    def is_too_much() -> bool:
        nonlocal looks
        looks += 1
        return looks > _ALWAYS_LOOKS + length // _BYTES_A_LOOK

    with closing(sqlite3.connect(into, isolation_level=None)) as scratch:
        scratch.execute(f"pragma page_size = {_PAGE_BYTES}")
        scratch.set_progress_handler(is_too_much, _STEPS_A_LOOK)
        try:
            for line in lines:
                statement, parts, last = statement + line, parts + 1, line
                length += len(line)
                if length > 2 * bounded_at:
                    bounded_at = length
                    _bound(scratch, _ALWAYS_BYTES + _MOST_GROWTH * length)
                if line.endswith(";\n") and sqlite3.complete_statement(statement):
                    scratch.execute(statement)
                    statement, parts = "", 0
                elif parts > _MOST_STATEMENT_LINES:
                    break
            if statement.strip() or last != _SQLITE_END:
                msg = "the dump ends in the middle of a statement"
                raise SourceError(msg)
            scratch.set_authorizer(None)
            scratch.set_progress_handler(None, 0)
            return sqlite_rows(scratch)
        except sqlite3.Error as exc:
            msg = f"the dump cannot be restored: {' '.join(str(exc).split())[:_MOST_WORDS]}"
            raise SourceError(msg) from exc


def _bound(scratch: sqlite3.Connection, most_bytes: int) -> None:
    """Let the scratch database grow so far and no further, and a dump do what a dump may."""
    scratch.set_authorizer(None)
    scratch.execute(f"pragma max_page_count = {most_bytes // _PAGE_BYTES}")
    scratch.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)


def sqlite_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Give the number of rows of each table of a SQLite database."""
    tables = connection.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name"
    ).fetchall()
    return {table: connection.execute(f"select count(*) from {name_sql(table)}").fetchone()[0] for (table,) in tables}  # noqa: S608 - our own names


def _count_copied(lines: Iterable[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    table: str | None = None
    is_whole = False
    for line in lines:
        if table is not None:
            if line == "\\.\n":
                table = None
            else:
                rows[table] += 1
        elif match := _COPY.fullmatch(line):
            table = match["table"]
            rows[table] = 0
        elif line == _POSTGRES_END:
            is_whole = True
    if not is_whole or table is not None:
        msg = "it is no whole dump of SQLite or PostgreSQL: its end is missing"
        raise SourceError(msg)
    return rows


def _lines(bounded: Bounded) -> Iterator[str]:
    """Split what a stream gives into lines, at newlines only: values hold every other line break of Unicode."""
    rest = b""
    while chunk := bounded.read():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "surrogateescape") + "\n"
    if rest:
        yield rest.decode("utf-8", "surrogateescape")
