"""Calls let through against what a limit allows: runs made row by row, whose truth is known."""

from pathlib import Path

import duckdb
import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.books.limits import limits
from soaklib.analysis.verdicts.criteria.oracles import limits_held
from soaklib.plan.model import load_plan
from soaklib.plan.oracles import RateLimit
from soaklib.store.tables import DATABASE_NAME

SECOND = 1_000_000
LASTS_US = 20_000


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of calls (second, kind), under a limit of 5 in 60 s, and others beside it."""
    opened = []

    def make(calls, others=(), **of_limit):
        limit = RateLimit(**({"calls": 5, "window_s": 60.0} | of_limit))
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        plan = load_plan().model_copy(update={"limits": (limit, *others)})
        rows = [
            outcome(
                number, sent_at_us=round(at_s * SECOND), planned_at_us=round(at_s * SECOND),
                done_at_us=round(at_s * SECOND) + (rest[2] * SECOND if len(rest) > 2 else LASTS_US),
                kind=kind, identity=rest[0] if rest else "a",
                reason=None if kind == "ok" else "rate_limit", status=200 if kind == "ok" else 429,
                token_generation=rest[1] if len(rest) > 1 else 0, phase="cut" if at_s >= 100 else "before",
            )
            for number, (at_s, kind, *rest) in enumerate(calls)
        ]  # fmt: skip
        written_run(folder, plan=plan, rows=rows)
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


def passed(*seconds):
    return [(second, "ok") for second in seconds]


def row_of(run):
    return limits(run).row(0, named=True)


HELD = [*passed(0, 10, 20, 30, 40), (50, "rate_limited"), *passed(61, 71)]


def test_a_limit_that_held_passes_with_its_numbers(run_of):
    """Five of the first minute go through, the sixth does not."""
    run = run_of(HELD, window="sliding")
    found = row_of(run)
    assert (found["let_through"], found["refused"], found["most"]) == (7, 1, 5)
    assert (found["windows_over"], found["refused_early"], found["fewest"]) == (0, 0, 5)
    assert limits_held(run).state == "pass"


def test_one_call_too_many_in_a_sliding_window_is_under_enforcement(run_of):
    """Six in fifty seconds are one more than any minute may hold."""
    run = run_of([*passed(0, 10, 20, 30, 40, 50), (55, "rate_limited")], window="sliding")
    verdict = limits_held(run)
    assert (row_of(run)["windows_over"], row_of(run)["over_by"]) == (1, 1)
    assert (verdict.state, verdict.measure) == ("fail", 1.0)
    assert "UNDER-enforced: 1 window with up to 1 more than the 5" in verdict.detail


@pytest.mark.parametrize("n_long", [0, 5])
def test_calls_that_outlast_their_window_hide_none(run_of, n_long):
    """Six short calls in 25 s are one too many, also while streams of ten minutes are under way."""
    long = [(at_s, "ok", "a", 0, 600) for at_s in range(n_long)]
    found = row_of(run_of([*long, *passed(100, 105, 110, 115, 120, 125)], window="sliding"))
    assert (found["most"], found["windows_over"], found["over_by"]) == (6, 1, 1)


def test_what_two_fixed_windows_may_hold_where_they_meet_is_not_blamed(run_of):
    """Ten calls within a minute may lie in two windows; the eleventh may not, whenever they begin."""
    ten = passed(*range(30, 40))
    assert limits_held(run_of([*ten, (41, "rate_limited")])).state == "pass"
    verdict = limits_held(run_of([*ten, *passed(41), (42, "rate_limited")]))
    assert (verdict.state, verdict.measure) == ("fail", 1.0)


def test_a_call_that_may_have_been_counted_outside_the_window_is_no_proof(run_of):
    """A sixth call whose answer came when the minute was over proves nothing; one that came just before does."""
    almost = 60 - LASTS_US / SECOND
    five = [*passed(0, 10, 20, 30, 40), (50, "rate_limited")]
    assert limits_held(run_of([*five, *passed(almost)], window="sliding")).state == "pass"
    assert limits_held(run_of([*five, *passed(almost - 0.001)], window="sliding")).state == "fail"


@pytest.mark.parametrize("window", ["sliding", "fixed"])
def test_a_refusal_before_the_limit_is_over_enforcement(run_of, window):
    """With four let through in the minute before, the fifth must go through, whatever the windows' phase."""
    run = run_of([*passed(0, 10, 20, 30), (40, "rate_limited")], window=window)
    verdict = limits_held(run)
    assert (row_of(run)["refused_early"], row_of(run)["fewest"]) == (1, 4)
    assert verdict.state == "fail"
    assert "OVER-enforced: 1 call refused too early, one when 4 had been let through" in verdict.detail


