import math

import numpy as np
import pytest

from soaklib.analysis.statistics.blocks import Alikeness
from soaklib.analysis.statistics.intervals import quantile_interval, rate_interval
from soaklib.errors import SettingsError


def test_no_failure_has_the_rule_of_three():
    """With 0 failures in 3000 calls the 95 % bound of the failure rate is about 3 in 3000."""
    found = rate_interval([1000, 1000, 1000], [1000, 1000, 1000])
    assert (found.rate, found.high, found.method) == (1, 1, "one-sided")
    assert 1 - found.low == pytest.approx(3 / 3000, rel=0.01)


def test_a_window_without_a_failure_knows_of_the_bursts_of_others():
    """Trials that are alike elsewhere are here as well: nine thousand that succeeded say what 473 alone would."""
    alike = Alikeness(correlation=0.002, blocks=10_000)
    found, alone = rate_interval(9000, 9000, alike=alike), rate_interval(9000, 9000)
    assert (found.high, found.method, alone.design_effect) == (1, "one-sided", 1)
    assert found.design_effect == pytest.approx(1 + 8999 * 0.002)
    assert 1 - found.low == pytest.approx(1 - 0.05 ** (1 / found.n_effective), rel=1e-3)
    assert found.low < rate_interval(8999, 9000, alike=alike).rate
    failed = rate_interval(0, 9000, alike=alike)
    assert (failed.low, failed.high) == (0, pytest.approx(1 - found.low))


def test_no_success_is_the_mirror_image():
    """All failed is the same bound from below."""
    found = rate_interval([0, 0], [10, 20])
    assert (found.rate, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 30))


def test_two_numbers_are_taken_as_independent_and_say_so():
    """Without windows the interval is Clopper-Pearson's; 9 of 10 by the published table."""
    found = rate_interval(9, 10)
    assert found.method == "independent"
    assert (found.low, found.high) == (pytest.approx(0.5550, abs=1e-4), pytest.approx(0.9975, abs=1e-4))


def test_no_call_has_no_rate():
    """An empty window has no rate and no interval."""
    found = rate_interval([], [])
    assert (found.rate, found.low, found.high, found.n, found.method) == (None, None, None, 0, "none")


def test_bursts_widen_the_interval():
    """The same failures in bursts say less than spread out evenly."""
    burst = np.where(np.arange(1000) % 100 < 5, 0, 10)
    spread = np.where(np.arange(1000) % 2 == 0, 9, 10)
    n = np.full(1000, 10)
    assert burst.sum() == spread.sum()
    wide, narrow = rate_interval(burst, n), rate_interval(spread, n)
    assert wide.method == narrow.method == "blocks"
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert (narrow.design_effect, narrow.n_effective) == (1, 10_000)
    assert wide.n_effective == pytest.approx(10_000 / wide.design_effect)


def test_few_blocks_cost_what_their_own_uncertainty_does():
    """With ten blocks the effective calls shrink by (1.960 / 2.262) squared before Clopper-Pearson is asked."""
    from scipy.stats import beta  # noqa: PLC0415 - an oracle for this test alone

    won = np.array([100] * 9 + [50])
    found = rate_interval(won, np.full(10, 100), blocks=10)
    effective = found.n_effective * (1.959964 / 2.262157) ** 2
    assert found.design_effect == pytest.approx(9 * 5**2 / 47.5 * 10 / 9 + 45**2 / 47.5 * 10 / 9)
    assert found.low == pytest.approx(beta.ppf(0.025, 0.95 * effective, 0.05 * effective + 1), abs=1e-6)
    assert found.high == pytest.approx(beta.ppf(0.975, 0.95 * effective + 1, 0.05 * effective), abs=1e-6)


def test_empty_windows_are_gaps():
    """Windows without calls neither fail nor succeed."""
    rng = np.random.default_rng(0)
    won = rng.binomial(10, 0.9, 100)
    gaps = np.ravel(np.column_stack([won, np.zeros_like(won)]))
    n = np.ravel(np.column_stack([np.full(100, 10), np.zeros(100, int)]))
    assert rate_interval(gaps, n) == rate_interval(won, np.full(100, 10))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([1], [1, 2]), "one of each per window"),
        (([3], [2]), "successes <= n"),
        (([-1], [2]), "successes <= n"),
        (([float("nan")], [2]), "successes <= n"),
        (([1.5], [2]), "no whole number"),
        (([1], [float("inf")]), "no whole number"),
        (([1], [2], 1), "at least 2"),
    ],
)
def test_impossible_counts_are_refused(arguments, sentence):
    """Counts that cannot be are refused with what they should be."""
    with pytest.raises(SettingsError, match=sentence):
        rate_interval(*arguments)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_that_is_no_share_is_refused(confidence):
    """Confidence is a share, not a percentage."""
    with pytest.raises(SettingsError, match="confidence"):
        rate_interval(1, 2, confidence=confidence)


def test_a_quantile_is_an_observation_at_its_rank():
    """Of 1 to 1000 the 99th percentile is 990, between two other observations; a hair of rounding does not move it."""
    assert quantile_interval(np.arange(100, 0, -1), 0.07).value == 7
    found = quantile_interval(np.arange(1000, 0, -1), 0.99)
    assert (found.value, found.state, found.n, found.at_least) == (990, "ok", 1000, False)
    assert found.low < 990 < found.high
    assert {found.low, found.high} <= set(range(1, 1001))


