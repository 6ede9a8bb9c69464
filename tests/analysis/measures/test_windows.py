"""Windows whose length is no exact float, and calls that nobody would expect."""

import numpy as np
import polars as pl
import pytest

import soaklib
from soaklib.analysis.measures.windows import seconds_of, summed
from soaklib.analysis.statistics.blocks import alikeness
from soaklib.errors import SettingsError


def calls(kinds, *, step_us=1_000_000, **values):
    """Calls of the load at equal distances, ok or not; a kind of None is a time without a call."""
    start = pl.datetime(2026, 1, 1, time_zone="UTC", time_unit="us")
    n = len(kinds)
    at_us = [number * step_us for number in range(n)]
    columns = {
        "planned_at_us": at_us, "sent_at_us": at_us, "done_at_us": [at + 1000 for at in at_us], "kind": kinds,
        "purpose": ["load"] * n, "expected": ["allow"] * n, "reason": [None] * n, "tool": ["openai"] * n,
    }  # fmt: skip
    frame = pl.DataFrame(columns | values, schema_overrides={"reason": pl.String, "kind": pl.String, "tool": pl.String})
    return frame.with_columns(
        at=start + pl.duration(microseconds="planned_at_us"), soak_s=pl.col("planned_at_us") / 1e6
    ).filter(pl.col("kind").is_not_null())


@pytest.mark.parametrize(("every", "step_us"), [("1.1h", 60_000_000), ("0.1s", 70_000), ("0.3s", 10_000)])
def test_no_call_is_lost_where_a_windows_length_is_no_exact_float(every, step_us):
    """However long a window is, every call is in one, and a gap is where there was no call."""
    kinds = ["ok"] * 2000
    kinds[700:1100] = [None] * 400
    frame = calls(kinds, step_us=step_us)
    rates = soaklib.success_rate(frame, every)
    every_s = seconds_of(every)
    assert rates["n"].sum() == 1600
    assert (rates["soak_s"].diff().drop_nulls() - every_s).abs().max() < 1e-6
    assert rates.filter(n=0).height == pytest.approx(400 * step_us / 1e6 / every_s, abs=2)
    assert soaklib.latency(frame, every, by=(), quantiles=[0.5]).filter(measure="service")["n"].sum() == 1600
    assert soaklib.outcome_counts(frame, every)["n"].sum() == 1600


@pytest.mark.parametrize("every", ["0s", "0.0000001s", f"{'9' * 400}h", "-1m", "1 m", ""])
def test_a_length_that_is_none_is_refused(every):
    """No window is empty, endless or backwards."""
    with pytest.raises(SettingsError, match="no length of time"):
        soaklib.success_rate(calls(["ok"]), every)


def test_more_windows_than_memory_holds_are_refused():
    """Two calls a day apart do not make 86 billion windows of a microsecond."""
    with pytest.raises(SettingsError, match="pass a longer every"):
        soaklib.success_rate(calls(["ok"] * 2, step_us=86_400_000_000), "0.000001s")


def test_a_window_without_a_burst_knows_of_those_of_other_windows():
    """One failure in an hour says less where other hours have bursts of them than where they have not."""
    one = ["ok"] * 600
    one[100] = "timeout"
    burst = ["timeout" if 200 <= number < 260 else "ok" for number in range(600)]
    widths = []
    for others in (one, burst):
        rates = soaklib.success_rate(calls(one + 2 * others, step_us=6_000_000), "1h")
        assert set(rates["method"]) == {"blocks"}
        widths.append(rates["high"][0] - rates["low"][0])
    assert widths[1] > 5 * widths[0]


def test_denials_know_of_the_bursts_of_other_windows_too():
    """The same for denials, of one reason and not of another."""
    few, many = (["denied" if number in hits else "ok" for number in range(600)] for hits in ((7,), range(200, 260)))
    widths = []
    for others, reason in ((few, "scope"), (many, "scope"), (many, "quota")):
        kinds = few + 2 * others
        reasons = [
            ("scope" if number < 600 else reason) if kind == "denied" else None for number, kind in enumerate(kinds)
        ]
        told = soaklib.denials(calls(kinds, step_us=6_000_000, reason=reasons), "1h").row(0, named=True)
        assert (told["reason"], told["n"], told["calls"]) == ("scope", 1, 600)
        widths.append(told["high"] - told["low"])
    assert widths[1] > 5 * widths[0]
    assert widths[2] < 2 * widths[0]


def test_how_alike_calls_are_is_measured_within_windows():
    """Whole windows that differ are no bursts within them; bursts in them are, and tell a small window less."""
    n = np.full((20, 16), 60.0)
    rng = np.random.default_rng(1)
    apart = rng.binomial(60, np.linspace(0.2, 0.8, 20)[:, None], n.shape).astype(float)
    assert alikeness(apart, n).of(960).factor < 2
    bursts = np.where(rng.random(n.shape) < 0.1, 30.0, 59.0)
    found = alikeness(bursts, n)
    assert found.of(960).factor > 10
    assert found.of(1).factor == 1
    assert found.of(96).factor < found.of(960).factor / 5
    assert alikeness(n, n) is None
    assert alikeness(bursts[:1, :8], n[:1, :8]) is None


