"""The snapshot of a SQLite database: whole, without secrets, consistent, and proved."""

import contextlib
import gzip
import sqlite3
import threading

import pytest
from bundles import gateway_database

from soaklib.evidence import dump_sqlite
from soaklib.evidence.dump import holds_secrets, take_snapshot
from soaklib.evidence.dump_reading import count_dump


def rows_of(snapshot):
    """Give table -> (rows, schema only)."""
    return {table.table: (table.rows, table.schema_only) for table in snapshot.tables}


def test_tokens_and_credentials_are_there_as_schema_only(tmp_path):
    """Their tables can be restored, empty; all others are there with their rows."""
    dump = tmp_path / "dump.sql.gz"
    snapshot = take_snapshot(gateway_database(tmp_path / "gateway.sqlite"), dump, include_secrets=False)
    assert (snapshot.state, snapshot.kind, snapshot.includes_secrets) == ("good", "sqlite", False)
    assert rows_of(snapshot) == {
        "agents": (2, False), "credentials": (0, True), "policies": (0, False), "proxy_logs": (0, False),
        "tokens": (0, True),
    }  # fmt: skip
    assert snapshot.detail == (
        "2 rows of 5 tables, as schema only: credentials, tokens; restored into a scratch database and counted"
    )
    text = gzip.decompress(dump.read_bytes()).decode()
    assert "CREATE TABLE tokens" in text
    assert "a" * 64 not in text
    assert "c" * 64 not in text


def test_secrets_are_there_when_asked_for(tmp_path):
    """The rows of every table are dumped, and the snapshot says so."""
    dump = tmp_path / "dump.sql.gz"
    snapshot = take_snapshot(gateway_database(tmp_path / "gateway.sqlite"), dump, include_secrets=True)
    assert snapshot.includes_secrets
    assert rows_of(snapshot)["tokens"] == rows_of(snapshot)["credentials"] == (1, False)
    assert "a" * 64 in gzip.decompress(dump.read_bytes()).decode()


def test_a_text_that_a_dump_would_cut_short_is_refused(tmp_path):
    """SQL ends a text at a NUL: the rows would be there, and what stands behind it gone."""
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("create table log (tool text, note text)")
        connection.executemany("insert into log values (?, ?)", [("a", "whole"), ("b", "cut\0here"), ("c", None)])
        connection.commit()
    snapshot = take_snapshot(f"sqlite:///{tmp_path / 'other.sqlite'}", tmp_path / "dump.sql.gz", include_secrets=False)
    assert (snapshot.state, snapshot.kind) == ("insufficient", None)
    assert "1 texts in the column note of log hold a NUL" in snapshot.detail


@pytest.mark.parametrize(
    ("table", "columns", "expected"),
    [
        ("tokens", [], True), ("credentials", [], True), ("Token", [], True), ("TokenRegistry", [], True),
        ("ToolCredential", [], True), ("Agent", ["id", "privateKey"], True), ("settings", ["api_key"], True),
        ("proxy_logs", ["corr_id", "detail", "tokens_est"], False), ("policies", ["spec"], False),
        ("RequestLog", ["corrId", "credential_id"], False),
    ],
)  # fmt: skip
def test_tables_with_secrets_are_told_by_names(table, columns, expected):
    """By the table's, or by a column's that is a secret itself."""
    assert holds_secrets(table, columns) is expected


def test_a_snapshot_is_of_one_moment_while_the_gateway_writes(tmp_path):
    """Two tables that are written together are dumped together, in every snapshot."""
    path = tmp_path / "gateway.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table a (n integer)")
        connection.execute("create table b (n integer)")
    stop = threading.Event()

    def write():
        with sqlite3.connect(path) as writer:
            n = 0
            while not stop.is_set():
                n += 1
                with writer:
                    writer.execute("insert into a values (?)", [n])
                    writer.execute("insert into b values (?)", [n])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        counts = []
        for number in range(5):
            dump = tmp_path / f"{number}.sql.gz"
            snapshot = take_snapshot(f"sqlite:///{path}", dump, include_secrets=False)
            assert snapshot.state == "good", snapshot.detail
            counts.append(count_dump(dump))
    finally:
        stop.set()
        thread.join()
    assert all(count["a"] == count["b"] for count in counts)
    assert counts[0]["a"] < counts[-1]["a"]


def test_a_dump_that_does_not_restore_to_what_was_dumped_is_not_good(tmp_path, monkeypatch):
    """It is counted after restoring, and not put in place."""
    honest = dump_sqlite.restore_sqlite
    monkeypatch.setattr(dump_sqlite, "restore_sqlite", lambda lines, into: honest(lines, into) | {"agents": 1})
    dump = tmp_path / "dump.sql.gz"
    dump.write_text("the one before")
    snapshot = take_snapshot(gateway_database(tmp_path / "gateway.sqlite"), dump, include_secrets=False)
    assert (snapshot.state, snapshot.kind) == ("insufficient", None)
    assert snapshot.detail.startswith("not taken: the dump does not restore to what was dumped: ")
    assert dump.read_text() == "the one before"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not taken: there is no SQLite file"),
        (b"<html>not a database</html>" * 100, "cannot be dumped: file is not a database"),
    ],
)
def test_a_database_that_cannot_be_dumped_is_insufficient(tmp_path, content, said):
    """The detail says why, and nothing is left."""
    path = tmp_path / "gateway.sqlite"
    if content is not None:
        path.write_bytes(content)
    snapshot = take_snapshot(f"sqlite:///{path}", tmp_path / "dump.sql.gz", include_secrets=False)
    assert snapshot.state == "insufficient"
    assert said in snapshot.detail
    assert {path.name for path in tmp_path.iterdir()} <= {"gateway.sqlite"}


def test_a_url_of_another_kind_is_insufficient(tmp_path):
    """It is said what to pass."""
    snapshot = take_snapshot("mysql://u:hunter22@h/x", tmp_path / "dump.sql.gz", include_secrets=False)
    assert snapshot.state == "insufficient"
    assert "pass sqlite:///path or postgresql://user:password@host/name" in snapshot.detail
    assert "hunter22" not in snapshot.detail