def test_refusals_count_only_where_the_plan_says_so(run_of):
    """A gateway that counts what it refuses is not too strict by its own words."""
    calls = [*passed(0, 10, 20, 30, 40), *((second, "rate_limited") for second in (50, 59, 68, 77, 86))]
    assert row_of(run_of(calls))["refused_early"] == 3
    assert row_of(run_of(calls, counts_refused=True))["refused_early"] == 0


def test_keys_are_counted_apart(run_of):
    """Three calls each of two agents are under a limit of five an agent, and over one of five for all."""
    calls = [(second, "ok", "ab"[second % 2]) for second in range(6)] + [(70, "rate_limited", "a")]
    assert limits(run_of(calls, window="sliding", per="agent"))["windows_over"].to_list() == [0, 0]
    assert limits(run_of(calls, window="sliding", per="all"))["windows_over"].to_list() == [1]
    rotated = [(second, "ok", "a", int(second > 2)) for second in range(6)]
    assert limits(run_of(rotated, window="sliding", per="key"))["most"].to_list() == [3, 3]


def test_a_limit_of_one_phase_is_held_to_its_calls_alone(run_of):
    """Before the cut ten a minute are nobody's business; what is refused right after it, others had used up."""
    before = passed(*range(90, 100))
    run = run_of([*before, (101, "rate_limited"), *passed(165, 166), (167, "rate_limited")], phase="cut")
    found = row_of(run)
    assert (found["let_through"], found["refused"], found["most"]) == (2, 1, 2)
    assert (found["windows_over"], found["refused_early"], found["fewest"]) == (0, 1, 2)
    assert row_of(run_of([*before, (101, "rate_limited")], phase="cut"))["refused_early"] == 0
    cut = [(101, "rate_limited"), *passed(*range(102, 113))]
    assert row_of(run_of(cut, phase="cut"))["windows_over"] == 1


OF_ALL = RateLimit(name="of all", calls=50, window_s=60.0, per="all")


def test_a_refusal_that_one_limit_explains_is_not_early_for_another(run_of):
    """The sixth call of an agent is refused: it is no refusal to the limit of all, whose edge is far."""
    run = run_of([*passed(0, 100, 110, 120, 130, 140), (150, "rate_limited")], [OF_ALL])
    verdict = limits_held(run)
    assert limits(run).select("limit", "refused", "refused_early", "fewest").rows() == [
        ("of all", 0, 0, 50), ("requests", 1, 0, 5),
    ]  # fmt: skip
    assert (verdict.state, verdict.measure) == ("insufficient", 0.0)
    assert "of all (50 in 60 s, fixed windows): at most 5 calls let through in such a stretch, 0 refused: its edge" in (
        verdict.detail
    )


def test_a_refusal_that_no_limit_explains_is_early_once(run_of):
    """It is the fault of the one that was nearest to its edge, and one call."""
    run = run_of([*passed(0, 100, 110, 120), (130, "rate_limited")], [OF_ALL])
    verdict = limits_held(run)
    assert limits(run).select("limit", "refused", "refused_early", "fewest").rows() == [
        ("of all", 0, 0, 50), ("requests", 1, 1, 3),
    ]  # fmt: skip
    assert (verdict.state, verdict.measure) == ("fail", 1.0)


