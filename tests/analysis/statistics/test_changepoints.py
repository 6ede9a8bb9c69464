import numpy as np
import pytest
from dayseries import POINTS, START, STEP, day, noise, window

from soaklib.analysis.statistics.changepoints import CHANGE_POINTS_SCHEMA, _widest, change_points
from soaklib.errors import SettingsError


def test_a_step_is_located_with_its_levels():
    """A step of six at cell 90 is found there, from 0 to 6."""
    value = noise(1)
    value[90:] += 6
    found = change_points(day(value))
    assert found["at"].to_list() == [START + STEP * 90]
    np.testing.assert_allclose(found.select("before", "after", "change").row(0), [0, 6, 6], atol=0.5)


def test_noise_behind_a_step_makes_no_bump_of_it():
    """A step whose last hour lies lower is still a step, though a bump would fit it a little better."""
    row = np.array([0.0] * 90 + [4.0] * 48 + [1.5] * 6)
    (stretch,) = _widest(row[None, :], np.ones(POINTS, dtype=bool))
    assert {stretch.start, stretch.end} - {0, POINTS} == {90}


def test_a_bump_has_two_edges():
    """Half an hour of chaos in a quiet day is found as up and down."""
    value = noise(2)
    value[72:75] += 9
    found = change_points(day(value))
    assert found["at"].to_list() == [START + STEP * 72, START + STEP * 75]
    assert found["change"].sign().to_list() == [1, -1]


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.8])
def test_quiet_noise_has_no_change(phi):
    """The memory of noise is not taken for a change of level."""
    found = change_points(day(noise(3, phi=phi)))
    assert found.is_empty()
    assert found.schema == CHANGE_POINTS_SCHEMA


def test_a_masked_window_is_no_change():
    """A known window that is masked gives no edges; left in, it does."""
    value = noise(1)
    value[72:75] += 9
    assert change_points(day(value), mask=window(72, 75)).is_empty()


def test_a_change_behind_a_gap_starts_at_the_first_value():
    """A level that changed within a gap starts where values start again."""
    value = noise(4)
    value[80:] += 6
    found = change_points(day(value), mask=window(76, 84))
    assert found["at"].to_list() == [START + STEP * 84]


def test_a_step_without_noise_is_exact():
    """Two constant levels have one edge between them; one has none."""
    found = change_points(day([1.0] * 100 + [2.0] * 44), warm_up=0)
    assert found.rows() == [(START + STEP * 100, 1.0, 2.0, 1.0)]
    assert change_points(day([1.0] * POINTS)).is_empty()


@pytest.mark.parametrize("value", [[], [1.0], [None] * 50, [1.0] * 10 + [9.0] * 10])
def test_too_short_has_no_change(value):
    """Fewer than 36 points have no change points."""
    assert change_points(day(value), warm_up=0).is_empty()


def test_what_is_no_series_is_refused():
    """The series' own rules hold."""
    with pytest.raises(SettingsError, match="value"):
        change_points(day([1.0, 2.0]).drop("value"))
