"""A series with its trend."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from soaklib import charts
from soaklib.charts.mark_labels import MarkLabels

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
    [
        ("B", 106_276.0, "drift: +106.3 kB a soak-hour"),
        ("ms", -0.25, "drift: \N{MINUS SIGN}0.25 ms a soak-hour"),
        ("ms", -0.00694541, "drift: \N{MINUS SIGN}0.00695 ms a soak-hour"),
        ("MB", 12_345.6, "drift: +12,346 MB a soak-hour"),
    ],
)
def test_the_verdict_is_told_with_its_slope(ax, unit, slope, text):
    """The legend says the verdict and the slope in the unit of the series."""
    verdict = SimpleNamespace(state="drift", slope_per_hour=slope, interval=(slope - 1, slope + 1))
    charts.drift(_SERIES, verdict, ax=ax, label="x", unit=unit)
    assert [entry.get_text() for entry in ax.get_legend().texts] == ["x", text, "interval of the slope"]


@pytest.mark.parametrize("slope", [None, 50.0])
def test_a_series_too_short_to_judge_has_no_trend(ax, slope):
    """Without an interval of the slope only the series and its verdict are told."""
    verdict = SimpleNamespace(state="inconclusive", slope_per_hour=slope, interval=None)
    charts.drift(_SERIES, verdict, ax=ax, label="x", unit="ms")
    assert "trend" not in [line.get_label() for line in ax.lines]
    assert [entry.get_text() for entry in ax.get_legend().texts] == ["x: inconclusive"]


def test_windows_show_the_least_and_the_largest_of_their_readings(ax):
    """Where points stand for many readings a band has their range; where each is one reading there is none."""
    windows = _SERIES.with_columns(low=pl.col("value") - 2, high=pl.col("value") + 3)
    verdict = SimpleNamespace(state="inconclusive", slope_per_hour=None, interval=None)
    charts.drift(windows, verdict, ax=ax, label="x", unit="ms")
    [band] = [area for area in ax.collections if area.get_label() == "range"]
    corners = {tuple(vertex) for path in band.get_paths() for vertex in path.vertices.tolist()}
    assert {(0.0, 98.0), (0.0, 103.0), (4.0, 138.0), (4.0, 143.0)} <= corners
    other = charts.figure().subplots()
    charts.drift(windows.with_columns(low="value", high="value"), verdict, ax=other, label="x", unit="ms")
    assert [area.get_label() for area in other.collections] == []


def test_numbers_on_the_axis_are_whole(ax):
    """An axis has neither an offset nor a power of ten, and does not go below 0 where no value does."""
    series = pl.DataFrame({"soak_s": [0.0, 3600.0], "value": [155_900.1, 155_900.2]})
    wide = SimpleNamespace(state="drift", slope_per_hour=0.1, interval=(-9e6, 9e6))
    charts.drift(series, wide, ax=ax, label="x", unit="ms")
    assert ax.get_ylim()[0] == 0.0
    assert ax.yaxis.get_major_formatter()(155_900.25) == "155,900.25"
    assert ax.yaxis.get_major_formatter()(-2.0) == "\N{MINUS SIGN}2"


def test_a_series_never_measured_is_told(ax):
    """An empty series says so."""
    verdict = SimpleNamespace(state="inconclusive", slope_per_hour=None, interval=None)
    charts.drift(_SERIES.clear(), verdict, ax=ax, label="x", unit="B")
    assert [text.get_text() for text in ax.texts] == ["never measured"]


def test_each_tool_has_its_axes(figure, marks):
    """Each tool's series stands in an axes of its own with its own verdict; what happened when is told once."""
    two = pl.concat([_SERIES.with_columns(tool=pl.lit(tool)) for tool in ("serpapi", "openai")])
    verdicts = {"openai": _VERDICT, "serpapi": SimpleNamespace(state="stable", slope_per_hour=1.0, interval=None)}
    charts.drift_by_tool(two, verdicts, figure=figure, label="median", unit="ms", marks=marks)
    upper, lower = figure.axes
    assert [ax.get_ylabel() for ax in (upper, lower)] == ["serpapi\n(ms)", "openai\n(ms)"]
    assert [[entry.get_text() for entry in ax.get_legend().texts] for ax in (upper, lower)] == [
        ["median: stable"], ["median", "drift: +10 ms a soak-hour", "interval of the slope"],
    ]  # fmt: skip
    assert [len(ax.findobj(MarkLabels)) for ax in (upper, lower)] == [1, 0]


