"""A real PostgreSQL server for tests: started on the loopback, stopped, started again, and gone at the end.

Needs ``initdb`` and ``postgres`` (Debian package postgresql). Without them a test skips, except where the environment
has CI=true.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

PASSWORD = "s3cr:et@/%"  # noqa: S105 - of a server that lives for a test
QUOTED = "s3cr%3Aet%40%2F%25"
_STARTUP_S = 30.0


def program(name):
    """Find a program of the server on the path or where Debian keeps it."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


class PostgresServer:
    """A server whose one user is ``soak``; it keeps its data while it is stopped.

    Attributes
    ----------
    address
        Host and port.
    url
        URL of the database ``postgres``, with the password.
    """

    def __init__(self, folder, port, user):
        self.address = f"127.0.0.1:{port}"
        self.url = f"postgresql://soak:{QUOTED}@{self.address}/postgres"
        options = ["-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
        self._command, self._user = [program("postgres"), *options], user

    def start(self):
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, user=self._user)
        deadline_s = time.monotonic() + _STARTUP_S
        while time.monotonic() < deadline_s:
            try:
                return psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
        return pytest.fail(f"the PostgreSQL server did not start within {_STARTUP_S:g} s")

    def stop(self):
        """Stop it; connections are cut."""
        self._process.send_signal(2)  # fast shutdown: do not wait for the clients
        self._process.wait(10.0)

    def rows(self, sql):
        """Give the rows of a query."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()

    def new_database(self, name):
        """Make an empty database, in place of an earlier one, and give its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"drop database if exists {name}")
            connection.execute(f"create database {name}")
        return f"postgresql://soak:{QUOTED}@{self.address}/{name}"


@contextmanager
def postgres_server(*clients):
    """Give a running server; `clients` are further programs that the tests need."""
    missing = [name for name in ("initdb", "postgres", *clients) if program(name) is None]
    if missing:
        reason = f"no {' and '.join(missing)} found: install the Debian package postgresql"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    # The server refuses to run as root, and pytest's folders are closed to its user.
    user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="soaklib-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        login = ["--username=soak", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256"]
        subprocess.run(
            [program("initdb"), f"--pgdata={folder / 'data'}", *login, "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True, stdout=subprocess.DEVNULL, user=user,
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = PostgresServer(folder, port, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
