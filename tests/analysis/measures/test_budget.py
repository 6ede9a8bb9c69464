from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from dayseries import START

from soaklib.analysis.measures.budget import BURN_SCHEMA, Budget, BurnWindow, budget, burn, own_windows
from soaklib.errors import SettingsError

MINUTE = timedelta(minutes=1)


def counts(failed, *, n=100):
    """One row a minute with so many failures each."""
    failed = np.asarray(failed)
    schema = {"at": pl.Datetime("us", "UTC"), "n": pl.Int64, "successes": pl.Int64}
    data = {
        "at": [START + MINUTE * minute for minute in range(len(failed))],
        "n": [n] * len(failed),
        "successes": n - failed,
    }
    return pl.DataFrame(data, schema=schema)


def outage(first, last, share=100, minutes=1440):
    failed = np.zeros(minutes, dtype=int)
    failed[first:last] = share
    return counts(failed)


def test_the_budget_is_what_the_objective_leaves():
    """Thirty bad minutes of a day are 3000 of 144,000 calls: 69 % of a 3 % budget."""
    found = budget(outage(700, 730), objective=0.97)
    assert (found.n, found.errors) == (144_000, 3000)
    assert found.allowed == pytest.approx(4320)
    assert found.consumed_ratio == pytest.approx(3000 / 4320)


def test_scheduled_windows_can_be_left_out():
    """Without the scheduled window neither its errors nor its calls count."""
    mask = pl.DataFrame({"start": [START + MINUTE * 700], "end": [START + MINUTE * 730]})
    assert budget(outage(700, 730), objective=0.97, mask=mask) == Budget(141_000, 0, pytest.approx(4230), 0)


def test_no_call_uses_no_budget():
    """A run without calls has no ratio."""
    assert budget(counts([]), objective=0.97) == Budget(0, 0, 0, None)
    assert budget(counts([0], n=0), objective=0.97).consumed_ratio is None
    assert burn(counts([]), objective=0.97).schema == BURN_SCHEMA


def test_a_steady_error_rate_burns_at_its_multiple():
    """Six errors in a hundred burn a 3 % budget twice as fast as it lasts, in every window."""
    found = burn(counts([6] * 720), objective=0.97)
    np.testing.assert_allclose(found["long_rate"], 2)
    np.testing.assert_allclose(found["short_rate"], 2)
    assert not found["alert"].any()


def test_an_outage_alerts_when_both_windows_burn():
    """With 99 %, the hour reaches 14.4 in the ninth bad minute and alerts until five are nearly clean."""
    found = burn(outage(700, 720), objective=0.99).filter(pl.col("window") == "60m/5m", "alert")
    assert (found["at"].min() - START) / MINUTE == 708
    assert (found["at"].max() - START) / MINUTE == 723


def test_a_slow_burn_alerts_in_the_long_pair_only():
    """Ten in a hundred against 99 % is a rate of 10: above 6 over six hours, below 14.4 over one."""
    found = burn(counts([10] * 720), objective=0.99)
    alerting = found.filter("alert")
    assert alerting["window"].unique().to_list() == ["360m/30m"]
    assert (alerting["at"].min() - START) / MINUTE == 359


def test_a_window_that_has_not_filled_does_not_alert():
    """A bad first minute is no hour."""
    assert not burn(outage(0, 5, minutes=50), objective=0.99)["alert"].any()


def test_a_masked_window_burns_nothing():
    """Rates slide over a masked window as if it had no calls; a window of nothing else has no rate."""
    mask = pl.DataFrame({"start": [START + MINUTE * 100], "end": [START + MINUTE * 130]})
    pair = BurnWindow(timedelta(minutes=20), timedelta(minutes=5), 2)
    found = burn(outage(100, 130, minutes=200), objective=0.99, mask=mask, windows=[pair])
    assert found["long_rate"].drop_nulls().unique().to_list() == [0]
    assert found["long_rate"].null_count() == 11


@pytest.mark.parametrize(
    ("frame", "arguments", "sentence"),
    [
        (counts([0]), {"objective": 97}, "objective"),
        (counts([0]).drop("n"), {"objective": 0.9}, "no column 'n'"),
        (counts([101]), {"objective": 0.9}, "successes <= n"),
        (counts([0]).cast({"n": pl.Float64}), {"objective": 0.9}, "whole numbers"),
    ],
)
def test_impossible_counts_are_refused(frame, arguments, sentence):
    """What cannot be counted is refused with what to pass, by both functions."""
    for function in (budget, burn):
        with pytest.raises(SettingsError, match=sentence):
            function(frame, **arguments)


def test_a_window_pair_that_cannot_alert_is_refused():
    """The short window is shorter than the long one."""
    with pytest.raises(SettingsError, match="long > short"):
        burn(counts([0] * 10), objective=0.9, windows=[BurnWindow(MINUTE, MINUTE, 1)])


def test_an_objective_of_all_leaves_no_budget():
    """Whoever allows no failure has used an infinite share with the first, and none without one."""
    for failed, used in ((0, 0.0), (1, float("inf"))):
        assert budget(counts([0, failed]), objective=1) == Budget(200, failed, 0.0, used)
        found = burn(counts([0] * 60 + [failed] * 60), objective=1).filter(window="60m/5m")
        assert (found["long_rate"][0], found["long_rate"][-1]) == (0.0, used)
        assert found["alert"].any() == bool(failed)


@pytest.mark.parametrize("objective", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_an_objective_that_is_no_share_is_refused(objective):
    """NaN too."""
    with pytest.raises(SettingsError, match="above 0 and up to 1"):
        burn(counts([0]), objective=objective)


def test_order_and_zone_of_rows_do_not_matter():
    """Rows are taken by their time, and two of one time together."""
    rows = outage(50, 60, minutes=120)
    told = burn(rows, objective=0.99)
    assert burn(rows.reverse().with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo")), objective=0.99).equals(
        told
    )
    halves = pl.concat([rows.with_columns(pl.col("n", "successes") // 2)] * 2)
    assert burn(halves, objective=0.99).equals(told)


def test_two_outages_that_take_nine_tenths_of_a_days_budget_alert():
    """Two of 20 minutes each: the thresholds of a day's own budget alert, those of 30 days do not."""
    failed = np.zeros(1440, dtype=int)
    failed[400:420] = failed[900:920] = 100
    twice = counts(failed)
    assert budget(twice, objective=0.97).consumed_ratio == pytest.approx(0.926, abs=0.001)
    assert burn(twice, objective=0.97, windows=own_windows(86_400))["alert"].any()
    assert not burn(twice, objective=0.97)["alert"].any()


def test_thresholds_are_those_of_the_runs_own_period():
    """A quarter of the budget in an hour, half of it in six: 6 and 2 of a day; a week's as of 30 days, an hour's 1."""
    assert [pair.threshold for pair in own_windows(86_400)] == [6.0, 2.0]
    assert [pair.threshold for pair in own_windows(7 * 86_400)] == [14.4, 6.0]
    assert [pair.threshold for pair in own_windows(3_600)] == [1.0, 1.0]
