from itertools import product

import duckdb
import pytest

from soaklib.records import SUCCESS_SQL, Expected, Kind, Purpose, Reason, counts_towards_success, is_success

EVERY_ROW = list(product(Purpose, Kind, Expected, [None, *Reason]))


@pytest.fixture(scope="module")
def said_by_sql():
    """What the twins in SQL say of every possible row."""
    with duckdb.connect() as connection:
        columns = [list(column) for column in zip(*(map(_text, row) for row in EVERY_ROW), strict=True)]
        rows = connection.execute(
            f"select purpose, kind, expected, reason, {SUCCESS_SQL['is_success']},"
            f" {SUCCESS_SQL['counts_towards_success']}"
            " from (select unnest(?) as purpose, unnest(?) as kind, unnest(?) as expected, unnest(?) as reason)",
            columns,
        ).fetchall()
    return {row[:4]: row[4:] for row in rows}


def _text(value):
    return None if value is None else str(value)


def test_python_and_sql_have_one_definition_of_success(said_by_sql):
    """For each of the rows that can be, both say the same."""
    for row in EVERY_ROW:
        purpose, kind, expected, reason = row
        python = (is_success(kind, expected), counts_towards_success(purpose, kind, expected, reason))
        assert said_by_sql[tuple(map(_text, row))] == python, row


@pytest.mark.parametrize(
    ("kind", "expected", "success"),
    [("ok", "allow", True), ("ok", "either", True), ("ok", "deny", False), ("denied", "deny", False)],
)
def test_success_is_an_ok_that_policy_should_allow(kind, expected, success):
    """An ok that should have been denied is no success."""
    assert is_success(kind, expected) is success


@pytest.mark.parametrize(
    ("purpose", "kind", "expected", "reason", "counts"),
    [
        ("load", "ok", "allow", None, True),
        ("load", "dropped", "allow", "in_flight_cap", True),
        ("load", "missed", "allow", "no_runner", True),
        ("load", "skipped", "allow", "step_not_ok", False),
        ("load", "denied", "either", "quota", False),
        ("load", "denied", "allow", "quota", True),
        ("load", "denied", "either", "scope", True),
        ("probe", "denied", "deny", "scope", False),
    ],
)
def test_what_counts_towards_the_success_rate(purpose, kind, expected, reason, counts):
    """Left out are probes, skipped steps, and quota denials that the plan says may happen."""
    assert counts_towards_success(purpose, kind, expected, reason) is counts
