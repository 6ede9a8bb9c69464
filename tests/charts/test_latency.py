"""Latency percentiles by tool."""

import numpy as np
import polars as pl

from soaklib import charts

_SCHEMA = ["soak_s", "tool", "measure", "quantile", "latency_ms", "at_least", "n", "sufficient"]


def _frame(rows):
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(end_s=pl.col("soak_s") + 60.0)


_LATENCY = _frame(
    [
        (0.0, "openai", "service", 0.5, 2.0, False, 400, True),
        (60.0, "openai", "service", 0.5, 4.0, False, 400, True),
        (0.0, "openai", "service", 0.99, 50.0, False, 400, False),
        (60.0, "openai", "service", 0.99, 900.0, True, 4000, True),
        (0.0, "openai", "response", 0.5, 3.0, False, 400, True),
        (60.0, "openai", "response", 0.5, 5.0, False, 400, True),
        (0.0, "serpapi", "service", 0.5, 1.0, False, 400, True),
        (60.0, "serpapi", "service", 0.5, 1.5, False, 400, True),
    ]
)  # fmt: skip


def _lines(ax):
    lines = {line.get_label(): line for line in ax.lines}
    return {label: lines[label].get_ydata() for label in lines if not label.startswith("_")}


def test_each_tool_has_an_axes_with_its_percentiles(figure):
    """Each tool has an axes, in the order of the plan's looks, on a common log scale in ms."""
    charts.latency_percentiles(_LATENCY, figure=figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["serpapi\n(ms)", "openai\n(ms)"]
    assert {ax.get_yscale() for ax in figure.axes} == {"log"}
    openai = _lines(figure.axes[1])
    np.testing.assert_array_equal(openai["service 0.5"], [2.0, 4.0, 4.0])
    np.testing.assert_array_equal(openai["response 0.5"], [3.0, 5.0, 5.0])


def test_a_percentile_with_too_few_calls_is_a_gap(figure):
    """A percentile beyond which too few observations lie is not drawn."""
    charts.latency_percentiles(_LATENCY, figure=figure)
    np.testing.assert_array_equal(_lines(figure.axes[1])["service 0.99"], [np.nan, 900.0, 900.0])


def test_no_two_percentiles_look_alike(figure):
    """Also those that nobody usually asks for: the legend tells each line."""
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    frame = _frame([(0.0, "openai", "service", level, 1.0 + level, False, 400, True) for level in levels])
    charts.latency_percentiles(frame, figure=figure, quantiles=levels)
    (ax,) = figure.axes
    drawn = [line for line in ax.lines if line.get_label().startswith("service ")]
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == len(drawn) == 5
    told = ax.get_legend().legend_handles[:5]
    assert [line.get_color() for line in told] == [line.get_color() for line in drawn]


def test_a_lower_bound_is_marked(figure):
    """Where only a lower bound is known, a triangle stands in the middle of the window and the legend says so."""
    charts.latency_percentiles(_LATENCY, figure=figure)
    (bound,) = [line for line in figure.axes[1].lines if line.get_gid() == "at least"]
    assert (bound.get_xdata()[0] * 3600, bound.get_ydata()[0]) == (90.0, 900.0)
    assert "at least" in [text.get_text() for text in figure.axes[-1].get_legend().texts]


def test_a_level_that_nowhere_has_enough_calls_is_told(figure):
    """A level that cannot be drawn anywhere stands in the legend with the reason."""
    charts.latency_percentiles(_LATENCY.filter(pl.col("sufficient"), ~pl.col("at_least")), figure=figure)
    assert [text.get_text() for text in figure.axes[-1].get_legend().texts] == [
        "p50 in 1 min", "p95 in 1 min: too few calls", "p99 in 1 min: too few calls", "service time", "response time",
    ]  # fmt: skip


def test_no_answer_at_all_is_said(figure):
    """A run in which nothing was answered says so."""
    charts.latency_percentiles(_LATENCY.clear(), figure=figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no call was answered"]


def test_a_tail_of_longer_windows_fills_in(figure):
    """A level that has too few calls in the usual windows is drawn from longer ones, and the legend says how long."""
    longer = _frame(
        [(0.0, tool, "service", 0.99, 70.0, False, 4000, True) for tool in ("openai", "serpapi")]
    ).with_columns(end_s=pl.col("soak_s") + 3600.0)
    charts.latency_percentiles(_LATENCY, figure=figure, tail=longer)
    np.testing.assert_array_equal(_lines(figure.axes[1])["service 0.99"], [70.0, 70.0])
    np.testing.assert_array_equal(_lines(figure.axes[1])["service 0.5"], [2.0, 4.0, 4.0])
    told = [text.get_text() for text in figure.axes[-1].get_legend().texts]
    assert "p50 in 1 min" in told
    assert "p99 in 1 h" in told


def test_time_to_first_token_is_drawn_as_service_time_is():
    """One thick line a level, and a legend that says what it is."""
    told = {"soak_s": [0.0, 60.0], "end_s": [60.0, 120.0], "tool": ["fast"] * 2, "measure": ["first token"] * 2}
    told |= {"quantile": [0.5] * 2, "latency_ms": [12.0, 14.0], "at_least": [False] * 2, "sufficient": [True] * 2}
    figure = charts.latency_percentiles(pl.DataFrame(told), figure=charts.figure(), quantiles=[0.5])
    [ax] = figure.axes
    assert [line.get_ydata()[0] for line in ax.lines if "first token" in line.get_label()] == [12.0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["p50 in 1 min, to first token"]
