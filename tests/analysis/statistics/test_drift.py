import numpy as np
import polars as pl
import pytest
from dayseries import POINTS, START, STEP, day, noise, window

from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.statistics.floors import floors
from soaklib.analysis.statistics.series import gridded
from soaklib.analysis.statistics.slopes import theil_sen
from soaklib.errors import SettingsError

LINE = np.linspace(0, 10, POINTS)
SPAN_H = (POINTS - 1) / 6


def test_a_drift_is_found_and_measured():
    """Ten over the day in noise of one is a drift of about ten over the day."""
    found = drift(day(noise(1) + LINE))
    low, high = found.interval
    assert found.state == "drift"
    assert found.slope_per_hour * SPAN_H == pytest.approx(10, abs=1)
    assert low < 10 / SPAN_H < high
    assert found.p_value == 0.001


def test_quiet_noise_without_a_margin_is_inconclusive():
    """No evidence of drift is not evidence of none."""
    found = drift(day(noise(1)))
    assert (found.state, found.power_at_margin) == ("inconclusive", None)
    assert found.p_value > 0.05


def test_quiet_noise_within_a_wide_margin_is_stable():
    """The 90 % interval of the change lies within the margin."""
    found = drift(day(noise(1)), margin=3)
    low, high = found.interval
    assert found.state == "stable"
    assert max(abs(low), abs(high)) * SPAN_H < 3
    assert found.power_at_margin > 0.95


def test_quiet_noise_is_not_stable_within_a_narrow_margin():
    """Too noisy for the margin is inconclusive, never stable, and the power says so."""
    found = drift(day(noise(1)), margin=0.2)
    assert found.state == "inconclusive"
    assert found.power_at_margin < 0.2


def test_a_small_but_certain_drift_within_the_margin_is_stable():
    """A drift that matters to nobody is stable, however certain it is."""
    found = drift(day(noise(1) + LINE), margin=20)
    assert (found.state, found.p_value) == ("stable", 0.001)


def test_a_drift_beyond_the_margin_is_a_drift():
    """Rejected and not within the margin is a drift, with the margin in the sentence."""
    found = drift(day(noise(1) + LINE), margin=5)
    assert found.state == "drift"
    assert "not within the margin 5" in found.detail


def test_the_same_series_has_the_same_answer():
    """The simulation is seeded: an answer is a function of the series."""
    assert drift(day(noise(2)), margin=1) == drift(day(noise(2)), margin=1)


def test_memory_costs_effective_points():
    """Of 136 points with a lag-one correlation of 0.8 few are independent; without memory all are."""
    assert 5 < drift(day(noise(3, phi=0.8))).n_effective < 40
    assert drift(day(noise(3, phi=0.0))).n_effective > 100


def test_a_falling_series_drifts_downwards():
    """The sign of the slope is that of the change."""
    found = drift(day(noise(1) - LINE))
    assert found.state == "drift"
    assert found.interval[1] < 0


def test_the_warm_up_is_left_out():
    """A start-up transient in the first 5 % is no drift; judged with it, the answer is another."""
    value = noise(4)
    value[:7] -= 50
    assert drift(day(value)).slope_per_hour == drift(day(np.r_[[None] * 7, value[7:]])).slope_per_hour
    assert drift(day(value), warm_up=0).slope_per_hour != drift(day(value)).slope_per_hour


def test_interventions_are_left_out():
    """A masked window of wild values changes nothing, exactly."""
    value = noise(5)
    wild = value.copy()
    wild[60:80] += 500
    mask = window(60, 80)
    assert drift(day(wild), mask=mask) == drift(day(value), mask=mask)
    assert drift(day(wild), mask=mask).n == 136 - 20


def test_a_tenth_of_wild_values_does_not_move_the_slope():
    """Spikes of fifty spreads late in the run do not make a drift."""
    value = noise(6)
    value[[100, 110, 120, 130, 140]] += 50
    assert drift(day(value)).p_value > 0.05


