"""Every figure can be read at both widths of print: no word is cut off and none covers another."""

from types import SimpleNamespace

import polars as pl
import pytest
import soak_day as day

from soaklib import charts

_DRIFT = SimpleNamespace(state="inconclusive", slope_per_hour=360_000.0, interval=(-9e5, 2e6))

_FIGURES = {
    "success-rate": (62, lambda figure, marks: charts.success_rate(
        day.success_rate(), ax=figure.subplots(), threshold=97.0, marks=marks)),
    "denial-spikes": (62, lambda figure, marks: charts.denial_spikes(day.denials(), ax=figure.subplots(), marks=marks)),
    "denial-sources": (100, lambda figure, marks: charts.denial_sources(
        day.denials(), day.metered().rename({"tool": "kind"}), figure=figure, marks=marks)),
    "outcome-composition": (70, lambda figure, marks: charts.outcome_composition(
        day.outcome_counts(), ax=figure.subplots(), marks=marks)),
    "tool-usage": (62, lambda figure, marks: charts.tool_usage(day.tool_usage(), ax=figure.subplots(), marks=marks)),
    "breaker-activity": (80, lambda figure, marks: charts.breaker_activity(
        day.breaker_states(), day.fast_fails(), figure=figure, marks=marks)),
    "latency-percentiles": (120, lambda figure, marks: charts.latency_percentiles(
        day.latency(), figure=figure, marks=marks)),
    "latency-heat-map": (62, lambda figure, marks: charts.latency_heat_map(
        day.latency_bins(), ax=figure.subplots(), marks=marks)),
    "percentile-plot": (70, lambda figure, marks: charts.percentile_plot(
        day.latency_by_phase(), ax=figure.subplots(), marks=marks)),
    "intervention-timeline": (66, lambda figure, marks: charts.intervention_timeline(
        day.events(), ax=figure.subplots(), marks=marks)),
    "measurement-validity": (80, lambda figure, marks: charts.measurement_validity(
        day.validity(), figure=figure, late_ms=100.0, marks=marks)),
    "retries-and-cache": (90, lambda figure, marks: charts.retries_and_cache(
        day.metered(), day.metered(), figure=figure, marks=marks)),
    "gateway-stated": (100, lambda figure, marks: charts.gateway_stated(day.stated(), figure=figure, marks=marks)),
    "gateway-stated-none": (100, lambda figure, marks: charts.gateway_stated(
        day.stated().clear(), figure=figure, marks=marks)),
    "usage-books": (100, lambda figure, _: charts.usage_books(day.tokens(), day.usage(1e-5), figure=figure)),
    "usage-books-none": (100, lambda figure, _: charts.usage_books(
        day.tokens().clear(), day.usage().clear(), figure=figure)),
    "rotation-impact": (80, lambda figure, _: charts.rotation_impact(day.aligned(), figure=figure)),
    "error-budget-burn": (80, lambda figure, marks: charts.error_budget_burn(
        day.error_budget(), figure=figure, marks=marks)),
    "drift": (62, lambda figure, marks: charts.drift(
        day.memory(), _DRIFT, ax=figure.subplots(), label="memory of the gateway", unit="B", marks=marks)),
    "drift-by-tool": (130, lambda figure, marks: charts.drift_by_tool(
        pl.concat([day.memory().with_columns(tool=pl.lit(tool)) for tool in day.TOOLS]),
        dict.fromkeys(day.TOOLS, _DRIFT), figure=figure, label="median service time", unit="ms", marks=marks)),
    "reconciliation-residuals": (62, lambda figure, marks: charts.reconciliation_residuals(
        day.books(), ax=figure.subplots(), marks=marks)),
    "run-comparison": (70, lambda figure, _: charts.run_comparison(day.comparison(), ax=figure.subplots())),
}  # fmt: skip


@pytest.mark.parametrize("name", _FIGURES)
def test_every_word_can_be_read(name, width_mm, marks, legible, keep):
    """At 85 mm and at 180 mm every word of a figure is inside it, and no two overlap."""
    height_mm, draw = _FIGURES[name]
    figure = charts.figure(width_mm, height_mm)
    draw(figure, marks)
    keep(figure)
    assert legible(figure) == ([], [])


def test_words_that_overlap_are_found(legible):
    """The check sees a word over another, and one outside the figure."""
    figure = charts.figure()
    figure.text(0.5, 0.5, "under")
    figure.text(0.5, 0.5, "over")
    figure.text(1.2, 0.5, "outside")
    assert legible(figure) == (["outside"], [("under", "over")])
