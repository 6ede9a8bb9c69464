"""A series with its trend."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from soaklib import charts

_SERIES = pl.DataFrame(
    {"soak_s": [0.0, 3600.0, 7200.0, 10_800.0, 14_400.0], "value": [100.0, 110.0, None, 130.0, 140.0]}
)
_VERDICT = SimpleNamespace(state="drift", slope_per_hour=10.0, interval=(8.0, 12.0))


def test_the_trend_goes_through_the_median(ax):
    """The line has the verdict's slope an hour, through the median of time and value; a null is a gap."""
    charts.drift(_SERIES, _VERDICT, ax=ax, label="memory", unit="MiB")
    series, trend = (next(line for line in ax.lines if line.get_label() == name) for name in ("series", "trend"))
    np.testing.assert_array_equal(series.get_ydata(), [100, 110, np.nan, 130, 140])
    assert trend.get_xdata().tolist() == [0.0, 4.0]
    assert trend.get_ydata().tolist() == [100.0, 140.0]  # medians: 2 h and 120


def test_the_band_has_the_slopes_of_the_interval(ax):
    """The band opens from the median with the interval's slopes."""
    charts.drift(_SERIES, _VERDICT, ax=ax, label="memory", unit="MiB")
    corners = {tuple(vertex) for vertex in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(0.0, 104.0), (4.0, 136.0), (0.0, 96.0), (4.0, 144.0)} <= corners


@pytest.mark.parametrize(
    ("unit", "slope", "text"),
    [("B", 106_276.0, "drift: +106.3 kB an hour"), ("ms", -0.25, "drift: -0.25 ms an hour")],
)
def test_the_verdict_is_told_with_its_slope(ax, unit, slope, text):
    """The legend says the verdict and the slope in the unit of the series."""
    charts.drift(
        _SERIES, SimpleNamespace(state="drift", slope_per_hour=slope, interval=None), ax=ax, label="x", unit=unit
    )
    assert [entry.get_text() for entry in ax.get_legend().texts] == ["x", text]


def test_a_series_too_short_to_judge_has_no_trend(ax):
    """Without a slope only the series is drawn."""
    charts.drift(
        _SERIES, SimpleNamespace(state="inconclusive", slope_per_hour=None, interval=None), ax=ax, label="x", unit="ms"
    )
    assert "trend" not in [line.get_label() for line in ax.lines]


def test_a_series_never_measured_is_told(ax):
    """An empty series says so."""
    verdict = SimpleNamespace(state="inconclusive", slope_per_hour=None, interval=None)
    charts.drift(_SERIES.clear(), verdict, ax=ax, label="x", unit="B")
    assert [text.get_text() for text in ax.texts] == ["never measured"]
