"""Whether the measurement can be trusted."""

import numpy as np
import polars as pl

from soaklib import charts

_FRAME = pl.DataFrame(
    {
        "soak_s": [0.0, 900.0, 2700.0],
        "end_s": [900.0, 1800.0, 3600.0],
        "planned_per_s": [100.0, 100.0, 100.0],
        "sent_per_s": [100.0, 80.0, 120.0],
        "schedule_lag_max_ms": [3.0, 250.0, 4.0],
        "loop_lag_max_ms": [0.0, 1.0, 0.0],
    }
)


def _line(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_rates_and_lags_are_those_of_the_frame(figure):
    """Planned and sent stand above, lags below, and a window without a row is a gap in all."""
    charts.measurement_validity(_FRAME, figure=figure, late_ms=100.0)
    upper, lower = figure.axes
    np.testing.assert_array_equal(_line(upper, "planned").get_ydata(), [100, 100, np.nan, 100, 100])
    np.testing.assert_array_equal(_line(upper, "sent").get_ydata(), [100, 80, np.nan, 120, 120])
    np.testing.assert_array_equal(_line(lower, "schedule lag").get_ydata(), [3, 250, np.nan, 4, 4])
    np.testing.assert_array_equal(_line(lower, "event loop's own lag").get_ydata(), [0, 1, np.nan, 0, 0])
    assert list(_line(lower, "late: 100 ms").get_ydata()) == [100.0, 100.0]
    assert upper.get_ylim()[0] == lower.get_ylim()[0] == 0.0


def test_a_lag_of_zero_is_on_the_axis(figure):
    """The scale holds 0, which is what a loop that is never late reports."""
    charts.measurement_validity(_FRAME, figure=figure)
    assert figure.axes[1].get_yscale() == "symlog"


def test_nothing_planned_is_said(figure):
    """A run that planned nothing says so, without a warning."""
    charts.measurement_validity(_FRAME.clear(), figure=figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing was planned"]
