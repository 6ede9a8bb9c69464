"""Windows whose length is no exact float, and calls that nobody would expect."""

import polars as pl
import pytest

import soaklib
from soaklib.analysis.windows import seconds_of
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
