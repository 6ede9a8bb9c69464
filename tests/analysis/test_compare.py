import shutil

import duckdb
import pytest

import soaklib
from soaklib.analysis.compare import COMPARISON_SCHEMA
from soaklib.store import DATABASE_NAME


@pytest.fixture
def changed(rehearsal, tmp_path):
    """Give a function that opens a copy of the rehearsal with SQL applied to it."""
    opened = []

    def change(statement):
        folder = tmp_path / f"changed-{len(opened)}"
        folder.mkdir()
        shutil.copy(rehearsal.folder / DATABASE_NAME, folder)
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
            connection.execute(statement).fetchall()
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield change
    for run in opened:
        run.close()


def states(frame):
    return dict(frame.select("endpoint", "state").iter_rows())


def test_a_run_is_the_same_as_itself(rehearsal):
    """A against A: no endpoint is different, and every difference is zero."""
    with soaklib.open_run(rehearsal.folder) as run:
        frame = soaklib.compare(run, run)
    assert frame.schema == COMPARISON_SCHEMA
    assert set(states(frame).values()) == {"same"}
    assert frame["difference"].to_list() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("statement", "endpoint", "difference"),
    [
        ("update outcomes set done_at_us = done_at_us + 20000", "latency (median)", 20),
        ("update outcomes set kind = 'timeout' where kind = 'ok' and slot % 20 = 1", "errors", 4.5),
    ],
)
def test_a_change_beyond_the_margin_is_different(rehearsal, changed, statement, endpoint, difference):
    """A later run that is 20 ms slower, or fails in one call of twenty, is found, with the size of the change."""
    with soaklib.open_run(rehearsal.folder) as run:
        frame = soaklib.compare(run, changed(statement))
    assert states(frame)[endpoint] == "different"
    row = frame.filter(endpoint=endpoint).row(0, named=True)
    assert row["difference"] == pytest.approx(difference, rel=0.2)
    assert row["low"] <= row["difference"] <= row["high"]


def test_a_change_within_the_margin_is_the_same(rehearsal, changed):
    """1 ms more of a margin of 5."""
    with soaklib.open_run(rehearsal.folder) as run:
        frame = soaklib.compare(run, changed("update outcomes set done_at_us = done_at_us + 1000"))
    assert states(frame)["latency (median)"] == "same"
    assert frame["difference"][0] == pytest.approx(1.0, abs=1e-6)


def test_too_few_windows_are_inconclusive(rehearsal, changed):
    """A run of which ten minutes are left says nothing."""
    with soaklib.open_run(rehearsal.folder) as run:
        frame = soaklib.compare(run, changed("delete from outcomes where slot > 600"))
    assert set(states(frame).values()) == {"inconclusive"}
    assert frame["low"].to_list() == [None, None, None]
