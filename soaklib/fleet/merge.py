"""Makes one run of a fleet's databases, from the files alone: the conductor's and each lane's, or the lanes' only.

Rows are brought together by DuckDB in the order of their planned times, stretch by stretch of time, each sorted in
memory: a lane's rows are nearly in order as they are, and what a stretch does not need of its file is not read. Every
time of a lane is put on the conductor's clock by the offsets that the lane measured and found to differ, linearly
between two of them; where they differ by more than a clock drifts, one of the two was set or slept, and the earlier
holds up to the later. A call's times are all corrected by the offset at its planned one, and so its lag and its
response time stay what its own clock measured.

The conductor's file is kept as ``lanes/conductor.duckdb`` before the merged one takes its name, so that a merge can be
made again, and a run that was interrupted can go on.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import duckdb

from soaklib.errors import RecordingError, RunError, first_line
from soaklib.fleet.job import LANES_FOLDER
from soaklib.fleet.lane_run import lane_of
from soaklib.fleet.offset import IN_WORDS_KEY, kept_offsets, offset_sql
from soaklib.records import EventName, RunStatus
from soaklib.runner.events import EVENTS_SQL, write_event_log
from soaklib.safety.memory import database_memory
from soaklib.store.lock import is_owned
from soaklib.store.names import EVENT_LOG_NAME
from soaklib.store.quoting import text_sql
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME, TABLES, defined_columns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from soaklib.fleet.lanes import Lane

__all__ = ["CONDUCTOR_NAME", "Source", "conductor_database", "merge", "read_source", "unmerge"]

CONDUCTOR_NAME: Final = "conductor.duckdb"
_PART_NAME: Final = f".{DATABASE_NAME}.part"
_MEMORY_BYTES: Final = 2 << 30
_ROWS_AT_ONCE = 2_000_000  # some hundred bytes each while they are sorted
_TIMES: Final = frozenset(
    {
        "at_us", "planned_at_us", "sent_at_us", "done_at_us", "first_byte_at_us", "first_token_at_us", "started_at_us",
        "ended_at_us",
    }
)  # fmt: skip
_OF_LANES: Final = ("segments", "outcomes", "events", "runner_health")
_ORDER: Final = {
    "segments": "started_at_us, lane", "outcomes": "planned_at_us, slot, step", "events": "at_us", "samples": "at_us",
    "scrapes": "at_us", "runner_health": "at_us",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Source:
    """A database that goes into a merge.

    Attributes
    ----------
    path
        The file.
    lane
        Whose it is; None for the conductor's.
    run_id, anchor_us, status
        Which run it is of, and how it ended there.
    environment
        What its manifest says of where it was made.
    identity
        What must be the same in all files of a run.
    offsets
        (time, offset) in microseconds by the lane's clock, in order, as they are applied.
    in_words_us
        When the first was told that stands in the file in words alone, and is not applied; None where there is none.
    """

    path: Path
    lane: Lane | None
    run_id: str
    anchor_us: int
    status: str
    environment: dict[str, Any]
    identity: tuple[Any, ...]
    offsets: tuple[tuple[int, int], ...]
    in_words_us: int | None


def conductor_database(folder: Path) -> Path:
    """Give the conductor's file of a run: the one that was kept, or that of the run while it was never merged."""
    kept = folder / LANES_FOLDER / CONDUCTOR_NAME
    return kept if kept.exists() else folder / DATABASE_NAME


def unmerge(folder: Path) -> None:
    """Put the conductor's file back in its place, for a run that goes on."""
    kept = folder / LANES_FOLDER / CONDUCTOR_NAME
    if kept.exists():
        (folder / f"{DATABASE_NAME}.wal").unlink(missing_ok=True)  # of the merged file, whose judge was killed
        kept.replace(folder / DATABASE_NAME)
        kept.unlink(missing_ok=True)  # of one file with two names, as a merge leaves that died, both would stay


