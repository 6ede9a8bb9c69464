"""Tokens stated against tokens counted: runs made row by row, and counters whose truth is known."""

from contextlib import closing

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.books.tokens import tokens
from soaklib.analysis.verdicts.criteria.oracles import sessions_closed, tokens_balanced
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import Event, EventName, Sample, Scrape
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

SECOND = 1_000_000
LITELLM = TargetTable(kind="openai", is_litellm=True)
METRICS = {"in": "litellm_input_tokens_metric_total", "out": "litellm_output_tokens_metric_total"}


def call(second, model="fast", into=10, out=3, kind="ok", **more):
    return outcome(
        second, sent_at_us=second * SECOND, planned_at_us=second * SECOND, done_at_us=second * SECOND + 1000,
        tool=model, input_tokens=into, output_tokens=out, kind=kind, **more,
    )  # fmt: skip


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of calls and of what was counted: model -> (in, out), at second 300.

    The counters' process began at second 1, or at `began`; `between` are further readings, (us, counted, began). The
    first reading is of zeros, or of `at_first`.
    """
    opened = []

    def make(calls, counted, *, target=LITELLM, events=(), between=(), began=None, at_first=None):
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        plan = load_plan().model_copy(update={"target": target})
        written_run(folder, plan=plan, rows=calls, events=events)
        first = (5 * SECOND, at_first or dict.fromkeys(counted, (0, 0)), None if began is None else 1)
        readings = [first, *between, (300 * SECOND, counted, began)]
        with closing(RunWriter(folder / DATABASE_NAME)) as writer:
            writer.append(
                {
                    "scrapes": [tuple(Scrape(at, "metrics", 200, True, 1000, 10, None)) for at, *_ in readings],
                    "samples": [
                        tuple(Sample(at, METRICS[way], (("requested_model", model),), float(value)))
                        for at, by_model, _ in readings
                        for model, values in by_model.items()
                        for way, value in zip(("in", "out"), values, strict=True)
                    ]
                    + [
                        tuple(Sample(at, "process_start_time_seconds", (), float(start)))
                        for at, _, start in readings
                        if start is not None
                    ],
                }
            )
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


CALLS = [*(call(second) for second in range(10, 20)), *(call(second, "second", 7, 2) for second in range(20, 25))]
TRUE = {"fast": (100, 30), "second": (35, 10)}


def test_books_that_agree_pass_model_by_model(run_of):
    """What was stated was counted, in and out, of each model."""
    run = run_of(CALLS, TRUE)
    frame = tokens(run)
    assert frame.select("direction", "model", "stated", "counted").rows() == [
        ("in", "fast", 100, 100.0), ("in", "second", 35, 35.0), ("out", "fast", 30, 30.0), ("out", "second", 10, 10.0),
    ]  # fmt: skip
    verdict = tokens_balanced(run)
    assert (verdict.state, verdict.measure, verdict.n) == ("pass", 0.0, 15)


@pytest.mark.parametrize(
    ("counted", "measure", "said"),
    [
        ({"fast": (90, 30), "second": (35, 10)}, 10.0, "in fast: 100 stated, 90 counted by the gateway (lost)"),
        ({"fast": (100, 60), "second": (35, 10)}, 30.0, "60 counted by the gateway (counted too often)"),
    ],
)
def test_tokens_that_are_lost_or_counted_twice_fail(run_of, counted, measure, said):
    """To the token, with whose they are."""
    verdict = tokens_balanced(run_of(CALLS, counted))
    assert (verdict.state, verdict.measure) == ("fail", measure)
    assert said in verdict.detail


def test_a_call_that_stated_nothing_explains_no_more_than_the_largest(run_of):
    """A stream that was cut may have been counted by an estimate; beyond that nothing is explained."""
    cut = call(30, into=None, out=None, kind="invalid_response")
    explained = tokens_balanced(run_of([*CALLS, cut], TRUE | {"fast": (110, 33)}))
    assert explained.state == "pass"
    assert "(calls that stated no usage)" in explained.detail
    verdict = tokens_balanced(run_of([*CALLS, cut], TRUE | {"fast": (111, 33)}))
    assert (verdict.state, verdict.measure) == ("fail", 1.0)


BEFORE = 15 * SECOND - 100_000  # five calls had been answered by then


@pytest.mark.parametrize(
    ("before", "after", "state", "measure"),
    [
        ((50, 15), (30, 9), "pass", 0.0), ((50, 15), (0, 0), "pass", 0.0), ((40, 12), (0, 0), "fail", 13.0),
        ((50, 15), (60, 18), "fail", 13.0),
    ],
)  # fmt: skip
def test_a_restart_explains_what_was_counted_since_the_reading_before_it(run_of, before, after, state, measure):
    """The five calls after that reading may have been forgotten; one that had been answered before it may not."""
    run = run_of(CALLS[:10], {"fast": after}, between=[(BEFORE, {"fast": before}, 1)], began=17)
    verdict = tokens_balanced(run)
    assert (verdict.state, verdict.measure) == (state, measure)
    is_short = sum(before) + sum(after) < 130
    assert ("counter reset or restart" in verdict.detail) is (is_short and state == "pass")


def test_what_is_missing_is_not_known_where_processes_answer_in_turn(run_of):
    """Each counts what it was asked, and the first reading of each tells nothing: insufficient, and says why."""
    between = [(100 * SECOND, {"fast": (50, 15)}, 9), (200 * SECOND, {"fast": (50, 15)}, 1)]
    verdict = tokens_balanced(run_of(CALLS[:10], {"fast": (50, 15)}, between=between, began=9))
    assert (verdict.state, verdict.measure) == ("insufficient", 0.0)
    assert "several processes answer /metrics in turn" in verdict.detail


def test_nothing_is_known_where_processes_in_turn_tell_no_start_times(run_of):
    """Neither what is missing nor what is too much: the falls between them are no resets."""
    into = [1000, 400, 1010, 410, 1050, 450]
    first, *others, last = [{"fast": (tokens_in, tokens_in // 4)} for tokens_in in into]
    between = [(50 * number * SECOND, counted, None) for number, counted in enumerate(others, 1)]
    run = run_of(CALLS[:10], last, between=between, at_first=first)
    frame = tokens(run)
    assert frame.select("counted", "lost", "too_many").rows() == [(None, 0.0, 0.0)] * 2
    verdict = tokens_balanced(run)
    assert (verdict.state, verdict.measure) == ("insufficient", 0.0)
    assert "in fast: 100 stated, an unknown number counted by the gateway (several processes" in verdict.detail


def test_calls_at_the_edges_of_the_readings_may_be_counted_or_not(run_of):
    """One that lasts over the last reading is in the most, and not in the least."""
    late = call(299)._replace(done_at_us=301 * SECOND)
    assert tokens_balanced(run_of([*CALLS, late], TRUE)).state == "pass"
    assert tokens_balanced(run_of([*CALLS, late], TRUE | {"fast": (110, 33)})).state == "pass"
    assert tokens_balanced(run_of([*CALLS, late], TRUE | {"fast": (120, 33)})).state == "fail"


def test_without_a_counter_or_without_usage_nothing_is_claimed(run_of):
    """Each has its own sentence."""
    bare = tokens_balanced(run_of(CALLS, {}))
    assert (bare.state, bare.detail) == ("not applicable", "no counter of tokens was scraped")
    other = tokens_balanced(run_of([call(10, into=None, out=None)], {}, target=TargetTable()))
    assert (other.state, other.detail) == ("not applicable", "no answer states its usage of tokens")


def book(**counts):
    data = {"opened": 9, "closed": 9, "left": 0, "lost": 0, "overused": 0} | counts
    import json  # noqa: PLC0415 - used here alone

    return [Event(9, EventName.SESSIONS_CLOSED, "", None, data=json.dumps(data))]


@pytest.mark.parametrize(
    ("counts", "state", "measure"),
    [({}, "pass", 0.0), ({"closed": 7, "left": 2}, "fail", 2.0), ({"lost": 1}, "fail", 0.0)],
)
def test_sessions_are_closed_and_remembered(run_of, counts, state, measure):
    """One that is left, or forgotten in use, fails."""
    mcp = TargetTable(kind="mcp")
    verdict = sessions_closed(run_of([], {}, target=mcp, events=book(**counts)))
    assert (verdict.state, verdict.measure, verdict.n) == (state, measure, 9)


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"closed": 0, "left": 9, "unendable": 9}, "not applicable"),
        ({"closed": 0, "left": 9, "unendable": 8}, "fail"),
        ({"closed": 0, "left": 8, "unendable": 8, "lost": 1}, "fail"),
    ],
)
def test_sessions_that_a_server_ends_on_nobodys_request_are_not_judged(run_of, counts, state):
    """It need not, and the sentence says so; one that was left for another reason, or forgotten, fails all the same."""
    verdict = sessions_closed(run_of([], {}, target=TargetTable(kind="mcp"), events=book(**counts)))
    assert verdict.state == state
    assert ("the server ends no session on request, as it may: 9 sessions" in verdict.detail) == (state != "fail")


def test_sessions_of_all_senders_are_judged(run_of):
    """Each sender of a fleet tells of its own: one that is left by any of them fails."""
    whole = run_of([], {}, target=TargetTable(kind="mcp"), events=[*book(), *book(opened=5, closed=4, left=1)])
    verdict = sessions_closed(whole)
    assert (verdict.state, verdict.measure, verdict.n) == ("fail", 1.0, 14)


def test_sessions_that_the_plan_leaves_open_are_not_judged(run_of):
    """Nor those that nobody opened."""
    mcp = TargetTable(kind="mcp", close=False)
    assert sessions_closed(run_of([], {}, target=mcp, events=book(closed=0, left=9))).state == "not applicable"
    assert sessions_closed(run_of([], {})).detail == "no session was opened"
