"""The labels above a time axis, as they are drawn."""

import polars as pl
import pytest

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


def test_beside_long_names_every_change_is_told(marks):
    """Where names of rows leave a narrow axes, labels begin left of it rather than being left out."""
    figure = charts.figure(charts.COLUMN_MM)
    ax = figure.subplots()
    ax.set_yticks([0.0], ["validated by counter: 1,124,207"])
    label = "generator late by up to 0.1 s"
    late = pl.DataFrame({"start_s": [74_000.0], "end_s": [74_300.0], "kind": ["invalid"], "label": [label]})
    draw_time_axis(ax, pl.concat([marks, late]), _DAY)
    assert {*marks.filter(pl.col("kind") == "change")["label"], label} <= set(_texts(figure))


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


def test_a_stem_leads_from_the_axes_to_its_text(marks, width_mm):
    """Each stem stands at its change, begins at the axes' upper edge and ends at its own text, not beyond."""
    figure = charts.figure(width_mm)
    ax = figure.subplots()
    draw_time_axis(ax, marks, _DAY)
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    (labels,) = figure.findobj(MarkLabels)
    stems = {text.get_text(): (text, stem) for text, stem in labels.artists(renderer) if stem is not None}
    changes = marks.filter(pl.col("kind") == "change")
    assert set(stems) == set(changes["label"])
    for start_s, label in changes.select("start_s", "label").iter_rows():
        text, stem = stems[label]
        box = text.get_window_extent(renderer)
        (x, top_x), (foot, top) = stem.get_xdata(), stem.get_ydata()
        assert x == top_x == pytest.approx(ax.transData.transform((start_s / 3600, 0))[0])
        assert foot == pytest.approx(ax.bbox.y1)
        assert box.y0 - 3 <= top <= box.y1 + 3


def test_no_stem_crosses_the_name_of_a_phase(width_mm):
    """A moment in the middle of a phase moves its name aside, and out where neither side has room for it."""
    figure = charts.figure(width_mm)
    ax = figure.subplots()
    rows = [(0.0, 86_400.0, "phase", "baseline"), (43_200.0, None, "gap", "runner was down")]
    marks = pl.DataFrame(rows, schema=["start_s", "end_s", "kind", "label"], orient="row")
    draw_time_axis(ax, marks, _DAY)
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    [labels] = figure.findobj(MarkLabels)
    drawn = list(labels.artists(renderer))
    [name] = [text.get_window_extent(renderer) for text, _ in drawn if text.get_text() == "baseline"]
    [x] = [stem.get_xdata()[0] for _, stem in drawn if stem is not None]
    assert not name.x0 <= x <= name.x1