def read_source(path: Path) -> Source:
    """Look at a file that is to go into a merge.

    Raises
    ------
    RunError
        It is no run, or holds more than data, or somebody still writes it.
    """
    try:
        connection = open_read_only(path, is_glance=True)
    except RunError as exc:
        if str(path) in str(exc):
            raise
        msg = f"{path}: {exc}"
        raise RunError(msg) from exc
    try:
        row = connection.execute(
            "select run_id, epoch_us(anchor_utc), status, environment, speed, rps, hours, seed, plan from run"
        ).fetchone()
        offsets, in_words_us = kept_offsets(connection)
    finally:
        connection.close()
    if row is None:
        msg = f"{path}: the run has no manifest row: it ended before it began"
        raise RunError(msg)
    run_id, anchor_us, status, environment, *identity = row
    return Source(
        path=path, lane=lane_of(environment), run_id=run_id, anchor_us=anchor_us, status=status,
        environment=json.loads(environment),
        identity=(run_id, anchor_us, *identity[:-1], json.loads(identity[-1])), offsets=offsets,
        in_words_us=in_words_us,
    )  # fmt: skip


def merge(folder: Path, lanes: Sequence[Path]) -> Path:
    """Make the merged database of a run's folder.

    Parameters
    ----------
    folder
        The run's folder, with the conductor's database, or none where there was no conductor.
    lanes
        The lanes' databases, all of them.

    Returns
    -------
    pathlib.Path
        The merged database.

    Raises
    ------
    RunError
        The files are not those of one run, or not all, or one is still written.
    RecordingError
        It cannot be written.
    """
    for path in lanes:
        if is_owned(path.parent):
            msg = f"{path.parent} is still being written by its sender: wait for it, or stop it"
            raise RunError(msg)
    conductor = conductor_database(folder)
    sources = [read_source(path) for path in lanes]
    _refuse_what_does_not_belong_together(sources)
    whole = _whole(conductor, sources[0]) if conductor.exists() else None
    if whole is not None:
        sources.insert(0, whole)
    part = folder / _PART_NAME
    part.unlink(missing_ok=True)
    try:
        anchor_utc, events = _bring_together(part, sources)
    except duckdb.Error as exc:
        part.unlink(missing_ok=True)
        msg = f"cannot merge into {part}: {first_line(exc)}"
        raise RecordingError(msg) from exc
    if whole is not None and conductor == folder / DATABASE_NAME:
        _keep(conductor, folder / LANES_FOLDER / CONDUCTOR_NAME)
    write_event_log(folder / EVENT_LOG_NAME, anchor_utc, events)
    return part.replace(folder / DATABASE_NAME)


