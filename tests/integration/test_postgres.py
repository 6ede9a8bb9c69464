"""The request log in a real PostgreSQL server: as the reference gateway writes it, and others."""

from __future__ import annotations

import datetime as dt

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal
from postgres_server import PASSWORD, QUOTED, postgres_server

from soaklib.analysis.sources.databases import opened
from soaklib.analysis.sources.request_log import REQUEST_LOG_SCHEMA, read_database
from soaklib.errors import SourceError
from soaklib.gateway.database import PostgresDatabase
from soaklib.gateway.records import Outcome, ProxyLogRow, Reason

pytestmark = pytest.mark.slow

AT = dt.datetime(2026, 11, 24, 8, 0, 0, 123_456, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def server():
    """Give host and port of a server whose one user is ``soak``."""
    with postgres_server() as running:
        yield running.address


@pytest.fixture
def url(server):
    """Give the URL of an empty database."""
    with psycopg.connect(f"postgresql://soak:{QUOTED}@{server}/postgres", autocommit=True) as connection:
        connection.execute("drop database if exists gateway")
        connection.execute("create database gateway")
    return f"postgresql://soak:{QUOTED}@{server}/gateway"


def write(url, *rows):
    database = PostgresDatabase(url)
    database.open()
    if rows:
        database.write(rows)
    database.close()


def row(n, status=200, outcome=Outcome.OK, reason=None):
    return ProxyLogRow(
        corr_id=f"req_{n}",
        created_at=AT.timestamp() + n,
        agent_id="agent",
        tool="serpapi",
        action="search",
        status=status,
        outcome=outcome,
        reason=reason,
        detail=None,
        response_time_ms=1.25,
        success=outcome is Outcome.OK,
        cache_hit=False,
        attempts=1,
    )


def test_reference_gateway(url):
    """What the reference gateway wrote is read back, by time and with its types."""
    write(url, row(1, 403, Outcome.UNAUTHORIZED, Reason.AGENT_UNKNOWN), row(0))
    expected = pl.DataFrame(
        [
            (AT, "req_0", "agent", "serpapi", "search", 200, "ok", None, 1.25, 1),
            (
                AT + dt.timedelta(seconds=1),
                *("req_1", "agent", "serpapi", "search", 403, "unauthorized", "agent_not_found", 1.25, 1),
            ),
        ],
        schema=REQUEST_LOG_SCHEMA,
        orient="row",
    )
    assert_frame_equal(read_database(url), expected)


def test_batches(url):
    """More rows than one batch come whole and in order."""
    write(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into proxy_logs select 'req_' || n, %s::timestamptz + n * interval '1 ms', 'a', 't', 'x', 200,"
            " 'ok', null, null, 0.5, true, false, 1 from generate_series(0, 44999) n",
            [AT],
        )
    read = read_database(url)
    assert read["correlation_id"].to_list() == [f"req_{n}" for n in range(45_000)]
    assert read["at"].to_list()[-1] == AT + dt.timedelta(milliseconds=44_999)


def test_empty_log(url):
    """An empty log is an empty frame with its types."""
    write(url)
    assert_frame_equal(read_database(url), pl.DataFrame(schema=REQUEST_LOG_SCHEMA))


def test_real_gateway(url):
    """The real gateway's table, with names in capitals and times without zone, is read as UTC."""
    with psycopg.connect(url) as connection:
        connection.execute(
            'create table "RequestLog" (id text, "corrId" text, "agentId" text, tool text, action text,'
            ' "responseTime" int, "statusCode" int, success bool, "errorMessage" text, "createdAt" timestamp(3))',
        )
        connection.execute(
            "insert into \"RequestLog\" values ('1', 'req_1', 'a', 'openai', 'chat', 7, 502, false,"
            " 'Circuit breaker is OPEN for 8000ms', '2026-11-24 08:00:00.123')",
        )
    at = AT.replace(microsecond=123_000)
    expected = [(at, "req_1", "a", "openai", "chat", 502, "fast_fail", "breaker_open", 7.0, None)]
    assert read_database(url).rows() == expected


def test_other_schema(url):
    """The table is found where the login's search path leads."""
    write(url, row(0))
    with psycopg.connect(url) as connection:
        connection.execute("create schema gateway; alter table proxy_logs set schema gateway")
    with pytest.raises(SourceError, match="has no request log"):
        read_database(url)
    assert len(read_database(f"{url}?options=-csearch_path%3Dgateway")) == 1


def test_read_only(url):
    """The connection cannot write, whatever it is asked."""
    with psycopg.connect(url) as connection:
        connection.execute("create sequence numbers")
    with pytest.raises(SourceError, match="read-only transaction"), opened(url) as database:
        list(database.batches("select nextval('numbers')"))


def test_wrong_password(server, url):
    """A refused login says so, and not the password."""
    wrong = url.replace(QUOTED, "wr0ng")
    with pytest.raises(SourceError, match='password authentication failed for user "soak"') as caught:
        read_database(wrong)
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(SourceError, match='database "absent" does not exist') as caught:
        read_database(f"postgresql://soak:{QUOTED}@{server}/absent")
    assert PASSWORD not in str(caught.value)
    assert QUOTED not in str(caught.value)


def test_no_request_log(url):
    """A database without the table is refused with what to pass."""
    with pytest.raises(SourceError, match="has no request log"):
        read_database(url)
