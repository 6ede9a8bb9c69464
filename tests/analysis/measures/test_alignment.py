"""Calls around an event that happened many times, and the placebo band."""

import numpy as np
import polars as pl
import pytest

from soaklib.analysis.measures.alignment import aligned, each_time
from soaklib.errors import SettingsError

_PERIOD_S = 600.0
_ROTATIONS = 40


class _Run:
    """What :func:`aligned` asks of a run: the events' times, and counts by cell."""

    def __init__(self, slow_after_s=0.0, failing_after_s=0.0, period_s=_PERIOD_S, rotations=_ROTATIONS, others=()):
        rng = np.random.default_rng(1)
        self.at_s = period_s * np.arange(1, rotations + 1)
        second = np.arange(round(period_s * (rotations + 1)))
        since = second % period_s
        after = second >= period_s
        self.others_s = np.array(others, dtype=float)
        slow = after & (since < slow_after_s)
        for other_s in others:  # what a snapshot costs, for ten seconds
            slow |= (second >= other_s) & (second < other_s + 10)
        failing = after & (since < failing_after_s)
        self.calls = pl.DataFrame(
            {
                "soak_s": second.astype(float),
                "counted": 4,
                "failed": np.where(failing, 2, rng.binomial(4, 0.01, second.size)),
                "answered": 4,
                "response_ms": 4 * (rng.gamma(4.0, 0.5, second.size) + 3.0 * slow),
            }
        )

    def sql(self, query, params):
        if "name <> $name" in query:
            return pl.DataFrame({"soak_s": self.others_s})
        if "from events" in query:
            return pl.DataFrame({"soak_s": self.at_s if params["name"] == "TOKENS_ROTATED" else []})
        cell = (pl.col("soak_s") / params["cell_s"]).floor().cast(pl.Int64).alias("cell")
        return self.calls.group_by(cell).agg(pl.col("counted", "failed", "answered", "response_ms").sum())


def _outside(frame, measure):
    return frame.filter(
        pl.col("measure") == measure, (pl.col("value") > pl.col("high")) | (pl.col("value") < pl.col("low"))
    )["offset_s"].to_list()


def test_what_happens_after_the_event_stands_out_at_its_time():
    """Calls slow for 20 s after each rotation, and no others, leave the placebo band, in exactly those steps."""
    frame = aligned(_Run(slow_after_s=20.0), window_s=100.0, step_s=10.0)
    slow = frame.filter(measure="response").filter(pl.col("value") > 1.2 * pl.col("high"))
    assert slow["offset_s"].to_list() == [0.0, 10.0]
    assert slow["value"].to_list() == pytest.approx([5.0, 5.0], abs=0.3)
    assert frame["events"].unique().to_list() == [_ROTATIONS]


def test_failures_are_a_share_of_calls():
    """Half of the calls failing for 10 s is 50 percent in that step, beyond the band."""
    frame = aligned(_Run(failing_after_s=10.0), window_s=100.0, step_s=10.0).filter(measure="failures")
    row = frame.filter(offset_s=0.0).row(0, named=True)
    assert row["value"] == 50.0
    assert row["value"] > 5 * row["high"]
    assert row["n"] == 40 * _ROTATIONS


def test_nothing_stands_out_where_nothing_happens():
    """In a run in which rotations mean nothing, about 5 % of the steps lie outside the band."""
    frame = aligned(_Run(), window_s=200.0, step_s=10.0)
    assert len(_outside(frame, "response")) + len(_outside(frame, "failures")) <= 0.15 * frame.height


def test_events_too_close_for_placebos_have_no_band():
    """Where every time lies near an event there is nothing to compare with, and the band is null."""
    frame = aligned(_Run(period_s=120.0), window_s=100.0, step_s=10.0)
    assert frame["low"].null_count() == frame["high"].null_count() == frame.height
    assert frame["value"].null_count() == 0


def test_the_same_run_gives_the_same_band():
    """Placebos are drawn with a fixed seed."""
    run = _Run()
    assert aligned(run, window_s=100.0).equals(aligned(run, window_s=100.0))


def test_what_a_snapshot_costs_is_not_taken_for_what_a_rotation_does():
    """Every fourth rotation at the second of a snapshot: it is left aside, and nothing stands out of the others."""
    snapshots = [4 * _PERIOD_S * number for number in range(1, 11)]
    frame = aligned(_Run(others=snapshots), window_s=100.0, step_s=10.0).filter(measure="response")
    assert frame["events"].unique().to_list() == [30]
    assert frame.filter(offset_s=0.0)["value"].item() == pytest.approx(2.0, abs=0.15)
    assert frame["high"].max() < 2.3


def test_rotations_that_all_coincide_with_something_are_looked_at_all_the_same():
    """Where none is alone there is nothing better than all."""
    frame = aligned(_Run(others=[_PERIOD_S * number for number in range(1, 41)]), window_s=100.0)
    assert frame["events"].unique().to_list() == [_ROTATIONS]


def test_a_placebo_holds_what_comes_every_minute():
    """Probes that cost the calls of their second something do so at placebos, too: the band lies as high there."""
    run = _Run(others=range(0, 41 * 600, 60))
    run.others_s = np.array([], dtype=float)  # they are no events
    frame = aligned(run, window_s=100.0, step_s=10.0).filter(measure="response", offset_s=0.0)
    value, low, high = frame.select("value", "low", "high").row(0)
    assert value == pytest.approx(5.0, abs=0.3)
    assert low < value < high


def test_steps_without_calls_are_null():
    """Where the window reaches beyond the run there is no value."""
    frame = aligned(_Run(rotations=1), window_s=700.0, step_s=100.0)
    assert frame.filter(measure="response", offset_s=-700.0)["value"].to_list() == [None]


def test_an_event_that_never_happened_is_told():
    """An event that the run does not have is refused, and so is a window shorter than a step."""
    with pytest.raises(SettingsError, match="no event RUN_GAP"):
        aligned(_Run(), "RUN_GAP")
    with pytest.raises(SettingsError, match="must be at least step_s"):
        aligned(_Run(), window_s=5.0, step_s=10.0)


def test_each_time_is_told_by_itself():
    """Of forty events each has its calls and failures of the step after it; what they have is in the profile."""
    run = _Run(failing_after_s=10.0)
    each = each_time(run, window_s=100.0, step_s=10.0)
    assert (each.height, each["n"].unique().to_list(), each["failed"].unique().to_list()) == (_ROTATIONS, [40], [20])
    assert each["soak_s"].to_list() == [_PERIOD_S * number for number in range(1, _ROTATIONS + 1)]