def test_the_order_statistics_are_the_binomial_ones():
    """Counted values are independent: the ranks are those of Clopper-Pearson for 990 of 1000 (by scipy's beta)."""
    from scipy.stats import beta  # noqa: PLC0415 - an oracle for this test alone

    low, high = beta.ppf(0.025, 990, 11), beta.ppf(0.975, 991, 10)
    found = quantile_interval(np.arange(1, 1001), 0.99, counts=np.ones(1000))
    assert (found.low, found.high) == (math.ceil(1000 * low), math.ceil(1000 * high))


def test_counts_stand_for_repeated_values():
    """A value and its count are the value that many times."""
    values, counts = np.array([5.0, 1.0, 3.0]), np.array([100, 700, 200])
    counted = quantile_interval(values, 0.95, counts=counts)
    assert (counted.value, counted.n) == (5, 1000)
    assert quantile_interval(values, 0.69, counts=counts).value == 1
    assert quantile_interval(np.repeat(values, counts), 0.95).value == counted.value


@pytest.mark.parametrize(("n", "state"), [(999, "insufficient"), (1000, "ok")])
def test_below_ten_tail_observations_is_insufficient(n, state):
    """The 99th percentile needs a thousand observations for an interval; its value is told anyway."""
    found = quantile_interval(np.arange(n), 0.99)
    assert found.state == state
    assert found.value == math.ceil(0.99 * n) - 1
    assert (found.low is None) == (state == "insufficient")


def test_no_observation_has_no_quantile():
    """Nothing observed is insufficient, with no value."""
    found = quantile_interval([], 0.5)
    assert (found.value, found.state, found.n) == (None, "insufficient", 0)


def test_a_quantile_among_the_censored_is_a_lower_bound():
    """With one call in twenty given up at 30 s, the 99th percentile is at least 30 s, with no upper bound."""
    value = np.concatenate([np.linspace(1, 20, 950), np.full(50, 30.0)])
    found = quantile_interval(np.random.default_rng(0).permutation(value), 0.99, censored=None)
    assert (found.value, found.at_least) == (30, False)
    order = np.random.default_rng(0).permutation(1000)
    found = quantile_interval(value[order], 0.99, censored=(value == 30)[order])
    assert (found.value, found.at_least, found.high) == (30, True, math.inf)


def test_the_censored_are_not_left_out():
    """Calls given up early count as slower than all others: leaving them out would make the median smaller."""
    value = np.concatenate([np.full(200, 1.0), np.linspace(2, 3, 800)])
    censored = np.concatenate([np.ones(200, bool), np.zeros(800, bool)])
    found = quantile_interval(value, 0.5, censored=censored)
    assert found.value == np.sort(value[200:])[499]
    assert not found.at_least
    assert found.low < found.value < found.high


def test_slow_spells_widen_a_quantile():
    """The same values in one spell say less about the quantile than mixed, by both methods."""
    value = np.concatenate([np.linspace(10, 11, 300), np.linspace(1, 2, 2700)])
    mixed = np.random.default_rng(0).permutation(value)
    for method in ("order", "bootstrap"):
        spell, shuffled = (quantile_interval(one, 0.85, method=method) for one in (value, mixed))
        assert spell.high - spell.low > 3 * (shuffled.high - shuffled.low)
        assert spell.value == shuffled.value


def test_the_bootstraps_upper_bound_takes_the_censored_as_infinite():
    """Half of the slowest tenth is not known to its end: its lower bound is the values', its upper bound has none."""
    value = np.random.default_rng(1).permutation(np.linspace(1, 2, 3000))
    known = quantile_interval(value, 0.95, method="bootstrap")
    found = quantile_interval(value, 0.95, censored=value > 1.95, method="bootstrap")
    assert (found.low, found.high) == (known.low, np.inf)
    assert known.high < 2


def test_bootstrap_and_order_statistics_agree_on_independent_values():
    """On independent values both methods give about the same interval."""
    value = np.random.default_rng(1).lognormal(0, 0.5, 5000)
    order, bootstrap = (quantile_interval(value, 0.95, method=method) for method in ("order", "bootstrap"))
    assert bootstrap.low == pytest.approx(order.low, rel=0.03)
    assert bootstrap.high == pytest.approx(order.high, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"q": 0}, "between 0 and 1"),
        ({"q": 99}, "between 0 and 1"),
        ({"q": 0.5, "counts": [1, 2]}, "pass one each"),
        ({"q": 0.5, "counts": [1, -2, 3]}, "count negative"),
        ({"q": 0.5, "counts": [1, 2, 3], "method": "bootstrap"}, "no order in time"),
        ({"q": 0.5, "censored": [True]}, "pass one each"),
    ],
)
def test_impossible_arguments_are_refused(arguments, sentence):
    """What cannot be is refused with what to pass."""
    with pytest.raises(SettingsError, match=sentence):
        quantile_interval([1.0, 2.0, 3.0], **arguments)


def test_a_missing_observation_is_refused():
    """NaN is neither observed nor censored."""
    with pytest.raises(SettingsError, match="NaN"):
        quantile_interval([1.0, float("nan")], 0.5)
