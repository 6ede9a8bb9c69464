from functools import partial

import numpy as np
import pytest
from dayseries import noise

from soaklib.analysis.statistics.sieve import Sieve, fit_sieve, long_run_sd, remove_mean, remove_trend


def fitted(value):
    seen = np.isfinite(value)
    return fit_sieve(value, partial(remove_mean, seen=seen), np.random.default_rng(0))


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_memory_is_found(phi):
    """The sum of the coefficients of a long series is its memory, and its long-run spread follows from it."""
    sieve = fitted(noise(1, phi=phi, points=4000))
    assert sieve.persistence == pytest.approx(phi, abs=0.04)
    assert sieve.long_run_sd == pytest.approx(((1 + phi) / (1 - phi)) ** 0.5, rel=0.1)


def test_memory_is_found_through_gaps():
    """A third of the values missing does not hide the memory."""
    value = noise(2, phi=0.6, points=4000)
    value[np.random.default_rng(3).random(4000) < 0.33] = np.nan
    assert fitted(value).persistence == pytest.approx(0.6, abs=0.03)


def test_short_series_are_not_taken_for_forgetful():
    """Over many short detrended series the mean memory is the true one, which plain Yule-Walker underrates."""
    time = np.arange(72.0)
    seen = np.ones(72, dtype=bool)
    remove = partial(remove_trend, seen=seen, time=time)
    found = []
    for seed in range(60):
        residual = remove(noise(seed, phi=0.6, points=72)[None, :])[0]
        found.append(fit_sieve(residual, remove, np.random.default_rng(0)).persistence)
    assert np.mean(found) == pytest.approx(0.6, abs=0.05)


def test_series_without_memory_are_permutations():
    """Noise without memory is the innovations in another order: nothing is drawn twice."""
    innovations = np.array([-2.0, -1.0, 0.0, 3.0])
    made = Sieve(np.zeros(0), innovations).simulate(50, 4, np.random.default_rng(0))
    assert np.array_equal(np.sort(made, axis=1), np.tile(innovations, (50, 1)))
    assert len(np.unique(made, axis=0)) > 10


def test_a_series_longer_than_its_innovations_has_levels():
    """Where gaps left half as many innovations as times, half a series still differs from the other half."""
    innovations = noise(9, phi=0.0, points=50)
    made = Sieve(np.zeros(0), innovations).simulate(500, 100, np.random.default_rng(0))
    difference = made[:, :50].mean(axis=1) - made[:, 50:].mean(axis=1)
    assert difference.std() == pytest.approx(innovations.std() * (2 / 50) ** 0.5, rel=0.1)


def test_the_covariances_of_gaps_leave_a_spread():
    """Covariances that no series has, as gaps can make them, do not make the spread vanish."""
    steps = np.repeat([0.0, 1.0, 2.0, 2.0], 20)[None, :] - 1.25
    seen = np.random.default_rng(1).random(80) < 0.7
    spread = [long_run_sd(np.where(seen, steps, 0.0), seen, order).item() for order in (0, 1, 2, 3, 4)]
    assert min(spread) > 0.1 * spread[0]


def test_simulated_series_have_the_memory_and_spread_asked_for():
    """Lag-one correlation and spread of simulated series are those of the autoregression."""
    made = Sieve(np.array([0.8]), noise(4, phi=0.0, points=500)).simulate(200, 300, np.random.default_rng(0))
    lag_one = np.mean([np.corrcoef(row[1:], row[:-1])[0, 1] for row in made])
    assert lag_one == pytest.approx(0.8, abs=0.02)
    assert made.std() == pytest.approx(1 / (1 - 0.8**2) ** 0.5, rel=0.06)


def test_a_random_walk_is_kept_stationary():
    """What looks like a random walk is fitted with a memory below 1."""
    walk = np.cumsum(noise(5, phi=0.0, points=200))
    assert 0.8 < fitted(walk - walk.mean()).persistence < 1


def test_a_trend_is_removed_where_it_was_seen():
    """The line over seen times goes, gaps become 0, and a line alone leaves nothing."""
    time = np.arange(5.0)
    seen = np.array([True, True, False, True, True])
    rows = np.stack([3 + 2 * time, time**2])
    rows[:, 2] = 1e9
    removed = remove_trend(rows, seen, time)
    np.testing.assert_allclose(removed[0], 0, atol=1e-12)
    np.testing.assert_allclose(removed[1], [1.5, -1.5, 0, -1.5, 1.5], atol=1e-12)


def test_the_long_run_spread_of_plain_noise_is_its_spread():
    """With order 0 the long-run spread is the standard deviation."""
    rows = noise(6, phi=0.0, points=500)[None, :]
    rows = rows - rows.mean()
    assert long_run_sd(rows, np.ones(500, dtype=bool), 0).item() == pytest.approx(rows.std())
