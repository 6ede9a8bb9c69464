"""Reconciliation with the gateway's request log: row by row, and what of a difference is a finding."""

import datetime as dt

import polars as pl
import pytest
from bookkeeping_runs import ANCHOR, TOOLS, Call, Reconciler, calls_from, clean, found

from soaklib.analysis.books.reconcile import books_balanced, reconcile
from soaklib.errors import SettingsError, SourceError

COLUMNS = ("at", "correlation_id", "agent_id", "tool", "action", "status", "kind", "reason")


@pytest.fixture
def reconciled(tmp_path):
    """Give a function that writes a miniature and reconciles it."""
    return Reconciler(tmp_path)


def log_of(miniature):
    """Give the log that the miniature's gateway should have written."""
    rows = [
        (
            ANCHOR + dt.timedelta(microseconds=call.moment_us + miniature.ahead_us),
            miniature.correlation_id(number, call), "agent", call.tool, TOOLS[call.tool], 200, "ok", None,
        )
        for number, call in enumerate(miniature.calls)
        if call.kind == "ok" or call.counted_us is not None
    ]  # fmt: skip
    schema = dict.fromkeys(COLUMNS, pl.String) | {"at": pl.Datetime("us", "UTC"), "status": pl.Int16}
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_log(frame):
    """Give the rows of the pair: (end of the window, tool, client rows, database rows, cause)."""
    rows = frame.filter(pair="client and database").select("end_s", "tool", "client_rows", "database_rows", "cause")
    return [(round(end_s), *rest) for end_s, *rest in rows.iter_rows()]


def test_a_whole_log_balances_in_every_window(reconciled):
    """Each answer has its row, in the window of the answer."""
    frame = reconciled(clean(), database=log_of(clean()))
    sent = {10: 90, 20: 100, 30: 100, 40: 100, 50: 90}
    assert in_log(frame) == [(end_s, "serpapi", n, n, "balanced") for end_s, n in sent.items()]


@pytest.mark.parametrize("missing", [1, 5])
def test_rows_that_are_missing_are_lost_in_the_window_of_their_answer(reconciled, missing):
    """So many rows left out are named, with the window and the tool."""
    log = log_of(clean())
    frame = reconciled(clean(), database=pl.concat([log[:150], log[150 + missing :]]))
    assert found(frame) == [(20, "ok", "serpapi", -float(missing), "lost")]
    assert (20, "serpapi", missing, 0, "lost") in in_log(frame)
    assert (20, "serpapi", 100 - missing, 100 - missing, "balanced") in in_log(frame)


def test_a_row_missing_and_one_too_many_do_not_cancel(reconciled):
    """An answer's row under another id is both a loss and an unknown row."""
    log = log_of(clean())
    other = log[150].with_columns(correlation_id=pl.lit("req_1_other"))
    frame = reconciled(clean(), database=pl.concat([log[:150], other, log[151:]]))
    assert found(frame) == [(20, "ok", "serpapi", -1.0, "lost"), (20, "ok", "serpapi", 1.0, "unexplained")]


def test_a_row_written_twice_is_counted_twice(reconciled):
    """Two rows of one id."""
    log = log_of(clean())
    assert found(reconciled(clean(), database=pl.concat([log, log[150:152]]))) == [
        (20, "ok", "serpapi", 2.0, "counted twice"),
    ]  # fmt: skip


def test_a_row_that_says_something_else_is_unexplained(reconciled):
    """The client saw 200 and the log says 502 under the same id: one row each, and wrong."""
    log = log_of(clean())
    wrong = log[150].with_columns(status=pl.lit(502, pl.Int16))
    frame = reconciled(clean(), database=pl.concat([log[:150], wrong, log[151:]]))
    assert found(frame) == [(20, "ok", "serpapi", 1.0, "unexplained")]
    assert (20, "serpapi", 1, 1, "unexplained") in in_log(frame)


@pytest.mark.parametrize("agent", ["agent", "stranger"])
def test_rows_of_calls_that_the_client_never_made_are_unexplained(reconciled, agent):
    """An unknown id is unexplained, and it is said whether one of the run's agents made the call."""
    log = log_of(clean())
    other = log[150].with_columns(correlation_id=pl.lit("req_1_other"), agent_id=pl.lit(agent))
    frame = reconciled(clean(), database=pl.concat([log, other]))
    assert found(frame) == [(20, "ok", "serpapi", 1.0, "unexplained")]
    detail = frame.filter(cause="unexplained")["detail"].item()
    assert ("never used" in detail) == (agent == "stranger")


