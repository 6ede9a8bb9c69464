"""Dumps of either database, read to their end and counted without a server."""

import gzip

import pytest

from soaklib.errors import SourceError
from soaklib.evidence import dump_reading
from soaklib.evidence.dump_reading import count_dump

SQLITE = """BEGIN TRANSACTION;
CREATE TABLE agents (id TEXT PRIMARY KEY, name TEXT);
INSERT INTO "agents" VALUES('1','it''s; here');
INSERT INTO "agents" VALUES('2','two
COMMIT;
lines');
CREATE TABLE tokens (id TEXT);
CREATE INDEX by_name ON agents (name);
COMMIT;
"""

POSTGRES = """--
-- PostgreSQL database dump
--
CREATE TABLE public.agents (id text, name text);
CREATE TABLE public."RequestLog" (id text);
COPY public.agents (id, name) FROM stdin;
1\tCOPY public.tokens (id) FROM stdin;
2\t-- PostgreSQL database dump complete
\\.
COPY public."RequestLog" (id) FROM stdin;
\\.
--
-- PostgreSQL database dump complete
--
"""


def written(path, text):
    """Write a dump."""
    dump = path / "dump.sql.gz"
    dump.write_bytes(gzip.compress(text.encode()))
    return dump


def test_sqlite_is_restored_and_counted(tmp_path):
    """Statements of several lines, and values that look like the end, are read as what they are."""
    assert count_dump(written(tmp_path, SQLITE)) == {"agents": 2, "tokens": 0}


def test_postgres_is_counted(tmp_path):
    """Rows of COPY blocks, whatever is in them; names as pg_dump writes them."""
    assert count_dump(written(tmp_path, POSTGRES)) == {"public.agents": 2, 'public."RequestLog"': 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SQLITE.removesuffix("COMMIT;\n"), "the dump ends in the middle of a statement"),
        (SQLITE.removesuffix(");\nCOMMIT;\n"), "the dump ends in the middle of a statement"),
        (SQLITE.replace("CREATE INDEX", "ATTACH '/tmp/soaklib-x' AS x;\nCREATE INDEX"), "not authorized"),
        (SQLITE.replace("CREATE INDEX", "PRAGMA journal_mode = wal;\nCREATE INDEX"), "not authorized"),
        (SQLITE.replace("VALUES('1'", "VALUES('1',"), "the dump cannot be restored: near"),
        (POSTGRES.removesuffix("-- PostgreSQL database dump complete\n--\n"), "its end is missing"),
        (POSTGRES.replace("\\.\n", ""), "its end is missing"),
        ("<html>", "is no whole dump of SQLite or PostgreSQL"),
        ("", "is no whole dump of SQLite or PostgreSQL"),
    ],
)
def test_what_is_no_whole_dump_is_told(tmp_path, text, said):
    """Cut short, reaching outside the scratch database, wrong, or something else."""
    with pytest.raises(SourceError, match=said):
        count_dump(written(tmp_path, text))


_NUMBERS = "with recursive n(x) as (values(1) union all select x + 1 from n) select x + 2, x from n"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (f"INSERT INTO agents {_NUMBERS};\n", "disk is full"),
        (f"INSERT INTO agents {_NUMBERS} where x < 0;\n", "interrupted"),
        ("INSERT INTO agents VALUES(3, zeroblob(20000000));\n", "disk is full"),
    ],
    ids=["rows without an end", "no row, without an end", "one long value"],
)
def test_a_dump_that_makes_more_than_it_states_is_told(tmp_path, monkeypatch, made, said):
    """It fills no disk, and whoever reads it comes to an end."""
    monkeypatch.setattr(dump_reading, "_ALWAYS_BYTES", 1 << 20)
    monkeypatch.setattr(dump_reading, "_ALWAYS_LOOKS", 1000)
    with pytest.raises(SourceError, match=f"the dump cannot be restored: .*{said}"):
        count_dump(written(tmp_path, SQLITE.replace("CREATE INDEX", f"{made}CREATE INDEX")))


def test_a_long_dump_is_restored_whole(tmp_path, monkeypatch):
    """Its rows and their index are held to its own length alone."""
    monkeypatch.setattr(dump_reading, "_ALWAYS_BYTES", 1 << 15)
    monkeypatch.setattr(dump_reading, "_ALWAYS_LOOKS", 0)
    rows = "".join(f"INSERT INTO \"agents\" VALUES('a{n}','agent {n}');\n" for n in range(20_000))
    dump = written(tmp_path, SQLITE.replace("CREATE TABLE tokens", f"{rows}CREATE TABLE tokens"))
    assert count_dump(dump) == {"agents": 20_002, "tokens": 0}


def test_a_file_that_is_cut_short_is_told(tmp_path):
    """The compressed file itself ends early."""
    dump = written(tmp_path, POSTGRES)
    dump.write_bytes(dump.read_bytes()[:-9])
    with pytest.raises(SourceError, match="the dump is cut short or damaged: Compressed file ended"):
        count_dump(dump)


def test_a_file_that_is_not_compressed_is_told(tmp_path):
    """A plain SQL file under the dump's name is not read."""
    dump = tmp_path / "dump.sql.gz"
    dump.write_text(SQLITE)
    with pytest.raises(SourceError, match="is cut short or damaged: Not a gzipped file"):
        count_dump(dump)
