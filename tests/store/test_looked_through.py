"""A file is looked through once, for as long as nobody touches it; whatever touches it, it is looked through again."""

import os
import shutil

import duckdb
import pytest
from stored_rows import MANIFEST

from soaklib.errors import RunError, SchemaError
from soaklib.store.foreign import not_data
from soaklib.store.reader import open_read_only
from soaklib.store.schema import foreign_schema
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter


def _written(path):
    writer = RunWriter(path)
    writer.begin_run(MANIFEST)
    writer.close()
    return path


@pytest.fixture
def known(tmp_path):
    """A run's file that this process has written and read."""
    path = _written(tmp_path / DATABASE_NAME)
    open_read_only(path).close()
    return path


@pytest.fixture
def looks(monkeypatch):
    """How often a database was looked through since."""
    seen = []

    def looking(connection):
        seen.append(connection)
        return not_data(connection)

    monkeypatch.setattr("soaklib.store.writer.not_data", looking)
    return seen


def _put_into(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("create macro round(x) as 0").fetchall()


def _refused(path):
    for open_it in (open_read_only, RunWriter):
        with pytest.raises(RunError, match="it has a macro 'round'"):
            open_it(path)


def test_a_file_that_nobody_touched_is_not_looked_through_again(known, looks):
    """Neither to be read nor to be written, nor after this process wrote it; a copy is another file."""
    open_read_only(known).close()
    RunWriter(known).close()
    open_read_only(known).close()
    open_read_only(_written(known.with_name("own.duckdb"))).close()
    assert not looks
    copied = known.with_name("copied.duckdb")
    shutil.copyfile(known, copied)
    open_read_only(copied).close()
    open_read_only(copied).close()
    assert len(looks) == 1


def test_what_a_check_has_found_to_be_a_runs_is_not_looked_through_again(known, looks):
    """Unless it was changed since, or what was checked is what another reader has open, not the file."""
    copied = known.with_name("copied.duckdb")
    shutil.copyfile(known, copied)
    assert foreign_schema(copied) == []
    open_read_only(copied).close()
    assert not looks
    other = known.with_name("other.duckdb")
    shutil.copyfile(copied, other)
    _put_into(other)
    first = open_read_only(copied)
    other.replace(copied)
    assert foreign_schema(copied) == []
    first.close()
    _refused(copied)


@pytest.mark.parametrize("is_glance", [False, True])
def test_what_several_read_at_once_is_looked_through_once(known, looks, is_glance):
    """They share one database; the next that is opened may be another file's, and is looked through."""
    copied = known.with_name("copied.duckdb")
    shutil.copyfile(known, copied)
    readers = [open_read_only(copied, is_glance=is_glance), open_read_only(copied), open_read_only(copied)]
    assert len(looks) == 1
    for reader in readers:
        reader.close()
    with duckdb.connect(str(copied)) as connection:
        connection.execute("update run set seed = seed + 1").fetchall()
    open_read_only(copied).close()
    assert len(looks) == 2


def test_the_tables_of_a_file_that_was_changed_are_compared_again(known):
    """With those of its version, and also after this process wrote into it."""
    with duckdb.connect(str(known)) as connection:
        connection.execute("create table notes (n int)").fetchall()
    for _ in range(2):
        with pytest.raises(SchemaError, match="it has a table 'notes' that no run has"):
            open_read_only(known)
        RunWriter(known).close()


def test_a_file_that_was_changed_is_refused(known):
    """Also where size and time were put back to what they were."""
    before = known.stat()
    _put_into(known)
    os.truncate(known, max(before.st_size, known.stat().st_size))
    os.utime(known, ns=(before.st_atime_ns, before.st_mtime_ns))
    _refused(known)
    _refused(known)


def test_what_waits_in_a_log_beside_a_known_file_is_refused(known):
    """A write-ahead log is read with the file, which is as it was."""
    other = known.with_name("other.duckdb")
    shutil.copyfile(known, other)
    with duckdb.connect(str(other)) as connection:
        connection.execute("create macro round(x) as 0").fetchall()
        shutil.copyfile(f"{other}.wal", f"{known}.wal")
    _refused(known)


@pytest.mark.parametrize("is_glance", [False, True])
def test_a_file_put_in_place_of_one_that_is_being_read_is_refused(known, is_glance):
    """A second reader sees what the first opened: that says nothing of the file that is there now."""
    other = known.with_name("other.duckdb")
    shutil.copyfile(known, other)
    _put_into(other)
    first = open_read_only(known, is_glance=is_glance)
    other.replace(known)
    open_read_only(known).close()
    first.close()
    _refused(known)