def test_rows_of_calls_without_an_answer_are_explained(reconciled):
    """A call that timed out was executed and logged: its row is the one that nobody saw."""
    timeout = Call(12_030_000, 14_000_000, kind="timeout", tool="openai", counted_us=13_000_000)
    miniature = clean(calls=[*calls_from(1, 480), timeout])
    row = log_of(clean())[0].with_columns(
        at=pl.lit(ANCHOR + dt.timedelta(seconds=13)), correlation_id=pl.lit("req_1_unseen"), tool=pl.lit("openai"),
        action=pl.lit("chat"),
    )  # fmt: skip
    log = pl.concat([log_of(clean()), row])
    frame = reconciled(miniature, database=log)
    assert found(frame) == []
    assert (20, "openai", 0, 1, "unanswered") in in_log(frame)
    assert found(reconciled(clean(), database=log)) == [(20, "ok", "openai", 1.0, "unexplained")]
    strangers = pl.concat([log_of(clean()), row.with_columns(agent_id=pl.lit("stranger"))])
    assert found(reconciled(miniature, database=strangers)) == [(20, "ok", "openai", 1.0, "unexplained")]


@pytest.mark.parametrize("ahead_us", [0, 7_000_000, -3_600_000_000])
def test_rows_of_another_run_are_left_out_whatever_the_clock_shows(reconciled, ahead_us):
    """Rows before the first call and after the last are not this run's; an unknown one in between is placed right."""
    log = log_of(clean(ahead_us=ahead_us))
    shifted = [
        log[150].with_columns(pl.col("at") + dt.timedelta(seconds=seconds), correlation_id=pl.lit(f"req_1_{number}"))
        for number, seconds in enumerate((-60, 10, 60))
    ]
    frame = reconciled(clean(ahead_us=ahead_us), database=pl.concat([log, *shifted]))
    assert found(frame) == [(30, "ok", "serpapi", 1.0, "unexplained")]


def test_answers_that_the_log_keeps_no_rows_of_are_not_lost(reconciled):
    """Where no refused parameters are in it at all it keeps none; where one is, another that is missing is lost."""
    miniature = clean(calls=[*calls_from(1, 480), *calls_from(12.03, 3, kind="invalid_request")])
    log = log_of(miniature)
    frame = reconciled(miniature, database=log)
    assert found(frame) == []
    assert (20, "serpapi", 3, 0, "not counted") in in_log(frame)
    kept = log[0].with_columns(
        correlation_id=pl.lit(miniature.correlation_id(480, miniature.calls[480])), status=pl.lit(400, pl.Int16)
    )
    assert found(reconciled(miniature, database=pl.concat([log, kept]))) == [
        (20, "refused", "serpapi", -2.0, "lost"),
    ]  # fmt: skip


def test_an_empty_log_has_lost_everything(reconciled):
    """No row for 480 answers is a loss of 480."""
    frame = reconciled(clean(), database=log_of(clean()).clear())
    assert frame.filter(cause="lost")["discrepancy"].sum() == -480.0


def test_without_scrapes_the_log_is_still_compared(reconciled):
    """The whole run is one window."""
    log = log_of(clean())
    frame = reconciled(clean(scrapes=[]), database=log[:-1])
    assert [row[1:] for row in in_log(frame)] == [("serpapi", 479, 479, "balanced"), ("serpapi", 1, 0, "lost")]


def test_the_verdict_takes_the_log_into_account(tmp_path):
    """With a row missing it fails, with all there it passes and says that the log agrees."""
    log = log_of(clean())
    with clean().write(tmp_path / "run") as run:
        good, bad = books_balanced(run, log), books_balanced(run, log[:-1])
    assert (good.state, good.detail) == (
        "pass",
        "every difference is explained in 5 windows; the gateway's request log agrees too",
    )
    assert (bad.state, bad.measure) == ("fail", 1.0)
    assert "1 ok lost (client and database)" in bad.detail


def test_what_is_no_request_log_is_refused(tmp_path):
    """A frame without its columns, of other types, or a log without ids: each is refused with what to pass."""
    log = log_of(clean())
    with clean().write(tmp_path / "run") as run:
        with pytest.raises(SettingsError, match=r"no column status: pass a URL or what soaklib\.read_database gives"):
            reconcile(run, database=log.drop("status"))
        with pytest.raises(SettingsError, match="no request log"):
            reconcile(run, database=log.with_columns(status=pl.lit("fine")))
        with pytest.raises(SourceError, match="no correlation ids"):
            reconcile(run, database=log.with_columns(correlation_id=pl.lit(None, pl.String)))