@pytest.mark.parametrize("value", [[], [1.0], [1.0, 2.0], [None] * 100, list(range(7))])
def test_too_short_is_inconclusive(value):
    """Fewer than 8 points with a value are never judged, margin or not."""
    found = drift(day(value), margin=1e9, warm_up=0)
    assert (found.state, found.interval, found.p_value) == ("inconclusive", None, None)
    assert found.n == sum(one is not None for one in value)


def test_two_points_have_a_slope_and_one_has_none():
    """The slope is told as soon as there is one."""
    assert drift(day([1.0, 2.0]), warm_up=0).slope_per_hour == pytest.approx(6)
    assert drift(day([1.0]), warm_up=0).slope_per_hour is None


def errors(late):
    """An error ratio of two-minute windows: 0 but for one in fifty, and in the second half for that share."""
    share = np.where(np.arange(720) < 360, 0.02, late)
    return day(0.02 * (np.random.default_rng(12).random(720) < share), step=STEP / 5)


def test_a_rare_error_that_becomes_less_rare_is_a_drift():
    """A ratio that is mostly 0 drifts though the median of its slopes is 0, which least squares sees."""
    found = drift(errors(late=0.3), margin=0.001)
    assert found.state == "drift"
    assert found.interval[0] > 0
    assert "least squares" in found.detail


def test_a_rare_error_that_stays_rare_is_stable_but_not_certain():
    """The interval of a ratio that is mostly 0 has a width, and lies within a margin that is wide enough only."""
    low, high = drift(errors(late=0.02), margin=0.001).interval
    assert low < 0 < high
    assert drift(errors(late=0.02), margin=0.001).state == "stable"
    assert drift(errors(late=0.02), margin=1e-5).state == "inconclusive"


def test_one_spike_is_no_certainty():
    """A series that is 0 but for one value has an interval with a width."""
    low, high = drift(day([0.0] * 143 + [1.0])).interval
    assert low < high