def test_no_tool_is_told(figure):
    """Without a series there is a sentence."""
    charts.drift_by_tool(_SERIES.with_columns(tool=pl.lit("x")).clear(), {}, figure=figure, label="median", unit="ms")
    assert [text.get_text() for text in figure.axes[0].texts] == ["never measured"]


def test_the_margin_is_drawn_and_what_was_left_out(ax):
    """Two lines about the median say what would not matter, and grey what the verdict did not look at."""
    left_out = pl.DataFrame({"start_s": [3600.0], "end_s": [7200.0]})
    charts.drift(_SERIES, _VERDICT, ax=ax, label="memory", unit="MiB", margin=30.0, left_out=left_out)
    assert [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "margin"] == [90.0, 150.0]
    [shade] = [patch for patch in ax.patches if patch.get_gid() == "left out"]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (1.0, 2.0)
    low, high = ax.get_ylim()
    assert low < 90.0
    assert high > 150.0
    told = [text.get_text() for text in ax.get_legend().texts]
    assert told[-2:] == ["margin: 30 MiB over the series", "left out"]


def test_a_margin_far_off_does_not_squeeze_the_series(ax):
    """A margin of many times what is seen is told to be beyond the axis, which stays with the data."""
    charts.drift(_SERIES, _VERDICT, ax=ax, label="memory", unit="MiB", margin=5000.0)
    assert ax.get_ylim()[1] < 200.0
    assert ax.get_legend().texts[-1].get_text() == "margin: 5,000 MiB over the series, beyond the axis"
    assert [line for line in ax.lines if line.get_gid() == "margin"] == []


def test_what_all_tools_share_is_told_once_and_each_verdict_under_its_tool(figure):
    """Under each tool stands its own verdict; series, interval and margin are explained under the last tool alone."""
    tools = ("serpapi", "openai", "gmail_send")
    series = pl.concat([_SERIES.with_columns(tool=pl.lit(tool)) for tool in tools])
    charts.drift_by_tool(
        series, dict.fromkeys(tools, _VERDICT), figure=figure, label="median", unit="ms",
        margins={"serpapi": 30.0, "openai": 20.0, "gmail_send": 20.0},
    )  # fmt: skip
    verdict = "drift: +10 ms a soak-hour"
    assert [[entry.get_text() for entry in ax.get_legend().texts] for ax in figure.axes] == [
        [verdict, "margin: 30 ms over the series"],
        [verdict],
        ["median", verdict, "interval of the slope", "margin: 20 ms over the series"],
    ]


def test_each_axis_that_does_not_reach_its_margin_says_so(figure):
    """The same words under another tool would say nothing of this one."""
    tools = ("serpapi", "openai", "gmail_send")
    series = pl.concat([_SERIES.with_columns(tool=pl.lit(tool)) for tool in tools])
    charts.drift_by_tool(
        series, dict.fromkeys(tools, _VERDICT), figure=figure, label="median", unit="ms",
        margins={"serpapi": 5000.0, "openai": 20.0, "gmail_send": 5000.0},
    )  # fmt: skip
    beyond = "margin: 5,000 ms over the series, beyond the axis"
    assert [beyond in [entry.get_text() for entry in ax.get_legend().texts] for ax in figure.axes] == [
        True, False, True,
    ]  # fmt: skip
