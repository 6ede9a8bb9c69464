"""A gateway that miscounts by known amounts and the books that name exactly those; a clean one, whose books balance.

A loss and a double of one counter can hide each other where calls are under way at every scrape between them, and on a
busy machine they are; then the books name less, which is all that can be known. So each has a run, or a memory of the
gateway, of its own: what goes one way only is certain when the last call has ended, however busy the machine.
"""

import re
import sqlite3
from collections import Counter
from functools import partial

import polars as pl
import pytest
from rehearsals import run_command, side_by_side

import soaklib
from soaklib.analysis.books.pairs import FINDINGS
from soaklib.analysis.books.reconcile import books_balanced, reconcile

pytestmark = pytest.mark.slow

SPEED = 240.0
# on the gateway's clock, which is 10 s ahead of the load's if the machine is busy
RESTART_S, DROPPED_S, UNLOGGED_S, DOUBLED_S = 2400.0, 2900.0, 3200.0, 2400.0
FORGETFUL = {
    "restart_at": f"{RESTART_S:g}",
    "drop_increments": f"7@{DROPPED_S:g}",
    "lose_log_rows": f"5@{UNLOGGED_S:g}",
}
GENEROUS = {"duplicate_increments": f"3@{DOUBLED_S:g}"}
LONG = ("--hours", "1.2", "--rps", "0.2")
SHORT = ("--hours", "0.6", "--rps", "0.5")


def faults(of):
    return [word for name, value in of.items() for word in ("--gateway-fault", f"{name}={value}")]


FLAGS = {
    "forgetful": (*LONG, *faults(FORGETFUL)),
    "generous": (*LONG, *faults(GENEROUS)),
    "clean": SHORT,
    "real": (*SHORT, "--gateway-quirks", "real"),
}


def soak(folder, *flags):
    return run_command(
        "--speed", f"{SPEED:g}", "--seed", "1", "--no-report", "--out", str(folder),
        "--database-url", f"sqlite:///{folder / 'gateway.db'}", *flags,
    )  # fmt: skip


