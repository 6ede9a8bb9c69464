"""Bounds that hold at every look at once."""

import numpy as np

from soaklib.analysis.statistics.intervals import rate_interval
from soaklib.analysis.statistics.sequences import share_at_any_time

RUNS, MINUTES, CALLS, SHARE = 200, 240, 20, 0.97


def test_whoever_looks_every_minute_is_misled_in_one_run_of_twenty_at_most():
    """The truth is left out at some look in 5 % of quiet runs at most; intervals for one look do it far oftener."""
    rng = np.random.default_rng(1)
    misled = fixed = 0
    for _ in range(RUNS):
        won, n = rng.binomial(CALLS, SHARE, MINUTES), np.full(MINUTES, CALLS)
        low, high = share_at_any_time(won, n)
        misled += bool((low > SHARE).any() or (high < SHARE).any())
        looks = [rate_interval(int(won[:look].sum()), int(n[:look].sum())) for look in range(10, MINUTES, 10)]
        fixed += any(not one.low <= SHARE <= one.high for one in looks)
    assert misled <= 0.05 * RUNS
    assert fixed > 0.1 * RUNS


def test_the_bounds_close_in_on_the_share():
    """After a day of minutes they are some tenths of a percent apart from it."""
    rng = np.random.default_rng(2)
    low, high = share_at_any_time(rng.binomial(CALLS, SHARE, 1440), np.full(1440, CALLS))
    assert low[-1] < SHARE < high[-1]
    assert high[-1] - low[-1] < 0.01
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()


def test_a_share_that_falls_is_told():
    """From 99 to 50 percent: the sequence for 99 is left within a few minutes' weight."""
    won = np.concatenate([np.full(60, 198), np.full(60, 100)])
    _, high = share_at_any_time(won, np.full(120, 200))
    assert high[-1] < 0.97


def test_windows_without_calls_say_nothing():
    """They repeat the bounds before them; before the first call everything is possible."""
    low, high = share_at_any_time([0, 19, 0, 20], [0, 20, 0, 20])
    assert (low[0], high[0]) == (0, 1)
    assert (low[2], high[2]) == (low[1], high[1])
    assert [bounds[[1, 3]].tolist() for bounds in (low, high)] == [
        bounds.tolist() for bounds in share_at_any_time([19, 20], [20, 20])
    ]
    assert share_at_any_time([], [])[0].size == 0
