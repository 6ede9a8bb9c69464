"""The success rate over time."""

import numpy as np
import polars as pl
import pytest

from soaklib import charts
from soaklib.errors import SettingsError

_RATE = pl.DataFrame(
    {
        "soak_s": [0.0, 300.0, 600.0, 900.0],
        "end_s": [300.0, 600.0, 900.0, 1200.0],
        "n": [100, 100, 0, 50],
        "success_rate": [100.0, 90.0, None, 98.0],
        "low": [96.0, 82.0, None, 89.0],
        "high": [100.0, 95.0, None, 99.5],
    }
)


def _line(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_the_line_has_the_rate_of_each_window(ax):
    """The rate holds through its window and breaks where no call counts."""
    charts.success_rate(_RATE, ax=ax)
    line = _line(ax, "success rate")
    np.testing.assert_allclose(line.get_xdata(), np.array([0, 300, 600, 900, 1200]) / 3600)
    np.testing.assert_array_equal(line.get_ydata(), [100.0, 90.0, np.nan, 98.0, 98.0])
    assert line.get_drawstyle() == "steps-post"


def test_the_band_is_the_interval(ax):
    """The band goes from low to high in each window and has a hole where there is a gap."""
    charts.success_rate(_RATE, ax=ax)
    (band,) = ax.collections
    areas = [path.vertices for path in band.get_paths()]
    assert [(area[:, 0].min() * 3600, area[:, 0].max() * 3600) for area in areas] == [
        pytest.approx((0, 600)),
        pytest.approx((900, 1200)),
    ]
    assert (areas[0][:, 1].min(), areas[0][:, 1].max()) == (82.0, 100.0)
    assert (areas[1][:, 1].min(), areas[1][:, 1].max()) == (89.0, 99.5)


def test_a_gap_is_shaded_and_explained(ax):
    """Windows without calls are grey, and the legend says why."""
    charts.success_rate(_RATE, ax=ax)
    gaps = [(patch.get_x() * 3600, patch.get_width() * 3600) for patch in ax.patches if patch.get_gid() == "no calls"]
    assert gaps == [pytest.approx((600, 300))]
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "success rate in 5 min", "95 % interval", "no calls",
    ]  # fmt: skip


def test_without_a_gap_nothing_is_shaded(ax):
    """Where every window has calls, there is no shade and no word of it."""
    charts.success_rate(_RATE.filter(pl.col("soak_s") < 600), ax=ax)
    assert not [patch for patch in ax.patches if patch.get_gid() == "no calls"]
    assert "no calls" not in [text.get_text() for text in ax.get_legend().texts]


def test_the_requirement_is_a_line(ax):
    """The required rate is drawn where it is, inside the axis, and named."""
    charts.success_rate(_RATE, ax=ax, threshold=80.0)
    assert [list(line.get_ydata()) for line in ax.lines if line.get_linestyle() == "--"] == [[80.0, 80.0]]
    assert ax.get_ylim()[0] < 80.0
    assert "required: 80 %" in [text.get_text() for text in ax.get_legend().texts]


def test_the_axis_shows_all_intervals_and_100_percent(ax):
    """The axis goes from under the lowest bound to over 100 %."""
    charts.success_rate(_RATE, ax=ax)
    low, high = ax.get_ylim()
    assert 80.0 < low < 82.0
    assert 100.0 < high < 101.0
    assert ax.get_ylabel() == "success rate (%), axis cut"


def test_a_run_without_calls_is_drawn_as_one_gap(ax):
    """Windows that are all empty give a shaded axis from 0 to 100 % and no warning."""
    empty = _RATE.with_columns(n=0, success_rate=None, low=None, high=None)
    charts.success_rate(empty, ax=ax)
    assert ax.get_ylim()[0] == 0.0
    assert len([patch for patch in ax.patches if patch.get_gid() == "no calls"]) == 4


def test_a_frame_without_intervals_is_refused(ax):
    """A frame that lacks the interval is refused."""
    with pytest.raises(SettingsError, match="no column low, high"):
        charts.success_rate(_RATE.drop("low", "high"), ax=ax)


def test_it_returns_the_axes_it_was_given(ax):
    """The axes comes back, so that calls chain."""
    assert charts.success_rate(_RATE, ax=ax) is ax
