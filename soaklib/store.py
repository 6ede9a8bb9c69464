"""The run's DuckDB file: every table's definition, how rows are appended, and how the file is opened to read.

One process at a time may hold the file open for writing: the recorder. Everything else reads through
:func:`open_read_only`, which adds the views of :mod:`soaklib.views`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from soaklib.errors import BusyError, RecordingError, RunError, SchemaError
from soaklib.memory import database_memory
from soaklib.records import RunStatus
from soaklib.views import Segment, prepare_reader

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "DATABASE_NAME",
    "SCHEMA_VERSION",
    "TABLES",
    "Manifest",
    "RunWriter",
    "Segment",
    "open_read_only",
    "segment_row",
]

SCHEMA_VERSION: Final = 1
DATABASE_NAME: Final = "run.duckdb"

READERS_LEAVE_S: Final = 10.0
"""How long, in wall seconds, a writer waits for readers to let go of the file: a look at a run is shorter."""

_LOCKED: Final = "Could not set lock"  # DuckDB's words for another process that holds the file

# No primary keys: DuckDB keeps their index in memory, and nothing here may grow with the length of a run. The keys
# are proved unique by a query instead (`duplicate keys` is a criterion).
TABLES: Final[Mapping[str, str]] = {
    "run": """
        run_id VARCHAR NOT NULL, schema_version INTEGER NOT NULL, soaklib_version VARCHAR NOT NULL,
        anchor_utc TIMESTAMPTZ NOT NULL, speed DOUBLE NOT NULL, rps DOUBLE NOT NULL, hours DOUBLE NOT NULL,
        seed BIGINT NOT NULL, target VARCHAR NOT NULL, embedded BOOLEAN NOT NULL, settings VARCHAR NOT NULL,
        plan VARCHAR NOT NULL, environment VARCHAR NOT NULL, status VARCHAR NOT NULL, completed_utc TIMESTAMPTZ,
        duration_s DOUBLE""",
    "segments": """
        segment SMALLINT NOT NULL, started_at_us BIGINT NOT NULL, soak_started_s DOUBLE NOT NULL,
        ended_at_us BIGINT, soak_ended_s DOUBLE, runner_pid INTEGER NOT NULL""",
    "outcomes": """
        purpose VARCHAR NOT NULL, slot BIGINT NOT NULL, step SMALLINT NOT NULL, role VARCHAR NOT NULL,
        tool VARCHAR NOT NULL, action VARCHAR NOT NULL, planned_at_us BIGINT NOT NULL, sent_at_us BIGINT,
        done_at_us BIGINT, status SMALLINT, kind VARCHAR NOT NULL, expected VARCHAR NOT NULL, reason VARCHAR,
        attempts SMALLINT NOT NULL, token_generation INTEGER, correlation_id VARCHAR, phase VARCHAR NOT NULL""",
    "samples": """
        at_us BIGINT NOT NULL, metric VARCHAR NOT NULL,
        labels STRUCT("key" VARCHAR, "value" VARCHAR)[] NOT NULL, "value" DOUBLE NOT NULL""",
    "scrapes": """
        at_us BIGINT NOT NULL, endpoint VARCHAR NOT NULL, status SMALLINT, ok BOOLEAN NOT NULL,
        duration_us BIGINT NOT NULL, size_bytes BIGINT NOT NULL, detail VARCHAR""",
    "events": "at_us BIGINT NOT NULL, name VARCHAR NOT NULL, detail VARCHAR NOT NULL, event_key VARCHAR",
    "runner_health": """
        at_us BIGINT NOT NULL, planned BIGINT NOT NULL, sent BIGINT NOT NULL, done BIGINT NOT NULL,
        in_flight BIGINT NOT NULL, queue_rows BIGINT NOT NULL, schedule_lag_max_us BIGINT NOT NULL,
        loop_lag_max_us BIGINT NOT NULL, connect_wait_max_us BIGINT NOT NULL, rss_bytes BIGINT NOT NULL,
        cpu_s DOUBLE NOT NULL, open_files INTEGER NOT NULL, disk_free_bytes BIGINT NOT NULL,
        clock_offset_us BIGINT NOT NULL""",
    "verdicts": """
        name VARCHAR NOT NULL, measure DOUBLE, threshold VARCHAR NOT NULL, n BIGINT NOT NULL, low DOUBLE, high DOUBLE,
        state VARCHAR NOT NULL, detail VARCHAR NOT NULL, query VARCHAR NOT NULL""",
}
"""Table name -> its columns, in the order of the matching record in :mod:`soaklib.records`."""

APPENDED: Final = ("segments", "outcomes", "samples", "scrapes", "events", "runner_health")
"""The tables that grow while a run goes on, which the recorder appends to."""

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
        runner_pid,
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
    """

    def __init__(self, path: Path, *, memory_limit_mb: int = 64) -> None:
        self.path = path
        with _recording_errors(path):
            self._connection = _connect_to_write(
                path, {"memory_limit": database_memory(memory_limit_mb * 1_000_000), "threads": 1}
            )
            for table, columns in TABLES.items():
                self._connection.execute(f"create table if not exists {table} ({columns})").fetchall()
            self._connection.execute(f"create temp table samples_staged ({_STAGED_SAMPLES})").fetchall()
            self._appenders = {
                table: self._connection.appender("samples_staged" if table == "samples" else table)
                for table in APPENDED
            }

    def append(self, batch: Mapping[str, Iterable[Sequence[object]]]) -> int:
        """Append rows to several tables in one transaction; return how many rows are now on disk."""
        rows_written = 0
        with _recording_errors(self.path):
            self._connection.begin()
            try:
                for table, rows in batch.items():
                    appender = self._appenders[table]
                    kept = [_staged(row) for row in rows] if table == "samples" else list(rows)
                    appender.append_rows(kept)
                    appender.flush()
                    if table == "samples":
                        self._connection.execute(_UNSTAGE_SAMPLES).fetchall()
                        self._connection.execute("delete from samples_staged").fetchall()
                    rows_written += len(kept)
            except BaseException:
                for appender in self._appenders.values():
                    appender.clear()
                self._connection.rollback()
                raise
            self._connection.commit()
        return rows_written

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

    def replace_verdicts(self, verdicts: Iterable[Sequence[object]]) -> None:
        """Put these verdicts in place of any earlier ones."""
        with _recording_errors(self.path):
            self._connection.begin()  # the earlier ones go when their successors are whole
            try:
                self._connection.execute("delete from verdicts").fetchall()
                for verdict in verdicts:
                    self._insert("verdicts", list(verdict))
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()

    def close(self) -> None:
        """Checkpoint and close the file; nothing of the run is left in a write-ahead log."""
        with _recording_errors(self.path):
            self._connection.execute("checkpoint").fetchall()
            self._connection.close()

    def _insert(self, table: str, values: list[object]) -> None:
        self._execute(f"insert into {table} values ({', '.join('?' * len(values))})", values)  # noqa: S608 - our name

    def _execute(self, statement: str, values: list[object]) -> None:
        with _recording_errors(self.path):
            self._connection.execute(statement, values).fetchall()


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
        msg = f"cannot write {path}: {_first_line(exc)}"
        raise RecordingError(msg) from exc


