import numpy as np
import pytest
from dayseries import noise

from soaklib.analysis.statistics.blocks import block_weights, design_effect, stationary_block_length, stationary_indices


def test_blocks_are_longer_where_memory_is():
    """The mean block length grows with the memory of the data."""
    short, long = (stationary_block_length(noise(1, phi=phi, points=1000)) for phi in (0.0, 0.9))
    assert 1 <= short < 4
    assert long > 15


@pytest.mark.parametrize("values", [[], [1.0] * 5, [2.0] * 100])
def test_data_that_say_nothing_of_memory_have_blocks_of_one(values):
    """Too short or constant data are resampled point by point."""
    assert stationary_block_length(np.array(values)) == 1


def test_resamples_run_on_within_blocks():
    """A step within a block is to the next point, around the end; blocks end as often as their mean length says."""
    indices = stationary_indices(50, 10, (400, 200), np.random.default_rng(0))
    assert indices.shape == (400, 200)
    assert (indices.min(), indices.max()) == (0, 49)
    jumps = np.diff(indices, axis=1) % 50 != 1
    assert jumps.mean() == pytest.approx(0.1 * 49 / 50, abs=0.005)


def test_blocks_of_one_are_plain_resampling():
    """With a mean length of one, a point says nothing of the next."""
    indices = stationary_indices(50, 1, (400, 200), np.random.default_rng(0))
    assert (np.diff(indices, axis=1) % 50 == 1).mean() == pytest.approx(1 / 50, abs=0.005)


def test_as_many_blocks_are_drawn_as_there_are():
    """Every resample draws each block as often as chance says, and all of them as often as there are blocks."""
    weights = block_weights(6, 2000, np.random.default_rng(0))
    assert np.all(weights.sum(axis=1) == 6)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_a_burst_has_the_design_effect_of_its_length():
    """One block of ten that fails whole scatters as if its hundred calls were one."""
    won = np.repeat([100.0] * 5 + [0.0] + [100.0] * 4, 1)
    found = design_effect(won, np.full(10, 100.0), blocks=10)
    # By hand: residuals are 10 nine times and -90 once; 9000 * 10 / 9 over 0.09 * 1000.
    assert found.factor == pytest.approx(9000 * 10 / 9 / (0.9 * 0.1 * 1000))
    assert found.blocks == 10


def test_independent_failures_have_little_design_effect():
    """Coin tosses have a design effect near one, whatever the blocks; it is never below."""
    won = np.random.default_rng(1).binomial(100, 0.9, 1000).astype(float)
    assert 1 <= design_effect(won, np.full(1000, 100.0)).factor < 2.5
    assert design_effect(np.full(20, 9.0), np.full(20, 10.0)).factor == 1


def test_blocks_are_chosen_as_long_as_the_bursts():
    """Bursts of eight windows show whole only in blocks, so the chosen effect is larger than single windows'."""
    won = np.where(np.arange(960) % 160 < 8, 0.0, 10.0)
    n = np.full(960, 10.0)
    assert design_effect(won, n).factor > 3 * design_effect(won, n, blocks=960).factor


@pytest.mark.parametrize(
    ("won", "n"), [([1.0] * 9, [2.0] * 9), ([2.0] * 50, [2.0] * 50), ([0.0] * 50, [2.0] * 50), ([0.0] * 50, [0.0] * 50)]
)
def test_what_cannot_be_measured_is_none(won, n):
    """Fewer than ten windows, or trials that are all alike, have no measurable design effect."""
    assert design_effect(np.array(won), np.array(n)) is None


@pytest.mark.parametrize(
    ("phi", "n", "length"),
    [
        (0.0, 40, 1.142019), (0.0, 144, 2.669978), (0.5, 40, 2.322804), (0.5, 144, 4.555747), (0.5, 1000, 11.412104),
        (0.9, 11, 1.0), (0.9, 40, 5.536205), (0.9, 144, 12.316719), (0.9, 1000, 42.20124),
    ],
)  # fmt: skip
def test_the_block_length_is_that_of_politis_and_white(phi, n, length):
    """As another implementation gives it (arch 7.2, bounded below by a point), for first-order noise of any memory."""
    step = np.random.default_rng(n).standard_normal(n)
    value = np.zeros(n)
    for at in range(n):
        value[at] = (phi * value[at - 1] if at else 0) + step[at]
    assert stationary_block_length(value) == pytest.approx(length, abs=1e-5)
