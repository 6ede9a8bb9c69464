"""Two runs held against each other."""

import math

import polars as pl
import pytest
import soak_day

from soaklib import charts


def _points(ax):
    return {
        (line.get_gid(), round(float(line.get_ydata()[0]))): [float(x) for x in line.get_xdata()]
        for line in ax.lines
        if line.get_gid()
    }


def test_differences_are_in_margins(ax):
    """Each endpoint has its difference and interval divided by its margin, in its row."""
    charts.run_comparison(soak_day.comparison(), ax=ax)
    points = _points(ax)
    assert points["interval", 1] == pytest.approx([2.75, 4.55])
    assert points["different", 1] == pytest.approx([3.65])
    assert points["same", 2] == pytest.approx([0.02])
    assert points["inconclusive", 0] == pytest.approx([-0.82])


def test_an_endpoint_that_could_not_be_compared_has_a_row_and_no_point(ax):
    """What has no difference is named with what is known of it, and nothing is drawn in its row."""
    charts.run_comparison(soak_day.comparison(), ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()][3] == "denials\n240 to none calls/h"
    assert not [row for _, row in _points(ax) if row == 3]


def test_the_margin_and_every_interval_are_in_sight(ax):
    """The axis reaches beyond the margin and the widest interval on both sides alike."""
    charts.run_comparison(soak_day.comparison(), ax=ax)
    low, high = ax.get_xlim()
    assert low == -high
    assert high > 4.55
    margin = ax.patches[0]
    assert (margin.get_x(), margin.get_x() + margin.get_width()) == (-1.0, 1.0)


def test_nothing_to_compare_is_told(ax):
    """Two runs without a common endpoint give a sentence."""
    charts.run_comparison(soak_day.comparison().clear(), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["nothing could be compared"]


def changed(row, **values):
    """The comparison with other values in one row."""
    frame = soak_day.comparison()
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value, frame.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def is_drawn(ax):
    """All that is drawn is finite, and within the axes; draw it, which warns of what cannot be."""
    ax.figure.draw_without_rendering()
    low, high = ax.get_xlim()
    assert 0 < -low == high < math.inf
    ends = [x for line in ax.lines if line.get_gid() for x in line.get_xdata()]
    return all(low <= x <= high for x in ends)


@pytest.mark.parametrize("margin", [0.0, math.inf, math.nan, -1.0])
def test_a_margin_that_nothing_can_be_measured_in_is_told(ax, margin):
    """Its row says so, and the others are drawn as without it."""
    charts.run_comparison(changed(1, margin=margin), ax=ax)
    assert [(text.get_gid(), text.get_text()) for text in ax.texts] == [
        ("undrawable", f"the margin is {margin:g}: nothing can be measured in it")
    ]
    assert not [row for _, row in _points(ax) if row == 1]
    assert _points(ax)["same", 2] == pytest.approx([0.02])
    assert is_drawn(ax)


def test_a_difference_that_is_none_is_told(ax):
    """As of a division by nothing."""
    charts.run_comparison(changed(1, difference=math.nan), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["the difference is nan"]
    assert is_drawn(ax)


@pytest.mark.parametrize("bound", [math.inf, None, math.nan])
def test_a_bound_that_is_not_known_is_an_arrow_out_of_the_picture(ax, bound):
    """The other end and the point are where they are, and the axis reaches as far as what is known."""
    charts.run_comparison(changed(1, high=bound), ax=ax)
    points, (_, reach) = _points(ax), ax.get_xlim()
    assert reach == pytest.approx(1.1 * 3.65)
    assert points["interval", 1] == pytest.approx([2.75, reach])
    assert points["open", 1] == pytest.approx([0.98 * reach])
    assert points["different", 1] == pytest.approx([3.65])
    assert is_drawn(ax)


def test_an_interval_that_is_open_on_both_sides_is_drawn(ax):
    """From one edge to the other."""
    charts.run_comparison(changed(1, low=-math.inf, high=math.inf), ax=ax)
    assert sum(line.get_gid() == "open" for line in ax.lines) == 2
    assert is_drawn(ax)
