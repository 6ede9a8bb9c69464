import numpy as np
import pytest
from dayseries import POINTS, START, STEP, day, noise

from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.statistics.level import level
from soaklib.analysis.statistics.wander import against_a_walk


def stepped(last, size, seed=1):
    """Quiet noise whose level moves for the last cells."""
    return noise(seed) + size * (np.arange(POINTS) >= POINTS - last)


@pytest.mark.parametrize(("last", "size"), [(72, 4), (14, 6), (7, 10), (3, 50)])
def test_a_level_that_moved_is_found_with_its_time_and_size(last, size):
    """Half of a day, its last tenth, its last twentieth, or three points far beyond all others."""
    found = level(day(stepped(last, size)), margin=1)
    assert found.state == "moved"
    assert found.at == START + STEP * (POINTS - last)
    assert found.change == pytest.approx(size, abs=1)
    assert found.interval[0] <= found.change <= found.interval[1]


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_quiet_noise_has_not_moved(phi):
    """The best step of noise is none."""
    assert level(day(noise(3, phi=phi)), margin=0.1).state == "stable"


def test_wild_values_have_not_moved_a_level():
    """Of a Pareto tail of shape one only the order counts."""
    assert level(day(np.random.default_rng(2).pareto(1.0, POINTS)), margin=0.1).state == "stable"


def test_a_step_within_the_margin_is_certain_and_does_not_matter():
    """It is said to have moved for certain, and passes."""
    found = level(day(stepped(72, 4)), margin=10)
    assert (found.state, found.detail.startswith("Moved for certain")) == ("stable", True)


def test_one_cycle_of_a_day_is_neither_a_drift_nor_a_step():
    """At no phase a daily sine is a drift or a step, and where a sieve would call it one the sentence says why not."""
    said = []
    for phase in range(4):
        value = noise(5) + 2 * 2**0.5 * np.sin(2 * np.pi * (np.arange(POINTS) / POINTS + phase / 4))
        drifts, moved = drift(day(value), margin=0.5, resamples=99), level(day(value), margin=0.5)
        assert drifts.state != "drift"
        assert moved.state != "moved"
        said.append("one cycle of a day" in drifts.detail + moved.detail)
    assert any(said)


def test_a_random_walk_is_no_drift():
    """Of 20 walks at most two are a drift; the sieve alone would call a quarter of them one."""
    walks = np.random.default_rng(8).standard_normal((20, POINTS)).cumsum(axis=1)
    assert sum(drift(day(walk), margin=0.5, resamples=99).state == "drift" for walk in walks) <= 2


def test_too_few_points_have_no_step():
    """Fewer than 36 points are not looked at."""
    found = level(day([1.0] * 35), margin=1, warm_up=0)
    assert (found.state, found.p_value, found.n) == ("inconclusive", None, 35)


def test_a_walk_comes_as_far_as_a_walk_and_a_line_farther():
    """The p-value against random walks is even for one of them, and least for a line with little noise."""
    time = np.arange(20.0)
    walks = np.random.default_rng(3).standard_normal((100, 20)).cumsum(axis=1)
    alarms = np.mean([against_a_walk(walk, time).p_value <= 0.05 for walk in walks])
    assert alarms <= 0.11
    line = against_a_walk(3 * time + noise(1)[:20], time)
    assert (line.p_value, line.low > 0) == (0.001, True)
    assert line.low <= 3 <= line.high


SWING = 6 * np.sin(2 * np.pi * np.arange(POINTS) / POINTS)
"""One cycle of a day, whose halves look like two levels."""


def test_a_level_is_looked_for_beyond_a_reference():
    """A step that the cycle of a day hides is found beyond a day that has the cycle too, with its time and size."""
    value, reference = noise(1) + SWING + 8 * (np.arange(POINTS) >= 120), day(noise(2) + SWING)
    assert level(day(value), margin=1).state != "moved"
    moved = level(day(value), margin=1, reference=reference)
    assert (moved.state, moved.at, moved.change) == ("moved", START + STEP * 120, pytest.approx(8, abs=1.5)), moved


@pytest.mark.parametrize("tests", [6, 20])
@pytest.mark.parametrize(("last", "size"), [(72, 4), (14, 60)])
def test_a_level_that_moved_is_found_among_many_series(tests, last, size):
    """However many share the level, what is certain can be told: by ranks, and by a distance."""
    found = level(day(stepped(last, size)), margin=1, tests=tests)
    assert (found.state, found.p_value <= 0.005 / tests) == ("moved", True), found


def test_quiet_noise_has_not_moved_among_many_series():
    """More series to compare with find no step where there is none."""
    assert level(day(noise(3)), margin=0.1, tests=20).state == "stable"


MINUTE = np.arange(1440)


def teeth(minutes, height, floor):
    """Give a sawtooth of a day's minutes over a floor, hardly noisy."""
    climb = height / minutes * (MINUTE % minutes)
    return day(climb + floor + np.random.default_rng(1).random(1440), step=STEP / 10)


@pytest.mark.parametrize(
    ("minutes", "height", "since", "by"),
    [(30, 300, 1368, 500), (30, 100, 1325, 300), (30, 300, 720, 500), (60, 300, 1200, 500)],
    ids=["two floors", "the last twelfth", "half", "few floors"],
)
def test_a_floor_that_moved_under_a_sawtooth_is_found(minutes, height, since, by):
    """What is left after each collection moved: by two floors of 45, by half of them, by four of 22."""
    found = level(teeth(minutes, height, 100 + by * np.heaviside(MINUTE - since, 1)), margin=64, floor=True)
    assert (found.state, "floors)" in found.detail) == ("moved", True), found
    assert found.change == pytest.approx(by, abs=2)
    assert found.p_value <= 0.005


@pytest.mark.parametrize("minutes", [30, 60, 120])
def test_floors_that_stay_have_not_moved(minutes):
    """A sawtooth on a level floor has moved nowhere, nor have floors that are too few to tell."""
    assert level(teeth(minutes, 300, 100), margin=1, floor=True).state != "moved"
    assert level(teeth(120, 300, 100 + 500 * (MINUTE >= 1368)), margin=64, floor=True).interval is None


def test_a_series_without_teeth_is_looked_at_whole():
    """Floors that are none change nothing."""
    series = day(stepped(14, 6))
    assert level(series, margin=1, floor=True) == level(series, margin=1)
