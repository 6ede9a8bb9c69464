"""Verdicts on runs that look whole at a glance: half a change, a stall, a natural error, a handful of calls."""

import re

import pytest
from stored_rows import with_plan

import soaklib
from soaklib.plan.model import load_plan

pytestmark = pytest.mark.slow  # each breaks a copy of the rehearsal

PLAN = load_plan()
CHAOS_ON = "(select min(at_us) from events where detail like 'before chaos:%')"
CHAOS_OFF = "(select max(at_us) from events where name = 'CHAOS_MODE_OFF')"
IS_FAILED = "kind in ('upstream_error', 'fast_fail', 'timeout')"
IN_CHAOS = f"tool = 'openai' and done_at_us >= {CHAOS_ON} and planned_at_us < {CHAOS_OFF}"
BEGUN = "(select min(at_us) from runner_health)"
STALLED = f"at_us between {BEGUN} + 5500000 and {BEGUN} + 12500000"


def test_chaos_that_nobody_ended_is_a_failed_change_and_excuses_nothing_beyond_its_time(broken):
    """Failures long after its planned end count, and the change is not made."""
    verdicts = broken(
        f"update outcomes set kind = 'upstream_error' where kind = 'ok' and tool = 'openai' "
        f"and planned_at_us > {CHAOS_OFF} + 2000000 and slot % 4 = 0",
        "update events set name = 'CHANGE_FAILED' where name = 'CHAOS_MODE_OFF'",
    )
    made = verdicts["scheduled changes made"]
    assert made["state"] == "fail"
    assert made["detail"].endswith("chaos was not ended, or too late, in 1 of them")
    assert verdicts["success rate outside planned windows"]["state"] == "fail"


def test_chaos_that_was_ended_an_hour_late_was_not_ended_when_due(broken):
    """Its end is there, but not where the plan has it."""
    verdict = broken("update events set at_us = at_us + 9000000 where name = 'CHAOS_MODE_OFF'")[
        "scheduled changes made"
    ]
    assert verdict["state"] == "fail"


def test_what_chaos_did_before_its_answer_was_here_is_chaos(broken):
    """A call that failed between the gate and the event is no failure outside the planned windows."""
    first = f"(select min(slot) from outcomes where {IN_CHAOS})"
    verdict = broken(f"update outcomes set kind = 'upstream_error' where tool = 'openai' and slot = {first}")
    assert verdict["success rate outside planned windows"]["measure"] == 100


def test_a_stall_counts_for_as_long_as_it_lasted(broken):
    """Seven of twenty seconds without a sign of life are no single late second."""
    verdict = broken(
        f"delete from runner_health where {STALLED}",
        """update runner_health set loop_lag_max_us = 7000000 where at_us = (select min(at_us) from runner_health
           where at_us > (select min(at_us) + 12000000 from runner_health))""",
    )["measurement valid"]
    assert verdict["state"] == "fail"
    assert verdict["measure"] > 25


def test_late_seconds_that_touch_most_of_the_soak_leave_too_little_to_judge(broken):
    """Five milliseconds in every soak-minute: little time, but no minute without it."""
    verdict = broken(
        "update runner_health set loop_lag_max_us = 600000",
        """insert into runner_health
           select health.* replace (at_us - k * 166667 - earlier as at_us, lag as loop_lag_max_us)
           from runner_health as health, range(6) as every(k), (values (0, 600000), (5000, 1000)) as part(earlier, lag)
           where k > 0 or earlier > 0""",
    )["measurement valid"]
    assert (verdict["state"], verdict["measure"] < 5) == ("insufficient", True), verdict
    assert re.search(r", which touch \d+ of 120 soak-minutes", verdict["detail"])


def test_one_natural_error_is_no_chaos(broken):
    """The tool fails now and then all day, and no more than that while chaos is on."""
    verdicts = broken(
        f"update outcomes set kind = 'ok' where tool = 'openai' and {IS_FAILED}",
        "update outcomes set kind = 'upstream_error' where tool = 'openai' and kind = 'ok' and slot % 40 = 0",
    )
    assert verdicts["chaos shows in the data"]["state"] == "fail", verdicts["chaos shows in the data"]


def test_a_tool_that_fails_now_and_then_recovers_all_the_same(broken):
    """One call in a hundred fails before and after: none of that is a slow recovery."""
    verdict = broken(
        "update outcomes set kind = 'upstream_error' where tool = 'openai' and kind = 'ok' and hash(slot) % 100 = 0"
    )
    assert verdict["breaker recovers after chaos"]["state"] == "pass", verdict["breaker recovers after chaos"]


