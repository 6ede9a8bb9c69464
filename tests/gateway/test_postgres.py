"""The request log in a real PostgreSQL server, which the test starts, stops and starts again.

Needs ``initdb`` and ``postgres`` (Debian package postgresql). Without them the tests skip, except where the
environment has CI=true.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from soaklib.gateway.database import DatabaseError, PostgresDatabase
from soaklib.gateway.records import AgentRow
from soaklib.gateway.request_log import RequestLog

pytestmark = pytest.mark.slow

STARTUP_S = 30.0


def program(name):
    """Find a program of the server on the path or where Debian keeps it."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


class Server:
    """A PostgreSQL server on loopback that keeps its data while it is stopped."""

    def __init__(self, folder, port, user):
        self.url = f"postgresql://soak@127.0.0.1:{port}/postgres"
        options = ["-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
        self._command, self._user = [program("postgres"), *options], user

    def start(self):
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, user=self._user)
        deadline_s = time.monotonic() + STARTUP_S
        while time.monotonic() < deadline_s:
            try:
                return psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
        return pytest.fail(f"the PostgreSQL server did not start within {STARTUP_S:g} s")

    def stop(self):
        """Stop it; connections are cut."""
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.send_signal(2)  # fast shutdown: do not wait for the clients
            self._process.wait(10.0)

    def rows(self, sql):
        """Return the rows of a query."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def server():
    """Give a running server whose one user is ``soak``."""
    initdb = program("initdb")
    if initdb is None or program("postgres") is None:
        reason = "no initdb and postgres found: install the Debian package postgresql"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    # The server refuses to run as root, and pytest's folders are closed to its user.
    user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="soaklib-postgres-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        arguments = [f"--pgdata={folder / 'data'}", "--username=soak", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run([initdb, *arguments, "--locale=C"], check=True, stdout=subprocess.DEVNULL, user=user)
        running = Server(folder, port, user)
        running.start()
        yield running
        running.stop()


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
