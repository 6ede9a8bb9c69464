import numpy as np
import polars as pl
import pytest
from dayseries import STEP, day, noise

from soaklib.analysis.statistics.blocks import design_effect
from soaklib.analysis.statistics.power import power
from soaklib.errors import SettingsError


def test_a_change_as_large_as_the_detectable_one_is_detected_as_often_as_wanted():
    """`detectable` and `power` are each other's inverse, for drifts and shifts."""
    for kind in ("drift", "shift"):
        told = power(1.0, hours=24, kind=kind, sd=2.0, phi=0.4, wanted=0.9)
        assert power(told.detectable, hours=24, kind=kind, sd=2.0, phi=0.4).power == pytest.approx(0.9, abs=1e-6)


def test_a_shift_has_the_power_that_simulation_gave_it():
    """72 % of 200 simulated days with a shift of 1.2 spreads were detected (the full tier of the calibration study)."""
    assert power(1.2, hours=24, kind="shift", sd=1.0).power == pytest.approx(0.72, abs=0.03)


def test_no_change_is_detected_as_often_as_the_level():
    """Half of the two-sided 5 %: the side a change of zero is on."""
    assert power(0.0, hours=24, sd=1.0).power == pytest.approx(0.025, abs=0.01)


@pytest.mark.parametrize("worse", [{"phi": 0.6}, {"hours": 12}, {"sd": 2.0}])
def test_what_makes_a_change_harder_to_see_lowers_power(worse):
    """Memory, a shorter run and more noise each lower the power and raise what is detectable."""
    usual = {"hours": 24, "sd": 1.0, "phi": 0.0}
    good, bad = power(1.0, **usual), power(1.0, **(usual | worse))
    assert bad.power < good.power
    assert bad.detectable > good.detectable


def test_a_thousandth_of_success_over_a_day():
    """At ten a second a ten-minute point of a 99.5 % rate has a spread of 0.091 %; a drift of 0.1 % is
    detected in seven days of ten: the check against slow wander costs the rest.
    """
    told = power(0.001, hours=24, rate=0.995, rps=10)
    assert told.sd == pytest.approx((0.995 * 0.005 / 6000) ** 0.5)
    assert told.power == pytest.approx(0.72, abs=0.02)
    assert power(0.001, hours=24, rate=0.995, rps=10, design_effect=9).power < 0.3


def test_five_milliseconds_at_the_99th_percentile():
    """The spread of a window's p99 is that of simulated windows, and 5 ms over the day are detected."""
    rng = np.random.default_rng(1)
    told = power(5.0, hours=24, latencies=rng.lognormal(3, 0.7, 50_000), rps=10)
    windows = np.quantile(rng.lognormal(3, 0.7, (300, 6000)), 0.99, axis=1)
    assert told.sd == pytest.approx(windows.std(), rel=0.15)
    assert told.power > 0.85


def test_a_megabyte_an_hour():
    """Memory that scatters by 10 MB with a memory of 0.8: 24 MB over a day are detected more often than not."""
    assert 0.5 < power(24.0, hours=24, sd=10.0, phi=0.8).power < 0.95


def test_a_pilot_gives_noise_and_memory():
    """From a quiet pilot with a drift of its own the spread and memory of the noise are read, not the drift's."""
    told = power(1.0, hours=24, pilot=day(3 * noise(1, phi=0.6, points=1000) + np.linspace(0, 50, 1000)))
    assert told.sd == pytest.approx(3, rel=0.1)
    assert told.phi == pytest.approx(0.6, abs=0.1)
    assert power(1.0, hours=24, pilot=day(noise(1)), phi=0.0).phi == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "exactly one of"),
        ({"sd": 1.0, "rate": 0.9, "rps": 1}, "exactly one of"),
        ({"rate": 0.9}, "rps"),
        ({"rate": 1.0, "rps": 1}, "rate is 1"),
        ({"sd": 0.0}, "sd is 0"),
        ({"sd": 1.0, "phi": 1.0}, "phi"),
        ({"sd": 1.0, "hours": -1}, "hours above 0"),
        ({"sd": 1.0, "hours": 1}, "every_s"),
        ({"sd": 1.0, "kind": "leak"}, "pass 'drift' or 'shift'"),
        ({"sd": 1.0, "design_effect": 0.5}, "design_effect"),
        ({"sd": 1.0, "wanted": 80}, "wanted"),
        ({"latencies": [1.0] * 100, "rps": 1}, "at least 10 beyond it"),
        ({"pilot": day([1.0] * 10)}, "pilot has 10 points"),
        ({"pilot": day([1.0] * 100)}, "lie on a line and show no noise"),
        ({"pilot": day(np.arange(100) / 3)}, "lie on a line and show no noise"),
        ({"pilot": day(noise(1), step=STEP / 10)}, "60 s apart and those asked about 600 s"),
        ({"pilot": day(noise(1, points=3000))}, "1800 s apart"),
        ({"latencies": [*range(2000), float("nan")], "rps": 1}, "NaN"),
        ({"latencies": [*range(2000), float("inf")], "rps": 1}, "infinite"),
        ({"latencies": [5.0] * 2000, "rps": 1}, "all alike and show no noise"),
        ({"sd": float("nan")}, "sd is nan"),
        ({"rate": float("nan"), "rps": 1}, "rate is nan"),
        ({"rate": 0.9, "rps": float("inf")}, "rps is inf"),
    ],
)
def test_what_cannot_be_computed_is_refused(arguments, sentence):
    """A question without one answer is refused with what to pass."""
    with pytest.raises(SettingsError, match=sentence):
        power(1.0, **({"hours": 24} | arguments))


def test_the_design_effect_comes_from_a_pilot():
    """Bursts of the pilot's minutes make a change of the rate as hard to see as the number that they amount to does."""
    failures = np.zeros(720, dtype=np.int64)
    failures[np.arange(40, 720, 60)] = 30  # a burst an hour
    pilot = pl.DataFrame({"successes": 60 - failures, "n": 60}, schema={"successes": pl.Int64, "n": pl.Int64})
    measured = design_effect(60 - failures, np.full(720, 60)).factor
    assert measured > 10
    found = power(0.01, hours=24, rate=0.99, rps=1, design_effect=pilot)
    assert found.detectable == power(0.01, hours=24, rate=0.99, rps=1, design_effect=measured).detectable
    assert found.detectable > 2 * power(0.01, hours=24, rate=0.99, rps=1).detectable
    assert f"design effect {measured:.3g}" in found.detail


def test_a_pilot_without_failures_measures_no_bursts_and_says_so():
    """Calls are taken as independent then."""
    clean = pl.DataFrame({"successes": [60] * 720, "n": [60] * 720})
    found = power(0.01, hours=24, rate=0.99, rps=1, design_effect=clean)
    assert found.detectable == power(0.01, hours=24, rate=0.99, rps=1).detectable
    assert "too few to measure bursts" in found.detail
