"""Exact quantiles of the packed calls of one cell, held against what a plain count of them gives."""

import math

import numpy as np
import pytest

from soaklib.analysis.measures.ranks import PART_BITS, US_BITS, Keys, Quantile
from soaklib.analysis.statistics.blocks import design_effect
from soaklib.analysis.statistics.intervals import TAIL_OBSERVATIONS, order_shares

LEVELS = (0.01, 0.5, 0.9, 0.99, 0.999)
PARTS = 16


def plainly(us, given_up, part, level):
    """The quantile by its definition: those that were given up behind all others, and a bound where it is one."""
    n, answered = len(us), np.sort(us[~given_up])
    rank = max(math.ceil(round(level * n, 6)), 1)
    at_least = rank > len(answered)
    value = int((np.sort(us) if at_least else answered)[rank - 1])
    if round(n * min(level, 1 - level), 9) < TAIL_OBSERVATIONS:
        return Quantile(level, value / 1000, at_least, n, False)
    faster = us < value if at_least else (us <= value) & ~given_up
    below, every = (np.bincount(part[which], minlength=PARTS).astype(float) for which in (faster, us >= 0))
    low, high = (
        max(math.ceil(round(share * n, 6)), 1) for share in order_shares(level, n, design_effect(below, every))
    )
    high_ms = math.inf if high > len(answered) else answered[high - 1] / 1000
    return Quantile(level, value / 1000, at_least, n, True, np.sort(us)[low - 1] / 1000, high_ms)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.2, 0.6, 1.0], ids=lambda share: f"{share} given up")
@pytest.mark.parametrize("n", [1, 25, 3000])
@pytest.mark.parametrize("piece", [1 << 20, 7], ids=["one piece", "many pieces"])
def test_quantiles_are_those_of_a_plain_count(monkeypatch, share, n, piece):
    """Whatever was given up, and in bursts: values, lower bounds and intervals are exact."""
    monkeypatch.setattr("soaklib.analysis.measures.ranks._PIECE", piece)
    rng = np.random.default_rng(n)
    us = rng.integers(1, 400, n)
    part = np.sort(rng.integers(0, PARTS, n))
    part[-1] = PARTS - 1
    us[part < 3] += 150
    given_up = (rng.random(n) < share) & ((part % 4 == 0) | (share == 1.0))
    keys = (us << US_BITS) + (given_up << PART_BITS) + part
    keys.flags.writeable = False
    assert list(Keys.of(keys).quantiles(LEVELS)) == [plainly(us, given_up, part, level) for level in LEVELS]
