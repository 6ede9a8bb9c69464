"""The gateway's request log from SQLite: the reference gateway's, the real one's, and none."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from soaklib.analysis.sources import databases
from soaklib.analysis.sources.request_log import REQUEST_LOG_SCHEMA, read_database
from soaklib.errors import SettingsError, SourceError
from soaklib.gateway.database import SqliteDatabase
from soaklib.gateway.records import Outcome, ProxyLogRow
from soaklib.gateway.records import Reason as GatewayReason
from soaklib.records import Kind, Reason

LOG = Path(__file__).parents[2] / "data" / "captures" / "proxy-logs-excerpt.json"
AT_S = 1_795_507_200.25
AT = dt.datetime(2026, 11, 24, 8, 0, 0, 250_000, tzinfo=dt.UTC)


def row(n, status=200, outcome=Outcome.OK, reason=None, detail=None, **change):
    """Give a row of the reference gateway's log, a second after the one before."""
    values = {
        "corr_id": f"req_{n}",
        "created_at": AT_S + n,
        "agent_id": "agent",
        "tool": "serpapi",
        "action": "search",
        "status": status,
        "outcome": outcome,
        "reason": reason,
        "detail": detail,
        "response_time_ms": 1.25,
        "success": outcome is Outcome.OK,
        "cache_hit": False,
        "attempts": 1,
    }
    return ProxyLogRow(**values | change)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gate%way #1.sqlite"


def write(path, *rows):
    database = SqliteDatabase(path)
    database.open()
    database.write(rows)
    database.close()
    return f"sqlite:///{path}"


def test_reference_gateway(path):
    """A row of the reference gateway is an answer in the outcomes' vocabulary, by time and with its types."""
    url = write(
        path,
        row(1, 403, Outcome.DENIED, GatewayReason.SCOPE, "Scope 'x:y' not allowed", attempts=0),
        row(0),
        row(2, 400, Outcome.INVALID_REQUEST, GatewayReason.MISSING_FIELDS, agent_id=None, tool=None, action=None),
    )
    later = [AT + dt.timedelta(seconds=n) for n in range(3)]
    expected = pl.DataFrame(
        [
            (later[0], "req_0", "agent", "serpapi", "search", 200, "ok", None, 1.25, 1),
            (later[1], "req_1", "agent", "serpapi", "search", 403, "denied", "scope", 1.25, 0),
            (later[2], "req_2", None, None, None, 400, "invalid_request", "client_error", 1.25, 1),
        ],
        schema=REQUEST_LOG_SCHEMA,
        orient="row",
    )
    assert_frame_equal(read_database(url), expected)


def test_every_outcome_and_reason(path):
    """Every word of the reference gateway has one in the outcomes' vocabulary."""
    rows = [row(n, outcome=outcome) for n, outcome in enumerate(Outcome)]
    rows += [row(100 + n, 403, Outcome.DENIED, reason) for n, reason in enumerate(GatewayReason)]
    read = read_database(write(path, *rows))
    assert read["kind"].head(len(Outcome)).to_list() == [outcome.value for outcome in Outcome]
    assert set(read["kind"]) <= set(Kind)
    reasons = dict(zip(GatewayReason, read["reason"].tail(len(GatewayReason)), strict=True))
    assert set(reasons.values()) <= set(Reason)
    assert reasons[GatewayReason.AGENT_UNKNOWN] == "agent_not_found"
    assert reasons[GatewayReason.TOKEN_SIGNATURE] == "token_invalid"


def test_real_gateway(path):
    """The real gateway's log is classified from status and text; times are milliseconds in Prisma's SQLite."""
    entries = json.loads(LOG.read_text())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            'create table "RequestLog" (id text, corrId text, agentId text, tool text, action text,'
            " responseTime integer, statusCode integer, success boolean, errorMessage text, createdAt datetime)",
        )
        for entry in entries:
            ms = round(dt.datetime.fromisoformat(entry["createdAt"]).timestamp() * 1000)
            names = [
                "id",
                "corrId",
                "agentId",
                "tool",
                "action",
                "responseTime",
                "statusCode",
                "success",
                "errorMessage",
            ]
            connection.execute(
                'insert into "RequestLog" values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
                [*(entry.get(name) for name in names), ms],
            )
        connection.commit()
    read = read_database(f"sqlite:///{path}")
    assert read.schema == REQUEST_LOG_SCHEMA
    by_id = {entry["corrId"]: entry for entry in entries}
    assert [by_id[corr_id]["createdAt"] for corr_id in read["correlation_id"]] == [
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z") for at in read["at"]
    ]
    assert read["at"].is_sorted()
    assert read.group_by("status", "kind", "reason").len().sort("status", "kind", "reason").rows() == [
        (200, "ok", None, 2),
        (403, "denied", "quota", 2),
        (403, "denied", "scope", 2),
        (403, "unauthorized", "token_expired", 2),
        (502, "fast_fail", "breaker_open", 2),
        (502, "upstream_error", "upstream", 2),
    ]


