"""Intervals of quantiles and of denials over windows: what they hold, and when there is none."""

import math
from contextlib import contextmanager

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import soaklib
from soaklib.analysis.measures import latency as latency_module
from soaklib.analysis.measures import windows
from soaklib.analysis.measures.latency import latency


def outcomes(service_us, *, kinds=None, purpose="load", reasons=None, step_s=1.0):
    """A frame of calls, one every `step_s` seconds, planned when they were sent."""
    n = len(service_us)
    start = pl.datetime(2026, 1, 1, time_zone="UTC")
    at_us = np.arange(n) * round(step_s * 1e6)
    return pl.DataFrame(
        {
            "planned_at_us": at_us, "sent_at_us": at_us, "done_at_us": at_us + np.asarray(service_us),
            "kind": kinds or ["ok"] * n, "reason": pl.Series(reasons or [None] * n, dtype=pl.String),
        }
    ).with_columns(
        at=start + pl.duration(microseconds="planned_at_us"), purpose=pl.lit(purpose),
        expected=pl.lit("allow"), tool=pl.lit("openai"),
    )  # fmt: skip


def service(frame, **options):
    return latency(frame, options.pop("every", "all"), by=(), **options).filter(measure="service")


def test_bounds_are_order_statistics():
    """Of 1 to 960 ms in random order: the bounds are values, at the ranks of the exact interval or wider."""
    from scipy.stats import beta  # noqa: PLC0415 - a second of each worker that collects it

    values = np.random.default_rng(1).permutation(960) + 1
    [row] = service(outcomes(values * 1000), every="960s", quantiles=(0.5,)).rows(named=True)
    least, most = beta.ppf(0.025, 480, 481) * 960, beta.ppf(0.975, 481, 480) * 960
    assert row["latency_ms"] == 480
    assert 400 < row["low_ms"] <= math.ceil(least)
    assert math.ceil(most) <= row["high_ms"] < 560
    assert row["low_ms"] == round(row["low_ms"])


def test_slow_stretches_widen_the_interval_of_a_quantile():
    """The same latencies, the slow ones in one stretch or spread out: in a stretch they say less of the rest."""
    slow_together = np.where(np.arange(1600) < 160, 50_000, 1000) + np.arange(1600) % 7
    spread = np.random.default_rng(2).permutation(slow_together)
    widths = []
    for values in (slow_together, spread):
        [row] = service(outcomes(values), every="1600s", quantiles=(0.88,)).rows(named=True)
        widths.append(row["high_ms"] - row["low_ms"])
    assert widths[0] > 10 * widths[1]


def test_fewer_than_ten_beyond_is_insufficient():
    """Of 999 calls 9.99 lie beyond the 99th percentile: it is told, not bounded; one call more and it is."""
    for n, known in ((999, False), (1000, True)):
        [row] = service(outcomes(np.arange(n) + 1), quantiles=(0.99,)).rows(named=True)
        assert row["sufficient"] is known
        assert [row["low_ms"] is not None, row["high_ms"] is not None] == [known, known]
    [low] = service(outcomes(np.arange(999) + 1), quantiles=(0.01,)).rows(named=True)
    assert not low["sufficient"]


def test_what_was_given_up_leaves_the_upper_bound_open():
    """With 3 % timeouts the 96th percentile may be as long as a timeout lasts or longer; the median is not touched."""
    kinds = ["timeout" if number % 33 == 0 else "ok" for number in range(990)]
    values = [30_000_000 if kind == "timeout" else 1000 + number for number, kind in enumerate(kinds)]
    median, tail, beyond = service(outcomes(values, kinds=kinds), quantiles=(0.5, 0.965, 0.98)).rows(named=True)
    assert (median["at_least"], tail["at_least"], beyond["at_least"]) == (False, False, True)
    assert median["high_ms"] < 3
    assert tail["low_ms"] < 3
    assert tail["high_ms"] == math.inf
    assert (beyond["low_ms"], beyond["high_ms"]) == (pytest.approx(2, abs=1), math.inf)
    assert beyond["latency_ms"] == 30_000


