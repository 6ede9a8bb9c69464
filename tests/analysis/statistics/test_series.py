from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from dayseries import START, STEP, day, window

from soaklib.analysis.statistics.series import epoch_us, gridded, ranks
from soaklib.errors import SettingsError


def test_a_regular_series_is_its_own_grid():
    """Ten-minute rows become ten-minute cells with the same values, nulls as NaN."""
    grid = gridded(day([1, None, 3]))
    np.testing.assert_allclose(grid.time_h, [0, 1 / 6, 1 / 3])
    np.testing.assert_array_equal(grid.value, [1, np.nan, 3])
    assert (grid.rows, grid.span_h, grid.cell_h) == (2, pytest.approx(1 / 3), pytest.approx(1 / 6))


def test_a_missing_row_leaves_a_hole():
    """A time that is not there is an empty cell, not a shorter grid."""
    grid = gridded(day([1, 2, 3, 4, 5]).filter(pl.col("value") != 3))
    np.testing.assert_array_equal(grid.value, [1, 2, np.nan, 4, 5])


def test_order_does_not_matter():
    """Rows in any order give the grid of the sorted rows."""
    np.testing.assert_array_equal(gridded(day([1, 2, 3, 4]).reverse()).value, [1, 2, 3, 4])


def test_rows_of_one_time_are_averaged():
    """Several values at one time count as their mean."""
    series = pl.concat([day([1, 2, 3]), day([3])])
    np.testing.assert_array_equal(gridded(series).value, [2, 2, 3])


def test_too_many_cells_are_merged():
    """Cells grow in whole steps until the wanted number holds them, and take the mean of their rows."""
    grid = gridded(day([1, 3, 5, 7, 9]), max_cells=3)
    np.testing.assert_array_equal(grid.value, [2, 6, 9])
    np.testing.assert_allclose(grid.time_h, [1 / 12, 5 / 12, 4 / 6])


def test_equal_values_have_equal_means():
    """The mean of many equal values is that value to the last digit, whatever their number."""
    values = [0.1] * 1001
    values[7] = None
    assert set(gridded(day(values), max_cells=10).value) == {0.1}


def test_a_row_that_reaches_into_a_window_is_masked():
    """A ten-minute row before the window's start reaches into it; the one that starts at its end does not."""
    mask = pl.DataFrame({"start": [START + STEP * 2.5], "end": [START + STEP * 4]})
    np.testing.assert_array_equal(gridded(day([0, 1, 2, 3, 4, 5]), mask=mask).value, [0, 1, np.nan, np.nan, 4, 5])


def test_a_window_of_no_length_takes_the_row_it_falls_into():
    """An event of no length masks one row, also when it falls on a row's start."""
    for moment in (2, 2.5):
        np.testing.assert_array_equal(gridded(day([0, 1, 2, 3]), mask=window(moment, moment)).value, [0, 1, np.nan, 3])


def test_the_warm_up_is_a_share_of_the_span():
    """A quarter of forty minutes leaves out the first row, and only it."""
    np.testing.assert_array_equal(gridded(day([0, 1, 2, 3, 4]), warm_up=0.25).value, [np.nan, 1, 2, 3, 4])


def test_what_is_not_finite_is_a_gap():
    """NaN and infinities say that there is no number: each leaves its cell empty and the others alone."""
    grid = gridded(day([1, float("inf"), 3, float("nan"), float("-inf"), 6]))
    np.testing.assert_array_equal(grid.value, [1, np.nan, 3, np.nan, np.nan, 6])
    assert grid.rows == 3


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows_are_a_grid_too(rows):
    """No row and one row are grids of no width."""
    grid = gridded(day([7.0] * rows))
    assert (len(grid.value), grid.rows, grid.cell_h) == (rows, rows, 0)


def test_another_time_zone_is_the_same_moment():
    """Times in another zone are the same moments, not other ones."""
    series = day([1, 2, 3])
    moved = series.with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo"))
    assert gridded(moved).origin_us == gridded(series).origin_us == epoch_us(START, "at")


@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        (day([1]).rename({"value": "v"}), "no column 'value'"),
        (day([1]).with_columns(pl.col("at").dt.replace_time_zone(None)), "no time zone"),
        (day([1]).with_columns(pl.lit("x").alias("value")), "pass numbers"),
        (day([1]).with_columns(pl.lit(1).alias("at")), "pass Datetime in UTC"),
        (day([1]).with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("at")), "holds nulls"),
    ],
)
def test_what_is_no_series_is_refused(series, sentence):
    """A frame that is no series is refused with a sentence that says what to pass."""
    with pytest.raises(SettingsError, match=sentence):
        gridded(series)


def test_a_window_that_ends_before_it_starts_is_refused():
    """A mask with start and end swapped is refused."""
    with pytest.raises(SettingsError, match="ends before it starts"):
        gridded(day([1, 2]), mask=window(3, 1))


@pytest.mark.parametrize("warm_up", [-0.1, 1.0, float("nan")])
def test_an_impossible_warm_up_is_refused(warm_up):
    """The warm-up is a share of the span, at least 0 and below 1."""
    with pytest.raises(SettingsError, match="warm_up"):
        gridded(day([1, 2]), warm_up=warm_up)


def test_a_naive_moment_is_refused():
    """A moment without time zone is refused; one with is microseconds since 1970."""
    with pytest.raises(SettingsError, match="no time zone"):
        epoch_us(datetime(2026, 1, 1), "at")  # noqa: DTZ001 - the point
    assert epoch_us(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1.5), "at") == 1_500_000


def test_equal_values_share_the_mean_of_their_ranks():
    """Ranks are those of scipy.stats.rankdata, ties and infinite values among them."""
    from scipy.stats import rankdata  # noqa: PLC0415 - a second of each worker that collects it

    value = np.array([3.0, 1.0, 3.0, -np.inf, 2.0, 3.0, np.inf, 1.0])
    np.testing.assert_array_equal(ranks(value), rankdata(value))
