"""The one writer of a run's DuckDB file, and what a run is when it starts.

One process at a time may hold the file open for writing: the recorder. Everything else reads through
:func:`~soaklib.store.writer.reader.open_read_only`, which adds the views of :mod:`soaklib.store.views`.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from soaklib.errors import RecordingError, RunError
from soaklib.records import JUDGING, RunStatus
from soaklib.safety.memory import database_memory
from soaklib.store.faults import LOCKED, first_line
from soaklib.store.foreign import FileState, not_data, seal_off
from soaklib.store.quoting import name_sql, refuse_no_text
from soaklib.store.tables import (
    APPENDED,
    NOTHING_SAID,
    OUTCOME_ALWAYS,
    SCHEMA_VERSION,
    TABLES,
    added_between,
    defined_columns,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from soaklib.store.views import Segment

__all__ = ["Manifest", "RunWriter", "refuse_what_is_no_data", "replace_verdicts", "segment_row"]

READERS_LEAVE_S: Final = 10.0
"""How long, in wall seconds, a writer waits for readers to let go of the file: a look at a run is shorter."""

# DuckDB's appender takes a dict with the keys `key` and `value` for a MAP, so labels travel as two lists.
_STAGED_SAMPLES: Final = 'at_us BIGINT, metric VARCHAR, label_keys VARCHAR[], label_values VARCHAR[], "value" DOUBLE'
_UNSTAGE_SAMPLES: Final = """
    insert into samples
    select at_us, metric,
           list_transform(list_zip(label_keys, label_values),
                          lambda pair: struct_pack("key" := pair[1], "value" := pair[2])),
           "value"
    from samples_staged"""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a run is: written when it starts, finished when it ends, interruption included.

    Attributes
    ----------
    run_id
        Name of the run and of its folder.
    soaklib_version
        The version that made it.
    anchor_utc
        UTC time at which the run's monotonic clock read 0.
    speed
        Soak seconds per wall second.
    rps
        Slots a soak-second.
    hours
        Planned length in soak-hours.
    seed
        Seed of the workload.
    target
        Base URL of the gateway under load.
    embedded
        Whether that gateway was the reference gateway started by the run.
    settings, plan, environment
        JSON texts: the settings in force, the plan, and host, Python and package versions.
    """

    run_id: str
    soaklib_version: str
    anchor_utc: dt.datetime
    speed: float
    rps: float
    hours: float
    seed: int
    target: str
    embedded: bool
    settings: str
    plan: str
    environment: str


def segment_row(segment: Segment, *, runner_pid: int) -> tuple[object, ...]:
    """Give the row for ``segments`` of a segment."""
    return (
        segment.segment, segment.started_at_us, segment.soak_started_s, segment.ended_at_us, segment.soak_ended_s,
        runner_pid, segment.lane,
    )  # fmt: skip


