"""Tests of partials that processes share: counted once between them, and none of another file or of a part of one."""

import os
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest
from known_files import changed_copy
from polars.testing import assert_frame_equal

import soaklib
from soaklib.analysis.sources.run import find_run, open_foreign_run
from soaklib.store.partials import sharing_partials
from soaklib.store.tables import DATABASE_NAME

QUERY = "from call_partials order by all"
VARIABLE = "SOAKLIB_SHARED_PARTIALS"


def told(run="sample"):
    """Give the partials of a run that is opened anew, as another process would open it."""
    with soaklib.open_run(run) as opened:
        return opened.sql(QUERY)


@pytest.fixture
def shared():
    """Let readers share, and give where."""
    with sharing_partials():
        yield Path(os.environ[VARIABLE])
    assert VARIABLE not in os.environ


@pytest.fixture
def falsify(shared):
    """Say something else in what is shared, so that it is seen who reads it."""

    def changed():
        [file] = shared.glob("*.parquet")
        pl.read_parquet(file).with_columns(pl.col("n") * 10).write_parquet(file)

    return changed


def test_who_shares_reads_what_another_counted_and_who_does_not_counts(falsify, monkeypatch):
    """The first of them counts, and its numbers are those that it would have alone."""
    first = told()
    falsify()
    assert told()["n"].to_list() == [10 * n for n in first["n"]]
    with monkeypatch.context() as alone:
        alone.delenv(VARIABLE)
        assert_frame_equal(told(), first)


def test_a_file_that_was_written_since_is_counted_anew(falsify, tmp_path):
    """In the same place it is another run by then."""
    folder = changed_copy(find_run("sample"), tmp_path / "run")
    before = told(folder)["n"].sum()
    falsify()
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        connection.execute("delete from outcomes where slot % 2 = 0").fetchall()
    assert 0 < told(folder)["n"].sum() < before


def test_neither_a_stretch_nor_a_foreign_run_shares(falsify, tmp_path):
    """One sees a part of the calls, the other may reach no file but its own."""
    whole = told()
    falsify()
    with soaklib.open_run("sample") as run:
        part = run.between("H+1", "H+2").sql("select min(soak_s), max(soak_s), sum(n) from call_partials").row(0)
    assert 3600 <= part[0] < part[1] < 7200
    assert part[2] < whole["n"].sum()
    with open_foreign_run(changed_copy(find_run("sample"), tmp_path / "run")) as foreign:
        assert_frame_equal(foreign.sql(QUERY), whole)


def test_where_there_is_no_place_to_share_each_counts_for_itself(shared):
    """A folder that is full, or went with whoever shared, costs time and nothing else."""
    before = told()
    shutil.rmtree(shared)
    assert_frame_equal(told(), before)
    shared.mkdir()  # to be removed at the end