def test_a_breaker_that_never_opened_has_nothing_to_recover_from(broken):
    """It does not pass."""
    verdict = broken(f"update outcomes set kind = 'ok' where tool = 'openai' and {IS_FAILED}")[
        "breaker recovers after chaos"
    ]
    assert (verdict["state"], verdict["measure"]) == ("insufficient", None)


def test_a_route_that_is_missing_does_not_stand_in_for_a_change_that_failed(broken):
    """The gateway has no policies, which is said twice; the credentials were refused."""
    verdict = broken(
        "update events set name = 'CHANGE_UNSUPPORTED' where event_key = 'change:2:update-policy'",
        "insert into events (at_us, name, detail) values (1000, 'CHANGE_UNSUPPORTED', 'baseline policies: no route')",
        "update events set name = 'CHANGE_FAILED' where event_key = 'change:0:rotate-credentials'",
    )["scheduled changes made"]
    assert (verdict["state"], verdict["detail"]) == ("fail", "1 of 3 made, 1 unsupported by the gateway")


def test_a_denial_against_the_plan_counts_also_while_the_generator_was_late(broken):
    """No lateness causes it."""
    late = "(select at_us from runner_health order by at_us limit 1 offset 5)"
    verdict = broken(
        f"update runner_health set schedule_lag_max_us = 3000000 where at_us = {late}",
        f"""update outcomes set kind = 'denied', reason = 'scope' where purpose = 'load'
            and planned_at_us between {late} - 900000 and {late} - 800000""",
    )["no false-deny"]
    assert verdict["state"] == "fail"


def test_a_denial_without_a_reason_is_none_for_the_quota_that_was_cut(broken):
    """It counts against the rate of success, and so it is wrong."""
    verdict = broken(
        "update outcomes set kind = 'denied', reason = null where tool = 'openai' and phase = 'quota cut'"
    )["no false-deny"]
    assert (verdict["state"], verdict["measure"] > 0) == ("fail", True), verdict


@pytest.mark.parametrize(
    ("criterion", "statement", "state", "detail"),
    [
        ("snapshots complete", """delete from samples where metric like 'gateway_%'
            and at_us > (select min(at_us) + 3000000 from samples)""", "fail", "missing: "),
        ("snapshots complete", "delete from samples where metric like 'gateway_%'", "fail", "missing: "),
        ("success rate", "delete from outcomes where slot > 9", "insufficient", "at least 100 calls are needed"),
        ("success rate outside planned windows", "delete from outcomes where slot > 99", "insufficient",
            "at least 600 calls are needed"),
        ("no false-deny", "delete from outcomes where slot > 99", "insufficient", "less than half of the"),
        ("no false-allow", "delete from outcomes where purpose = 'probe' and slot > 0", "insufficient",
            "less than half of the 120 planned"),
        ("no false-allow", "update outcomes set kind = 'timeout' where purpose = 'probe' and slot > 0", "insufficient",
            "less than half of the 120 planned"),
        ("every slot accounted for", "delete from outcomes where step = 1", "fail", "steps of chains are missing"),
        ("every slot accounted for", "delete from outcomes where purpose = 'probe' and slot = 7", "fail",
            "119 of 120 probes"),
        ("every slot accounted for", "update outcomes set slot = 7200 where purpose = 'load' and slot = 7", "fail",
            "slot 7200 is none of the plan's"),
    ],
)  # fmt: skip
def test_what_is_there_in_part_only_does_not_pass(broken, criterion, statement, state, detail):
    """Seen once, sent once, the first step only: none of them is the whole."""
    verdict = broken(statement)[criterion]
    assert (verdict["state"], detail in verdict["detail"]) == (state, True), verdict


def test_a_soak_without_a_rotation_cannot_pass_for_one(broken):
    """It is shorter than the interval: the question does not arise."""
    intervals = PLAN.intervals.model_copy(update={"rotate_tokens_s": 8000.0, "token_lifetime_s": 9000.0})
    verdict = broken(with_plan(intervals=intervals), "delete from events where name = 'TOKENS_ROTATED'")
    assert verdict["token rotations go unnoticed"]["state"] == "not applicable"


def test_a_change_by_hand_is_marked(change):
    """With whose hand it was."""
    folder = change(
        """insert into events (at_us, name, detail, event_key)
           select at_us + 1000, name, 'by hand at 2026-11-24T16:16:07.288Z: ' || detail, 'inbox:1'
           from events where event_key = 'change:1:chaos'"""
    )
    with soaklib.open_run(folder) as run:
        assert soaklib.marks(run).filter(kind="change")["label"].to_list().count("by hand: chaos on openai") == 1
