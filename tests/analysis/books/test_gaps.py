"""What is no finding: restarts, gaps between scrapes, calls without an answer; each beside what it must not hide."""

import polars as pl
import pytest
from bookkeeping_runs import SECOND, Call, Reconciler, Scrape, calls_from, clean, explained, found, scrapes_at

from soaklib.records import RunStatus


@pytest.fixture
def reconciled(tmp_path):
    """Give a function that writes a miniature and reconciles it."""
    return Reconciler(tmp_path)


@pytest.mark.parametrize("ahead_us", [0, 5 * SECOND, -3600 * SECOND])
def test_what_a_restart_forgets_is_counted_up_to_its_moment(reconciled, ahead_us):
    """The calls before it are forgotten, those after it balance, whatever the gateway's clock shows."""
    frame = reconciled(clean(restarts_us=[25 * SECOND - 50_000], ahead_us=ahead_us))
    assert found(frame) == []
    forgotten = frame.filter(outcome="ok", cause="counter reset or restart").row(0, named=True)
    assert (forgotten["client_rows"], forgotten["residual"], forgotten["counter_increase"]) == (50, -50.0, None)
    assert forgotten["end_s"] == pytest.approx(24.95, abs=0.06)
    assert explained(frame, "ok")[3] == (30, 50, 50.0, 0.0, "balanced")


def test_a_loss_in_the_window_of_a_restart_is_found(reconciled):
    """After the restart, and so in the new counters; before it, nobody can know."""
    calls = calls_from(1, 480)
    calls[270].times = 0
    assert found(reconciled(clean(calls=calls, restarts_us=[25 * SECOND - 50_000]))) == [
        (30, "ok", "serpapi", -1.0, "lost"),
    ]  # fmt: skip
    calls = calls_from(1, 480)
    calls[220].times = 0
    assert found(reconciled(clean(calls=calls, restarts_us=[25 * SECOND - 50_000]))) == []


def test_a_restart_is_seen_even_when_the_counter_has_passed_its_old_value(reconciled):
    """The new counter stands higher than the old one: only the start time tells."""
    scrapes = scrapes_at(0.5, 3, 50)
    frame = reconciled(clean(scrapes=scrapes, restarts_us=[10 * SECOND - 50_000]))
    assert found(frame) == []
    assert [row[1:3] for row in explained(frame, "ok")] == [(20, 20.0), (70, None), (390, 390.0)]


def test_without_a_start_time_a_fall_is_a_reset_at_an_unknown_moment(reconciled):
    """Up to all answers of the window may be forgotten, and the windows after it balance."""
    frame = reconciled(clean(restarts_us=[25 * SECOND - 50_000], tells_start=False))
    assert found(frame) == []
    assert explained(frame, "ok")[2:] == [
        (30, 100, 50.0, -50.0, "counter reset or restart"), (40, 100, 100.0, 0.0, "balanced"),
        (50, 90, 90.0, 0.0, "balanced"),
    ]  # fmt: skip


def test_a_failed_scrape_makes_a_longer_window(reconciled):
    """What was counted meanwhile is in the next reading, and the gap is named."""
    scrapes = scrapes_at(0.5, 10, 20, 30, 40, 50)
    scrapes[2].ok = False
    frame = reconciled(clean(scrapes=scrapes))
    assert explained(frame, "ok")[1] == (30, 200, 200.0, 0.0, "balanced")
    assert frame.filter(outcome="ok")["detail"].to_list()[1] == "a scrape gap: 1 failed scrapes within"


def test_calls_before_the_first_and_after_the_last_scrape_are_in_a_gap(reconciled):
    """Nothing can be said of them; a run with its own gateway knows that its counters began at 0."""
    miniature = clean(scrapes=scrapes_at(5, 10, 30))
    frame = reconciled(miniature)
    ends = explained(frame, "ok")
    assert [(row[1], row[2], row[3], row[4]) for row in (ends[0], ends[-1])] == [
        (40, None, None, "scrape gap"), (190, None, None, "scrape gap"),
    ]  # fmt: skip
    assert explained(reconciled(miniature.but(embedded=True)), "ok")[0] == (5, 40, 40.0, 0.0, "balanced")


def test_scrapes_that_overlap_are_one_reading(reconciled):
    """Two GETs at a time may be answered in either order: a counter that seems to fall is no reset."""
    scrapes = [
        *scrapes_at(0.5, 10),
        Scrape(19_700_000, 20_100_000, 20_050_000),
        Scrape(19_800_000, 20_200_000, 19_900_000),
    ]
    frame = reconciled(clean(scrapes=[*scrapes, *scrapes_at(30, 40, 50)]))
    assert found(frame) == []
    assert set(frame["cause"]) == {"balanced", "in flight at the edge"}


def test_a_series_that_a_scrape_left_out_is_no_loss(reconciled):
    """A malformed line costs a series its sample: what it counted is in the next."""
    scrapes = scrapes_at(0.5, 10, 20, 30, 40, 50)
    scrapes[3].leaves_out = frozenset({"gateway_requests_total"})
    frame = reconciled(clean(scrapes=scrapes))
    assert found(frame) == []
    assert frame.filter(outcome="ok")["counter_increase"].sum() == 480.0


