"""The real gateway's captures: reconciling the client's ledger with its counters and log gives their README's numbers.

The three files are the captures reduced: the ledger's calls, the 20 expositions' samples without buckets, and the
server's log, with correlation ids cut to what still tells them apart.
"""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from bookkeeping_runs import write_run

from soaklib.analysis.books.reconcile import books_balanced, reconcile

LEDGER = Path(__file__).parents[2] / "data" / "captures" / "ledger"
STARTED = dt.datetime.fromtimestamp(1_795_508_423, tz=dt.UTC)


def _outcomes():
    ledger = pl.read_parquet(LEDGER / "requests.parquet")
    for slot, row in enumerate(ledger.iter_rows(named=True)):
        yield (
            "load", slot, 0, "scraper", row["tool"], row["action"], row["sent_at_us"], row["sent_at_us"],
            row["done_at_us"], row["status"], row["kind"], "allow", row["reason"], 1, 0, row["correlation_id"], "all",
        )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    samples = pl.read_parquet(LEDGER / "samples.parquet")
    rows = [
        (end_us, metric, tuple(tuple(pair.split("=", 1)) for pair in labels.split(",") if pair), value)
        for _, end_us, metric, labels, value in samples.iter_rows()
    ]
    scrapes = [
        (end_us, "metrics", 200, True, end_us - begin_us, 1, None)
        for begin_us, end_us in samples.select("begin_us", "end_us").unique(maintain_order=True).iter_rows()
    ]
    with write_run(tmp_path_factory.mktemp("captures"), list(_outcomes()), rows, scrapes, anchor=STARTED) as run:
        yield run


@pytest.fixture(scope="module")
def log():
    return pl.read_parquet(LEDGER / "request-log.parquet")


def _totals(frame, pair):
    sums = (
        frame.filter(pair=pair)
        .group_by("outcome")
        .agg(pl.col("client_rows", "counter_increase", "database_rows", "discrepancy").sum(), pl.col("factor").max())
    )
    return {row["outcome"]: row for row in sums.iter_rows(named=True)}


def test_counters_are_reconciled_as_the_readme_says(run):
    """2,162 requests: 1,916 ok counted 3,832 times, 49 failed, 141 denied, 44 expired, 2,162 validations."""
    totals = _totals(reconcile(run), "client and counter")
    assert {name: (row["client_rows"], row["counter_increase"], row["factor"]) for name, row in totals.items()} == {
        "ok": (1916, 3832.0, 2),
        "failed": (49, 49.0, 1),
        "fast fail": (42, 42.0, 1),
        "executed": (1965, 1965.0, 1),
        "denied": (141, 141.0, 1),
        "expired": (44, 44.0, 1),
        "validated": (2162, 2162.0, 1),
    }
    assert 141 + 44 + 12 + totals["executed"]["client_rows"] == 2162
    assert all(row["discrepancy"] == 0 for row in totals.values())


def test_that_every_200_is_counted_twice_is_said_and_does_not_fail(run):
    """A factor that holds in every window is a habit of the gateway; the books balance with it."""
    frame = reconcile(run)
    assert set(frame.filter(outcome="ok")["factor"]) == {2}
    assert set(frame["cause"]) <= {"balanced", "in flight at the edge"}
    verdict = books_balanced(run)
    assert (verdict.state, verdict.measure, verdict.n) == ("pass", 0.0, 2162)
    assert "every ok is counted 2 times" in verdict.detail


def test_the_log_has_all_but_the_refused_parameters(run, log):
    """2,150 of 2,162 answers have their row; the 12 refused for their parameters are not kept, which is no loss."""
    frame = reconcile(run, database=log).filter(pair="client and database")
    counts = frame.group_by("outcome", "cause").agg(pl.col("client_rows", "database_rows").sum())
    assert {(outcome, cause): (mine, its) for outcome, cause, mine, its in counts.iter_rows()} == {
        ("ok", "balanced"): (1916, 1916),
        ("failed", "balanced"): (7, 7),
        ("fast fail", "balanced"): (42, 42),
        ("denied", "balanced"): (141, 141),
        ("expired", "balanced"): (44, 44),
        ("refused", "not counted"): (12, 0),
    }
    assert books_balanced(run, log).state == "pass"


def test_a_row_taken_out_of_the_log_is_found(run, log):
    """Without one of its rows the log is short of it, in its window and of its tool."""
    gone = log.filter(pl.col("status") == 502).row(3, named=True)
    frame = reconcile(run, database=log.filter(pl.col("correlation_id") != gone["correlation_id"]))
    (lost,) = frame.filter(cause="lost").iter_rows(named=True)
    assert (lost["tool"], lost["client_rows"], lost["database_rows"], lost["discrepancy"]) == ("openai", 1, 0, -1.0)
    assert lost["at"] - dt.timedelta(seconds=10.1) <= gone["at"] <= lost["at"]
    assert books_balanced(run, log.filter(pl.col("correlation_id") != gone["correlation_id"])).state == "fail"
