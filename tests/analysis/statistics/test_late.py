"""A drift that began late: found where it is certain, large and new, and nowhere else."""

import numpy as np
import pytest
from dayseries import POINTS, START, STEP, day, noise

from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.statistics.late import late_drift

CELL = np.arange(POINTS)


def hockey(by, since):
    """Give a line that begins at a share of the day, over noise of 2 around 100."""
    return 100 + 2 * noise(1) + by * np.clip((CELL / POINTS - since) / (1 - since), 0, 1)


@pytest.mark.parametrize(("since", "by", "at"), [(0.5, 500, 76), (0.75, 400, 110)])
def test_a_leak_that_starts_late_is_found(since, by, at):
    """Half way, or in the last quarter: which one line over the day takes for noise."""
    series = day(hockey(by, since))
    found = late_drift(series, margin=64)
    assert drift(series, margin=64).state == "inconclusive"
    assert found is not None
    assert found.at >= START + STEP * (at - 6)
    assert found.change > 0.7 * by
    assert found.interval[0] <= found.change <= found.interval[1]
    assert "to beyond all before" in found.detail


def test_a_fall_is_found_as_a_rise_is():
    """The sign is that of the change."""
    assert late_drift(day(-hockey(500, 0.5)), margin=64).change < -350


def test_what_returns_to_where_it_was_is_none():
    """One cycle of a day at no phase ends beyond all that it was before, and neither does a series that came down."""
    for phase in range(8):
        cycle = 20 * np.sin(2 * np.pi * (CELL / POINTS + phase / 8))
        assert late_drift(day(noise(5) + cycle), margin=2) is None
    assert late_drift(day(noise(5) + 10 * np.abs(CELL / POINTS - 0.5)), margin=1) is None


def test_what_is_within_the_margin_is_none():
    """A rise that does not matter is not looked at."""
    assert late_drift(day(hockey(50, 0.5)), margin=64) is None


@pytest.mark.parametrize("value", [[], [1.0], [None] * 50, [1.0] * 144])
def test_of_nothing_there_is_nothing(value):
    """Too few points, and points that stand still."""
    assert late_drift(day(value), margin=1) is None


def test_floors_that_climb_late_are_found_under_their_teeth():
    """Teeth of 300 hide on the whole what their floors show: a leak of 110 in the last half."""
    minute = np.arange(1440)
    leak = 110 * np.clip(minute / 720 - 1, 0, 1)
    series = day(100 + 10 * (minute % 30) + leak + np.random.default_rng(1).random(1440), step=STEP / 10)
    found = late_drift(series, margin=64, floor=True)
    assert found is not None
    assert found.change == pytest.approx(106, abs=10)
    assert late_drift(series, margin=64) is None


@pytest.mark.slow
def test_quiet_series_raise_no_alarm():
    """Of 60 series that remember themselves and 60 random walks at most three are called a late drift."""
    walks = np.random.default_rng(8).standard_normal((60, POINTS)).cumsum(axis=1)
    assert sum(late_drift(day(noise(seed, phi=0.8)), margin=0.5) is not None for seed in range(60)) <= 1
    assert sum(late_drift(day(walk), margin=0.5) is not None for walk in walks) <= 3