def test_calls_that_never_connected_are_expected_nowhere(reconciled):
    """They are named as such, and no counter is short of them."""
    frame = reconciled(clean(calls=[*calls_from(1, 480), *calls_from(12, 3, kind="transport_error", tool="openai")]))
    assert found(frame) == []
    assert explained(frame, "never connected") == [(20, 3, None, -3.0, "never connected")]


def test_calls_that_were_not_sent_are_no_calls(reconciled):
    """A dropped slot is in no book."""
    frame = reconciled(clean(calls=[*calls_from(1, 480), *calls_from(12, 3, kind="dropped")]))
    assert frame.filter(outcome="ok")["client_rows"].sum() == 480
    assert set(frame["cause"]) == {"balanced"}


@pytest.mark.parametrize("counted", [0, 2, 3])
def test_calls_without_an_answer_may_be_counted_or_not(reconciled, counted):
    """So many of three timeouts are in the counters; each can explain one surplus."""
    timeouts = [Call(12_030_000 + n * 1000, 14_000_000, kind="timeout", tool="openai") for n in range(3)]
    for call in timeouts[:counted]:
        call.counted_us = 15_050_000
    frame = reconciled(clean(calls=[*calls_from(1, 480), *timeouts]))
    assert found(frame) == []
    assert frame.filter(outcome="unanswered").select("client_rows", "residual", "cause").rows() == [
        (3, -3.0, "unanswered")
    ]
    surplus = frame.filter(outcome="ok", tool="openai").select("residual", "discrepancy", "cause").rows()
    assert surplus == ([(float(counted), 0.0, "unanswered")] if counted else [])


def test_calls_without_an_answer_explain_no_more_than_their_number(reconciled):
    """Two calls of another client beside one timeout: one is explained, one is not."""
    strangers = [Call(15_050_000 + n, 15_052_000, tool="openai", seen_by_client=False) for n in range(2)]
    timeout = Call(12_030_000, 14_000_000, kind="timeout", tool="openai")
    frame = reconciled(clean(calls=[*calls_from(1, 480), timeout, *strangers]))
    assert (20, "ok", "openai", 1.0, "unexplained") in found(frame)


@pytest.mark.parametrize(("sent_s", "unexplained"), [(12.03, [40]), (25.03, [20]), (45.03, [20, 40])])
def test_a_call_without_an_answer_explains_one_count_after_it_was_sent(reconciled, sent_s, unexplained):
    """Of two calls of another client a timeout explains the first after its own sending, once, and none before it."""
    strangers = [Call(at_us, at_us + 2_000, tool="openai", seen_by_client=False) for at_us in (15_050_000, 35_050_000)]
    sent_us = round(sent_s * SECOND)
    timeout = Call(sent_us, sent_us + 1_000_000, kind="timeout", tool="openai")
    frame = reconciled(clean(calls=[*calls_from(1, 480), timeout, *strangers]))
    assert [row[0] for row in found(frame) if row[1] == "ok"] == unexplained


def test_a_call_cut_off_by_the_stop_may_be_counted_after_it(reconciled):
    """It has no end; the counters may have it from its sending on."""
    cut_off = Call(48_900_000, None, kind="interrupted", tool="openai", counted_us=49_900_000)
    assert found(reconciled(clean(calls=[*calls_from(1, 480), cut_off]))) == []


@pytest.mark.parametrize(("kind", "unexplained"), [("missed", 0), ("dropped", 1)])
def test_a_call_missed_in_a_crash_may_have_been_sent(reconciled, kind, unexplained):
    """Its row was not written when the runner died: the gateway may have counted it. A dropped one was never sent."""
    call = Call(15_050_000, None, kind=kind, tool="openai", counted_us=15_060_000)
    frame = reconciled(clean(calls=[*calls_from(1, 480), call]))
    assert len([row for row in found(frame) if row[1] == "ok"]) == unexplained


@pytest.mark.parametrize(("has_id", "lost"), [(True, -3.0), (False, 0.0)])
def test_an_answer_without_an_id_was_not_the_gateways(reconciled, has_id, lost):
    """A 502 made by something on the way is in no counter; one of the gateway's own should be."""
    failed = calls_from(12.03, 3, kind="upstream_error", tool="openai", has_id=has_id, counts=False)
    frame = reconciled(clean(calls=[*calls_from(1, 480), *failed]))
    assert sum(row[3] for row in found(frame) if row[1] == "failed") == lost
    assert frame.filter(outcome="unanswered")["client_rows"].sum() == (0 if has_id else 3)


def test_a_call_sent_twice_may_be_counted_twice(reconciled):
    """Put on the wire again by something on the way, it explains a further count; sent once, it does not."""
    calls = calls_from(1, 480)
    calls[250].times, calls[250].attempts = 2, 2
    frame = reconciled(clean(calls=calls))
    assert found(frame) == []
    assert (30, 100, 101.0, 1.0, "retried") in explained(frame, "ok")


def test_a_run_that_goes_on_is_judged_as_far_as_it_is_on_disk(reconciled):
    """The last seconds of a run that has not ended may not be recorded yet, and are left out."""
    calls = calls_from(1, 480)
    for call in calls[-30:]:
        call.seen_by_client = False
    unfinished = clean(calls=calls)
    assert [row[0] for row in found(reconciled(unfinished))] == [50, 50, 50]
    frame = reconciled(unfinished.but(status=RunStatus.RUNNING))
    assert found(frame) == []
    assert frame.filter(pl.col("counter_increase").is_not_null())["end_s"].max() == pytest.approx(39.994)