@pytest.mark.parametrize("seed", range(6))
def test_steps_with_gaps_have_an_interval_of_their_own_size(seed):
    """A number of files that climbs in steps, of which a fifth is not known: noisy, and within reason."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.integers(1, 4, POINTS) * (rng.random(POINTS) < 0.05)).astype(float)
    low, high = drift(day(np.where(rng.random(POINTS) < 0.8, steps, np.nan)), resamples=99).interval
    assert 0 < (high - low) * SPAN_H < 40 * np.ptp(steps)


def test_a_constant_series_is_stable():
    """Nothing moves: slope 0, no scatter, stable within any margin, inconclusive without."""
    found = drift(day([0.1] * POINTS), margin=1e-6)
    assert (found.state, found.slope_per_hour, found.interval, found.p_value) == ("stable", 0, (0, 0), 1)
    assert drift(day([0.1] * POINTS)).state == "inconclusive"


def test_a_line_without_noise_is_a_drift():
    """A perfect line has its slope for an interval and the smallest p there is."""
    found = drift(day(LINE), margin=5)
    assert (found.state, found.p_value) == ("drift", 0.001)
    np.testing.assert_allclose(found.interval, 10 / SPAN_H)


def test_many_points_are_averaged_to_144():
    """Minutes are judged as 144 cells and give the slope that they have."""
    value = noise(7, points=1440) + np.linspace(0, 5, 1440)
    found = drift(day(value, step=STEP / 10))
    assert found.n <= 144
    assert found.slope_per_hour == pytest.approx(5 / 24, rel=0.15)


def test_unsorted_rows_and_shared_times_are_one_series():
    """The order of rows does not matter, nor does a row that is there twice."""
    series = day(noise(8) + LINE)
    assert drift(series.sample(fraction=1, shuffle=True, seed=1)) == drift(series)
    assert drift(pl.concat([series, series])).slope_per_hour == pytest.approx(drift(series).slope_per_hour)


def test_naive_times_are_refused():
    """Times without a zone are refused with the expression that gives them one."""
    with pytest.raises(SettingsError, match=r"replace_time_zone\('UTC'\)"):
        drift(day(noise(1)).with_columns(pl.col("at").dt.replace_time_zone(None)))


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(margin):
    """The margin is a change above 0."""
    with pytest.raises(SettingsError, match="margin"):
        drift(day(noise(1)), margin=margin)


def test_too_few_resamples_are_refused():
    """A p-value of 5 % needs a hundred series."""
    with pytest.raises(SettingsError, match="resamples"):
        drift(day(noise(1)), resamples=98)


def sawtooth(leak):
    """Teeth of a quarter of an hour to fifty minutes on one-minute points over a day, over a floor that rises."""
    lengths = np.random.default_rng(1).integers(15, 50, 60)
    climb = np.concatenate([np.arange(length) * 2.0 for length in lengths])[:1440]
    return climb + leak * np.arange(1440) / 1440 + 0.5 * noise(9, points=1440)


def test_a_leak_under_a_sawtooth_shows_in_its_floors():
    """A floor that rises by three under teeth thirty times as high is found on the floors, not on the whole."""
    series = day(sawtooth(3), step=STEP / 10)
    assert drift(series, floor=True, margin=1.5).state == "drift"
    assert drift(series, margin=1.5).state == "inconclusive"


def test_a_sawtooth_without_a_leak_is_stable_on_its_floors():
    """The same teeth on a level floor are stable within the same margin."""
    found = drift(day(sawtooth(0), step=STEP / 10), floor=True, margin=1.5)
    assert found.state == "stable"
    assert "floors of a sawtooth" in found.detail


def test_floors_are_the_values_after_each_fall():
    """Each whole tooth gives its lowest value; what came before the first fall gives none."""
    found = floors(gridded(day([5, 9, 1, 5, 9, 2, 6, 10, 3, 7, 1, 5])))
    np.testing.assert_array_equal(found.value[found.seen], [1, 2, 3, 1])


def test_a_series_without_teeth_is_judged_whole():
    """A line falls nowhere, so all its points count, and the sentence says so."""
    found = drift(day(LINE), floor=True)
    assert found.n == 136
    assert "no sawtooth seen" in found.detail


def test_one_infinite_reading_is_no_reading():
    """A metric that is +Inf once is judged on its other readings, exactly."""
    value = noise(5)
    wild = value.copy()
    wild[70] = np.inf
    value[70] = np.nan
    assert drift(day(wild), margin=3) == drift(day(value), margin=3)


@pytest.mark.parametrize("phi", [0.5, 0.95])
def test_noise_that_wanders_has_no_teeth(phi):
    """Minutes that wander, slowly or fast, are judged whole, and a leak in them is found."""
    leaking = day(10 * noise(3, phi=phi, points=1440) + np.linspace(0, 120, 1440), step=STEP / 10)
    found = drift(leaking, floor=True, margin=64)
    assert (found.state, "no sawtooth seen" in found.detail) == ("drift", True)


def test_no_short_noise_of_sixty_has_teeth():
    """An hour of minutes may fall three times by chance, but not by six times what it steps by else."""
    assert [seed for seed in range(60) if floors(gridded(day(noise(seed, phi=0.9, points=60)))) is not None] == []


def test_spikes_are_no_teeth():
    """What falls at once after it rose at once is a spike, however many there are."""
    spikes = 40.0 * (np.random.default_rng(3).random(1440) < 0.03)
    assert floors(gridded(day(noise(3, points=1440) + spikes, step=STEP / 10))) is None


def test_steps_down_are_no_teeth():
    """What falls and does not climb again is a level that went down."""
    stairs = np.repeat(np.arange(10, 0, -1) * 50.0, 144)
    assert floors(gridded(day(noise(3, points=1440) + stairs, step=STEP / 10))) is None


def test_a_sawtooth_of_few_teeth_is_judged_whole():
    """Seven floors are too few to judge by; the whole shows a leak as high as two teeth, and no other."""
    teeth = np.tile(np.linspace(0, 40, 180), 8) + noise(4, points=1440)
    quiet = drift(day(teeth, step=STEP / 10), floor=True, margin=60)
    leaking = drift(day(teeth + np.linspace(0, 80, 1440), step=STEP / 10), floor=True, margin=60)
    assert (quiet.state, leaking.state) == ("stable", "drift")
    assert "whole since 7 teeth have too few floors" in quiet.detail


def test_theil_sen_is_the_median_of_all_slopes():
    """By hand: of 0, 1, 5 at times 0, 1, 2 the slopes are 1, 2.5, 4; of an even number the middle two are averaged."""
    assert theil_sen(np.array([[0.0, 1, 5]]), np.array([0.0, 1, 2])).item() == 2.5
    rng = np.random.default_rng(1)
    for points in range(2, 10):
        rows, time = rng.integers(0, 20, (3, points)) / 4, np.cumsum(rng.uniform(0.5, 2, points))
        first, last = np.triu_indices(points, 1)
        slopes = (rows[:, last] - rows[:, first]) / (time[last] - time[first])
        assert theil_sen(rows, time).tolist() == np.median(slopes, axis=1).tolist()


def test_start_is_the_day():
    """The slope is an hour's of `at`: the same values at half the distance rise twice as fast."""
    slow, fast = drift(day(noise(1) + LINE)), drift(day(noise(1) + LINE, step=STEP / 2))
    assert fast.slope_per_hour == pytest.approx(2 * slow.slope_per_hour)
    assert day([1.0])["at"][0] == START