@pytest.mark.parametrize("created_at", ["2026-11-24 08:00:00.25", "2026-11-24T09:00:00.25+01:00", 1_795_507_200_250])
def test_older_real_log(path, created_at):
    """A real log without text and correlation id has nulls there; a time without zone is UTC."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            'create table "RequestLog" (agentId text, tool text, action text, responseTime integer,'
            " statusCode integer, success boolean, createdAt datetime)",
        )
        connection.execute("insert into RequestLog values ('a', 't', 'x', 5, 403, 0, ?)", [created_at])
        connection.commit()
    expected = [(AT, None, "a", "t", "x", 403, "unauthorized", "unauthorized_other", 5.0, None)]
    assert read_database(f"sqlite:///{path}").rows() == expected


def test_batches(path, monkeypatch):
    """Rows come in batches, and none is lost or doubled at their edges."""
    monkeypatch.setattr(databases, "BATCH_ROWS", 3)
    url = write(path, *(row(n) for n in range(10)))
    assert read_database(url)["correlation_id"].to_list() == [f"req_{n}" for n in range(10)]


def test_empty_log(path):
    """An empty log is an empty frame with its types."""
    assert_frame_equal(read_database(write(path)), pl.DataFrame(schema=REQUEST_LOG_SCHEMA))


def test_relative_path(path, monkeypatch):
    """Three slashes are a relative path."""
    write(path, row(0))
    monkeypatch.chdir(path.parent)
    assert len(read_database(f"sqlite:///{path.name}")) == 1


def test_read_only(path):
    """The database is only read: while a writer holds it open, and without leaving a trace."""
    url = write(path, row(0))
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("begin immediate")
        assert len(read_database(url)) == 1
    with pytest.raises(SourceError, match="readonly"), databases.opened(url) as database:
        list(database.batches("delete from proxy_logs returning 1"))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("create table other (x)", "has no request log"),
        ("create table proxy_logs (corr_id, created_at)", "has no request log"),
    ],
)
def test_no_request_log(path, statement, sentence):
    """A database without the table, or with another table of that name, is refused with what to pass."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(SourceError, match=sentence):
        read_database(f"sqlite:///{path}")


@pytest.mark.parametrize("change", [("created_at", "soon"), ("created_at", None), ("status", None), ("status", "x")])
def test_bad_row(path, change):
    """A row that no gateway writes is an error, not a guess."""
    url = write(path, row(0))
    column, value = change
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"update proxy_logs set {column} = ?, outcome = null", [value])
        connection.commit()
    with pytest.raises(SourceError, match="none of the gateway's"):
        read_database(url)


def test_no_database(tmp_path):
    """A missing file is not made, and a file of another kind is refused."""
    missing = tmp_path / "absent.sqlite"
    with pytest.raises(SourceError, match="there is no SQLite file"):
        read_database(f"sqlite:///{missing}")
    assert not missing.exists()
    other = tmp_path / "other.sqlite"
    other.write_text("not a database, but long enough to have a header of its own\n" * 20)
    with pytest.raises(SourceError, match="file is not a database"):
        read_database(f"sqlite:///{other}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway.sqlite",
        "sqlite://",
        "sqlite:///",
        "mysql://soak:secret@host/name",
        "host=127.0.0.1 password=secret",
    ],
)
def test_bad_url(url):
    """A URL of another kind is refused with what to pass, and not repeated."""
    with pytest.raises(SettingsError, match="pass sqlite:///path") as caught:
        read_database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://soak:s3cr%2Ft@127.0.0.1:1/gateway",
        "postgresql://soak@127.0.0.1:1/gateway?password=s3cr%2Ft",
        "postgresql://soak:s3cr%2Ft@127.0.0.1:1/gateway?nonsense=1",
        "postgresql://soak:s3cr%2Ft@127.0.0.1:port/gateway",
        "postgresql://soak:s3cr%zz@127.0.0.1:1/gateway",
        "postgresql://soak:s3cr@s3cret@127.0.0.1:1/gateway",
        "postgres://soak:s3cr@[::1/gateway",
    ],
)
def test_secrets(url):
    """Whatever is wrong with the connection, the error has no password, and no cause that has it."""
    with pytest.raises(SourceError, match="PostgreSQL database cannot be read") as caught:
        read_database(url)
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
