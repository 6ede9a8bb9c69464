from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from dayseries import POINTS, START, STEP, day, noise, window

from soaklib.analysis.statistics.effect import EFFECTS_SCHEMA, effect, effects
from soaklib.errors import SettingsError

AT = START + STEP * 72


def event(*, during=0.0, after=0.0, until=78, seed=1):
    """A day with an event from cell 72 on."""
    value = noise(seed)
    value[72:until] += during
    value[until:] += after
    return day(value)


def test_a_lasting_shift_is_told_from_a_passing_one():
    """A level that stays is a shift with no recovery; one that comes back is an excursion with a recovery."""
    lasting = effect(event(during=6, after=6), at=AT, until=START + STEP * 78)
    passing = effect(event(during=6), at=AT, until=START + STEP * 78)
    assert lasting.shift == pytest.approx(6, abs=1)
    assert lasting.interval[0] < 6 < lasting.interval[1]
    assert (lasting.shift_p_value, lasting.recovery_s) == (0.001, None)
    assert passing.shift_p_value > 0.05
    assert passing.transient == pytest.approx(6, abs=1)
    assert passing.transient_interval[0] > 0
    assert (passing.transient_p_value, passing.recovery_s) == (0.001, 0)


def test_where_nothing_happened_nothing_is_found():
    """A placebo event has no association, an interval over zero, and says so."""
    found = effect(event(), at=AT)
    assert found.p_value > 0.05
    assert found.interval[0] < 0 < found.interval[1]
    assert found.detail.startswith("No association at the event shown")


def test_an_association_is_worded_as_one():
    """The sentence says association, not effect or cause."""
    assert effect(event(during=8, after=8), at=AT).detail.startswith("Association at the event: shift")


def test_recovery_is_measured_from_the_end():
    """Forty minutes on a high level after the end take forty minutes to come back."""
    value = noise(2) * 0.1
    value[72:82] += 9
    assert effect(day(value), at=AT, until=START + STEP * 78).recovery_s == 4 * 600
    assert effect(day(value), at=AT).recovery_s == 10 * 600


def test_the_peak_is_the_furthest_value():
    """One value of -20 below a level of 5 is the peak, with its sign."""
    value = np.full(POINTS, 5.0)
    value[74] = -15
    value[75] = 20
    assert effect(day(value), at=AT, until=START + STEP * 78).peak == -20


def test_an_event_of_no_length_is_looked_at_while_it_settles():
    """Without an end, the passing change is the mean over the settling time, here three cells of 6, 6 and 0."""
    value = np.zeros(POINTS)
    value[72:74] = 6
    assert effect(day(value), at=AT).transient == pytest.approx(4)


def test_the_p_value_is_the_smaller_one_doubled():
    """Two questions are asked, so the smaller p counts twice."""
    found = effect(event(seed=3), at=AT)
    assert found.p_value == min(1, 2 * min(found.shift_p_value, found.transient_p_value))


def test_a_drift_is_no_shift():
    """On a steep line every time has the same difference, so the event has none of its own."""
    found = effect(day(noise(4) + np.linspace(0, 30, POINTS)), at=AT)
    assert found.p_value > 0.05
    assert abs(found.shift) < 1


def test_other_windows_are_masked():
    """Another intervention is no placebo: masked, it changes nothing; left in, it drowns the event."""
    series = event(during=3, after=3)
    wild = series.with_columns(
        pl.when(pl.int_range(pl.len()).is_between(20, 29)).then(40).otherwise("value").alias("value")
    )
    mask = window(20, 30)
    assert effect(wild, at=AT, mask=mask) == effect(series, at=AT, mask=mask)
    assert effect(wild, at=AT, mask=mask).p_value < 0.05 < effect(wild, at=AT).p_value


def test_several_events_are_judged_as_one():
    """A bump of one spread, lost at one event, is found over twelve; moved to other times, it is not there."""
    cells = range(8, 136, 11)
    value = noise(5)
    for cell in cells:
        value[cell] += 1.5
    at = [START + STEP * cell for cell in cells]
    until = [one + STEP for one in at]
    assert effect(day(value), at=at, until=until).transient_p_value < 0.01
    aside = [one + STEP * 5 for one in at]
    assert effect(day(value), at=aside, until=[one + STEP for one in aside]).transient_p_value > 0.05


def test_the_longest_recovery_of_several_counts():
    """Of two events that took no time and half an hour, half an hour is told."""
    value = noise(6) * 0.1
    value[40] += 9
    value[90:94] += 9
    at = [START + STEP * 40, START + STEP * 90]
    assert effect(day(value), at=at, until=[one + STEP for one in at]).recovery_s == 1800


def test_too_little_left_is_not_judged():
    """With nearly all of the run masked there are no placebos, hence no p-value, but still the difference."""
    mask = pl.concat([window(0, 55), window(100, 144)])
    found = effect(event(during=5, after=5), at=AT, mask=mask)
    assert (found.p_value, found.interval) == (None, None)
    assert found.shift == pytest.approx(5, abs=1.5)
    assert found.detail.startswith("Too little of the run is undisturbed")


def test_a_constant_series_has_no_effect_and_a_step_in_it_has():
    """Without noise the shift is known, not how far it might scatter: no interval, a p-value of 4 placebos."""
    quiet = effect(day([3.0] * POINTS), at=AT)
    assert (quiet.shift, quiet.interval, quiet.transient_interval, quiet.p_value) == (0, None, None, 1)
    step = effect(day([3.0] * 72 + [4.0] * 72), at=AT)
    assert (step.shift, step.interval, step.shift_p_value) == (1, None, 1 / (4 + 1))
    assert "(no interval: most quiet times are alike)" in step.detail


