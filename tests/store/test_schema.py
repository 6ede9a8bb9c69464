"""A database that someone handed over, held against the tables of a run."""

import contextlib

import duckdb
import pytest

from soaklib.store.schema import foreign_schema
from soaklib.store.writer import RunWriter


@pytest.fixture
def database(tmp_path):
    """The tables of a run, empty."""
    path = tmp_path / "run.duckdb"
    RunWriter(path).close()
    return path


def test_a_runs_database_has_nothing_foreign(database):
    """What the store makes is what is expected."""
    assert foreign_schema(database) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("drop table scrapes", "it has no table 'scrapes'"),
        ("create table notes (n int)", "it has a table 'notes' that no run has"),
        ("create view v as select 1 as one", "it has a view 'v'"),
        ("alter table events drop event_key", "its table 'events' has no event_key VARCHAR"),
        ("alter table events add column n int", "its table 'events' has n INTEGER"),
        (
            "alter table events alter detail drop not null",
            "its table 'events' has detail VARCHAR, no detail VARCHAR NOT",
        ),
        ("alter table runner_health alter open_files type bigint", "its table 'runner_health' has open_files BIGINT"),
    ],
)
def test_every_difference_is_told(database, statement, said):
    """A missing, added or other table, column, type or view."""
    with contextlib.closing(duckdb.connect(str(database))) as connection:
        connection.execute(statement).fetchall()
    [problem] = foreign_schema(database)
    assert problem.startswith(said)


def test_columns_in_another_order_are_told(database):
    """Reports would mix them up."""
    with contextlib.closing(duckdb.connect(str(database))) as connection:
        connection.execute("create or replace table events as select name, * exclude (name) from events").fetchall()
        connection.execute("alter table events alter name set not null").fetchall()
        connection.execute("alter table events alter at_us set not null").fetchall()
        connection.execute("alter table events alter detail set not null").fetchall()
    assert foreign_schema(database) == ["its table 'events' has its columns in another order"]


def test_a_view_in_place_of_a_table_is_told_and_not_queried(database, tmp_path):
    """It could read files of whoever opens it."""
    secret = tmp_path / "secret.csv"
    secret.write_text("name\nx\n")
    with contextlib.closing(duckdb.connect(str(database))) as connection:
        connection.execute("drop table verdicts").fetchall()
        connection.execute(f"create view verdicts as select * from read_csv('{secret}')").fetchall()
    assert foreign_schema(database) == ["it has a view 'verdicts'"]


def test_a_file_that_is_no_database_is_told(tmp_path):
    """With DuckDB's words."""
    path = tmp_path / "run.duckdb"
    path.write_bytes(b"x" * 10_000)
    [problem] = foreign_schema(path)
    assert problem.startswith("it cannot be opened: IO Error")
