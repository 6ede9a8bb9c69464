import pytest

from soaklib.analysis.statistics.strata import bursts, stratified_rate


def test_the_share_is_that_of_all_trials_and_the_interval_that_of_the_strata():
    """A stratum without failures beside one that the plan made fail: narrow, though taken as one it would be wide."""
    quiet, chaos = ([100] * 100, [100] * 100), ([50, 52, 48, 50, 51, 49] * 2, [100] * 12)
    found = stratified_rate([quiet, chaos])
    assert (found.n, found.successes) == (11_200, 10_600)
    assert found.rate == pytest.approx(10_600 / 11_200)
    assert 0.94 < found.low < found.rate < found.high < 0.953


def test_no_trial_has_no_share():
    """Without strata, or trials in them, nothing is told."""
    assert stratified_rate([]).rate is None
    assert stratified_rate([([0], [0])]).rate is None


def test_bursts_are_stretches_of_windows_with_failures():
    """Windows next to each other are one burst."""
    assert [bursts(one) for one in ([], [0, 0], [1, 2, 0, 1], [0, 3, 0, 0, 4, 4])] == [0, 0, 2, 2]
