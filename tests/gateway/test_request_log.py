import sqlite3
from contextlib import closing

import pytest

from soaklib.gateway.database import (
    DatabaseError,
    PostgresDatabase,
    SqliteDatabase,
    database_from_url,
    newest_by_table,
    powers_of_two,
    upsert_statement,
)
from soaklib.gateway.records import TABLES, AgentRow, Outcome, ProxyLogRow, Reason
from soaklib.gateway.request_log import BATCH_ROWS, RETRY_S, RequestLog


def log_row(number, **more):
    row = ProxyLogRow(
        corr_id=f"req_{number}",
        created_at=1_795_000_000.25,
        agent_id="a",
        tool="openai",
        action="chat",
        status=403,
        outcome=Outcome.DENIED,
        reason=Reason.QUOTA,
        detail="no",
        response_time_ms=0.125,
        success=False,
        cache_hit=False,
        attempts=0,
    )
    return row._replace(**more)


class Flaky:
    """A database that can go away."""

    def __init__(self):
        self.rows, self.away, self.closed = [], False, False

    def open(self):
        """Fail while it is away."""
        if self.away:
            message = "gone"
            raise DatabaseError(message)

    def write(self, rows):
        """Keep the rows."""
        self.open()
        self.rows += rows

    def close(self):
        """Remember that it was closed."""
        self.closed = True


def read(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_rows_reach_the_file(tmp_path):
    """A closed log has written everything, in the types of the data dictionary."""
    path = tmp_path / "log.sqlite"
    log = RequestLog(SqliteDatabase(path))
    log.start()
    for number in range(1_000):
        log.append(log_row(number))
    log.append(log_row("last", outcome=Outcome.OK, reason=None, detail=None, success=True, cache_hit=True))
    log.close()
    assert read(path, "SELECT count(*) FROM proxy_logs") == [(1_001,)]
    stored = read(path, "SELECT * FROM proxy_logs WHERE corr_id = 'req_0'")
    time = "2026-11-18T11:06:40.250000+00:00"
    assert stored == [("req_0", time, "a", "openai", "chat", 403, "denied", "quota", "no", 0.125, 0, 0, 0)]
    assert read(path, "SELECT reason, success, cache_hit FROM proxy_logs WHERE corr_id = 'req_last'") == [(None, 1, 1)]


def test_an_unset_url_is_a_temporary_file():
    """The private file is there while the database is open and gone afterwards."""
    database = database_from_url(None)
    database.open()
    database.write([log_row(1)])
    folder = database._folder
    assert (folder / "gateway.sqlite").exists()
    assert folder.stat().st_mode & 0o077 == 0
    database.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///a/b.sqlite", "a/b.sqlite"), ("sqlite:////a/b.sqlite", "/a/b.sqlite")]
)
def test_sqlite_urls(url, path):
    """Three slashes are a relative path, four an absolute one."""
    assert str(database_from_url(url).path) == path
    assert isinstance(database_from_url("postgresql://h/d"), PostgresDatabase)


def test_a_path_that_cannot_be_opened(tmp_path):
    """A missing folder is a database error that names the file."""
    with pytest.raises(DatabaseError, match="nowhere"):
        SqliteDatabase(tmp_path / "nowhere" / "x.sqlite").open()


def test_writing_twice_changes_nothing(tmp_path):
    """A batch whose answer was lost can be written again; the newest of an entity's rows stays."""
    path = tmp_path / "log.sqlite"
    database = SqliteDatabase(path)
    database.open()
    for _ in range(2):
        database.write([log_row(1), AgentRow("a", "old", "r", "c", "active", 1.0)])
    database.write([AgentRow("a", "mid", "r", "c", "active", 1.0), AgentRow("a", "new", "r", "c", "active", 1.0)])
    database.close()
    assert read(path, "SELECT count(*) FROM proxy_logs") == [(1,)]
    assert read(path, "SELECT name FROM agents") == [("new",)]


def test_a_batch_goes_in_whole_or_not_at_all(tmp_path):
    """When one table refuses, the rows of the other are not there either."""
    path = tmp_path / "log.sqlite"
    database = SqliteDatabase(path)
    database.open()
    database._connection.execute("DROP TABLE agents")
    with pytest.raises(DatabaseError, match="agents"):
        database.write([log_row(1), AgentRow("a", "n", "r", "c", "active", 1.0)])
    database.close()
    assert read(path, "SELECT count(*) FROM proxy_logs") == [(0,)]


def test_rows_and_columns_agree():
    """The fields of each kind of row are the columns of its table, in their order."""
    for kind, table in TABLES.items():
        assert kind._fields == tuple(name for name, _ in table.columns)


def test_one_statement_takes_many_rows():
    """The upsert has a group of placeholders a row and leaves the key alone."""
    statement = upsert_statement(TABLES[AgentRow], 2, "?")
    assert statement.count("(?, ?, ?, ?, ?, ?)") == 2
    assert statement.endswith(
        "role = excluded.role, created_by = excluded.created_by, status = excluded.status, "
        "created_at = excluded.created_at"
    )
    assert newest_by_table([log_row(1), log_row(1, status=200)]) == {ProxyLogRow: [log_row(1, status=200)]}


@pytest.mark.parametrize(
    ("rows", "parts"), [(0, []), (1, [1]), (256, [256]), (255, [128, 64, 32, 16, 8, 4, 2, 1]), (6, [4, 2])]
)
def test_statements_come_in_few_lengths(rows, parts):
    """Rows are cut into powers of two, whole and in order, so that drivers have few statements to keep."""
    rows = [log_row(number) for number in range(rows)]
    cut = list(powers_of_two(rows))
    assert [len(part) for part in cut] == parts
    assert [row for part in cut for row in part] == rows


def test_rows_wait_while_the_database_is_away(fake_time, caplog):
    """Nothing is lost, the problem is known and told once, and everything arrives in order afterwards."""
    database = Flaky()
    log = RequestLog(database, monotonic=fake_time.monotonic)
    log.append(log_row(0))
    assert (log.flush(), log.problem) == (True, None)
    database.away = True
    for number in range(1, 2 * BATCH_ROWS):
        log.append(log_row(number))
    assert [log.flush(), log.flush()] == [False, False]
    assert log.problem == "gone"
    assert log._retry_at_s == RETRY_S
    database.away = False
    assert (log.flush(), log.problem) == (True, None)
    assert [row.corr_id for row in database.rows] == [f"req_{number}" for number in range(2 * BATCH_ROWS)]
    told = [record.message for record in caplog.records]
    assert told == ["request log: the database is away, rows wait: gone", "request log: the database is back"]


def test_the_queue_is_bounded_and_a_loss_is_told(caplog):
    """Beyond the bound rows are dropped, counted, and told when it starts and at the end."""
    database = Flaky()
    database.away = True
    log = RequestLog(database, capacity_rows=10)
    for number in range(15):
        log.append(log_row(number))
    assert (log.lost_rows, len(log._waiting)) == (5, 10)
    log.flush()
    log.close()
    assert (log.lost_rows, database.closed) == (15, True)
    assert [
        record.message for record in caplog.records if "dropped" in record.message or "written" in record.message
    ] == [
        "request log: 10 rows wait for the database, rows are dropped from now on",
        "request log: 15 rows were not written",
    ]
