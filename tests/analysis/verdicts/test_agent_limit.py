"""A limiter that works is not blamed for a pool of agents that is too small, and one that does not work is."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

import soaklib
from soaklib.analysis.verdicts.criteria import stability, traffic
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
LIMITED = "update outcomes set kind = 'rate_limited', status = 429, reason = 'rate_limit'"
LET_IN = 10
WINDOW_S = 60 / 360
"""A soak-minute of the sample, in which a role makes some 15 calls."""
BEYOND = f"""{LIMITED} where purpose = 'load' and kind = 'ok' and (slot, step) in (
    select (slot, step) from (
        select slot, step, row_number() over (
            partition by role, floor(sent_at_us / {WINDOW_S * 1e6}) order by sent_at_us) as number
        from outcomes where purpose = 'load' and kind = 'ok')
    where number > {LET_IN})"""
"""What a limiter of so many calls of a role in each minute would refuse."""


def known(calls, window_s=WINDOW_S):
    """Give the statement that writes down which limit is known."""
    data = json.dumps({"calls": calls, "window_s": window_s})
    return f"insert into events (at_us, name, detail, data) values (1, 'RATE_LIMITED', 'calls are', '{data}')"


@pytest.fixture
def changed(tmp_path):
    """Give a function that changes a copy of the sample with SQL and opens it."""

    def change(*statements):
        shutil.copy(SAMPLE / DATABASE_NAME, tmp_path)
        RunWriter(tmp_path / DATABASE_NAME).close()  # the sample is of the first version, which had no such columns
        with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()
        return soaklib.open_run(tmp_path)

    return change


def test_a_429_beyond_the_limit_that_is_known_is_no_failure_and_is_said(changed):
    """A pool that is too small: success of all other calls stands, and the verdict says how many were refused."""
    with changed(BEYOND, known(LET_IN)) as run:
        refused = run.sql("select count(*) from outcomes where kind = 'rate_limited'").item()
        assert refused > 400
        said = run.sql("select expected, counted, count(*) from calls where kind = 'rate_limited' group by all")
        assert said.rows() == [("either", False, refused)]
        overall, outside = traffic.success_overall(run), traffic.success_outside(run)
        assert (overall.state, outside.state) == ("pass", "pass"), (overall, outside)
        assert f"{refused:,} more were refused with 429" in overall.detail
        assert stability.no_drift_in_errors(run).state == "pass"
        frame = soaklib.success_rate(run.outcomes(), every="all")
        assert frame["n", "successes"].rows() == soaklib.success_rate(run, every="all")["n", "successes"].rows()


@pytest.mark.parametrize("statements", [(), (known(3 * LET_IN),)], ids=["none is known", "it refuses too early"])
def test_a_429_that_no_limit_explains_is_the_gateways_failure(changed, statements):
    """Where no limit is known, or the agent had not used it up, a refusal counts."""
    with changed(BEYOND, *statements) as run:
        verdict = traffic.success_overall(run)
        assert (verdict.state, "429" in verdict.detail) == ("fail", False), verdict
        assert set(run.sql("select distinct expected from calls where kind = 'rate_limited'")["expected"]) == {"allow"}


def test_an_agent_is_asked_by_its_own_calls(changed):
    """Where rows say who made a call, the share of one agent is not excused by what another made."""
    named = "update outcomes set identity = role || '-' || (slot % 2)"
    with changed(BEYOND, named, known(LET_IN)) as run:
        assert traffic.success_overall(run).state == "fail"