def _whole(path: Path, lane: Source) -> Source | None:
    """Give the conductor's file; None where what is there was merged of lanes alone."""
    source = read_source(path)
    if source.lane is not None or source.identity != lane.identity:
        msg = f"{path} is of another run than {lane.path}"
        raise RunError(msg)
    if "lanes" not in source.environment:
        return source
    if source.environment.get("conducted", True):
        msg = (
            f"{path} is merged already, and {LANES_FOLDER}/{CONDUCTOR_NAME} is not there, "
            "without which the run would lose its probes and events"
        )
        raise RunError(msg)
    return None


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name; its first may then go to another without a moment in which there is none."""
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)


def _refuse_what_does_not_belong_together(sources: Sequence[Source]) -> None:
    """Refuse lanes of several runs, a lane twice, and a lane that is not there."""
    lanes: list[Lane] = []
    for source in sources:
        if source.lane is None:
            msg = f"{source.path} is no lane's"
            raise RunError(msg)
        lanes.append(source.lane)
        if source.identity != sources[0].identity or source.lane.of != lanes[0].of:
            msg = f"{source.path} is of another run than {sources[0].path}"
            raise RunError(msg)
    numbers = sorted(lane.number for lane in lanes)
    if not lanes:
        msg = "there is no lane to merge: pass folders that soaklib send or soaklib run --senders left"
        raise RunError(msg)
    lacking = sorted(set(range(lanes[0].of)) - set(numbers))
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if lacking or twice:
        what = f"lacks lane {_listed(lacking)}" if lacking else f"has lane {_listed(twice)} twice"
        msg = f"the run of {lanes[0].of} lanes {what}: merge the folders of all lanes, each once"
        raise RunError(msg)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _bring_together(part: Path, sources: Sequence[Source]) -> tuple[dt.datetime, list[tuple[int, str, str]]]:
    """Write the merged database; give the run's anchor, and its events as its log has them."""
    with duckdb.connect(
        str(part), config={"memory_limit": database_memory(_MEMORY_BYTES), "temp_directory": str(part.parent)}
    ) as connection:
        for table, columns in TABLES.items():
            connection.execute(f"create table {table} ({columns})").fetchall()
        for number, source in enumerate(sources):
            connection.execute(f"attach {text_sql(str(source.path))} as s{number} (read_only)").fetchall()
            connection.execute(f"create temp macro ahead{number}(us) as {offset_sql(source.offsets)}").fetchall()
            connection.execute(f"create temp macro corrected{number}(us) as us - ahead{number}(us)").fetchall()
        _insert_run(connection, sources)
        for table in _ORDER:
            if table == "outcomes":
                for from_us, to_us in _stretches(connection, sources):
                    _insert(connection, table, sources, (from_us, to_us))
            else:
                _insert(connection, table, sources)
        connection.execute("checkpoint").fetchall()
        [(anchor_utc,)] = connection.execute("select anchor_utc from run").fetchall()
        return anchor_utc, connection.execute(EVENTS_SQL).fetchall()


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, sources: Sequence[Source], planned: tuple[int, int] | None = None
) -> None:
    """Append the rows of all files to a table in their order; of `planned`, those that were planned in that stretch.

    What is of one instant stands by file, and in a file as it was written, so that a merge made again is the same.
    """
    parts = []
    for number, source in enumerate(sources):
        if table in _OF_LANES or source.lane is None:
            columns = [*_columns(table, number, source), f'{number} as "file"', 'rowid as "row"']
            part = f"select {', '.join(columns)} from s{number}.{table}"  # noqa: S608 - our own names
            parts.append(part if planned is None else f"{part} where {_planned_in(number, source, *planned)}")
        if table == "events" and source.lane is not None and source.in_words_us is not None:
            parts.append(_in_words(number, source.lane, source.in_words_us, is_corrected=bool(source.offsets)))
    if parts:
        connection.execute(
            f'insert into {table} select * exclude ("file", "row") from ({" union all ".join(parts)})'  # noqa: S608 - our own names and numbers
            f' order by {_ORDER[table]}, "file", "row"'
        ).fetchall()


def _in_words(number: int, lane: Lane, at_us: int, *, is_corrected: bool) -> str:
    """Give SQL for an event that says which offsets of a lane are not applied."""
    its = "corrected by its other measurements" if is_corrected else "its own clock's"
    told = (
        f"lane={lane.number} how far its clock was ahead stands in its file in words alone, as earlier builds wrote "
        f"it: its times are {its}"
    )
    said = {
        "at_us": f"{at_us} - ahead{number}({at_us})", "name": text_sql(EventName.CLOCK_OFFSET_UNKNOWN),
        "detail": text_sql(told), "event_key": text_sql(f"lane{lane.number}:{IN_WORDS_KEY}"),
    }  # fmt: skip
    columns = (f"{said.get(name, 'null')} as {name}" for name, _ in defined_columns(TABLES["events"]))
    return f'select {", ".join(columns)}, {number} as "file", -1 as "row"'


