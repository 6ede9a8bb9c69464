"""What few calls, or a short run, cannot tell is neither a failure nor said in numbers that there are not."""

import pytest

from soaklib.analysis.verdicts.criteria import chaos, completeness

ALL_WELL = "update outcomes set kind = 'ok' where tool = 'openai' and kind in ('upstream_error', 'fast_fail')"
DURING = """tool = 'openai' and planned_at_us < (select max(at_us) from events where name = 'CHAOS_MODE_OFF')
    and done_at_us >= (select max(at_us) from events where detail like 'before chaos:%')"""


def left(calls):
    """Give the statement that leaves so many calls of the tool during chaos."""
    some = f"(select slot from outcomes where {DURING} order by slot limit 1 offset {calls})"
    return f"delete from outcomes where {DURING} and slot >= {some}"


@pytest.mark.parametrize(
    ("calls", "pct", "state"), [(8, 50, "insufficient"), (60, 50, "fail"), (60, 5, "insufficient")]
)
def test_chaos_is_not_blamed_for_its_own_draw(judged_sample, calls, pct, state):
    """Of eight calls at 50 % none fails once in 256 times, of 60 at 5 % every twentieth time: neither tells."""
    planned = f"""update run set plan = replace(plan, '"pct":50', '"pct":{pct}')"""
    verdict = judged_sample(chaos.chaos_shows, ALL_WELL, left(calls), planned)
    assert verdict.state == state, verdict
    assert (verdict.measure, verdict.n, "too few to tell" in verdict.detail) == (
        0, calls, state == "insufficient",
    )  # fmt: skip


def test_a_natural_outage_in_its_window_does_not_stand_in_for_chaos(judged_sample):
    """Ten failures in a row are more than none of thousands, and not half of the planned 50 %."""
    burst = f"(select slot from outcomes where {DURING} order by slot limit 10 offset 100)"
    verdict = judged_sample(
        chaos.chaos_shows, ALL_WELL, f"update outcomes set kind = 'upstream_error' where {DURING} and slot in {burst}"
    )
    assert (verdict.state, 0 < verdict.measure < 5) == ("fail", True), verdict
    assert verdict.detail.endswith(", less than half of the 50 % that are meant")


def test_few_calls_that_fail_show_chaos(judged_sample):
    """Half of eight calls is more than none of thousands."""
    failed = f"update outcomes set kind = 'upstream_error' where {DURING} and slot % 2 = 0"
    assert judged_sample(chaos.chaos_shows, ALL_WELL, left(8), failed).state == "pass"


@pytest.mark.parametrize(
    "refused",
    [
        f"update outcomes set kind = 'denied', reason = 'quota', expected = 'either' where {DURING} and slot % 10 < 7",
        f"update outcomes set kind = 'rate_limited' where {DURING} and slot % 10 < 7",
        f"""insert into outcomes select calls.* replace ('probe' as purpose, 'denied' as kind, 'deny' as expected)
            from outcomes as calls, range(4) where {DURING}""",
    ],
)
def test_calls_that_were_refused_before_their_tool_was_asked_hide_no_chaos(judged_sample, refused):
    """By a quota that was cut, by a limit, or for whom they were made as: chaos meets none of them."""
    assert judged_sample(chaos.chaos_shows, refused).state == "pass"


def test_a_breaker_need_not_open_for_calls_that_never_came_to_it(judged_sample):
    """Of thirty calls twenty were refused by a quota: too few to open one."""
    few = f"(select slot from outcomes where {DURING} order by slot limit 20)"
    refused = f"update outcomes set kind = 'denied', reason = 'quota' where {DURING} and slot in {few}"
    verdict = judged_sample(chaos.breaker_engages, ALL_WELL, left(30), refused)
    assert (verdict.state, verdict.n) == ("insufficient", 10), verdict


@pytest.mark.parametrize(("kind", "state"), [("denied", "insufficient"), ("fast_fail", "fail")])
def test_where_no_call_came_to_the_tool_again_nobody_knows_whether_it_recovered(judged_sample, kind, state):
    """A quota denied all of them: none failed for the tool, and none was ok."""
    after = "tool = 'openai' and planned_at_us > (select at_us from events where event_key = 'change:1:chaos:off')"
    verdict = judged_sample(chaos.breaker_recovers, f"update outcomes set kind = '{kind}' where {after}")
    assert verdict.state == state, verdict


def test_a_row_that_is_there_twice_misses_no_step(judged_sample):
    """A chain's first call asks for the second one once."""
    twice = "insert into outcomes select outcomes.* from outcomes where purpose = 'load' and step = 0 and slot < 50"
    verdict = judged_sample(completeness.every_slot_accounted_for, twice)
    assert (verdict.state, verdict.detail) == ("fail", "34560 of 34560 slots have rows; 50 keys twice")


def test_a_run_of_less_than_a_minute_has_one_minute_that_can_be_late(judged_sample):
    """Its late share is no share of more than all."""
    short = "update run set hours = 0.01"
    late = "update runner_health set schedule_lag_max_us = 150000 where at_us = (select min(at_us) from runner_health)"
    verdict = judged_sample(completeness.measurement_valid, short, late)
    assert (verdict.state, verdict.detail.endswith("which touch 1 of 1 soak-minute")) == ("insufficient", True), verdict