class RunWriter:
    """The one writer of a run's file.

    Rows are appended inside a transaction each :meth:`append`, so that what it returned from is on disk whatever
    happens to the process.

    Parameters
    ----------
    path
        The DuckDB file; made when it is not there.
    memory_limit_mb
        Bound on DuckDB's buffer memory, so that the writer stays flat over a day; less where this process may not use
        twice as much.

    Raises
    ------
    RecordingError
        The file cannot be opened or written.
    RunError
        It holds more than the data of a run, or its path is no UTF-8 text.
    """

    def __init__(self, path: Path, *, memory_limit_mb: int = 64) -> None:
        self.path = path
        refuse_no_text(path)
        with _recording_errors(path):
            before = FileState.of(path)
            is_new = not path.exists()  # DuckDB does not read a log without its file, so nothing here could run
            self._connection = _connect_to_write(
                path, {"memory_limit": database_memory(memory_limit_mb * 1_000_000), "threads": 1}
            )
            seal_off(self._connection)
            if not is_new:
                self._refuse_foreign(before)
            if is_new or before is None or before.version != SCHEMA_VERSION or FileState.of(path) != before:
                self._connection.begin()  # one transaction is faster than one a table
                for table, columns in TABLES.items():
                    self._connection.execute(f"create table if not exists {table} ({columns})").fetchall()
                self._connection.commit()
                self._add_what_it_lacks()
                self._version = SCHEMA_VERSION if is_new else None  # what else a file holds, its reader asks
            else:
                self._version = before.version
            self._connection.execute(f"create temp table samples_staged ({_STAGED_SAMPLES})").fetchall()
            self._appenders = {
                table: self._connection.appender("samples_staged" if table == "samples" else table)
                for table in APPENDED
            }
            always = [name for name, _ in defined_columns(TABLES["outcomes"])][:OUTCOME_ALWAYS]
            self._short_outcomes = self._connection.appender("outcomes", columns=always)

    def _refuse_foreign(self, before: FileState | None) -> None:
        """Refuse a file that holds more than data: a trigger, a default or a macro would run as rows are written."""
        try:
            refuse_what_is_no_data(self._connection, self.path, before)
        except BaseException:
            self._connection.close()
            raise

    def _add_what_it_lacks(self) -> None:
        """Bring a run of an earlier version that goes on to this one: what it lacked is NULL in what is there."""
        has = self._connection.execute("select schema_version from run where schema_version < ?", [SCHEMA_VERSION])
        if not (found := has.fetchall()):
            return
        self._connection.begin()
        for table, added in added_between(found[0][0], SCHEMA_VERSION).items():
            for name, type_ in defined_columns(added):
                self._connection.execute(
                    f"alter table {table} add column if not exists {name_sql(name)} {type_}"
                ).fetchall()
        self._connection.execute("update run set schema_version = ?", [SCHEMA_VERSION]).fetchall()
        self._connection.commit()

    def append(self, batch: Mapping[str, Iterable[Sequence[object]]]) -> int:
        """Append rows to several tables in one transaction; return how many rows are now on disk."""
        rows_written = 0
        with _recording_errors(self.path):
            self._connection.begin()
            try:
                for table, rows in batch.items():
                    appender, kept = self._to_append(table, rows)
                    appender.append_rows(kept)
                    appender.flush()
                    if table == "samples":
                        self._connection.execute(_UNSTAGE_SAMPLES).fetchall()
                        self._connection.execute("delete from samples_staged").fetchall()
                    rows_written += len(kept)
            except BaseException:
                for appender in (*self._appenders.values(), self._short_outcomes):
                    appender.clear()
                self._connection.rollback()
                raise
            self._connection.commit()
        return rows_written

    def _to_append(
        self, table: str, rows: Iterable[Sequence[object]]
    ) -> tuple[duckdb.Appender, list[Sequence[object]]]:
        """Give what takes a table's rows, and these in its form; outcomes are short where all of them are."""
        if table == "samples":
            return self._appenders[table], [_staged(row) for row in rows]
        kept = list(rows)
        if table != "outcomes":
            return self._appenders[table], kept
        if all(len(row) == OUTCOME_ALWAYS for row in kept):
            return self._short_outcomes, kept
        return self._appenders[table], [(*row, *NOTHING_SAID) if len(row) == OUTCOME_ALWAYS else row for row in kept]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Give another connection to the file, for a thread that reads it while this one writes."""
        return self._connection.cursor()

    def begin_run(self, manifest: Manifest) -> None:
        """Write the manifest row, with status ``running``."""
        values = [
            manifest.run_id, SCHEMA_VERSION, manifest.soaklib_version, manifest.anchor_utc, manifest.speed,
            manifest.rps, manifest.hours, manifest.seed, manifest.target, manifest.embedded, manifest.settings,
            manifest.plan, manifest.environment, RunStatus.RUNNING.value, None, None,
        ]  # fmt: skip
        self._insert("run", values)

    def end_segment(self, segment: Segment) -> None:
        """Note where the segment's runner stopped."""
        self._execute(
            "update segments set ended_at_us = ?, soak_ended_s = ? where segment = ?",
            [segment.ended_at_us, segment.soak_ended_s, segment.segment],
        )

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT over what has been written."""
        with _recording_errors(self.path):
            return self._connection.execute(query, list(values)).fetchall()

    def reopen_run(self) -> None:
        """Put an ended or crashed run back to ``running``."""
        self._execute("update run set status = ?, completed_utc = null, duration_s = null", [RunStatus.RUNNING.value])

    def end_run(self, status: RunStatus, *, completed_utc: dt.datetime, duration_s: float) -> None:
        """Finish the manifest: how the run ended, when (UTC), and after how many wall seconds."""
        self._execute(
            "update run set status = ?, completed_utc = ?, duration_s = ?", [status.value, completed_utc, duration_s]
        )

    def note_environment(self, name: str, value: Mapping[str, object]) -> None:
        """Add to an entry of the manifest's environment what became known later."""
        [(text,)] = self.read("select environment from run")
        environment = json.loads(text)
        environment[name] = {**environment.get(name, {}), **value}
        self._execute("update run set environment = ?", [json.dumps(environment)])

    def replace_verdicts(self, verdicts: Iterable[Sequence[object]]) -> None:
        """Put these verdicts in place of any earlier ones, as given by this soaklib's way of judging."""
        with _recording_errors(self.path):
            replace_verdicts(self._connection, verdicts)

    def close(self) -> None:
        """Checkpoint and close the file; nothing of the run is left in a write-ahead log."""
        with _recording_errors(self.path):
            self._connection.execute("checkpoint").fetchall()
            written = FileState.of(self.path)
            self._connection.close()
            if written is not None and FileState.of(self.path) == written:
                # nobody else could write while this held it
                written.remember(self._version)

    def _insert(self, table: str, values: list[object]) -> None:
        self._execute(f"insert into {table} values ({', '.join('?' * len(values))})", values)  # noqa: S608 - our name

    def _execute(self, statement: str, values: list[object]) -> None:
        with _recording_errors(self.path):
            self._connection.execute(statement, values).fetchall()


