"""How latencies spread: the heat map and the percentile plot."""

import numpy as np
import polars as pl
import pytest

from soaklib import charts

_BINS = pl.DataFrame(
    {
        "soak_s": [0.0, 0.0, 60.0, 120.0, 120.0],
        "end_s": [60.0, 60.0, 120.0, 180.0, 180.0],
        "low_ms": [1.0, 2.0, 4.0, 2.0, 64.0],
        "high_ms": [2.0, 4.0, 8.0, 4.0, 128.0],
        "censored": [False, False, False, False, True],
        "n": [10, 20, 30, 40, 3],
    }
)


def test_cells_hold_the_counts(ax):
    """Each cell is a window and a bin; those without calls are blank."""
    charts.latency_heat_map(_BINS, ax=ax)
    mesh = ax.collections[0]
    expected = [[10, 0, 0], [20, 0, 40], [0, 30, 0]]
    np.testing.assert_array_equal(mesh.get_array().filled(0), expected)
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), np.array(expected) == 0)
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], [1.0, 2.0, 4.0, 8.0])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0] * 3600, [0, 60, 120, 180])


def test_calls_given_up_are_marked(ax):
    """A call without an answer is a triangle at the least it can have taken, and is counted in the legend."""
    charts.latency_heat_map(_BINS, ax=ax)
    (points,) = [line for line in ax.lines if line.get_gid() == "given up"]
    assert (points.get_xdata()[0] * 3600, points.get_ydata()[0]) == (pytest.approx(150.0), 64.0)
    assert [text.get_text() for text in ax.get_legend().texts] == ["given up, at least so long: 3"]


def test_the_colour_bar_says_what_it_counts(ax, figure):
    """The colour bar is in calls a window."""
    charts.latency_heat_map(_BINS, ax=ax)
    assert figure.axes[1].get_ylabel() == "calls in 1 min"


def test_a_run_without_answers_says_so(ax):
    """Where nothing was answered there is a sentence and no mesh."""
    charts.latency_heat_map(_BINS.filter(pl.col("censored")), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["no call was answered"]


def test_each_tool_has_its_shares(figure):
    """By tool, a cell is the share of its window's calls; one call among many is faint; all share a scale."""
    of_tools = pl.concat([_BINS.with_columns(tool=pl.lit(tool)) for tool in ("serpapi", "openai")])
    charts.latency_heat_maps(of_tools, figure=figure)
    serpapi, openai, bar = figure.axes
    assert [ax.get_ylabel() for ax in (serpapi, openai)] == ["serpapi\n(ms)", "openai\n(ms)"]
    assert bar.get_ylabel() == "share of the calls in 1 min"
    expected = [[1 / 3, 0, 0], [2 / 3, 0, 1], [0, 1, 0]]
    for ax in (serpapi, openai):
        np.testing.assert_allclose(ax.collections[0].get_array().filled(0), expected)
    assert bar._colorbar.extend == "max"  # a window in which all calls are alike is darker than the bar can tell
    norm = serpapi.collections[0].norm
    assert norm(0.01) < 0.15
    assert norm(0.5) > 0.8


_PERCENTILES = pl.DataFrame(
    {
        "phase": ["after", "after", "after", "baseline", "baseline"],
        "measure": ["response"] * 5,
        "quantile": [0.5, 0.9, 0.99, 0.5, 0.9],
        "latency_ms": [4.0, 9.0, 30.0, 2.0, 3.0],
        "at_least": [False, True, False, False, False],
        "sufficient": [True, True, False, True, True],
        "n": [200, 200, 200, 5000, 5000],
    }
)


def _line(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_percentiles_are_stretched_towards_the_tail(ax):
    """A decade of rarer calls is as wide as the one before it, and a line ends where calls are too few."""
    charts.percentile_plot(_PERCENTILES, ax=ax)
    after = _line(ax, "after")
    np.testing.assert_allclose(after.get_xdata(), [-np.log10(0.5), 1.0])
    np.testing.assert_allclose(after.get_ydata(), [4.0, 9.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "90"]


def test_intervals_are_bands_as_far_as_they_are_known(ax):
    """Each line has its band where both bounds are known, and the legend says what a band is."""
    bounded = _PERCENTILES.with_columns(
        low_ms=pl.Series([3.0, 8.0, None, 1.5, 2.5]), high_ms=pl.Series([5.0, np.inf, None, 2.5, 3.5])
    )
    charts.percentile_plot(bounded, ax=ax)
    after, baseline = (band.get_paths()[0].vertices[:, 1] for band in ax.collections if band.get_gid() == "interval")
    assert (after.min(), after.max()) == (3.0, 5.0)
    assert (baseline.min(), baseline.max()) == (1.5, 3.5)
    assert ax.get_legend().texts[-1].get_text() == "95 % interval"


def test_phases_come_in_the_order_of_the_plan(ax):
    """With marks the legend follows the plan, and each phase tells its calls."""
    marks = pl.DataFrame(
        {"start_s": [0.0, 60.0], "end_s": [60.0, 120.0], "kind": ["phase"] * 2, "label": ["baseline", "after"]}
    )
    charts.percentile_plot(_PERCENTILES, ax=ax, marks=marks)
    assert [text.get_text() for text in ax.get_legend().texts] == ["baseline: n = 5,000", "after: n = 200", "at least"]


def test_a_lower_bound_bears_a_triangle(ax):
    """A percentile that is only bounded is marked as such."""
    charts.percentile_plot(_PERCENTILES, ax=ax)
    bounds = [line for line in ax.lines if line.get_gid() == "at least" and line.get_xdata().size]
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in bounds] == [
        ([pytest.approx(1.0)], [9.0])
    ]


def test_too_few_calls_are_told(ax):
    """Where no percentile has enough calls, a sentence says so."""
    charts.percentile_plot(_PERCENTILES.with_columns(sufficient=pl.lit(value=False)), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["too few calls were answered"]