def test_both_limits_are_held_where_both_were_reached(run_of):
    """Agent a at its five, and then another at the seventh call of all."""
    seven = OF_ALL.model_copy(update={"calls": 7})
    calls = [*passed(0, 100, 101, 102, 103, 104), (105, "rate_limited"), (106, "ok", "b"), (107, "ok", "b")]
    verdict = limits_held(run_of([*calls, (108, "rate_limited", "b")], [seven]))
    assert (verdict.state, verdict.measure) == ("pass", 0.0), verdict


def test_what_a_killed_runner_had_sent_last_is_not_known(run_of):
    """A refusal within a window's length after a gap is early for nobody; later ones are."""
    calls = [*passed(0, 1), (130, "rate_limited"), (179, "rate_limited"), (200, "rate_limited")]
    run = run_of(calls)
    assert (row_of(run)["refused_early"], limits_held(run).state) == (3, "fail")
    folder = run.folder
    run.close()
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        connection.execute(
            "insert into segments by name select * replace (1 as segment, 120000000 as started_at_us) from segments"
        )
    with soaklib.open_run(folder) as resumed:
        assert (row_of(resumed)["refused"], row_of(resumed)["refused_early"]) == (1, 1)


def test_limits_of_one_name_are_told_apart(run_of):
    """Each is described with its own calls, and the edge of one says nothing of the other's."""
    run = run_of(HELD, [RateLimit(calls=50), RateLimit(name="requests 1", calls=60)])
    verdict = limits_held(run)
    assert limits(run).select("limit", "allowed", "refused").rows() == [
        ("requests 1", 60, 0), ("requests 2", 5, 1), ("requests 3", 50, 0),
    ]  # fmt: skip
    assert verdict.state == "insufficient"
    assert verdict.detail.startswith(
        "requests 2 (5 in 60 s, fixed windows): at most 5 calls let through in such a stretch, 1 refused; "
        "requests 3 (50 in 60 s, fixed windows): at most 5 calls let through in such a stretch, 0 refused: its edge was"
    )


def test_limits_may_be_stated_when_they_are_asked_for(run_of):
    """A run whose plan states none, or another, is held to what is given."""
    run = run_of([*passed(0, 1, 2), (3, "rate_limited")], window="sliding")
    found = limits(run, stated=[RateLimit(name="two", calls=2, window="sliding")])
    assert found.select("limit", "windows_over", "over_by").rows() == [("two", 1, 1)]


def test_a_limit_that_was_never_reached_proves_nothing(run_of):
    """Without a refusal the limit was not tried."""
    verdict = limits_held(run_of(passed(0, 20, 40)))
    assert verdict.state == "insufficient"
    assert "its edge was never reached" in verdict.detail


def test_without_a_stated_limit_there_is_nothing_to_hold():
    """The default plan states none: not applicable, and never a pass."""
    with soaklib.open_run(Path(__file__).parents[3] / "data" / "sample") as sample:
        assert limits_held(sample).state == "not applicable"
        assert limits(sample).height == 0


def test_the_limit_that_the_run_was_started_with_is_held_too(tmp_path):
    """--agent-limit states one where the plan states none: of an agent, in windows that begin anywhere."""
    eleven = [
        outcome(number, planned_at_us=number * SECOND, sent_at_us=number * SECOND,
                done_at_us=number * SECOND + LASTS_US, identity="a") for number in range(11)
    ]  # fmt: skip
    written_run(tmp_path, plan=load_plan(), rows=eleven, settings='{"agent_limit": "5/60s"}')
    with soaklib.open_run(tmp_path) as run:
        verdict = limits_held(run)
    assert (verdict.state, verdict.measure) == ("fail", 1.0)
    assert verdict.detail.startswith("calls of an agent (5 in 60 s, fixed windows): at most 11 calls let through")
