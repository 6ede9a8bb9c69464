"""Two runs held against each other."""

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
