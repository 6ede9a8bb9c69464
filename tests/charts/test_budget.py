"""The error budget and its burn."""

import numpy as np
import polars as pl

from soaklib import charts

_BUDGET = pl.DataFrame(
    {
        "soak_s": [0.0, 0.0, 300.0, 300.0],
        "end_s": [300.0, 300.0, 600.0, 600.0],
        "window": ["60m/5m", "360m/30m"] * 2,
        "threshold": [14.4, 6.0] * 2,
        "long_rate": [0.0, 0.0, 20.0, None],
        "short_rate": [0.0, 0.0, 30.0, 5.0],
        "alert": [False, False, True, False],
        "used_ratio": [0.0, 0.0, 1.5, 1.5],
    }
)


def _lines(ax):
    return {line.get_label(): line.get_ydata() for line in ax.lines if not str(line.get_label()).startswith("_")}


def test_use_and_rates_are_those_of_the_frame(figure):
    """The used share stands above in percent, each pair's burn rate below, null as a gap."""
    charts.error_budget_burn(_BUDGET, figure=figure)
    upper, lower = figure.axes
    np.testing.assert_array_equal(_lines(upper)["budget used"], [0, 150, 150])
    assert upper.get_ylim()[1] > 150
    np.testing.assert_array_equal(_lines(lower)["over 1 h: alert above 14.4, if over 5 min too"], [0, 20, 20])
    np.testing.assert_array_equal(_lines(lower)["over 6 h: alert above 6, if over 30 min too"], [0, np.nan, np.nan])


def test_an_alert_is_drawn_only_where_it_fires(figure):
    """Windows with an alert are marked at the foot of the axes."""
    charts.error_budget_burn(_BUDGET, figure=figure)
    np.testing.assert_array_equal(_lines(figure.axes[1])["alert"], [np.nan, 0, 0])


def test_without_an_alert_there_is_no_word_of_it(figure):
    """A quiet run has no mark and no legend entry for alerts."""
    charts.error_budget_burn(_BUDGET.with_columns(alert=pl.lit(value=False)), figure=figure)
    assert "alert" not in _lines(figure.axes[1])


def test_no_calls_are_told(figure):
    """A run without calls that count says so."""
    charts.error_budget_burn(_BUDGET.clear(), figure=figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no call counts"]


def test_a_budget_of_nothing_is_told(figure):
    """Where no failure was allowed, the first uses infinitely much, which no axis holds and a note says."""
    infinite = pl.when(pl.col("soak_s") > 0).then(float("inf")).otherwise(0.0)
    charts.error_budget_burn(_BUDGET.with_columns(used_ratio=infinite, long_rate=infinite), figure=figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no failure was allowed: there was no budget to use"]
    assert figure.axes[0].get_ylim()[1] < 200
    figure.canvas.draw()
