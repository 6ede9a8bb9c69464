"""A gateway with a fault, or with two that no criterion has in common: each is found in its own class, and no more is.

A rehearsal without a fault fails no criterion (``tests/analysis/verdicts/test_criteria.py``); leaks, which take half an
hour to be judged, are the matter of ``scripts/bench/leak.py``.
"""

import polars as pl
import pytest
from rehearsals import Rehearsal, run_command

import soaklib

pytestmark = pytest.mark.slow

TWO_HOURS = ("--hours", "2", "--speed", "240")
# What a busy machine adds to latencies must not count as a drift of the gateway.
ROOMY = (
    "--thresholds.late-ms", "500", "--thresholds.invalid-windows", "100",
    "--thresholds.drift-median-ms", "20", "--thresholds.drift-tail-ms", "500",
    "--thresholds.drift-median-floor-ms", "20", "--thresholds.drift-tail-floor-ms", "500",
    "--thresholds.success-rate", "90",  # how many calls a breaker turns away is a matter of moments
)  # fmt: skip


def soaked(folder, *faults):
    options = [word for fault in faults for word in ("--gateway-fault", fault)]
    return Rehearsal(run_command(*TWO_HOURS, *ROOMY, "--seed", "1", "--no-report", *options, "--out", str(folder)))


def failing(rehearsal):
    return {name for name, verdict in rehearsal.verdicts.items() if verdict["state"] == "fail"}


def at_s(rehearsal, gateway_s):
    """Give the run's soak second for one of the gateway's, which began a moment before."""
    with soaklib.open_run(rehearsal.folder) as run:
        began = """select epoch_us(utc(0)) as anchor, min("value") * 1e6 as began from samples
                   where metric = 'gateway_process_start_time_seconds'"""
        anchor_us, began_us = run.sql(began).row(0)
        at_us = round(began_us - anchor_us + gateway_s / run.info.speed * 1e6)
        return run.sql("select soak_seconds($at_us)", {"at_us": at_us}).item()


def level_changes(rehearsal):
    """Locate changes of level of the median service time of three soak-minutes: soak second, ms before and after."""
    with soaklib.open_run(rehearsal.folder) as run:
        medians = soaklib.latency(run, "3m", by=(), quantiles=(0.5,)).filter(measure="service")
    origin = pl.datetime(2026, 1, 1, time_zone="UTC")
    series = medians.select(at=origin + pl.duration(seconds="soak_s"), value="latency_ms")
    found = soaklib.change_points(series).with_columns(found_s=(pl.col("at") - origin).dt.total_seconds())
    return found.select("found_s", "before", "after").rows()


def test_a_slow_down_is_a_drift_of_the_median(tmp_path):
    """Answers that get 60 ms later within the two hours, and stop at nothing: the median drifts by that."""
    broken = soaked(tmp_path, "slow_ms_per_hour=30")
    assert failing(broken) == {"no drift in latency (median)"}
    assert broken.verdicts["no drift in latency (median)"]["measure"] == pytest.approx(60, abs=12)
    assert broken.ended.returncode == 1


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """A gateway of later answers from one moment on, on which chaos has no effect."""
    return soaked(tmp_path_factory.mktemp("shifted"), "late_ms=80@4500", "chaos_without_effect=on")


@pytest.fixture(scope="module")
def bursting(tmp_path_factory):
    """A gateway that fails a hundred attempts in a row, and lets one probe through."""
    # between two rotations, which come every 900 s, though the gateway's clock may be 600 s ahead of the load's
    return soaked(tmp_path_factory.mktemp("bursting"), "fail_attempts=100@2450", "allow_forbidden=1@4000")


def test_a_shift_is_a_level_that_moved_and_is_located(shifted):
    """Answers that are 80 ms later from one moment on: it fails as what it is, and the change is found where it was."""
    verdict = shifted.verdicts["no drift in latency (median)"]
    assert verdict["state"] == "fail"
    assert "The level moved, beyond the margin 20: from 01:" in verdict["detail"]
    assert verdict["measure"] > 20  # of the tool that a busy machine moved most
    [(found_s, before, after)] = level_changes(shifted)
    assert found_s == pytest.approx(at_s(shifted, 4500), abs=200)
    assert after - before == pytest.approx(80, abs=12)


def test_chaos_without_effect_is_missed_in_the_data(shifted):
    """The gateway says that chaos is on, and no call met any: nothing shows, and no breaker opens."""
    missed = {"chaos shows in the data", "breaker engages during chaos"}
    assert failing(shifted) == missed | {"no drift in latency (median)"}
    assert shifted.verdicts["scheduled changes made"]["state"] == "pass"


def test_a_burst_of_failures_costs_success_outside_planned_windows(bursting):
    """Fifty calls that fail between rotations, and more where breakers open: too much for 99.5 %, not for 90 %."""
    assert failing(bursting) == {"success rate outside planned windows", "no false-allow"}
    verdict = bursting.verdicts["success rate outside planned windows"]
    assert verdict["low"] < verdict["measure"] < verdict["high"]


def test_one_probe_that_is_let_through_is_a_false_allow(bursting):
    """One forbidden call in the middle of the run."""
    verdict = bursting.verdicts["no false-allow"]
    assert (verdict["state"], verdict["measure"]) == ("fail", 1)
