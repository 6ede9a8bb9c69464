import pytest

RESAMPLES = 99

pytestmark = pytest.mark.slow


def test_the_statistics_are_wrong_no_more_often_than_they_say(study):
    """On noise whose truth is known, false alarms, coverage and power keep their limits as far as trials can tell."""
    hits = study.run(study.fast, RESAMPLES)
    broken = {name: hits[name] for name, limit in study.limits.items() if limit.broken(*hits[name], chance=True)}
    assert broken == {}


def test_the_power_told_before_a_run_is_borne_out(agreement):
    """What `power` tells is within ten points of how often simulated runs detect, give or take the trials' scatter."""
    from scipy.stats import binom  # noqa: PLC0415 - a second of each worker that collects it

    told, simulated = agreement.run(agreement.fast, RESAMPLES)
    low, high = (binom.ppf(tail, agreement.fast, told) / agreement.fast for tail in (0.01, 0.99))
    assert low - 0.10 <= simulated <= high + 0.10