@pytest.mark.parametrize("most", [200, 700, 5000])
def test_quantiles_do_not_depend_on_the_chunks(rehearsal, monkeypatch, most):
    """Calls that come out of DuckDB cell by cell, in some chunks or all at once give the same frame."""
    with soaklib.open_run(rehearsal.folder) as run:
        for every, by in (("20m", ("tool",)), ("all", ("tool", "kind")), ("all", ())):
            monkeypatch.setattr(latency_module, "_CHUNK_CALLS", 1 << 30)
            whole = latency(run, every, by=by)
            monkeypatch.setattr(latency_module, "_CHUNK_CALLS", most)
            assert_frame_equal(latency(run, every, by=by), whole)


def test_no_call_is_lost_between_two_pieces_of_a_window(monkeypatch):
    """Calls a microsecond apart: one of them lies on each end of a piece."""
    frame = outcomes(np.arange(1000) + 1, step_s=1e-6)
    whole = latency(frame, "all", by=())
    assert whole["n"].unique().to_list() == [1000]
    monkeypatch.setattr(latency_module, "_CHUNK_CALLS", 300)
    assert_frame_equal(latency(frame, "all", by=()), whole)


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_calls_that_end_while_a_live_run_is_asked_are_all_there(monkeypatch, share):
    """More calls, or fewer, than were counted a moment before: the frame is of those that came."""
    frame = outcomes(np.arange(1000) + 1)
    whole = latency(frame, "all", by=())

    @contextmanager
    def counting_another(source):
        with windows.asking(source) as ask:
            yield (
                lambda query, params=None: (
                    ask(query, params)
                    if "min(" not in query
                    else ask(query, params).with_columns(n=(pl.col("n") * share).cast(pl.Int64))
                )
            )

    monkeypatch.setattr(latency_module, "asking", counting_another)
    monkeypatch.setattr(latency_module, "_CHUNK_CALLS", 300)
    assert_frame_equal(latency(frame, "all", by=()), whole)


def denials(kinds):
    reasons = ["scope" if kind == "denied" else None for kind in kinds]
    return soaklib.denials(outcomes([1000] * len(kinds), kinds=kinds, purpose="probe", reasons=reasons), "all")


def test_where_all_were_denied_the_interval_is_one_sided():
    """Of a hundred probes all were denied: by the rule of three at least 97 % are, and 100 % may be."""
    [row] = denials(["denied"] * 100).rows(named=True)
    assert (row["n"], row["calls"], row["denial_rate"], row["high"]) == (100, 100, 100, 100)
    assert row["low"] == pytest.approx(97, abs=0.1)
    assert row["method"] == "one-sided"


def test_denials_in_a_burst_have_a_wider_interval():
    """Sixty denials in one minute of an hour, or one in each: the burst says less."""
    burst, spread = (
        denials(["denied" if chosen else "ok" for chosen in picked]).row(0, named=True)
        for picked in (np.arange(3600) // 60 == 30, np.arange(3600) % 60 == 30)
    )
    assert burst["denial_rate"] == spread["denial_rate"] == pytest.approx(100 / 60)
    assert burst["high"] - burst["low"] > 2 * (spread["high"] - spread["low"])
    assert burst["low"] < 100 / 60 < burst["high"]


def test_reasons_share_the_calls_of_their_purpose():
    """Two reasons in one window: each has its own row, its own count and all the window's calls."""
    kinds = ["denied"] * 30 + ["ok"] * 60
    reasons = ["scope"] * 10 + ["quota"] * 20 + [None] * 60
    frame = soaklib.denials(outcomes([1000] * 90, kinds=kinds, reasons=reasons), "all")
    assert frame.select("reason", "n", "calls").rows() == [("quota", 20, 90), ("scope", 10, 90)]
    assert soaklib.denials(outcomes([1000] * 5), "all").height == 0
