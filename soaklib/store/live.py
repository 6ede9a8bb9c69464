"""Looking at a run while it is being written: the two ends of one arrangement.

DuckDB lets no second process open a file that a writer holds. So a reader asks, by touching a file in the run's
folder, and the recorder answers: a thread of its process, with a cursor of its own, copies the rows that are new since
the last time into a Parquet file and then names all parts in ``parts.json``. Appending goes on meanwhile (DuckDB's
readers do not wait for its writers, nor hold them up), and a part is never changed once it is named. Parts are merged
in the manner of a log-structured merge tree, so that a reader that stays for a day sees tens of files, not thousands.
Parts of half a million rows are sealed: never merged again, and written whether anybody asks or not, so that even the
first look at a very large run has no more than that to wait for. A smaller run that nobody looks at writes nothing.

It costs the writer no pause: the alternatives that were weighed, a checkpoint and a copy of the whole file, or a second
database that is attached for each update, hold the one writing connection for as long as they take.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from typing import TYPE_CHECKING, Final, TypedDict

import duckdb

from soaklib.errors import RunError, first_line
from soaklib.store.lock import RunLock, is_owned
from soaklib.store.quoting import parquet_sql, text_sql
from soaklib.store.tables import APPENDED, TABLES
from soaklib.store.views import prepare_reader
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Publisher", "is_published", "open_live"]

_FOLDER: Final = "live"
_REQUEST: Final = "request"
_PARTS: Final = "parts.json"
_LOOK_EVERY_S: Final = 0.25
_ANSWER_WITHIN_S: Final = 15.0
_MERGE_AT: Final = 8
_SMALL_ROWS: Final = 10_000
_SEALED_ROWS: Final = 500_000
_SEAL_EVERY_S: Final = 5.0
_KEEP_MERGED_S: Final = 120.0
_TRY_AGAIN_EVERY_S: Final = 60.0


class _Part(TypedDict):
    """Rows `start` to `end` (exclusive) of a table, in a file."""

    file: str
    start: int
    end: int
    tier: int


class _Published(TypedDict):
    """Everything there is to see, as of a time."""

    at: float
    tables: dict[str, list[_Part]]


class Publisher:
    """Answers readers' requests, in a thread of the recorder's process.

    Parameters
    ----------
    run_folder
        The run's folder.
    connect
        Gives a connection to the file that is being written.
    warn
        Takes, once, why readers get no answer.
    """

    def __init__(
        self, run_folder: Path, connect: Callable[[], duckdb.DuckDBPyConnection], *, warn: Callable[[str], None]
    ) -> None:
        self._folder = run_folder / _FOLDER
        self._alive = RunLock(self._folder)  # readers see by it that someone answers, the kernel lets go of it
        self._connect = connect
        self._parts: dict[str, list[_Part]] = {}
        self._merged: list[tuple[float, Path]] = []
        self._files = 0
        self._answered_ns = 0
        self._seal_at_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._warn = warn

    def start(self) -> None:
        """Start looking for requests."""
        shutil.rmtree(self._folder, ignore_errors=True)  # of an earlier segment
        self._folder.mkdir(mode=0o700)
        self._alive.__enter__()
        self._thread.start()

    def stop(self) -> None:
        """Stop, and take away what was published: the file itself can be read from now on."""
        self._stop.set()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._alive.__exit__()

    def _run(self) -> None:
        connection: duckdb.DuckDBPyConnection | None = None
        pause_s, was_told = _LOOK_EVERY_S, False
        while not self._stop.wait(pause_s):
            try:
                connection = connection or self._connect()
                self._look(connection)
            except (duckdb.Error, OSError, MemoryError) as exc:  # a reader's wish must not end the run: it is tried
                connection = None  # again, with another connection, less and less often
                pause_s = min(2 * pause_s, _TRY_AGAIN_EVERY_S)
                if not was_told:
                    was_told = True
                    self._warn(f"the run cannot be looked at while it goes on, tried again: {first_line(exc)}")
            else:
                pause_s = _LOOK_EVERY_S

    def _look(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Seal what is due, and answer whoever has asked."""
        if time.monotonic() >= self._seal_at_s:
            self._seal(connection)
            self._seal_at_s = time.monotonic() + _SEAL_EVERY_S
        request = self._folder / _REQUEST
        if request.exists() and (asked_ns := request.stat().st_mtime_ns) > self._answered_ns:
            self._publish(connection)
            self._answered_ns = asked_ns

    def _seal(self, connection: duckdb.DuckDBPyConnection) -> None:
        for table in APPENDED:
            start, end = self._unpublished(connection, table)
            # A stop waits for the part that is being written, and for no other.
            while end - start >= _SEALED_ROWS and not self._stop.is_set():
                self._parts[table].append(self._write(connection, table, start, start + _SEALED_ROWS))
                start += _SEALED_ROWS

    def _publish(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._seal(connection)
        at = time.time()
        for table in APPENDED:
            start, end = self._unpublished(connection, table)
            parts = self._parts[table]
            if end > start:
                parts.append(self._write(connection, table, start, end))
            self._merge(connection, table, parts)
        published: _Published = {"at": at, "tables": self._parts | {"run": [self._write_run(connection)]}}
        with whole_file(self._folder / _PARTS) as part:
            part.write_text(json.dumps(published), "utf-8")
        while self._merged and self._merged[0][0] < at - _KEEP_MERGED_S:
            self._merged.pop(0)[1].unlink(missing_ok=True)

    def _unpublished(self, connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
        """Give the start and the end of the rows that are in no part yet."""
        parts = self._parts.setdefault(table, [])
        end = int(_one(connection, f"select count(*) from {table}"))  # noqa: S608 - rows are only ever added
        return parts[-1]["end"] if parts else 0, end

    def _write(self, connection: duckdb.DuckDBPyConnection, table: str, start: int, end: int) -> _Part:
        self._files += 1
        name = f"{table}-{self._files}.parquet"
        path = self._folder / name
        try:
            connection.execute(
                f"copy (select * from {table} where rowid >= {start} and rowid < {end}) "  # noqa: S608 - our own names
                f"to {text_sql(path)} (format parquet, compression zstd)"
            ).fetchall()
        except BaseException:
            path.unlink(missing_ok=True)  # no half part takes room on a full disk
            raise
        return {"file": name, "start": start, "end": end, "tier": _tier(end - start)}

    def _write_run(self, connection: duckdb.DuckDBPyConnection) -> _Part:
        part = self._write(connection, "run", 0, 1)
        self._merged.append((time.time(), self._folder / part["file"]))
        return part

    def _merge(self, connection: duckdb.DuckDBPyConnection, table: str, parts: list[_Part]) -> None:
        """Put one part in place of the last parts of a tier when there are enough of them."""
        while len(parts) >= _MERGE_AT and len({part["tier"] for part in parts[-_MERGE_AT:]}) == 1:
            old = parts[-_MERGE_AT:]
            if old[-1]["end"] - old[0]["start"] > _SEALED_ROWS:
                return
            merged = self._write(connection, table, old[0]["start"], old[-1]["end"])
            parts[-_MERGE_AT:] = [merged]
            self._merged += [(time.time(), self._folder / part["file"]) for part in old]


def _tier(rows: int) -> int:
    """Give the tier of a part by its size, so that a large one is not written anew for the sake of a few small ones."""
    return int(math.log(max(rows, _SMALL_ROWS) / _SMALL_ROWS, _MERGE_AT))


def is_published(run_folder: Path) -> bool:
    """Say whether a recorder answers requests for this run."""
    return is_owned(run_folder / _FOLDER)


def open_live(run_folder: Path) -> duckdb.DuckDBPyConnection:
    """Ask the recorder for what it has now, and give a connection that sees it.

    Raises
    ------
    RunError
        No answer came.
    """
    folder = run_folder / _FOLDER
    published = _ask(folder)
    connection = duckdb.connect()
    try:
        for table, columns in TABLES.items():
            parts = published["tables"].get(table, [])
            if parts:
                files = parquet_sql(*(folder / part["file"] for part in parts))
                source = f"create view {table} as select * from {files}"  # noqa: S608 - quoted
            else:
                source = f"create table {table} ({columns})"
            connection.execute(source).fetchall()
        prepare_reader(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(folder: Path) -> _Published:
    asked = time.time()
    try:
        (folder / _REQUEST).touch()
        while time.time() < asked + _ANSWER_WITHIN_S:
            parts = folder / _PARTS
            if parts.exists():
                published: _Published = json.loads(parts.read_text("utf-8"))
                if published["at"] >= asked:
                    return published
            elif not folder.is_dir():  # there is nobody left who could answer
                break
            time.sleep(_LOOK_EVERY_S / 5)
    except FileNotFoundError as exc:
        raise RunError(_just_ended(folder)) from exc
    if not folder.is_dir():
        raise RunError(_just_ended(folder))
    msg = f"the recorder of {folder.parent} did not answer within {_ANSWER_WITHIN_S:g} s"
    raise RunError(msg)


def _just_ended(folder: Path) -> str:
    return f"the run in {folder.parent} has just ended; open it again"


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])
