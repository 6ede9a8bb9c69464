"""Two runs laid over one another, and a part of the time axis."""

import polars as pl
import pytest
import soak_day as day

from soaklib import charts
from soaklib.errors import SettingsError

_TIMED = {
    "success_rate": lambda f, **k: charts.success_rate(day.success_rate(), ax=f.subplots(), **k),
    "denial_spikes": lambda f, **k: charts.denial_spikes(day.denials(), ax=f.subplots(), **k),
    "denial_sources": lambda f, **k: charts.denial_sources(
        day.denials(), day.metered().rename({"tool": "kind"}), figure=f, **k
    ),
    "outcome_composition": lambda f, **k: charts.outcome_composition(day.outcome_counts(), ax=f.subplots(), **k),
    "tool_usage": lambda f, **k: charts.tool_usage(day.tool_usage(), ax=f.subplots(), **k),
    "breaker_activity": lambda f, **k: charts.breaker_activity(day.breaker_states(), day.fast_fails(), figure=f, **k),
    "latency_percentiles": lambda f, **k: charts.latency_percentiles(day.latency(), figure=f, **k),
    "latency_heat_map": lambda f, **k: charts.latency_heat_map(day.latency_bins(), ax=f.subplots(), **k),
    "intervention_timeline": lambda f, **k: charts.intervention_timeline(day.events(), ax=f.subplots(), **k),
    "measurement_validity": lambda f, **k: charts.measurement_validity(day.validity(), figure=f, **k),
    "retries_and_cache": lambda f, **k: charts.retries_and_cache(day.metered(), day.metered(), figure=f, **k),
    "gateway_stated": lambda f, **k: charts.gateway_stated(day.stated(), figure=f, **k),
    "error_budget_burn": lambda f, **k: charts.error_budget_burn(day.error_budget(), figure=f, **k),
    "reconciliation_residuals": lambda f, **k: charts.reconciliation_residuals(day.books(), ax=f.subplots(), **k),
}


@pytest.mark.parametrize("chart", _TIMED)
def test_a_part_of_the_time_is_shown(figure, marks, chart):
    """Every chart with a time axis shows what `xlim` names, on each of its axes, with its marks."""
    _TIMED[chart](figure, marks=marks, xlim=("H+11:50", "H+12:40"))
    timed = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    assert timed
    for ax in timed:
        assert ax.get_xlim() == pytest.approx((11 + 50 / 60, 12 + 40 / 60))
    figure.canvas.draw()


def test_a_span_that_is_none_is_refused(figure):
    """With what to pass."""
    with pytest.raises(SettingsError, match="no moment of a soak"):
        _TIMED["tool_usage"](figure, xlim=("noon", "H+13"))


def test_two_runs_are_laid_over_one_another(ax, marks):
    """Each in its colour, both in the legend, the axis holding both."""
    later = day.success_rate().with_columns(pl.col("success_rate", "low") - 15)
    charts.success_rate(day.success_rate(), ax=ax, threshold=97.0, label="before", marks=marks)
    low, _ = ax.get_ylim()
    charts.success_rate(later, ax=ax, threshold=97.0, label="after", colour="#E69F00")
    lines = [line for line in ax.lines if line.get_label() == "success rate"]
    assert [line.get_color() for line in lines] == ["#0072B2", "#E69F00"]
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "before: success rate in 5 min", "before: 95 % interval", "required: 97 %",
        "after: success rate in 5 min", "after: 95 % interval",
    ]  # fmt: skip
    assert ax.get_ylim()[0] < low
    assert ax.get_xlim() == (0.0, 24.0)


def test_two_runs_share_the_axes_of_their_tools(figure, marks):
    """The second run is drawn on the axes that the first has made."""
    charts.latency_percentiles(day.latency(), figure=figure, label="before", marks=marks)
    axes = list(figure.axes)
    charts.latency_percentiles(day.latency(), figure=figure, quantiles=[0.5], label="after", colour="#000000")
    assert figure.axes == axes
    told = [text.get_text() for text in axes[-1].get_legend().texts]
    assert "after: p50 in 15 min" in told
    assert "before: p99 in 15 min" in told
    assert len(told) == len(set(told))