def _connect_to_write(path: Path, config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
    """Connect for writing; a reader that has the file open for a moment is waited for."""
    deadline_s = time.monotonic() + READERS_LEAVE_S
    while True:
        try:
            return duckdb.connect(str(path), config=config)
        except duckdb.IOException as exc:
            if _LOCKED not in str(exc) or time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)


def open_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a finished or crashed run's file for reading, with the macros and the view ``calls``.

    Parameters
    ----------
    path
        The DuckDB file.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Its session time zone is UTC; close it when done.

    Raises
    ------
    RunError
        There is no such file, or it is no run.
    BusyError
        A process holds it to write.
    SchemaError
        Its tables are of another schema version.
    """
    if not path.is_file():
        msg = f"{path} does not exist: pass the folder of a run (data/runs/<run-id>) or its id"
        raise RunError(msg)
    try:
        # DuckDB's own default heeds the control group while it reads in what a killed recorder left in its log. A limit
        # given here would refuse every other connection of this process to the file that does not give the same.
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as exc:
        if _LOCKED in str(exc):
            msg = f"{path} is held by the process that writes it: look again in a moment"
            raise BusyError(msg) from exc
        msg = f"{path} cannot be opened as a run: {_first_line(exc)}"
        raise RunError(msg) from exc
    try:
        _check_schema(connection, path)
        prepare_reader(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file whose tables are not exactly ours, naming the difference."""
    found = {
        str(row[0]): tuple(row[1])
        for row in connection.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns() "
            "where database_name = current_database() and schema_name = 'main' group by table_name"
        ).fetchall()
    }
    missing = sorted(set(TABLES) - set(found))
    if missing:
        msg = f"{path} is not a soaklib run: it has no table {missing[0]!r}"
        raise RunError(msg)
    row = connection.execute("select schema_version from run").fetchone()
    if row is not None and int(row[0]) != SCHEMA_VERSION:
        msg = (
            f"{path} has schema version {row[0]}, this soaklib reads {SCHEMA_VERSION}: "
            "open it with the version that made it"
        )
        raise SchemaError(msg)
    for table, columns in TABLES.items():
        expected = tuple(column.split()[0].strip('"') for column in _split_columns(columns))
        if found[table] != expected:
            msg = f"{path}: table {table!r} has columns {', '.join(found[table])}; expected {', '.join(expected)}"
            raise SchemaError(msg)


def _split_columns(columns: str) -> list[str]:
    """Split a column list at its top-level commas (a STRUCT has its own)."""
    parts, depth, current = [], 0, ""
    for character in columns:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()]


def _first_line(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).splitlines()[0]
