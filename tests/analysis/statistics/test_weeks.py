"""Changes of level over weeks: found where there is one, and seldom where there is none."""

import numpy as np
import pytest

from soaklib.analysis.statistics.weeks import FEWEST_WEEKS, lasting_changes, level_changes


def _noise(kind, weeks, number):
    generator = np.random.default_rng(number)
    match kind:
        case "normal":
            return generator.normal(size=weeks)
        case "heavy":
            return generator.standard_t(2, size=weeks)
        case "skewed":
            return generator.lognormal(sigma=1.0, size=weeks)
        case "whole":
            return generator.poisson(3, size=weeks).astype(float)
    raise AssertionError(kind)


@pytest.mark.parametrize("weeks", [10, 13, 26, 52])
@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed", "whole"])
def test_weeks_that_do_not_change_are_seldom_said_to(kind, weeks):
    """At a nominal one in a hundred, no more than one in forty of 400 series has a change."""
    alarms = sum(bool(level_changes(_noise(kind, weeks, number))) for number in range(400))
    assert alarms <= 10


def test_a_step_of_three_spreads_is_found_in_its_week():
    """Of half a year with a step of three spreads, nine in ten are found, most of them within a week."""
    found = []
    for number in range(100):
        series = _noise("normal", 26, number)
        series[17:] += 3.0
        found.append([change.place for change in level_changes(series)])
    assert sum(bool(places) for places in found) >= 90
    assert sum(any(abs(place - 17) <= 1 for place in places) for places in found) >= 80


def test_a_year_of_weekly_looks_tells_few_changes_that_are_none():
    """By each look alone one of ten quiet years has a change, by what shows in three weeks in a row one of twenty."""
    years = [_noise("normal", 52, number) for number in range(100, 200)]
    alarms = [
        sum(any(search(year[:weeks]) for weeks in range(FEWEST_WEEKS, 53)) for year in years)
        for search in (level_changes, lasting_changes)
    ]
    assert alarms[0] >= 8
    assert alarms[1] <= 5


def test_a_step_is_told_when_three_looks_in_a_row_show_it():
    """The first look that shows it tells nothing yet, nor the second; the third and every later one do."""
    series = np.concatenate([np.arange(17.0) % 3, 10 + np.arange(9.0) % 3])
    shows = [bool(level_changes(series[:weeks])) for weeks in range(17, 27)]
    told = [[change.place for change in lasting_changes(series[:weeks])] for weeks in range(17, 27)]
    first = shows.index(True)
    assert all(shows[first:])
    assert told == [[]] * (first + 2) + [[17]] * (8 - first)


def test_with_ten_weeks_one_look_is_all_there_is():
    """No look before it could have shown anything."""
    series = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 9.0, 9.1, 9.2, 9.3, 9.4])
    assert [change.place for change in lasting_changes(series)] == [5]


def test_one_wild_week_is_no_change():
    """A single week, however far off, moves no level."""
    series = np.arange(20.0) % 3
    series[11] = 1e6
    assert level_changes(series) == []


def test_two_steps_have_their_own_levels():
    """Between two steps the level is that of the weeks between them."""
    series = np.concatenate([np.tile([1.0, 1.2, 0.9], 5), np.tile([5.0, 5.1, 4.8], 5), np.tile([2.0, 2.1, 1.9], 5)])
    changes = level_changes(series)
    assert [(change.place, change.before, change.after) for change in changes] == [(15, 1.0, 5.0), (30, 5.0, 2.0)]
    assert all(change.p_value <= 0.01 for change in changes)


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0], [4.0] * 30])
def test_too_few_weeks_and_weeks_all_alike_have_no_change(values):
    """Where nothing can be told, nothing is told."""
    assert len(values) < FEWEST_WEEKS or len(set(values)) == 1
    assert level_changes(values) == []
