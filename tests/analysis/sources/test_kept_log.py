"""The request log that a run keeps, and the verdict on the books that rests on it."""

import json
import shutil
import sqlite3

import duckdb
import polars as pl
import pytest

import soaklib
from soaklib.analysis.books.reconcile import books_balanced
from soaklib.analysis.sources import kept_log
from soaklib.analysis.sources.kept_log import REQUEST_LOG_NAME, keep_request_log, kept_request_log
from soaklib.analysis.sources.request_log import REQUEST_LOG_SCHEMA, read_database
from soaklib.errors import SourceError
from soaklib.store.tables import DATABASE_NAME


@pytest.fixture
def copied(rehearsal, tmp_path):
    """A copy of the rehearsal's tables and its request log."""
    for name in (DATABASE_NAME, REQUEST_LOG_NAME):
        shutil.copy(rehearsal.folder / name, tmp_path)
    return tmp_path


def judged(folder):
    with soaklib.open_run(folder) as run:
        return books_balanced(run)


def test_a_rehearsal_keeps_the_log_and_is_judged_by_it(rehearsal):
    """The log of the embedded gateway has a row for every answer, and the verdict says that it agrees."""
    with soaklib.open_run(rehearsal.folder) as run:
        answered = run.sql("select correlation_id from outcomes where status is not null")["correlation_id"]
        log = pl.read_parquet(kept_request_log(run))
        books = soaklib.reconcile(run)
    assert log.schema == REQUEST_LOG_SCHEMA
    assert set(answered) <= set(log["correlation_id"])
    assert books.filter(pair="client and database")["database_rows"].sum() == len(answered)
    verdict = rehearsal.verdicts["books balanced"]
    assert (verdict["state"], verdict["measure"]) == ("pass", 0)
    assert verdict["detail"].endswith("; the gateway's request log agrees too")


def test_a_row_that_is_missing_in_the_log_fails_the_books(copied):
    """The counters agree, and yet one call left no row."""
    log = pl.read_parquet(copied / REQUEST_LOG_NAME)
    log.filter(pl.int_range(pl.len()) != log.height // 2).write_parquet(copied / REQUEST_LOG_NAME)
    verdict = judged(copied)
    assert (verdict.state, verdict.measure) == ("fail", 1)
    assert "lost (client and database)" in verdict.detail


def without_log(folder, database_url):
    """Take the log away, and let the run know of a database."""
    (folder / REQUEST_LOG_NAME).unlink()
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        [(text,)] = connection.execute("select settings from run").fetchall()
        settings = json.dumps(json.loads(text) | {"database_url": database_url})
        connection.execute("update run set settings = ?", [settings]).fetchall()


@pytest.mark.parametrize(
    ("database_url", "state", "words"),
    [
        (None, "pass", "; without the gateway's request log"),
        ("postgresql://soak:***@db/gateway", "insufficient", "since the gateway's database could not be read"),
    ],
)
def test_a_database_that_could_not_be_read_leaves_the_books_open(copied, database_url, state, words):
    """Counters that agree are enough where no database is known, and not where one could not be asked."""
    without_log(copied, database_url)
    verdict = judged(copied)
    assert verdict.state == state
    assert words in verdict.detail


def test_a_finding_of_the_counters_fails_the_books_whatever_the_log(copied):
    """An answer taken out of the outcomes is one that the counters have too many; no missing log excuses it."""
    without_log(copied, "postgresql://soak:***@db/gateway")
    with duckdb.connect(str(copied / DATABASE_NAME)) as connection:
        connection.execute("delete from outcomes where purpose = 'load' and slot = 3000").fetchall()
    assert judged(copied).state == "fail"


def written(path, log):
    """Write a log into a SQLite file as the real gateway has it."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            'create table "RequestLog" ("createdAt", "corrId", "agentId", tool, action, "statusCode", "responseTime",'
            ' "errorMessage")'
        )
        rows = log.select(
            (pl.col("at").dt.epoch("us") / 1000), "correlation_id", "agent_id", "tool", "action", "status",
            "service_ms", pl.lit(None, pl.String),
        )  # fmt: skip
        connection.executemany(f'insert into "RequestLog" values ({", ".join("?" * 8)})', rows.rows())
    connection.close()
    return f"sqlite:///{path}"


def test_only_the_rows_of_the_runs_time_are_kept(copied):
    """Of a gateway that has served for years, what was written a day before the run is left where it is."""
    log = pl.read_parquet(copied / REQUEST_LOG_NAME)
    before = log.with_columns(pl.col("at") - pl.duration(days=1), correlation_id="old" + pl.col("correlation_id"))
    url = written(copied / "gateway.db", pl.concat([before, log]))
    assert read_database(url).height == 2 * log.height
    with soaklib.open_run(copied) as run:
        kept = pl.read_parquet(keep_request_log(run, url))
    assert sorted(kept["correlation_id"]) == sorted(log["correlation_id"])


def test_a_log_that_still_grows_is_waited_for(copied, monkeypatch):
    """It is read until it has as many rows as the time before."""
    log = pl.read_parquet(copied / REQUEST_LOG_NAME)
    sizes = iter([100, 4000, log.height, log.height])
    monkeypatch.setattr(kept_log, "_STILL_S", 0.0)
    monkeypatch.setattr(kept_log, "read_batches", lambda _url: iter([log.head(next(sizes))]))
    with soaklib.open_run(copied) as run:
        assert pl.read_parquet(keep_request_log(run, "any")).height == log.height
    assert list(sizes) == []


def test_a_log_that_never_rests_is_waited_for_a_while_only(copied, monkeypatch):
    """Others call the same gateway: after some seconds what is there has to do."""
    log = pl.read_parquet(copied / REQUEST_LOG_NAME)
    sizes = iter(range(100, 200))
    now = iter(range(0, 1000, 3))
    monkeypatch.setattr(kept_log, "_STILL_S", 0.0)
    monkeypatch.setattr(kept_log.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(kept_log, "read_batches", lambda _url: iter([log.head(next(sizes))]))
    with soaklib.open_run(copied) as run:
        keep_request_log(run, "any")
    assert 101 <= next(sizes) < 110


def test_an_earlier_log_stays_where_the_database_is_gone(copied):
    """A database that cannot be read is the loader's own error, and takes nothing away."""
    before = (copied / REQUEST_LOG_NAME).read_bytes()
    with soaklib.open_run(copied) as run, pytest.raises(SourceError, match="there is no SQLite file"):
        keep_request_log(run, f"sqlite:///{copied / 'none.db'}")
    assert (copied / REQUEST_LOG_NAME).read_bytes() == before
