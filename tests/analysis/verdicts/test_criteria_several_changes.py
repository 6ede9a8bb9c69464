"""Verdicts on a plan with more than one chaos, more than one quota cut, or chaos that fails no call."""

import pytest
from stored_rows import with_plan

import soaklib
from soaklib.plan.model import load_plan

PLAN = load_plan()
CHAOS = next(change for change in PLAN.changes if change.do == "chaos")
CUT = next(change for change in PLAN.changes if change.do == "update-policy")
EARLIER_US = 2_000_000
IN_CHAOS = """tool = 'openai' and planned_at_us >= (select on_us from ({windows})) and
    planned_at_us < (select off_us from ({windows}))""".format(
    windows="""select min(at_us) filter (detail like 'before chaos:%') as on_us,
                      max(at_us) filter (name = 'CHAOS_MODE_OFF') as off_us from events"""
)
JITTER = (
    with_plan(changes=tuple(change.model_copy(update={"mode": "jitter"}) if change is CHAOS else change
                            for change in PLAN.changes)),
    "update events set data = null, detail = replace(detail, 'mode=500', 'mode=jitter')",
    f"update outcomes set kind = 'ok' where {IN_CHAOS}",
)  # fmt: skip


def earlier_chaos_on(tool):
    """Give the statements that put another chaos into the plan and the events, two seconds before the run's own."""
    another = CHAOS.model_copy(update={"tool": tool, "at": CHAOS.at - 0.1})
    return (
        with_plan(changes=(*PLAN.changes, another)),
        f"""insert into events (at_us, name, detail, event_key)
            select at_us - {EARLIER_US}, name, replace(detail, 'openai', '{tool}'),
            replace(event_key, ':1:', ':3:') from events where event_key like 'change:1:chaos%'""",
    )


def test_chaos_that_shows_on_one_tool_does_not_pass_for_another(broken):
    """Chaos on serpapi that did nothing fails both criteria, whatever openai's breaker did."""
    verdicts = broken(*earlier_chaos_on("serpapi"))
    shows, engages = verdicts["chaos shows in the data"], verdicts["breaker engages during chaos"]
    assert (shows["state"], shows["measure"]) == ("fail", 0)
    assert "serpapi: 0 of " in shows["detail"]
    assert (engages["state"], engages["measure"]) == ("fail", 0)
    assert "serpapi: 0 upstream errors and 0 fast-fails in " in engages["detail"]
    assert "openai: " in engages["detail"]
    assert verdicts["breaker recovers after chaos"]["state"] == "pass"


def test_what_fails_in_a_later_chaos_is_no_slow_recovery_from_an_earlier_one(broken, rehearsal):
    """Two of them on one tool: each is followed until the next begins."""
    verdict = broken(*earlier_chaos_on("openai"))["breaker recovers after chaos"]
    assert verdict["state"] == "pass"
    assert verdict["detail"].count("after chaos ended") == 2
    assert verdict["measure"] == rehearsal.verdicts["breaker recovers after chaos"]["measure"]


def test_two_chaos_windows_leave_the_time_between_them_to_be_judged(broken):
    """Failures between them are outside the planned windows."""
    begun = "(select min(at_us) from events where name = 'CHAOS_MODE_ON')"
    failing = f"update outcomes set kind = 'timeout' where planned_at_us between {begun} - 1200000 and {begun} - 200000"
    name = "success rate outside planned windows"
    verdicts = broken(failing, *earlier_chaos_on("openai"))
    assert verdicts[name]["state"] == "fail", verdicts[name]


def test_jitter_shows_in_the_latency_and_opens_no_breaker(broken):
    """Its calls are slower than the slowest hundredth of the others; the breaker has no reason to open."""
    verdicts = broken(
        *JITTER, f"update outcomes set done_at_us = done_at_us + 500000 where {IN_CHAOS} and slot % 2 = 0"
    )
    shows = verdicts["chaos shows in the data"]
    assert (shows["state"], "calls of the tool were late while chaos was on" in shows["detail"]) == ("pass", True), (
        shows
    )
    for name in ("breaker engages during chaos", "breaker recovers after chaos"):
        assert (verdicts[name]["state"], verdicts[name]["detail"]) == (
            "not applicable", "chaos by jitter makes no call fail",
        )  # fmt: skip


def test_jitter_that_slows_nothing_down_fails(broken):
    """The calls during chaos are as the others were."""
    median = "(select median(done_at_us - sent_at_us)::BIGINT from outcomes where tool = 'openai' and kind = 'ok')"
    verdict = broken(*JITTER, f"update outcomes set done_at_us = sent_at_us + {median} where {IN_CHAOS}")
    shows = verdict["chaos shows in the data"]
    assert shows["state"] == "fail", shows  # a call at the very edge may be late by chance


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ("select 1", "fail"),
        ("""insert into outcomes select * replace ('denied' as kind, 'quota' as reason, slot + 1000000 as slot)
            from outcomes where tool = 'serpapi' order by slot desc limit 3""", "pass"),
    ],
)  # fmt: skip
def test_each_quota_cut_is_judged_by_its_own_denials(broken, changed, state):
    """A second cut, on another action, that denies nothing although it was reached is not covered by the first."""
    another = CUT.model_copy(update={"role": "scraper", "action": "serpapi:search", "at": CUT.at + 0.1})
    [quota] = PLAN.roles["enricher"].quotas
    limited = PLAN.roles["scraper"].model_copy(
        update={"quotas": (quota.model_copy(update={"action": "serpapi:search"}),)}
    )
    verdict = broken(
        with_plan(changes=(*PLAN.changes, another), roles=PLAN.roles | {"scraper": limited}),
        """insert into events (at_us, name, detail, event_key)
           select at_us + 1000000, name, 'role=scraper action=serpapi:search limit=1000 window=1h',
           replace(event_key, ':2:', ':3:') from events where event_key = 'change:2:update-policy'""",
        changed,
    )["quota cut works"]
    assert verdict["state"] == state, verdict


def test_the_view_of_chaos_windows_is_there_for_a_readers_own_queries(rehearsal):
    """When chaos was on, on which tool, in which mode."""
    with soaklib.open_run(rehearsal.folder) as run:
        windows = run.sql("select tool, mode, off_us > on_us as is_ended from chaos_windows").rows()
    assert windows == [("openai", "500", True)]
