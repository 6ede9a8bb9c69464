"""The client's answers against the rows of the gateway's request log, one by one, by correlation id."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.pairs import ANSWER_SQL, Answer, Cause
from soaklib.analysis.books.spare import SpareCalls
from soaklib.analysis.books.tallies import edges_of, window_sql
from soaklib.analysis.sources.request_log import REQUEST_LOG_SCHEMA, read_database
from soaklib.errors import SettingsError, SourceError
from soaklib.store.quoting import file_pattern
from soaklib.store.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.books.readings import Reading
    from soaklib.analysis.sources.run import Run

__all__ = ["LOG_ROWS_SCHEMA", "log_rows"]

LOG_ROWS_SCHEMA: Final = pl.Schema(
    {
        "win": pl.Int64(), "outcome": pl.String(), "tool": pl.String(), "action": pl.String(), "reason": pl.String(),
        "client_rows": pl.Int64(), "database_rows": pl.Int64(), "cause": pl.String(), "detail": pl.String(),
    }
)  # fmt: skip
"""Columns of :func:`log_rows`."""

_NEEDED: Final = ("at", "correlation_id", "agent_id", "tool", "action", "status", "kind", "reason")
_MAY_BE_LEFT_OUT: Final = frozenset({Answer.REFUSED, Answer.UNCOUNTED})

_ANSWERED: Final = f"select * from ({window_sql('outcomes')}) where correlation_id is not null"  # noqa: S608 - our own texts

_MATCHED: Final = f"""
    with log as (
        select correlation_id, count(*) as copies, any_value(status) as status, any_value(tool) as tool,
               any_value(action) as action
        from read_parquet($log) group by correlation_id
    )
    select c.win, c.answer, c.tool, c.action, c.reason, count(*) as rows,
           count(*) filter (log.copies is null) as missing,
           count(*) filter (log.copies is not null and (log.status, log.tool, log.action)
                                is distinct from (c.status, c.tool, c.action)) as other,
           coalesce(sum(log.copies - 1), 0)::BIGINT as further
    from ({_ANSWERED}) as c left join log using (correlation_id)
    group by all"""  # noqa: S608 - our own texts

_SURPLUS: Final = f"""
    with client as materialized (
        select correlation_id, sent_at_us, done_at_us from outcomes where correlation_id is not null
    ),
    log as materialized (
        select *, epoch_us("at") - epoch_us(utc(0)) as at_us from read_parquet($log)
    ),
    ours as materialized (
        select agent_id, at_us - done_at_us as ahead_us from log join client using (correlation_id)
    ),
    surplus as (
        select l.*, l.at_us - coalesce((select median(ahead_us) from ours), 0) as placed_us,
               l.agent_id is null or exists (select 1 from ours where ours.agent_id = l.agent_id) as by_us
        from log as l anti join client using (correlation_id)
    ),
    bounds as (select min(sent_at_us) as first_us, max(coalesce(done_at_us, sent_at_us)) as last_us from outcomes)
    select coalesce(win, len($end_us::BIGINT[])) as win, {ANSWER_SQL} as answer, tool, action, reason, by_us,
           count(*) as rows
    from (select * replace (1 as attempts), true as has_ids from surplus, bounds
          where placed_us between first_us and last_us)
         asof left join (
             select unnest(range(len($end_us::BIGINT[]))) as win, unnest($end_us::BIGINT[]) as end_us
         ) as edges
         on placed_us <= edges.end_us
    where len($begin_us::BIGINT[]) >= 0
    group by all order by win, answer, tool, action, reason"""  # noqa: S608 - our own names


def log_rows(run: Run, at: Sequence[Reading], database: str | Path | pl.DataFrame, spare: pl.DataFrame) -> pl.DataFrame:
    """Compare every answer that has a correlation id with the request log.

    Rows of other runs are left out by their time; the gateway's clock is set by the rows that both sides have.

    Parameters
    ----------
    run, at
        The run and the readings that bound its windows.
    database
        URL or frame, see :func:`~soaklib.analysis.sources.request_log.read_database`, or the Parquet file of such a
        frame.
    spare
        Calls of which a row may be that the client has no answer to; see :mod:`soaklib.analysis.books.spare`.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`LOG_ROWS_SCHEMA`: for each window and kind of answer the rows of each cause, so that a row
        that is missing and one too many never cancel.

    Raises
    ------
    SettingsError
        The frame is no request log.
    SourceError
        The database cannot be read, or its log has no correlation ids.
    """
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        # By way of a file: DuckDB reads a polars frame in place only with pyarrow.
        path = database if isinstance(database, Path) else _written(database, Path(folder))
        log = {"log": file_pattern(path)}
        parameters = {**edges_of(at), **log}
        counted = "select count(*), count(correlation_id) from read_parquet($log)"
        height, with_ids = run.sql(counted, log).row(0)
        if height and not with_ids:
            msg = (
                "the request log has no correlation ids, so its rows cannot be told apart: reconcile without database="
            )
            raise SourceError(msg)
        matched = run.sql(_MATCHED, parameters)
        surplus = run.sql(_SURPLUS, parameters)
    rows = [*_matched_rows(matched), *_surplus_rows(surplus, SpareCalls(spare))]
    return pl.DataFrame(rows, schema=LOG_ROWS_SCHEMA, orient="row")


def _written(database: str | pl.DataFrame, folder: Path) -> Path:
    log = read_database(database) if isinstance(database, str) else _checked(database)
    path = folder / "log.parquet"
    log.select(*_NEEDED, attempts=pl.lit(1, pl.Int16)).write_parquet(path)
    return path


def _checked(log: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in _NEEDED if name not in log.columns]
    if missing:
        msg = f"database= has no column {', '.join(missing)}: pass a URL or what soaklib.read_database gives"
        raise SettingsError(msg)
    try:
        return log.select(_NEEDED).cast({name: REQUEST_LOG_SCHEMA[name] for name in _NEEDED})
    except pl.exceptions.PolarsError as exc:
        msg = f"database= is no request log: {exc}"
        raise SettingsError(msg) from exc


def _matched_rows(matched: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    """Give the rows of answers with an id: those found, those missing, those written down otherwise or again."""
    kept = matched.group_by("answer", "reason").agg(kept=(pl.col("rows") > pl.col("missing")).any())
    is_kept = {(answer, reason): found for answer, reason, found in kept.iter_rows()}
    columns = ("win", "answer", "tool", "action", "reason", "rows", "missing", "other", "further")
    for win, answer, tool, action, reason, rows, missing, other, further in matched.select(columns).iter_rows():
        cell = (win, answer, tool, action, reason)
        if rows > missing + other:
            found = rows - missing - other
            yield (*cell, found, found, Cause.BALANCED, None)
        if missing and answer in _MAY_BE_LEFT_OUT and not is_kept[answer, reason]:
            yield (*cell, missing, 0, Cause.NOT_COUNTED, "the log keeps no rows of such answers")
        elif missing:
            yield (*cell, missing, 0, Cause.LOST, "answered, and the log has no row with its id")
        if other:
            yield (*cell, other, other, Cause.UNEXPLAINED, "the log has another status or tool under its id")
        if further:
            yield (*cell, 0, further, Cause.COUNTED_TWICE, "further rows with the id of an answer")


def _surplus_rows(surplus: pl.DataFrame, spare: SpareCalls) -> Iterator[tuple[object, ...]]:
    """Give the rows with an id that the client never saw, of which some are of calls without an answer."""
    columns = ("win", "answer", "tool", "action", "reason", "by_us", "rows")
    for win, answer, tool, action, reason, by_us, rows in surplus.select(columns).iter_rows():
        cell = (win, answer, tool, action, reason)
        left = rows
        if by_us:
            for cause, number in spare.take(win, tool, action, rows).items():
                left -= number
                yield (*cell, 0, number, cause, "executed, and the client has no answer with its id")
        if left:
            why = "an id that the client never saw" if by_us else "calls of an agent that this run never used"
            yield (*cell, 0, left, Cause.UNEXPLAINED, why)
