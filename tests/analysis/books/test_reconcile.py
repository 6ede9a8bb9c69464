"""Reconciliation of counters, finding by finding, on runs small enough to count by hand, each with a harmless twin."""

import math
from random import Random

import polars as pl
import pytest
from bookkeeping_runs import (
    ANCHOR,
    Call,
    Miniature,
    Reconciler,
    Scrape,
    calls_from,
    clean,
    explained,
    found,
    scrapes_at,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from soaklib.analysis.books.accounts import Account
from soaklib.analysis.books.pairs import BOOKS, reconciliation_proofs
from soaklib.analysis.books.reconcile import RECONCILIATION_SCHEMA, books_balanced, reconcile


@pytest.fixture
def reconciled(tmp_path):
    """Give a function that writes a miniature and reconciles it."""
    return Reconciler(tmp_path)


def test_a_clean_run_balances_in_every_window(reconciled):
    """Each window has as many increments as answers, in each book, and nothing else."""
    frame = reconciled(clean())
    assert frame.schema == RECONCILIATION_SCHEMA
    expected = [
        (end_s, n, float(n), 0.0, "balanced") for end_s, n in ((10, 90), (20, 100), (30, 100), (40, 100), (50, 90))
    ]
    for outcome in ("ok", "executed", "validated"):
        assert explained(frame, outcome) == expected
    assert frame["outcome"].n_unique() == 3


def test_times_of_windows_are_those_of_the_scrapes(reconciled):
    """A window lies between the ends of two scrapes, in soak seconds and UTC."""
    row = reconciled(clean()).filter(outcome="ok").row(1, named=True)
    assert (row["start_s"], row["end_s"]) == pytest.approx((9.994, 19.994))
    assert (row["at"] - ANCHOR).total_seconds() == pytest.approx(19.994)


@pytest.mark.parametrize("missing", [1, 7])
def test_what_is_not_counted_is_lost_in_its_window(reconciled, missing):
    """So many increments of the requests left out are named, with the window and the tool, and in no other book."""
    calls = calls_from(1, 480)
    for call in calls[150 : 150 + missing]:
        call.times = 0
    frame = reconciled(clean(calls=calls))
    assert found(frame) == [(20, "ok", "serpapi", -float(missing), "lost")]
    assert "only the count is missing" in frame.filter(cause="lost")["detail"].item()


def test_what_no_counter_has_is_lost_in_every_book(reconciled):
    """An answer that the gateway counted nowhere is lost in all of its books, and that is said."""
    calls = calls_from(1, 480)
    calls[150].times, calls[150].executed = 0, False
    frame = reconciled(clean(calls=calls))
    assert found(frame) == [
        (20, "executed", "serpapi", -1.0, "lost"), (20, "ok", "serpapi", -1.0, "lost"),
        (20, "validated", None, -1.0, "lost"),
    ]  # fmt: skip
    assert "in no other counter either" in frame.filter(outcome="ok", cause="lost")["detail"].item()


def test_an_increment_made_twice_is_told_from_another_clients_call(reconciled):
    """Requests alone rise: counted twice. All counters rise: a call that this client did not make."""
    calls = calls_from(1, 480)
    calls[250].times = 2
    assert found(reconciled(clean(calls=calls))) == [(30, "ok", "serpapi", 1.0, "counted twice")]
    others = [*calls_from(1, 480), Call(25_050_000, 25_052_000, seen_by_client=False)]
    assert found(reconciled(clean(calls=others))) == [
        (30, "executed", "serpapi", 1.0, "unexplained"), (30, "ok", "serpapi", 1.0, "unexplained"),
        (30, "validated", None, 1.0, "unexplained"),
    ]  # fmt: skip


def test_a_witness_speaks_for_its_own_tool_only(reconciled):
    """Another client's call of one tool does not make an increment of another tool's made twice a call."""
    calls = [*calls_from(1, 480), Call(25_050_000, 25_052_000, tool="openai", seen_by_client=False)]
    calls[250].times = 2
    frame = reconciled(clean(calls=calls))
    assert (30, "ok", "serpapi", 1.0, "counted twice") in found(frame)
    assert (30, "ok", "openai", 1.0, "unexplained") in found(frame)


def test_without_a_witness_a_surplus_is_not_called_counted_twice(reconciled):
    """Where requests are the only counter, nothing tells an increment made twice from another call."""
    calls = calls_from(1, 480)
    calls[250].times = 2
    frame = reconciled(clean(calls=calls, exposes=("gateway_requests_total",)))
    assert found(frame) == [(30, "ok", "serpapi", 1.0, "unexplained")]
    assert set(frame.filter(outcome="executed")["cause"]) == {"not counted"}


def test_a_loss_and_a_double_in_different_windows_do_not_cancel(reconciled):
    """The sum over the run is right, and both are still found."""
    calls = calls_from(1, 480)
    calls[150].times, calls[350].times = 0, 2
    assert found(reconciled(clean(calls=calls))) == [
        (20, "ok", "serpapi", -1.0, "lost"), (40, "ok", "serpapi", 1.0, "counted twice"),
    ]  # fmt: skip


def test_calls_under_way_hide_no_part_of_a_loss_that_a_later_double_makes_up_for(reconciled):
    """Three lost, two answers in doubt at the scrape, then three doubles: the durations tell that it was three."""
    calls = [*calls_from(1, 480), Call(20_005_000, 20_009_000)]
    for lost, doubled in zip(calls[150:153], calls[250:253], strict=True):
        lost.times, doubled.times = 0, 2
    slow = Scrape(19_990_000, 20_020_000, made_us=20_010_000)
    scrapes = [*scrapes_at(0.5, 10), slow, *scrapes_at(30, 40, 50)]
    assert found(reconciled(clean(calls=calls, scrapes=scrapes))) == [
        (20, "ok", "serpapi", -3.0, "lost"), (30, "ok", "serpapi", 3.0, "counted twice"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "sizes"),
    [
        ([0, 10, 20, 30, 40], [-3, 3]),
        ([0, 10, 19, 29, 40], [-2, 2]),
        ([0, 10, 18, 28, 40], [-1, 1]),
        ([0, 10, 20, 28, 40], [-1, 1]),
        ([0, 10, 24, 34, 40], [-1, 1]),
        ([0, 10, math.nan, math.nan, 40], [-1, 1]),
    ],
    ids=["both counted", "one counted", "none counted", "at other moments", "it miscounts itself", "not told"],
)
def test_a_witness_tells_how_many_of_the_calls_in_doubt_were_counted(seen, sizes):
    """Lost for two readings are one to three, as two answers are in doubt; a witness that cannot tell leaves one."""
    rows, late, early = [0, 10, 10, 10, 10, 0], [0, 0, 2, 2, 0, 0], [0] * 6
    account = Account("serpapi", "search", None, rows, late, early, [0, 10, 17, 27, 40])
    witness = Account("serpapi", "search", None, rows, late, early, seen)
    assert [jump.size for jump in account.jumps(0, 5)] == [-1, 1]
    assert [jump.size for jump in account.jumps(0, 5, witness)] == sizes


@pytest.mark.parametrize(("counted_us", "expected"), [(19_995_000, (0.0, 0.0)), (20_010_000, (0.0, 0.0))])
def test_a_call_under_way_at_a_scrape_may_be_on_either_side(reconciled, counted_us, expected):
    """Counted before or after the scrape, a call that spans it leaves nothing to explain."""
    long_call = Call(19_950_000, 20_050_000, counted_us=counted_us, tool="openai")
    scrapes = [*scrapes_at(0.5, 10), Scrape(19_996_000, 20_000_000), *scrapes_at(30, 40, 50)]
    frame = reconciled(clean(calls=[*calls_from(1, 480), long_call], scrapes=scrapes))
    assert found(frame) == []
    rows = frame.filter(outcome="ok", tool="openai")
    assert (rows["residual"].sum(), rows["discrepancy"].sum()) == expected
    assert rows["cause"].to_list() == (["in flight at the edge"] * 2 if counted_us < 19_996_000 else ["balanced"])


def test_an_answer_that_came_while_the_scrape_went_on_may_be_in_it_or_not(reconciled):
    """The text was made before the answer, though the scrape ended after it."""
    scrapes = [*scrapes_at(0.5, 10), Scrape(19_990_000, 20_020_000, made_us=19_991_000), *scrapes_at(30, 40, 50)]
    calls = [*calls_from(1, 480), Call(20_005_000, 20_009_000)]
    frame = reconciled(clean(calls=calls, scrapes=scrapes))
    assert found(frame) == []
    assert [row[3:] for row in explained(frame, "ok")][1:3] == [
        (-2.0, "in flight at the edge"),
        (2.0, "in flight at the edge"),
    ]


def test_a_loss_that_calls_under_way_can_hide_is_found_once_they_cannot(reconciled):
    """One call is lost while another spans the scrape: certain a window later, maybe older, unless durations tell."""
    calls = [*calls_from(1, 480), Call(19_950_000, 20_050_000, counted_us=19_960_000)]
    calls[150].times = 0
    scrapes = [*scrapes_at(0.5, 10), Scrape(19_996_000, 20_000_000), *scrapes_at(30, 40, 50)]
    alone = reconciled(clean(calls=calls, scrapes=scrapes, exposes=("gateway_requests_total",)))
    assert [(row[0], row[3]) for row in found(alone)] == [(30, -1.0)]
    assert "may be up to 1 windows older" in alone.filter(cause="lost")["detail"].item()
    frame = reconciled(clean(calls=calls, scrapes=scrapes))
    assert [(row[0], row[3]) for row in found(frame)] == [(20, -1.0)]
    assert "older" not in frame.filter(cause="lost")["detail"].item()


def test_a_gateway_that_counts_each_200_twice_balances(reconciled):
    """The factor is found in the data and said; a loss under it is still found, in calls."""
    assert found(reconciled(clean(every_ok=2))) == []
    frame = reconciled(clean(every_ok=2))
    assert frame.filter(outcome="ok")["factor"].to_list() == [2] * 5
    assert frame.filter(outcome="executed")["factor"].to_list() == [1] * 5
    calls = calls_from(1, 480)
    calls[150].times = 0
    assert found(reconciled(clean(calls=calls, every_ok=2))) == [(20, "ok", "serpapi", -1.0, "lost")]


def test_doubles_in_one_window_are_no_habit(reconciled):
    """A window in which every call is counted twice is not a factor: the other windows speak against it."""
    calls = calls_from(1, 480)
    for call in calls[90:190]:
        call.times = 2
    assert found(reconciled(clean(calls=calls))) == [(20, "ok", "serpapi", 100.0, "counted twice")]


def test_every_answer_is_in_its_books(reconciled):
    """Denials by reason, expirations, fast-fails, and the validations that only refusals and 429 are in."""
    calls = [
        *calls_from(1, 480), *calls_from(11, 4, kind="denied", tool="gmail_send"),
        *calls_from(12, 3, kind="unauthorized"), *calls_from(13, 5, kind="rate_limited"),
        *calls_from(14, 6, kind="invalid_request"), *calls_from(15, 7, kind="upstream_error", tool="openai"),
        *calls_from(16, 8, kind="fast_fail", tool="openai"),
    ]  # fmt: skip
    frame = reconciled(clean(calls=calls))
    assert found(frame) == []
    in_window = frame.filter(pl.col("end_s").round() == 20)
    columns = ("outcome", "tool", "reason", "client_rows", "counter_increase")
    assert set(in_window.select(columns).iter_rows()) == {
        ("ok", "serpapi", None, 100, 100.0), ("failed", "openai", None, 15, 15.0),
        ("fast fail", "openai", None, 8, 8.0),
        ("executed", "serpapi", None, 100, 100.0), ("executed", "openai", None, 15, 15.0),
        ("denied", None, "scope", 4, 4.0), ("expired", None, None, 3, 3.0), ("validated", None, None, 133, 133.0),
    }  # fmt: skip


def test_a_run_without_scrapes_cannot_be_judged(tmp_path):
    """Without two readings the verdict is insufficient, never a pass."""
    for name, scrapes in (("none", []), ("one", scrapes_at(10))):
        with clean(scrapes=scrapes).write(tmp_path / name) as run:
            assert set(reconcile(run)["cause"]) <= {"scrape gap", "not counted"}
            assert (books_balanced(run).state, books_balanced(run).measure) == ("insufficient", None)


def test_the_verdict_passes_and_fails(tmp_path):
    """It sums up what is found, and says in which book."""
    with clean().write(tmp_path / "clean") as run:
        verdict = books_balanced(run)
    assert (verdict.name, verdict.state, verdict.measure, verdict.n) == ("books balanced", "pass", 0.0, 480)
    assert verdict.detail == "every difference is explained in 5 windows; without the gateway's request log"
    calls = calls_from(1, 480)
    calls[150].times, calls[350].times = 0, 3
    with clean(calls=calls).write(tmp_path / "wrong") as run:
        verdict = books_balanced(run)
    assert (verdict.state, verdict.measure) == ("fail", 3.0)
    assert "2 ok counted twice (client and counter), 1 ok lost (client and counter)" in verdict.detail


def test_what_is_proved_is_said_for_every_book():
    """Each book and the log say what they can and cannot prove."""
    proofs = reconciliation_proofs()
    assert proofs["outcome"].to_list() == [*(book.name for book in BOOKS), "every answer"]
    assert proofs["pair"].unique().sort().to_list() == ["client and counter", "client and database"]
    assert proofs.null_count().sum_horizontal().item() == 0
    assert proofs.filter(outcome="validated")["source"].item() == "gateway_token_validations_total"


def busy(random):
    """A busy gateway: calls of all lengths, scrapes of all lengths, the moment of counting anywhere inside."""
    calls = []
    for _ in range(random.randint(1, 60)):
        sent_us = random.randint(0, 20_000_000)
        done_us = sent_us + random.randint(1_000, 3_000_000)
        tool = random.choice(["serpapi", "openai"])
        calls.append(Call(sent_us, done_us, tool=tool, counted_us=random.randint(sent_us, done_us)))
    scrapes, at_us = [], 0
    while at_us < 24_000_000:
        begin_us = at_us + random.randint(1_000, 5_000_000)
        at_us = begin_us + random.randint(1_000, 400_000)
        scrapes.append(Scrape(begin_us, at_us, random.randint(begin_us, at_us)))
    return Miniature(calls, scrapes, embedded=True)


def test_doubles_that_come_and_go_are_no_habit(reconciled):
    """Twice in three windows of five, and not in nearly all: each of them is a finding."""
    calls = calls_from(1, 480)
    for times, part in ((3, calls[:90]), (2, calls[90:290]), (2, calls[390:])):
        for call in part:
            call.times = times
    surplus = {10: 180.0, 20: 100.0, 30: 100.0, 50: 90.0}
    assert found(reconciled(clean(calls=calls))) == [
        (end_s, "ok", "serpapi", calls_too_many, "counted twice") for end_s, calls_too_many in surplus.items()
    ]


@settings(max_examples=examples(15), deadline=None)
@example(seed=45, lost=3)  # so many calls under way that a factor of 2 would fit as well
@given(seed=st.integers(0, 2**32), lost=st.integers(0, 5))
def test_calls_under_way_are_never_taken_for_a_loss_and_never_hide_one_for_good(tmp_path_factory, seed, lost):
    """However calls and scrapes overlap, exactly the increments left out are found once all calls have ended."""
    miniature = busy(Random(seed))  # noqa: S311 - no secret
    for call in miniature.calls[:lost]:
        call.times = 0
    with miniature.write(tmp_path_factory.mktemp("busy")) as run:
        frame = reconcile(run)
    assert set(frame["cause"]) <= {"balanced", "in flight at the edge", "lost"}
    assert frame["discrepancy"].sum() == -min(lost, len(miniature.calls))
    assert (frame["residual"] - frame["explained"] - frame["discrepancy"]).abs().max() == 0
    assert set(frame.filter(cause="lost")["outcome"]) <= {"ok"}
