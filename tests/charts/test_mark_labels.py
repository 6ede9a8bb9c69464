"""The labels above a time axis, as they are drawn."""

from itertools import pairwise

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
    assert {
        "1",
        "2",
        "3",
        "4",
        "1 credentials rotated: openai",
        "2 chaos on: openai 500, 50 %",
        "3 chaos off",
        "4 quota cut: openai:chat",
        "baseline",
    } <= set(texts)
    assert not {"chaos", "5"} & set(texts)


def test_beside_long_names_every_change_is_told(marks):
    """Where names of rows leave a narrow axes, the key begins left of it rather than leaving something out."""
    figure = charts.figure(charts.COLUMN_MM)
    ax = figure.subplots()
    ax.set_yticks([0.0], ["validated by counter: 1,124,207"])
    label = "generator late by up to 0.1 s"
    late = pl.DataFrame({"start_s": [74_000.0], "end_s": [74_300.0], "kind": ["invalid"], "label": [label]})
    draw_time_axis(ax, pl.concat([marks, late]), _DAY)
    told = [*marks.filter(pl.col("kind") == "change")["label"], label]
    assert {f"{number} {text}" for number, text in enumerate(told, 1)} <= set(_texts(figure))


def test_a_narrow_phase_that_no_change_begins_is_still_told(marks):
    """Without a change at its start, a phase too narrow for its name gets a number and stands in the key."""
    figure = charts.figure()
    draw_time_axis(figure.subplots(), marks.filter(pl.col("kind") == "phase"), _DAY)
    assert {"1", "1 chaos"} <= set(_texts(figure))


def test_a_run_without_changes_names_its_phases(marks):
    """Without any change there is nothing but the names of phases."""
    figure = charts.figure()
    draw_time_axis(figure.subplots(), marks.filter(pl.col("label") == "baseline"), _DAY)
    assert _texts(figure) == ["baseline"]


def _drawn(figure):
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    (labels,) = figure.findobj(MarkLabels)
    drawn = [(text, text.get_window_extent(renderer), stem) for text, stem in labels.artists(renderer)]
    strip = [(text.get_text(), box, stem) for text, box, stem in drawn if stem is not None]
    return strip, [(text.get_text(), box) for text, box, stem in drawn if stem is None]


def test_the_strip_is_one_row_of_numbers(marks, width_mm):
    """Each number stands above its change, in one row clear of one another, the key above all of them."""
    figure = charts.figure(width_mm)
    ax = figure.subplots()
    draw_time_axis(ax, marks, _DAY)
    strip, words = _drawn(figure)
    changes = marks.filter(pl.col("kind") == "change")
    assert [number for number, _, _ in strip] == ["1", "2", "3", "4"]
    for (_, _, stem), start_s in zip(strip, changes["start_s"], strict=True):
        assert stem.get_xdata()[0] == pytest.approx(ax.transData.transform((start_s / 3600, 0))[0])
        assert stem.get_ydata()[0] == pytest.approx(ax.bbox.y1)
    assert len({round(box.y0) for _, box, _ in strip}) == 1
    assert all(left.x1 <= right.x0 for (_, left, _), (_, right, _) in pairwise(strip))
    key = [box for text, box in words if text[0].isdigit()]
    assert len(key) == 4
    assert min(box.y0 for box in key) >= max(box.y1 for _, box, _ in strip) - 1
    assert len({round(box.y0) for box in key}) == (1 if width_mm == charts.PAGE_MM else 2)


def test_numbers_that_would_meet_are_moved_aside():
    """Many changes in a moment stay in order and apart, those at the end of the axis before it."""
    figure = charts.figure(charts.COLUMN_MM)
    rows = [(86_000.0 + number, None, "change", f"change {number}") for number in range(6)]
    marks = pl.DataFrame(rows, schema=["start_s", "end_s", "kind", "label"], orient="row")
    draw_time_axis(figure.subplots(), marks, _DAY)
    strip, _ = _drawn(figure)
    assert [number for number, _, _ in strip] == ["1", "2", "3", "4", "5", "6"]
    assert all(left.x1 <= right.x0 for (_, left, _), (_, right, _) in pairwise(strip))
    assert strip[-1][1].x1 <= figure.bbox.width


def test_what_is_told_alike_has_one_number():
    """Two gaps of a runner that was down are one entry of the key, and both bear its number."""
    figure = charts.figure()
    gaps = [(number * 3600.0, number * 3600.0 + 600.0, "gap", "runner was down") for number in (2, 5)]
    draw_time_axis(
        figure.subplots(), pl.DataFrame(gaps, schema=["start_s", "end_s", "kind", "label"], orient="row"), _DAY
    )
    strip, words = _drawn(figure)
    assert ([number for number, _, _ in strip], [text for text, _ in words]) == (["1", "1"], ["1 runner was down"])


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
