"""The request log in a real PostgreSQL server, which the test starts, stops and starts again."""

import pytest
from postgres_server import postgres_server

from soaklib.gateway.database import DatabaseError, PostgresDatabase
from soaklib.gateway.records import AgentRow
from soaklib.gateway.request_log import RequestLog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    """Give a running server."""
    with postgres_server() as running:
        yield running


def test_answers_leave_rows_of_the_documented_types(server, wire):
    """One row an answer, times with a timezone, booleans as such, and a NUL in a name does no harm."""

    async def scenario(api):
        token = await api.ready_token()
        assert await api.statuses(token, times=3) == [200] * 3
        body = {"agent_token": token, "tool": "a\0b", "action": "x", "params": {}}
        assert (await api.send("POST", "/api/proxy-request", body)).status == 403

    wire(scenario, database_url=server.url)
    query = "SELECT status, success, cache_hit, reason, tool, created_at FROM proxy_logs ORDER BY status, created_at"
    found = server.rows(query)
    assert [row[:5] for row in found] == [
        *[(200, True, False, None, "gmail_send")] * 3,
        (403, False, False, "scope", "a\N{REPLACEMENT CHARACTER}b"),
    ]
    assert all(row[5].utcoffset() is not None and row[5].year == 2026 for row in found)
    counts = {table: server.rows(f"SELECT count(*) FROM {table}") for table in ("agents", "tokens", "policies")}
    assert counts == {"agents": [(1,)], "tokens": [(1,)], "policies": [(1,)]}


def agent_row(number):
    return AgentRow(f"waiting {number}", "n", "r", "c", "active", 1_795_000_000.0 + number)


def test_rows_wait_for_a_server_that_comes_back(server, caplog):
    """While the server is away rows wait and the problem is known; when it is back they all arrive, once."""
    log = RequestLog(PostgresDatabase(server.url))
    log._database.open()
    log.append(agent_row(0))
    assert log.flush()
    server.stop()
    for number in range(1, 700):
        log.append(agent_row(number))
    assert not log.flush()
    assert log.problem
    server.start()
    assert log.flush()
    log.close()
    assert (log.problem, log.lost_rows) == (None, 0)
    found = server.rows("SELECT count(*), count(DISTINCT agent_id) FROM agents WHERE agent_id LIKE 'waiting %'")
    assert found == [(700, 700)]
    assert [record.message.partition(":")[2].partition(":")[0].strip() for record in caplog.records] == [
        "the database is away, rows wait",
        "the database is back",
    ]


def test_a_server_that_is_not_there():
    """An address without a server is a database error at the start."""
    with pytest.raises(DatabaseError):
        PostgresDatabase("postgresql://soak@127.0.0.1:1/postgres").open()
