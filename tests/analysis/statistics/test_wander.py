"""Noise that wanders for long is taken for what it is."""

import numpy as np

from soaklib.analysis.statistics.wander import doubt, step_doubt

POINTS = 140
HOURS = np.arange(POINTS) / 6
LAG = np.arange(1, 1500)
LONG = np.concatenate([[1.0], np.cumprod((LAG - 0.6) / LAG)])
"""Weights of fractionally integrated noise with a memory of 0.4."""


def remembering(seed):
    """Noise whose memory is long."""
    return np.convolve(np.random.default_rng(seed).standard_normal(POINTS + 1500), LONG)[1500 : 1500 + POINTS]


def test_a_long_memory_is_no_line():
    """Of 400 quiet series fewer than 9 % are let through, where 12 % would be without a look at their memory."""
    assert np.mean([doubt(remembering(seed), HOURS) is None for seed in range(400)]) <= 0.09


def test_a_long_memory_is_no_step():
    """Neither is it one in the middle: fewer than 2 %, where 3 % would be."""
    assert np.mean([step_doubt(remembering(seed), HOURS, POINTS // 2) is None for seed in range(400)]) <= 0.02


def test_a_line_in_noise_without_memory_is_let_through():
    """Three spreads over the day, in 97 of a hundred series."""
    quiet = (np.random.default_rng(seed).standard_normal(POINTS) for seed in range(100))
    assert np.mean([doubt(noise + HOURS / 8, HOURS) is None for noise in quiet]) >= 0.97


def test_what_has_no_noise_has_no_memory():
    """A line without any is let through."""
    assert doubt(HOURS, HOURS) is None