class Soaked:
    """A short run with a request log."""

    def __init__(self, folder, ended):
        self.database = folder / "gateway.db"
        self.url = f"sqlite:///{self.database}"
        self.run = soaklib.open_run(ended.stdout.splitlines()[-1])
        self.frame = reconcile(self.run, database=self.url)

    def findings(self):
        """Give the rows that are no harmless ones."""
        return self.frame.filter(pl.col("cause").is_in(FINDINGS))

    def gateway_began_us(self):
        """Give the first and the last start of the gateway's memory, on the run's clock."""
        return self.run.sql(
            """
            select (min("value") * 1e6)::BIGINT - epoch_us(utc(0)) as first_us,
                   (max("value") * 1e6)::BIGINT - epoch_us(utc(0)) as last_us
            from samples where metric = 'gateway_process_start_time_seconds'"""
        ).row(0)

    def at_s(self, gateway_s):
        """Give the run's soak second for one of the gateway's."""
        at_us = self.gateway_began_us()[0] + round(gateway_s / SPEED * 1e6)
        return self.run.sql("select soak_seconds($at_us)", {"at_us": at_us}).item()


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """Each gateway's soak, all at the same time."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FLAGS}
    ended = side_by_side({name: partial(soak, folder, *FLAGS[name]) for name, folder in folders.items()})
    runs = {name: Soaked(folder, ended[name].result()) for name, folder in folders.items()}
    yield runs
    for of_one in runs.values():
        of_one.run.close()


@pytest.fixture
def faulty(soaked):
    """A run whose gateway restarts, then counts too little, and writes too little down."""
    return soaked["forgetful"]


@pytest.fixture
def generous(soaked):
    """A run whose gateway counts too much."""
    return soaked["generous"]


def _is_at(rows, at_s):
    """Say whether all rows are of the window that holds a moment, or of a later one that tells how old it may be."""
    window_s = 1.5 * SPEED  # scrapes are a wall second apart
    for start_s, end_s, detail in rows.select("start_s", "end_s", "detail").iter_rows():
        older = re.search(r"up to (\d+) windows older", detail)
        if not start_s - window_s * (1 + int(older[1] if older else 0)) <= at_s <= end_s:
            return False
    return True


def test_seven_increments_left_out_are_lost(faulty):
    """Seven, in the window of the fault, with the durations as witness."""
    lost = faulty.findings().filter(cause="lost", pair="client and counter")
    assert lost["discrepancy"].sum() == -7
    assert set(lost["outcome"]) <= {"ok", "failed"}
    assert _is_at(lost, faulty.at_s(DROPPED_S))
    assert lost["detail"].str.contains("only the count is missing").all()


def test_three_increments_made_twice_are_counted_twice(generous):
    """Three, in the window of the fault, and nothing else; so says the verdict."""
    doubled = generous.findings()
    assert set(doubled["cause"]) == {"counted twice"}
    assert doubled["discrepancy"].sum() == 3
    assert set(doubled["outcome"]) <= {"ok", "failed"}
    assert _is_at(doubled, generous.at_s(DOUBLED_S))
    verdict = books_balanced(generous.run, generous.url)
    assert (verdict.state, verdict.measure) == ("fail", 3.0)
    assert "counted twice (client and counter)" in verdict.detail


def test_five_rows_left_out_of_the_log_are_lost(faulty):
    """Those five whose ids the database does not have, in the windows of their answers."""
    with sqlite3.connect(faulty.database) as connection:
        logged = {row[0] for row in connection.execute("select corr_id from proxy_logs")}
    connection.close()
    answers = faulty.run.sql(
        "select correlation_id, tool, soak_seconds(done_at_us) as done_s from outcomes where correlation_id is not null"
    )
    missing = answers.filter(~pl.col("correlation_id").is_in(logged))
    lost = faulty.findings().filter(pair="client and database")
    expected = Counter()
    for _, tool, done_s in missing.iter_rows():
        window = lost.filter(pl.col("start_s") < done_s, pl.col("end_s") >= done_s, tool=tool)
        expected[tool, window["end_s"].unique().item()] += 1
    found = Counter()
    for tool, end_s, discrepancy, cause in lost.select("tool", "end_s", "discrepancy", "cause").iter_rows():
        assert cause == "lost"
        found[tool, end_s] -= discrepancy
    assert found == expected
    assert missing.height == 5


def test_the_restart_is_found_with_what_it_forgot(faulty):
    """One restart at its moment; the calls since the scrape before it are forgotten, and nothing else is missing."""
    forgotten = faulty.frame.filter(cause="counter reset or restart")
    restart_us = faulty.gateway_began_us()[1]
    (end_s,) = forgotten["end_s"].unique()
    assert end_s == pytest.approx(faulty.run.sql("select soak_seconds($at)", {"at": restart_us}).item(), abs=5.0)
    answered = faulty.run.sql(
        """
        select count(*) from outcomes where status is not null and done_at_us <= $restart_us and done_at_us >
            (select max(at_us) from scrapes where endpoint = 'metrics' and ok and at_us < $restart_us)""",
        {"restart_us": restart_us},
    ).item()
    assert forgotten.filter(outcome="validated")["client_rows"].sum() == pytest.approx(answered, abs=4)
    assert (forgotten["discrepancy"] == 0).all()


def test_nothing_but_the_faults_is_found(faulty):
    """Twelve in all, and the verdict names them."""
    assert faulty.findings()["discrepancy"].abs().sum() == 7 + 5
    verdict = books_balanced(faulty.run, faulty.url)
    assert (verdict.state, verdict.measure) == ("fail", 12.0)
    for words in ("lost (client and counter)", "lost (client and database)"):
        assert words in verdict.detail


@pytest.mark.parametrize(("name", "factor"), [("clean", 1), ("real", 2)])
def test_a_clean_rehearsal_balances_to_zero(soaked, name, factor):
    """Every window is explained, residuals add up to zero, and the log has every answer; also where 200 counts 2."""
    clean = soaked[name]
    assert clean.findings().height == 0
    assert set(clean.frame["cause"]) <= {"balanced", "in flight at the edge"}
    residuals = clean.frame.group_by("pair", "outcome").agg(pl.col("residual").sum())
    assert residuals["residual"].unique().to_list() == [0.0]
    assert clean.frame.filter(outcome="ok", pair="client and counter")["factor"].unique().to_list() == [factor]
    ok, validated = clean.run.sql(
        "select count(*) filter (status = 200), count(*) from outcomes where status is not null"
    ).row(0)
    sums = clean.frame.group_by("pair", "outcome").agg(pl.col("client_rows", "counter_increase", "database_rows").sum())
    counts = {(pair, outcome): rest for pair, outcome, *rest in sums.iter_rows()}
    assert counts["client and counter", "ok"] == [ok, float(ok * factor), 0]
    assert counts["client and counter", "validated"] == [validated, float(validated), 0]
    assert sum(rest[2] for (pair, _), rest in counts.items() if pair == "client and database") == validated
    assert books_balanced(clean.run, clean.url).state == "pass"
