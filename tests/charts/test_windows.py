"""Windows of soak time, and the steps they are drawn as."""

import numpy as np
import polars as pl
import pytest

from soaklib.charts.windows import Grid, grid_of, length_text, need, on_grid, step_area, step_line
from soaklib.errors import SettingsError


def _windows(starts_s, every_s):
    starts = pl.Series(starts_s, dtype=pl.Float64)
    return pl.DataFrame({"soak_s": starts, "end_s": starts + every_s})


def test_grid_spans_the_windows():
    """The grid begins at the first window, ends with the last, and its windows are as long as those of the frame."""
    grid = grid_of(_windows([900.0, 300.0, 300.0, 600.0], 300.0))
    assert grid == Grid(300.0, 300.0, 3)
    assert grid.end_s == 1200.0
    assert grid.edges_h.tolist() == [300 / 3600, 600 / 3600, 900 / 3600, 1200 / 3600]


@pytest.mark.parametrize(("starts", "size", "length"), [([], 0, "one window"), ([120.0], 1, "5 min")])
def test_grid_of_no_window_and_of_one(starts, size, length):
    """One window tells its length; without any the grid is empty."""
    grid = grid_of(_windows(starts, 300.0))
    assert (grid.size, grid.length) == (size, length)


def test_one_window_over_everything_has_no_end():
    """It reaches to the end of the run where that is known, and otherwise its length is not told."""
    frame = pl.DataFrame({"soak_s": [0.0], "end_s": [None]}, schema={"soak_s": pl.Float64(), "end_s": pl.Float64()})
    marks = pl.DataFrame({"start_s": [0.0], "end_s": [1800.0], "kind": ["phase"], "label": ["baseline"]})
    assert (grid_of(frame).length, grid_of(frame, marks).length) == ("one window", "30 min")


def test_rare_windows_keep_their_length():
    """However far apart they are."""
    grid = grid_of(_windows([57_600.0, 58_200.0, 59_100.0], 300.0))
    assert (grid, grid.length) == (Grid(57_600.0, 300.0, 6), "5 min")
    assert grid_of(_windows([0.5, 1.25], 0.25)) == Grid(0.5, 0.25, 4)


def test_the_last_window_ends_with_the_run():
    """A window that reaches past the end of the run is cut off there, and one that begins later is whole."""
    marks = pl.DataFrame({"start_s": [0.0], "end_s": [1800.0], "kind": ["phase"], "label": ["baseline"]})
    whole = grid_of(_windows([0.0], 3600.0), marks)
    assert (whole.end_s, whole.edges_h.tolist(), whole.length) == (1800.0, [0.0, 0.5], "30 min")
    assert whole.middles_h(np.array([0.0])).tolist() == [0.25]
    cut = grid_of(_windows([0.0, 1200.0], 1200.0), marks)
    assert (cut.end_s, cut.length) == (1800.0, "20 min")
    assert grid_of(_windows([0.0, 1800.0], 900.0), marks).end_s == 2700.0


def test_values_fall_into_their_windows():
    """A window without a row gets what absence means, and a null is a gap."""
    frame = pl.DataFrame({"soak_s": [120.0, 0.0, 180.0], "n": [7, 5, None]})
    values = on_grid(frame, "n", Grid(0.0, 60.0, 4), absent=0.0)
    np.testing.assert_array_equal(values, [5.0, 0.0, 7.0, np.nan])


def test_step_line_reaches_the_end_of_the_last_window():
    """A line has one vertex more than there are windows, so that the last is drawn in full."""
    x, y = step_line(np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0]))
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0, 2.0], [5.0, 6.0, 6.0])


def test_step_area_has_both_corners_of_each_window():
    """An area has a window's two upper corners, so that one alone between gaps has a width."""
    x, y = step_area(np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0]))
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0, 1.0, 2.0], [5.0, 5.0, 6.0, 6.0])


@pytest.mark.parametrize(
    ("every_s", "text"), [(300.0, "5 min"), (3600.0, "1 h"), (7200.0, "2 h"), (90.0, "90 s"), (0.5, "0.5 s")]
)
def test_length_in_words(every_s, text):
    """A length is told in the largest unit that it is a whole number of."""
    assert length_text(every_s) == text


def test_a_missing_column_is_named():
    """A frame that lacks a column is refused with the column and the function that gives such a frame."""
    need(pl.DataFrame({"a": [1]}), ("a",), "soaklib.success_rate(run)")
    with pytest.raises(SettingsError, match=r"no column b; pass what soaklib\.success_rate\(run\) gives"):
        need(pl.DataFrame({"a": [1]}), ("a", "b"), "soaklib.success_rate(run)")
