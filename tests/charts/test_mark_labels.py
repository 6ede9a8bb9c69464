"""The labels above a time axis, as they are drawn."""

import polars as pl

from soaklib import charts
from soaklib.charts.mark_labels import MarkLabels
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.windows import Grid

_DAY = Grid(0.0, 3600.0, 24)


def _texts(figure):
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    return [text.get_text() for labels in figure.findobj(MarkLabels) for text, _ in labels.artists(renderer)]


def test_a_phase_is_named_once(marks, width_mm):
    """A phase too narrow for its name is told by the change that begins it; every change is told."""
    figure = charts.figure(width_mm)
    draw_time_axis(figure.subplots(), marks, _DAY)
    texts = _texts(figure)
    assert {"credentials rotated: openai", "chaos on: openai 500, 50 %", "chaos off", "quota cut: openai:chat"} < set(
        texts
    )
    assert "baseline" in texts
    assert "chaos" not in texts


def test_a_narrow_phase_that_no_change_begins_is_still_told(marks):
    """Without a change at its start, a phase too narrow for its name gets a label with a stem."""
    figure = charts.figure()
    draw_time_axis(figure.subplots(), marks.filter(pl.col("kind") == "phase"), _DAY)
    assert "chaos" in _texts(figure)


def test_a_run_without_changes_names_its_phases(marks):
    """Without any change there is nothing but the names of phases."""
    figure = charts.figure()
    draw_time_axis(figure.subplots(), marks.filter(pl.col("label") == "baseline"), _DAY)
    assert _texts(figure) == ["baseline"]
