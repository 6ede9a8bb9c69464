"""Dumps of either database, read to their end and counted without a server."""

import gzip

import pytest

from soaklib.errors import SourceError
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