def _planned_in(number: int, source: Source, from_us: int, to_us: int) -> str:
    """Give SQL for a row's being planned in a stretch, by the conductor's clock.

    The file's own times bound it as well, by which whole parts of the file are left out unread.
    """
    most_us = max((abs(offset) for _, offset in source.offsets), default=0)
    bounds = f"s{number}.outcomes.planned_at_us between {from_us - most_us} and {to_us + most_us}"
    if not most_us or source.lane is None:
        return f"s{number}.outcomes.planned_at_us >= {from_us} and s{number}.outcomes.planned_at_us < {to_us}"
    time = f"corrected{number}(s{number}.outcomes.planned_at_us)"
    return f"{bounds} and {time} >= {from_us} and {time} < {to_us}"


def _stretches(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> list[tuple[int, int]]:
    """Cut the time of all calls into stretches of so few calls that their rows are put in order in memory."""
    times = " union all ".join(
        f"select {'planned_at_us' if source.lane is None else f'corrected{number}(planned_at_us)'} as at_us"  # noqa: S608 - our own numbers
        f" from s{number}.outcomes"
        for number, source in enumerate(sources)
    )
    [(rows, first_us, last_us)] = connection.execute(
        f"select count(*), min(at_us), max(at_us) from ({times})"  # noqa: S608 - as above
    ).fetchall()
    if not rows:
        return []
    count = -(-rows // _ROWS_AT_ONCE)
    edges = [first_us + (last_us + 1 - first_us) * n // count for n in range(count + 1)]
    return list(pairwise(edges))


def _insert_run(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> None:
    """Write the manifest: the conductor's; of lanes alone the first lane's, and a segment for all of them."""
    connection.execute("insert into run select * from s0.run").fetchall()
    environment = {name: said for name, said in sources[0].environment.items() if name != "lane"}
    environment["conducted"] = sources[0].lane is None
    environment["lanes"] = {
        str(source.lane.number): source.environment | {"status": source.status, "offsets_us": source.offsets}
        for source in sources
        if source.lane is not None
    }
    connection.execute("update run set environment = $1", [json.dumps(environment)]).fetchall()
    if sources[0].lane is None:
        return
    statuses = {source.status for source in sources}
    if RunStatus.COMPLETED in statuses:  # what the others did not send is missed up to there
        status = RunStatus.COMPLETED.value
    else:
        status = statuses.pop() if len(statuses) == 1 else RunStatus.INTERRUPTED.value
    connection.execute("update run set status = $1", [status]).fetchall()
    lanes = " union all ".join(
        f"select corrected{number}(started_at_us) - soak_started_s * 1e6 / speed as start_us,"  # noqa: S608 - our own numbers
        f" corrected{number}(ended_at_us) as ended_at_us, soak_ended_s from s{number}.segments, s{number}.run"
        for number in range(len(sources))
    )
    # where nobody set the start beforehand, it is when the lanes began to send, less what of the plan was over by then
    start = sources[0].environment["start_us"]
    start = "quantile_disc(start_us, 0.5)" if start is None else int(start)
    connection.execute(
        f"""insert into segments select 0, {start}, 0, max(ended_at_us), max(soak_ended_s), 0, null
            from ({lanes}) having count(*) > 0"""  # noqa: S608 - our own numbers
    ).fetchall()


def _columns(table: str, number: int, source: Source) -> list[str]:
    """Give what each column of a table is in the merged run."""
    return [_column(table, name, number, source) for name, _ in defined_columns(TABLES[table])]


def _column(table: str, name: str, number: int, source: Source) -> str:
    quoted = f'"{name}"'
    if source.lane is None:
        return quoted
    lane = source.lane.number
    if name in _TIMES:
        at = "planned_at_us" if table == "outcomes" else quoted
        return f"{quoted} - ahead{number}({at}) as {quoted}"
    if name == "lane":
        return f"{lane} as lane"
    if table == "events" and name == "event_key":
        return f"'lane{lane}:' || event_key as event_key"
    if table == "events" and name == "detail":
        return f"case when detail like 'lane %' then detail else 'lane={lane} ' || detail end as detail"
    return quoted
