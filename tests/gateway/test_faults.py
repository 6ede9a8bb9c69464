import dataclasses

import pytest

from soaklib.gateway.faults import (
    FAULTS,
    Budget,
    FaultError,
    FaultPlan,
    Faults,
    Level,
    Occasions,
    fault_table,
    parse_faults,
)
from soaklib.gateway.growth import Growth


def test_the_table_and_the_plan_agree():
    """Every row of the table is a field of the plan and the other way round; the help shows each."""
    names = [fault.name for fault in FAULTS]
    assert names == [field.name for field in dataclasses.fields(FaultPlan)]
    assert all(name in fault_table() for name in names)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("drop_increments=3", "drop_increments", Budget(3)),
        ("duplicate_increments=3@600", "duplicate_increments", Budget(3, 600.0)),
        ("lose_log_rows=all", "lose_log_rows", Budget(None)),
        ("accept_expired=all@7.5", "accept_expired", Budget(None, 7.5)),
        ("allow_forbidden=0", "allow_forbidden", Budget(0)),
        ("leak_mb_per_hour=12.5", "leak_mb_per_hour", 12.5),
        ("late_ms=30", "late_ms", Level(30.0)),
        ("late_ms=2.5@3600", "late_ms", Level(2.5, 3600.0)),
        ("fail_attempts=60@1200", "fail_attempts", Budget(60, 1200.0)),
        ("fail_pct=100", "fail_pct", 100.0),
        ("chaos_without_effect=on", "chaos_without_effect", True),
        ("restart_at=3600", "restart_at", 3_600.0),
    ],
)
def test_each_form_of_a_value(text, field, value):
    """A value becomes the type of its field and leaves the others at their defaults."""
    assert parse_faults([text]) == dataclasses.replace(FaultPlan(), **{field: value})


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["no_such=1"], "There is no fault 'no_such'. The faults are: drop_increments, duplicate_increments"),
        (["drop_increments"], "The fault drop_increments needs a value: drop_increments=3@600."),
        (["drop_increments=" + 5000 * "9"], "takes N, N@SECONDS, all or all@SECONDS, such as drop_increments=3@600"),
        (["drop_increments=-1"], "takes N, N@SECONDS, all or all@SECONDS, such as drop_increments=3@600, not '-1'"),
        (["drop_increments=1@soon"], "takes a number of at least 0, such as 3@600, not 'soon'"),
        (["leak_mb_per_hour=much"], "takes a number of at least 0, such as 12.5, not 'much'"),
        (["leak_mb_per_hour=inf"], "takes a number of at least 0"),
        (["restart_at=-5"], "takes a number of at least 0, such as 3600"),
        (["late_ms=3@soon"], "takes a number of at least 0, such as 30@3600, not 'soon'"),
        (["fail_pct=101"], "takes a percentage from 0 to 100, not '101'"),
        (["chaos_without_effect=maybe"], "is a switch: chaos_without_effect=on, not 'maybe'"),
        (["fail_pct=1", "fail_pct=2"], "The fault fail_pct is given twice."),
    ],
)
def test_a_mistake_is_told_in_a_sentence(texts, sentence):
    """A wrong name or value is refused with what would be right."""
    with pytest.raises(FaultError) as refused:
        parse_faults(texts)
    assert sentence in str(refused.value)


def test_a_budget_runs_out(fake_time):
    """So many occasions from a soak second on: none before it, none after the last."""
    occasions = Occasions(Budget(2, 10.0), fake_time.monotonic)
    taken = [occasions.take()]
    fake_time.now_s = 10.0
    taken += [occasions.take() for _ in range(3)]
    assert taken == [False, True, True, False]


def test_all_never_runs_out_and_none_never_strikes(fake_time):
    """An unlimited budget takes every occasion, an absent one none."""
    assert all(Occasions(Budget(None), fake_time.monotonic).take() for _ in range(100))
    assert not Occasions(None, fake_time.monotonic).take()


def test_increments_dropped_and_doubled(fake_time):
    """Dropping comes first; afterwards each request is counted once."""
    plan = FaultPlan(drop_increments=Budget(2), duplicate_increments=Budget(1))
    faults = Faults(plan, fake_time.monotonic)
    assert [faults.increments() for _ in range(5)] == [0, 0, 2, 1, 1]


def test_rates_go_by_soak_hours(fake_time):
    """After half a soak hour, half of what an hour brings."""
    faults = Faults(FaultPlan(leak_mb_per_hour=10.0, slow_ms_per_hour=4.0), fake_time.monotonic)
    fake_time.now_s = 1_800.0
    assert (faults.leaked_bytes(), faults.delay_s()) == (5e6, 0.002)


def test_a_level_holds_from_its_moment_on(fake_time):
    """30 ms from soak second 100 on, on top of what a rate brings; an answer may be late."""
    faults = Faults(parse_faults(["late_ms=30@100", "slow_ms_per_hour=36"]), fake_time.monotonic)
    assert faults.slows
    found = []
    for fake_time.now_s in (0.0, 99.0, 100.0, 200.0):
        found.append(round(faults.delay_s(), 6))
    assert found == [0.0, 0.00099, 0.031, 0.032]


def test_growth_holds_whole_blocks_up_to_its_cap():
    """It grows to what is wanted, never shrinks and never passes the cap."""
    growth = Growth(cap_bytes=1_000_000)
    growth.grow_to(200_000)
    assert growth.held_bytes == 3 * 65_536
    growth.grow_to(0)
    assert growth.held_bytes == 3 * 65_536
    growth.grow_to(1e12)
    assert growth.held_bytes == 15 * 65_536