SWING = 4 * np.sin(2 * np.pi * (np.arange(POINTS) / POINTS))
"""One cycle of a day, which over 24 hours from its zero on looks like a fall."""


def test_a_daily_pattern_is_no_drift_beyond_a_reference_that_has_it_too():
    """By itself one cycle is inconclusive and said to be one; beyond another day like it the series is stable."""
    alone = drift(day(noise(1) + SWING), margin=3)
    assert (alone.state, "a reference run, can tell" in alone.detail) == ("inconclusive", True)
    beyond = drift(day(noise(1) + SWING), margin=3, reference=day(noise(2) + SWING))
    assert (beyond.state, "beyond what the reference does at the same time of day" in beyond.detail) == ("stable", True)
    assert beyond.level == pytest.approx(0, abs=0.5)


def test_a_drift_beyond_a_reference_is_one():
    """A rise of 8 under the cycle is found, with its size; that of a reference of another date as well."""
    value = noise(1) + SWING + 8 * np.arange(POINTS) / POINTS
    before = day(noise(2) + SWING).with_columns(pl.col("at").dt.offset_by("-7d"))
    found = drift(day(value), margin=3, reference=before)
    assert found.state == "drift"
    assert found.slope_per_hour * 24 == pytest.approx(8, abs=1.5)


@pytest.mark.slow
def test_a_reference_raises_no_false_alarms():
    """Two quiet days with one pattern: the scatter of both is in what is judged, and at most one in ten is a drift."""
    alarms = [
        drift(day(noise(seed) + SWING), reference=day(noise(seed + 500) + SWING), resamples=199).state == "drift"
        for seed in range(40)
    ]
    assert sum(alarms) <= 4


def test_a_reference_of_other_hours_is_refused():
    """What it does not cover cannot be taken out."""
    morning = day(noise(2)).head(36)
    with pytest.raises(SettingsError, match="pass a run that covers the same hours of the day"):
        drift(day(noise(1)), reference=morning)


def test_a_change_that_is_allowed_is_no_drift_however_certain():
    """True changes of 3 beyond a margin of 5 in none but their interval: moved for certain, and not told."""
    found = [drift(day(2.2 * noise(seed) + 0.3 * LINE), margin=5, resamples=199) for seed in range(12)]
    assert all(abs(one.slope_per_hour) * SPAN_H > 5 for one in found if one.state == "drift")
    untold = [one for one in found if "whether beyond the margin is not told" in one.detail]
    assert untold
    assert all((one.state, one.p_value <= 0.05) == ("inconclusive", True) for one in untold)