@pytest.mark.parametrize("blips", [(), (20,), (20, 24)])
def test_what_stands_out_of_a_flat_line_is_no_rarer_than_its_quiet_times_are_many(blips):
    """Four quiet stretches that share no point make no p-value below a fifth, one blip among them or none."""
    value = np.zeros(144)
    value[72:] = 0.5
    value[list(blips)] += 1
    found = effect(day(value), at=AT)
    assert (found.shift, found.interval) == (pytest.approx(0.5), None)
    assert found.shift_p_value == pytest.approx(1 / 5)
    assert found.p_value > 0.05


def test_the_window_can_be_chosen():
    """A difference over an hour is that of the six cells before and after settling."""
    value = np.zeros(POINTS)
    value[66:72], value[73:79] = 1, 5
    assert effect(day(value), at=AT, window=timedelta(hours=1)).shift == pytest.approx(4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"at": AT.replace(tzinfo=None)}, "no time zone"),
        ({"at": START - STEP}, "outside the series"),
        ({"at": START + STEP * 200}, "outside the series"),
        ({"at": AT, "until": AT - STEP}, "ends before it starts"),
        ({"at": [AT, AT + STEP], "until": AT}, "one until for each at"),
        ({"at": []}, "at least one at"),
        ({"at": AT, "window": timedelta(0)}, "window"),
        ({"at": AT, "window": timedelta(hours=20)}, "window"),
        ({"at": AT, "resamples": 98}, "resamples"),
    ],
)
def test_impossible_events_are_refused(arguments, sentence):
    """An event that cannot be is refused with what to pass."""
    with pytest.raises(SettingsError, match=sentence):
        effect(event(), **arguments)


def test_many_endpoints_are_corrected_for_their_number():
    """Of four endpoints the shifted one stays significant; each p is corrected by Holm; a short one has none."""
    endpoints = {
        "shifted": event(during=8, after=8),
        "quiet": event(seed=2),
        "short": day(noise(1)[:76]),
        "other": event(seed=4),
    }
    found = effects(endpoints, at=AT)
    assert found.schema == EFFECTS_SCHEMA
    assert found["endpoint"].to_list() == list(endpoints)
    by_name = {row["endpoint"]: row for row in found.to_dicts()}
    assert by_name["shifted"]["p_adjusted"] == pytest.approx(3 * by_name["shifted"]["p_value"])
    assert by_name["shifted"]["p_adjusted"] < 0.05 < by_name["quiet"]["p_adjusted"]
    assert by_name["short"]["p_adjusted"] is None
    assert effects({}, at=AT).schema == EFFECTS_SCHEMA


def test_events_may_come_in_any_order_and_twice():
    """Reversed or repeated events are the same events."""
    value = noise(6) * 0.1
    value[40] += 9
    value[90:94] += 9
    at = [START + STEP * 40, START + STEP * 90]
    until = [one + STEP for one in at]
    told = effect(day(value), at=at, until=until)
    assert effect(day(value), at=at[::-1], until=until[::-1]) == told
    assert effect(day(value), at=[*at, at[0]], until=[*until, until[0]]) == told
    assert effect(day(value), at=pl.Series(at), until=pl.Series(until)) == told


def test_no_room_to_come_back_in_is_not_never():
    """Bumps two cells apart leave no three cells to see the level before in; one bump that stays is not back."""
    value = noise(7) * 0.1
    value[np.arange(20, 120, 3)] += 9
    at = [START + STEP * cell for cell in range(20, 120, 3)]
    crowded = effect(day(value).head(120), at=at, until=[one + STEP for one in at])
    assert crowded.recovery_s is None
    assert crowded.detail.endswith("too little is known before and after to see whether it came back.")
    some = effect(day(value), at=at, until=[one + STEP for one in at])
    assert some.recovery_s == 1800  # the bump before the last one lifts the level before it
    assert some.detail.endswith("back after 1800 s, 33 of 34 events left aside.")
    assert effect(event(during=6, after=6), at=AT).detail.endswith("not back to the level before.")


@pytest.mark.parametrize(
    "at",
    [
        AT.replace(tzinfo=None), [AT.replace(tzinfo=None)], pl.Series([AT.replace(tzinfo=None)]),
        np.array([AT.replace(tzinfo=None)], dtype="datetime64[us]"), np.datetime64(AT.replace(tzinfo=None)),
    ],
)  # fmt: skip
def test_times_without_a_zone_are_refused(at):
    """Whatever they come in, they may mean any hour."""
    with pytest.raises(SettingsError, match=r"^at .*time zone"):
        effect(event(), at=at)


@pytest.mark.parametrize("at", ["2026-01-01T12:00Z", [None], [AT, 3], pl.Series([AT, None])])
def test_what_is_no_time_is_refused(at):
    """Text, nulls and numbers are no times."""
    with pytest.raises(SettingsError, match="pass a datetime in UTC"):
        effect(event(), at=at)


@pytest.mark.parametrize("at", [[], pl.Series([], dtype=pl.Datetime("us", "UTC"))])
def test_no_event_is_refused(at):
    """There is nothing to measure."""
    with pytest.raises(SettingsError, match="at least one at"):
        effect(event(), at=at)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_series_of_nothing_has_no_event_in_it(rows):
    """An empty series and one row hold no time at which something could have happened."""
    with pytest.raises(SettingsError, match="outside the series"):
        effect(event().head(rows), at=AT)


def test_a_series_of_gaps_is_not_judged():
    """Where every value is null, NaN or masked nothing is known, and that is said."""
    found = effect(event().with_columns(value=pl.lit(None, dtype=pl.Float64)), at=AT)
    assert (found.shift, found.interval, found.p_value, found.peak) == (None, None, None, None)
    assert found.detail.startswith("Too little of the run is undisturbed")
