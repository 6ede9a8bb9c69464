"""The snapshot of a real PostgreSQL database: whole, without secrets, consistent, and restored to be proved."""

import gzip
import os
import shutil
import stat
import threading

import psycopg
import pytest
from bundles import manifest_of
from postgres_server import PASSWORD, QUOTED, postgres_server, program

from soaklib.evidence import dump_postgres
from soaklib.evidence.checking import verify
from soaklib.evidence.collecting import collect
from soaklib.evidence.dump import take_snapshot
from soaklib.evidence.dump_reading import count_dump
from soaklib.gateway.database import PostgresDatabase
from soaklib.gateway.records import AgentRow, CredentialRow, TokenRow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    """Give host and port of a server whose one user is ``soak``."""
    with postgres_server("pg_dump", "psql") as running:
        yield running.address


@pytest.fixture
def admin(server):
    """Give a connection that can do anything."""
    with psycopg.connect(f"postgresql://soak:{QUOTED}@{server}/postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture
def url(server, admin):
    """Give the URL of a database as the reference gateway leaves it, beside a table with a name in capitals."""
    admin.execute("drop database if exists gateway")
    admin.execute("create database gateway")
    address = f"postgresql://soak:{QUOTED}@{server}/gateway"
    database = PostgresDatabase(address)
    database.open()
    database.write(
        [
            AgentRow("agent-1", "a\ttab, a \\. and\na line", "scraper", "soaklib", "active", 1_795_000_000.0),
            AgentRow("agent-2", "two", "enricher", "soaklib", "active", 1_795_000_001.0),
            TokenRow("token-1", "agent-1", "a" * 64, "b" * 64, "[]", "[]", 1_795_000_000.0, 1_795_000_900.0, None),
            CredentialRow("credential-1", "openai", "v1", "c" * 64, True, 1_795_000_000.0, None, None),
        ]
    )
    database.close()
    with psycopg.connect(address) as connection:
        connection.execute('create schema "real"')
        connection.execute('create table "real"."RequestLog" (id serial primary key, "corrId" text)')
        connection.execute("""insert into "real"."RequestLog" ("corrId") values ('x'), ('y'), ('z')""")
        connection.execute('create table "real"."ToolCredential" (id int, "encryptedCredential" text)')
        connection.execute("""insert into "real"."ToolCredential" values (1, 'dddddddddddd')""")
    return address


def databases(admin):
    """Give the names of all databases."""
    return {name for (name,) in admin.execute("select datname from pg_database").fetchall()}


def rows_of(snapshot):
    """Give table -> (rows, schema only)."""
    return {table.table: (table.rows, table.schema_only) for table in snapshot.tables}


def test_nothing_is_written_to_the_gateways_server_unasked(url, tmp_path, monkeypatch):
    """The dump's rows are counted in the dump; restoring it is for those who ask."""
    made = []
    scratch = dump_postgres._Client.scratch_database
    monkeypatch.setattr(dump_postgres._Client, "scratch_database", lambda self: (made.append(1), scratch(self))[1])
    snapshot = take_snapshot(url, tmp_path / "dump.sql.gz", include_secrets=False)
    assert snapshot.state == "good", snapshot.detail
    assert snapshot.detail.endswith("; counted in the dump")
    assert made == []
    snapshot = take_snapshot(url, tmp_path / "dump.sql.gz", include_secrets=False, prove_restore=True)
    assert snapshot.detail.endswith("; restored into a scratch database and counted")
    assert made == [1]


@pytest.mark.parametrize("prove_restore", [False, True])
def test_a_snapshot_is_counted_and_without_secrets(url, admin, tmp_path, prove_restore):
    """Tables of every schema are there, those with secrets as schema only; the scratch database is gone again."""
    before = databases(admin)
    dump = tmp_path / "dump.sql.gz"
    snapshot = take_snapshot(url, dump, include_secrets=False, prove_restore=prove_restore)
    assert (snapshot.state, snapshot.kind) == ("good", "postgresql"), snapshot.detail
    assert rows_of(snapshot) == {
        "public.agents": (2, False), "public.credentials": (0, True), "public.policies": (0, False),
        "public.proxy_logs": (0, False), "public.tokens": (0, True), '"real"."RequestLog"': (3, False),
        '"real"."ToolCredential"': (0, True),
    }  # fmt: skip
    assert databases(admin) == before
    text = gzip.decompress(dump.read_bytes()).decode()
    assert "CREATE TABLE public.tokens" in text
    assert not {word for word in ("a" * 64, "c" * 64, "dddddddddddd", PASSWORD, QUOTED) if word in text}
    assert count_dump(dump) == {
        table: rows for table, (rows, schema_only) in rows_of(snapshot).items() if not schema_only
    }


def test_secrets_are_there_when_asked_for(url, tmp_path):
    """Every table has its rows."""
    snapshot = take_snapshot(url, tmp_path / "dump.sql.gz", include_secrets=True)
    assert snapshot.state == "good", snapshot.detail
    assert rows_of(snapshot)["public.tokens"] == rows_of(snapshot)['"real"."ToolCredential"'] == (1, False)


def test_a_bundle_holds_the_snapshot_and_verifies_without_the_server(url, rehearsal, tmp_path):
    """The manifest's rows are those of the dump, and no password is anywhere."""
    folder = tmp_path / rehearsal.folder.name
    shutil.copytree(rehearsal.folder, folder)
    bundle = collect(folder, database_url=url)
    assert verify(bundle).problems == []
    assert manifest_of(bundle).database_snapshot.state == "good"
    for path in folder.glob("*.*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes()
            assert QUOTED.encode() not in path.read_bytes()


def test_a_snapshot_is_of_one_moment_while_the_gateway_writes(url, tmp_path):
    """What is counted and what is dumped are of one snapshot, in which tables that are written together agree."""
    with psycopg.connect(url) as connection:
        connection.execute("create table left_side (n int); create table right_side (n int)")
    stop = threading.Event()

    def write():
        with psycopg.connect(url) as writer:
            n = 0
            while not stop.is_set():
                n += 1
                with writer.transaction():
                    writer.execute("insert into left_side values (%s)", [n])
                    writer.execute("insert into right_side values (%s)", [n])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        snapshots = [take_snapshot(url, tmp_path / f"{n}.sql.gz", include_secrets=False) for n in range(3)]
    finally:
        stop.set()
        thread.join()
    assert [snapshot.state for snapshot in snapshots] == ["good"] * 3, snapshots[-1].detail
    rows = [rows_of(snapshot) for snapshot in snapshots]
    assert all(row["public.left_side"] == row["public.right_side"] for row in rows)
    assert rows[0]["public.left_side"] < rows[-1]["public.left_side"]


def test_a_login_that_may_make_no_database_gives_a_dump_that_is_not_proved(server, url, admin, tmp_path):
    """It is kept, and said to be insufficient, with the server's reason."""
    admin.execute("drop role if exists reader")
    admin.execute("create role reader login password 'reader word'")
    with psycopg.connect(url) as connection:
        connection.execute("grant pg_read_all_data to reader")
    dump = tmp_path / "dump.sql.gz"
    address = f"postgresql://reader:reader%20word@{server}/gateway"
    snapshot = take_snapshot(address, dump, include_secrets=False)
    assert snapshot.state == "good", snapshot.detail  # nothing is written to the server, so it needs no more
    snapshot = take_snapshot(address, dump, include_secrets=False, prove_restore=True)
    assert (snapshot.state, snapshot.kind) == ("insufficient", "postgresql")
    assert snapshot.detail.endswith(
        "not shown to be restorable: psql failed: ERROR: permission denied to create database"
    )
    assert count_dump(dump)["public.agents"] == 2


def test_a_wrong_password_is_told_and_not_shown(server, tmp_path):
    """With the server's words."""
    snapshot = take_snapshot(f"postgresql://soak:wr0ngw0rd@{server}/gateway", tmp_path / "d.gz", include_secrets=False)
    assert snapshot.state == "insufficient"
    assert 'password authentication failed for user "soak"' in snapshot.detail
    assert "wr0ngw0rd" not in snapshot.detail
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_is_told(server, tmp_path):
    """By its name."""
    address = f"postgresql://soak:{QUOTED}@{server}/absent"
    snapshot = take_snapshot(address, tmp_path / "d.gz", include_secrets=False)
    assert 'database "absent" does not exist' in snapshot.detail


def client(folder, *, version, script=""):
    """Make a pg_dump that says it is of a version; `script` is what it does besides."""
    folder.mkdir()
    for name in ("pg_dump", "psql"):
        path = folder / name
        text = f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{name} (PostgreSQL) {version}"; exit 0; fi\n{script}\n'
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def test_a_client_older_than_the_server_is_told(url, tmp_path, monkeypatch):
    """Both versions, and what to install."""
    monkeypatch.setenv("PATH", str(client(tmp_path / "old", version="9.6.24")))
    monkeypatch.setattr(dump_postgres, "_DEBIAN_FOLDER", tmp_path / "none")
    snapshot = take_snapshot(url, tmp_path / "d.gz", include_secrets=False)
    with psycopg.connect(url) as connection:
        major = connection.info.server_version // 10_000
    assert snapshot.state == "insufficient"
    assert snapshot.detail == (
        f"not taken: pg_dump 9 is older than the server, which is {major}, and cannot dump it: install PostgreSQL's"
        f" client programs of version {major} or later (Debian: postgresql-client)"
    )


def test_a_missing_client_is_told(url, tmp_path, monkeypatch):
    """What to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dump_postgres, "_DEBIAN_FOLDER", tmp_path / "none")
    snapshot = take_snapshot(url, tmp_path / "d.gz", include_secrets=False)
    assert snapshot.detail.startswith("not taken: there is no pg_dump to dump the database with: install PostgreSQL's")


def test_the_password_is_on_no_command_line(url, tmp_path, monkeypatch):
    """It goes to the programs through their environment; what they are called with does not hold it."""
    script = 'echo "$0 $@" >> "$CALLS"; echo "$PGPASSWORD" >> "$CALLS"; echo "gone away" >&2; exit 1'
    monkeypatch.setenv("PATH", f"{client(tmp_path / 'fake', version='99.1', script=script)}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    snapshot = take_snapshot(url, tmp_path / "d.gz", include_secrets=False)
    assert snapshot.detail == "not taken: pg_dump failed: gone away"
    command, password = (tmp_path / "calls").read_text().splitlines()
    assert password == PASSWORD
    assert "--snapshot=" in command
    assert "user=soak" in command
    assert PASSWORD not in command
    assert QUOTED not in command


def test_a_connection_that_is_cut_in_the_middle_is_told(url, tmp_path, monkeypatch):
    """The snapshot that was counted in is gone with it, and what was begun is not kept."""
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'soaklib'"
    script = f"""
        export PATH="$REAL_PATH"
        psql --quiet --no-psqlrc --command "{cut} and pid <> pg_backend_pid()" "$CUT_URL" > /dev/null
        exec {program("pg_dump")} "$@"
        """
    monkeypatch.setenv("REAL_PATH", os.environ["PATH"])
    monkeypatch.setenv("CUT_URL", url)
    monkeypatch.setenv("PATH", f"{client(tmp_path / 'cut', version='99.1', script=script)}:{os.environ['PATH']}")
    snapshot = take_snapshot(url, tmp_path / "d.gz", include_secrets=False)
    assert snapshot.state == "insufficient"
    assert "snapshot" in snapshot.detail
    assert snapshot.detail.startswith("not taken: pg_dump failed: ")
    assert not (tmp_path / "d.gz").exists()


def test_a_table_that_is_locked_is_waited_for_only_so_long(url, tmp_path, monkeypatch):
    """A migration that holds a table does not hold up the end of a soak."""
    monkeypatch.setattr(dump_postgres, "_LOCK_WITHIN_MS", 100)
    with psycopg.connect(url) as holder:
        holder.execute("lock table agents in access exclusive mode")
        snapshot = take_snapshot(url, tmp_path / "d.gz", include_secrets=False)
    assert snapshot.state == "insufficient"
    assert "canceling statement due to lock timeout" in snapshot.detail