def test_latency_groups_null_as_null():
    """Calls of which a group's column says nothing are a group of their own, not lost and not an error."""
    tools = ["openai", None, "it's", None]
    told = soaklib.latency(calls(["ok"] * 4, tool=tools), "2s", by=["tool"], quantiles=[0.5]).filter(measure="service")
    assert sorted(told.select("soak_s", "tool", "n").rows(), key=str) == [
        (0.0, "openai", 1), (0.0, None, 1), (2.0, "it's", 1), (2.0, None, 1)
    ]  # fmt: skip


_FUNCTIONS = [soaklib.success_rate, soaklib.denials, soaklib.outcome_counts, soaklib.latency]


@pytest.mark.parametrize("function", _FUNCTIONS)
@pytest.mark.parametrize("every", ["1m", "all"])
def test_no_call_makes_an_empty_frame(function, every):
    """With the columns and types of a full one; success over all is one gap."""
    full = calls(["ok", "denied"] * 30, reason=[None, "scope"] * 30)
    told = function(full.clear(), every)
    assert told.schema == function(full, every).schema
    assert told.height == (function is soaklib.success_rate and every == "all")


@pytest.mark.parametrize("function", _FUNCTIONS)
def test_order_and_zone_of_calls_do_not_matter(function):
    """Shuffled calls whose times are told in Tokyo give the same."""
    frame = calls(["ok", "timeout", "denied"] * 200, reason=[None, None, "scope"] * 200)
    moved = frame.sample(fraction=1, shuffle=True, seed=1).with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo"))
    assert function(moved, "1m").equals(function(frame, "1m"))


@pytest.mark.parametrize(("kind", "rate"), [("ok", 100.0), ("timeout", 0.0)])
def test_one_call_is_a_window_with_an_honest_interval(kind, rate):
    """A single call says nearly nothing, and never more than 100 % or less than nothing."""
    told = soaklib.success_rate(calls([kind]), "1m").row(0, named=True)
    assert (told["n"], told["success_rate"], told["method"]) == (1, rate, "one-sided")
    assert (told["low"], told["high"]) == pytest.approx((5, 100) if rate else (0, 95))


@pytest.mark.parametrize("function", _FUNCTIONS)
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (pl.col("at").dt.replace_time_zone(None), "no time zone"),
        (pl.col("at").cast(pl.String), "pass Datetime"),
        (pl.when(pl.col("soak_s") > 5).then("at").alias("at"), "holds nulls"),
        (pl.when(pl.col("soak_s") > 5).then("soak_s").alias("soak_s"), "no finite number"),
        (pl.lit(float("nan")).alias("soak_s"), "no finite number"),
        (pl.lit(float("inf")).alias("soak_s"), "no finite number"),
        (pl.col("soak_s").cast(pl.String), "no finite number"),
    ],
)
def test_times_that_are_none_are_refused(function, changed, sentence):
    """A call that nobody knows the time of has no window; one sentence says which column."""
    with pytest.raises(SettingsError, match=sentence):
        function(calls(["ok"] * 10).with_columns(changed), "1m")


def test_what_is_neither_a_run_nor_a_frame_is_refused():
    """A list of calls, a number for a length."""
    with pytest.raises(SettingsError, match="a list is neither a run nor a frame"):
        soaklib.success_rate([1, 2], "1m")
    with pytest.raises(SettingsError, match="every=60 is no length of time"):
        soaklib.success_rate(calls(["ok"]), 60)


def test_soak_time_is_counted_from_the_first_call_where_the_frame_has_none():
    """Without soak_s the first call's time is 0, in whatever order and zone the calls come."""
    frame = calls(["ok"] * 120).drop("soak_s")
    shuffled = frame.reverse().with_columns(pl.col("at").dt.convert_time_zone("America/New_York"))
    assert soaklib.success_rate(shuffled, "1m")["n"].to_list() == [60, 60]
    assert soaklib.success_rate(frame.clear(), "1m").is_empty()


def test_a_sum_does_not_depend_on_the_order_of_its_rows():
    """Fractions in another order give the same bits: the frames behind figures are compared by their fingerprints."""
    rng = np.random.default_rng(1)
    parts = pl.DataFrame({"soak_s": rng.integers(0, 3, 30_000) * 60.0, "n": 10.0 ** rng.uniform(-9, 9, 30_000)})
    first = summed(parts, "n", "soak_s")
    assert first["soak_s"].to_list() == [0.0, 60.0, 120.0]
    for seed in range(5):
        assert summed(parts.sample(fraction=1, shuffle=True, seed=seed), "n", "soak_s").equals(first)