def replace_verdicts(connection: duckdb.DuckDBPyConnection, verdicts: Iterable[Sequence[object]]) -> None:
    """Put verdicts in place of a run's earlier ones, in a database of any version of the schema."""
    connection.begin()  # the earlier ones go when their successors are whole
    try:
        connection.execute("delete from verdicts").fetchall()
        for verdict in verdicts:
            places = ", ".join("?" * len(verdict))
            connection.execute(f"insert into verdicts values ({places})", list(verdict)).fetchall()  # noqa: S608 - ours
        judged = json.dumps({"judged": {"by": JUDGING}})
        connection.execute("update run set environment = json_merge_patch(environment, ?)", [judged]).fetchall()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _staged(sample: Sequence[Any]) -> tuple[object, ...]:
    """Give a :class:`~soaklib.records.Sample` with its label pairs split into keys and values."""
    at_us, metric, labels, value = sample
    return at_us, metric, [pair[0] for pair in labels], [pair[1] for pair in labels], float(value)


@contextmanager
def _recording_errors(path: Path) -> Iterator[None]:
    """Turn DuckDB's and the file system's errors into the one that ends a run loudly."""
    try:
        yield
    except (duckdb.Error, OSError) as exc:
        msg = f"cannot write {path}: {first_line(exc)}"
        raise RecordingError(msg) from exc


def _connect_to_write(path: Path, config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
    """Connect for writing; a reader that has the file open for a moment is waited for."""
    deadline_s = time.monotonic() + READERS_LEAVE_S
    while True:
        try:
            return duckdb.connect(str(path), config=config)
        except duckdb.IOException as exc:
            if LOCKED not in str(exc) or time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)


def refuse_what_is_no_data(connection: duckdb.DuckDBPyConnection, path: Path, before: FileState | None) -> None:
    """Raise ``RunError`` if a database holds views, macros or whatever else a run's never has: it would be run.

    A file is looked through once, for as long as nothing touches it; `before` is its state before it was connected to,
    None where what the connection sees may be something else.
    """
    is_the_same = before is not None and FileState.of(path) == before
    if before is not None and is_the_same and before.is_data:
        return
    if found := not_data(connection):
        msg = f"{path} holds more than the data of a run, and none of it is read: {'; '.join(found)}"
        raise RunError(msg)
    if before is not None and is_the_same:
        before.remember()
