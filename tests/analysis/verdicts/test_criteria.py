"""Every criterion against a real run, and against the same run broken on purpose."""

import re
from pathlib import Path

import pytest
from stored_rows import with_plan

import soaklib
from soaklib.analysis.verdicts.criteria import CRITERIA
from soaklib.errors import ExpositionError, MissingExtraError, SettingsError, SourceError

SAMPLE = Path(__file__).parents[3] / "data" / "sample"

PASSED = {
    "full duration", "every slot accounted for", "all tools exercised", "success rate",
    "success rate outside planned windows", "healthy", "denials happen", "no false-allow", "no false-deny",
    "quota cut works", "breaker engages during chaos", "breaker recovers after chaos", "scheduled changes made",
    "token rotations go unnoticed", "snapshots complete", "measurement valid", "chaos shows in the data",
    "no error spike at rotations", "books balanced",
}  # fmt: skip


def test_a_clean_rehearsal_fails_no_criterion(rehearsal):
    """Each is judged, none fails, and each has the query behind it."""
    assert {name for name, verdict in rehearsal.verdicts.items() if verdict["state"] == "pass"} >= PASSED
    assert not [name for name, verdict in rehearsal.verdicts.items() if verdict["state"] == "fail"]
    assert all("select" in verdict["query"] for verdict in rehearsal.verdicts.values())


def test_the_query_of_a_verdict_gives_its_measure(rehearsal):
    """Where the measure is the query's one value, running it again gives it."""
    with soaklib.open_run(rehearsal.folder) as run:
        for name in ("denials happen", "full duration"):
            verdict = rehearsal.verdicts[name]
            assert float(run.sql(verdict["query"]).item()) == verdict["measure"]


IS_ONE_QUOTA_DENIAL = "(slot, step) = (select (slot, step) from outcomes where reason = 'quota' limit 1)"
LAST_CHAT = "(select max(planned_at_us) from outcomes where tool = 'openai' and kind = 'ok')"
TENTH_OF_CHAOS = """(select slot from outcomes where tool = 'openai' and planned_at_us > (
    select at_us from events where detail like 'before chaos:%') order by slot limit 1 offset 9)"""
LAST_OF_CHAOS = """(select max(slot) from outcomes where tool = 'openai' and planned_at_us < (
    select at_us from events where name = 'CHAOS_MODE_OFF'))"""
CHAOS_OFF = "(select max(at_us) from events where name = 'CHAOS_MODE_OFF')"
SOON_AFTER_CHAOS = f"planned_at_us between {CHAOS_OFF} and {CHAOS_OFF} + 1000000"
IS_THE_CUT = "event_key = 'change:2:update-policy'"
CUT = "(select min(at_us) from events where name like 'POLICY_UPDATED_%')"
BEFORE_CUT = "(select min(at_us) from events where detail like 'before update-policy:%')"


@pytest.mark.parametrize(
    ("criterion", "statement", "detail"),
    [
        ("full duration", "update run set status = 'interrupted'", "status interrupted after"),
        ("every slot accounted for", "delete from outcomes where purpose = 'load' and slot = 7", "7199 of 7200 slots"),
        (
            "every slot accounted for",
            "insert into outcomes select * from outcomes where purpose = 'load' and slot = 7",
            "1 key twice",
        ),
        (
            "all tools exercised",
            "update outcomes set kind = 'timeout' where tool = 'gmail_send' and kind = 'ok'",
            "no answer from gmail_send",
        ),
        ("success rate", "update outcomes set kind = 'timeout' where kind = 'ok' and slot % 20 = 0", "% ("),
        (
            "success rate outside planned windows",
            "update outcomes set kind = 'upstream_error' where kind = 'ok' and slot % 100 = 0",
            "% (",
        ),
        (
            "healthy",
            "update scrapes set ok = false where at_us = (select min(at_us) from scrapes where endpoint = 'health')",
            "samples healthy",
        ),
        ("denials happen", "delete from outcomes where kind = 'denied'", "0 denials"),
        (
            "no false-allow",
            "update outcomes set kind = 'ok', status = 200 where purpose = 'probe' and slot = 3",
            "119 denied, 1 let through",
        ),
        (
            "no false-allow",
            "update outcomes set kind = 'rate_limited', status = 429 where purpose = 'probe' and slot = 3",
            "119 denied, 1 let through",
        ),
        ("no false-allow", "delete from outcomes where purpose = 'probe'", "0 probes sent, 0 denied"),
        (
            "no false-deny",
            "update outcomes set kind = 'denied', reason = 'scope' where purpose = 'load' and slot = 3 and step = 0",
            "1 of",
        ),
        (
            "no false-deny",
            "update outcomes set kind = 'denied', reason = 'quota' where purpose = 'load' and slot = 3 and step = 0",
            "1 of",
        ),
        (
            "quota cut works",
            (
                f"update outcomes set planned_at_us = {BEFORE_CUT} - 2, done_at_us = {BEFORE_CUT} - 1 "
                f"where {IS_ONE_QUOTA_DENIAL}"
            ),
            "1 quota denials before the cut",
        ),
        (
            "breaker engages during chaos",
            "update outcomes set kind = 'upstream_error' where kind = 'fast_fail'",
            "0 fast-fails in",
        ),
        (
            "breaker recovers after chaos",
            f"update outcomes set kind = 'fast_fail' where tool = 'openai' and {SOON_AFTER_CHAOS}",
            "soak s after chaos ended",
        ),
        (
            "scheduled changes made",
            "update events set name = 'CHANGE_FAILED' where event_key = 'change:0:rotate-credentials'",
            "2 of 3 made, 0 unsupported",
        ),
        (
            "token rotations go unnoticed",
            "update outcomes set kind = 'unauthorized' where purpose = 'load' and slot = 3 and step = 0",
            "7 of 7 rotations, 1 of",
        ),
        ("token rotations go unnoticed", "delete from events where event_key = 'rotation:2'", "6 of 7 rotations"),
        ("snapshots complete", "delete from events where event_key = 'snapshot:0'", "1 of 2 snapshots"),
        (
            "snapshots complete",
            "delete from samples where metric = 'gateway_breaker_fastfail_total'",
            "missing: gateway_breaker_fastfail_total",
        ),
        (
            "chaos shows in the data",
            "update outcomes set kind = 'ok' where tool = 'openai' and kind in ('upstream_error', 'fast_fail')",
            "0 of",
        ),
        (
            "no error spike at rotations",
            "update outcomes set kind = 'upstream_error' where kind = 'ok' and slot % 900 < 30 and slot > 800",
            "in the minute after 6 rotations failed",
        ),
        ("books balanced", "delete from outcomes where kind = 'ok' and slot % 500 = 1", "counter"),
        (
            "no drift in latency (median)",
            "update outcomes set done_at_us = done_at_us + slot * 40",
            "Drift",
        ),
        (
            "no drift in errors",
            "update outcomes set kind = 'upstream_error' where kind = 'ok' and (slot * 7919) % 7200 < slot * 0.2",
            "Drift",
        ),
        (
            "measurement valid",
            "update runner_health set loop_lag_max_us = 600000 where at_us > (select median(at_us) from runner_health)",
            "the generator was late in",
        ),
    ],
)
def test_a_broken_run_fails_the_criterion_that_is_about_it(broken, criterion, statement, detail):
    """Each criterion has a run that fails it, and says what was seen."""
    verdict = broken(statement)[criterion]
    assert verdict["state"] == "fail", verdict
    assert detail in verdict["detail"]


@pytest.mark.parametrize(
    ("criterion", "statements", "state", "detail"),
    [
        ("success rate", ["delete from outcomes"], "insufficient", "no call counts"),
        ("healthy", ["delete from scrapes"], "insufficient", "no health sample"),
        ("no false-deny", ["delete from outcomes where purpose = 'load'"], "insufficient", "0 of 0 calls"),
        (
            "quota cut works",
            ["delete from outcomes where reason = 'quota' or (tool = 'openai' and slot % 5 > 0)"],
            "insufficient",
            "calls in a quota window after the cut, of 540 that it allows",
        ),
        (
            "quota cut works",
            [f"update events set name = 'CHANGE_UNSUPPORTED', detail = 'update-policy: no route' where {IS_THE_CUT}"],
            "not applicable",
            "the gateway has no route for the change",
        ),
        (
            "breaker engages during chaos",
            ["update events set name = 'CHANGE_FAILED', detail = 'chaos: no' where name = 'CHAOS_MODE_ON'"],
            "insufficient",
            "the change was not made",
        ),
        (
            "token rotations go unnoticed",
            ["update outcomes set attempts = 0, kind = 'dropped'"],
            "insufficient",
            "7 of 7 rotations, 0 of 0 calls",
        ),
        (
            "breaker engages during chaos",
            [
                "update outcomes set kind = 'ok' where kind = 'fast_fail'",
                f"delete from outcomes where tool = 'openai' and slot between {TENTH_OF_CHAOS} + 1 and {LAST_OF_CHAOS}",
            ],
            "insufficient",
            "too few to open a breaker",
        ),
        ("measurement valid", ["delete from runner_health"], "insufficient", "no second"),
        ("no drift in gateway memory", ["delete from scrapes where false"], "insufficient", "at least 30 are needed"),
        ("no drift in gateway files", ["delete from samples"], "not applicable", "does not say how many files"),
        ("books balanced", ["delete from samples"], "insufficient", "no two scrapes of /metrics"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_never_passes(broken, criterion, statements, state, detail):
    """It is insufficient or not applicable, with the reason."""
    verdict = broken(*statements)[criterion]
    assert (verdict["state"], detail in verdict["detail"]) == (state, True), verdict


def test_calls_in_windows_in_which_the_generator_was_late_are_not_held_against_the_gateway(broken):
    """Failures planned in an invalid window leave the success rate alone; the window itself fails its own criterion."""
    late = "(select at_us from runner_health order by at_us limit 1 offset 5)"
    verdicts = broken(
        # two seconds of thirty
        f"update runner_health set schedule_lag_max_us = 3000000 where at_us between {late} and {late} + 1500000",
        f"update outcomes set kind = 'timeout' where planned_at_us between {late} - 900000 and {late} - 100000",
    )
    assert verdicts["measurement valid"]["state"] == "fail"
    assert verdicts["success rate"]["state"] == "pass"
    assert verdicts["success rate outside planned windows"]["state"] == "pass"


def test_a_leak_of_the_gateway_is_found_in_an_hour_of_readings(broken):
    """Readings stretched to an hour, with 200 MiB more at its end: memory drifts."""
    stretched = "update samples set at_us = at_us * 180 where metric = 'process_resident_memory_bytes'"
    grown = """update samples set "value" = "value" + 2e8 * at_us / (select max(at_us) from samples
            where metric = 'process_resident_memory_bytes') where metric = 'process_resident_memory_bytes'"""
    more = """insert into samples select at_us + 30000000, metric, labels, "value" from samples
           where metric = 'process_resident_memory_bytes'"""
    assert broken(stretched, more, grown)["no drift in gateway memory"]["state"] == "fail"


def test_every_criterion_is_listed_once():
    """No function twice."""
    assert len(set(CRITERIA.values())) == len(CRITERIA) >= len(PASSED)


def test_a_criterion_is_listed_by_the_name_that_its_verdict_bears():
    """So that one asked for by its name is the one that is judged."""
    with soaklib.open_run(SAMPLE) as run:
        assert soaklib.criteria(run)["name"].to_list() == list(CRITERIA)


@pytest.mark.parametrize("error", [SettingsError, ExpositionError, SourceError])
def test_a_criterion_that_cannot_be_put_is_insufficient_and_the_others_are_judged(monkeypatch, error):
    """It says why; what is no word about the data, but a defect or a package that is missing, is raised."""

    def fail(_):
        msg = "a series has two samples at one time"
        raise error(msg)

    names = ("full duration", "healthy")
    monkeypatch.setattr("soaklib.analysis.verdicts.criteria.CRITERIA", {**CRITERIA, "full duration": fail})
    with soaklib.open_run(SAMPLE) as run:
        verdicts = soaklib.criteria(run, *names)
        assert verdicts.select("name", "state", "detail").row(0) == (
            "full duration", "insufficient", "a series has two samples at one time",
        )  # fmt: skip
        assert verdicts["state"][1] == "pass"
        error = MissingExtraError
        with pytest.raises(MissingExtraError):
            soaklib.criteria(run, *names)


def test_a_criterion_that_is_not_there_is_named_with_its_near_miss():
    """Whoever mistypes one would otherwise read an empty table as nothing found."""
    with (
        soaklib.open_run(SAMPLE) as run,
        pytest.raises(SettingsError, match="'no false allow': did you mean no false-allow"),
    ):
        soaklib.criteria(run, "no false allow")


def test_what_the_plan_does_not_ask_for_is_not_applicable(broken):
    """No probe, no quota cut: no denial is due, and none is missed."""
    verdicts = broken(with_plan(probes=(), changes=()), "delete from outcomes where kind = 'denied'")
    for name, detail in (
        ("no false-allow", "the plan has no probe"),
        ("denials happen", "the plan has neither a probe nor a quota cut"),
        ("quota cut works", "the plan has no such change"),
        ("chaos shows in the data", "the plan has no such change"),
    ):
        assert (verdicts[name]["state"], verdicts[name]["detail"]) == ("not applicable", detail)


def test_a_denial_is_due_where_the_plan_cuts_a_quota(broken):
    """Even without a probe."""
    verdicts = broken(with_plan(probes=()), "delete from outcomes where kind = 'denied'")
    assert verdicts["denials happen"]["state"] == "fail"


def test_a_gateway_with_metrics_of_its_own_is_not_held_to_the_documented_ones(broken):
    """With its snapshots all there; a snapshot that is missing fails all the same."""
    renamed = "update samples set metric = 'hub_' || metric"
    verdict = broken(renamed)["snapshots complete"]
    assert (verdict["state"], verdict["detail"]) == (
        "not applicable", "2 of 2 snapshots; the gateway has metrics of other names",
    )  # fmt: skip


def test_a_snapshot_that_is_missing_fails_whatever_the_metrics_are_called(broken):
    """It was planned."""
    verdict = broken(
        "update samples set metric = 'hub_' || metric", "delete from events where event_key = 'snapshot:1'"
    )["snapshots complete"]
    assert verdict["state"] == "fail"


def test_a_cut_quota_is_reached_in_windows_of_its_own_length(broken):
    """The calls of a day count together against the limit of a day: it was reached, and nothing was denied."""
    no_denial = "delete from outcomes where reason = 'quota'"
    early = f"update events set at_us = (select at_us from events where event_key = 'rotation:1') where {IS_THE_CUT}"
    cut = (
        "update events set data = null, detail = regexp_replace(detail, 'limit=\\d+', 'limit=' || {limit}) where "
        + IS_THE_CUT
    )
    of_a_day = "update events set data = null, detail = replace(detail, 'window=1h', 'window=24h') where " + IS_THE_CUT
    reached = f"(select count(*) from outcomes where tool = 'openai' and kind = 'ok' and planned_at_us >= {CUT})"
    verdict = broken(no_denial, early, of_a_day, cut.format(limit=reached))["quota cut works"]
    assert (verdict["state"], verdict["measure"]) == ("fail", 0.0)


def test_an_error_long_after_chaos_is_not_taken_for_a_breaker_that_has_not_recovered(broken):
    """The calls between were answered: it is an error of its own, and the success rate's matter."""
    stray = f"update outcomes set kind = 'upstream_error' where tool = 'openai' and planned_at_us = {LAST_CHAT}"
    verdict = broken(stray)["breaker recovers after chaos"]
    assert verdict["state"] == "pass", verdict
    assert verdict["measure"] < 120


def test_a_breaker_that_never_closes_again_is_found_also_where_calls_are_rare(broken):
    """No call was ok since chaos ended, so that the only failure, half an hour later, still is the chaos's."""
    silent = f"delete from outcomes where tool = 'openai' and planned_at_us >= {CHAOS_OFF}"
    late = f"{silent} and planned_at_us <> {LAST_CHAT}"
    failed = f"update outcomes set kind = 'fast_fail' where tool = 'openai' and planned_at_us >= {CHAOS_OFF}"
    verdict = broken(late, failed)["breaker recovers after chaos"]
    assert (verdict["state"], verdict["n"]) == ("fail", 1), verdict
    assert verdict["measure"] > 120


def test_a_pass_on_the_smaller_part_of_the_calls_is_none(broken):
    """The generator was late in two thirds of the run: what is left says little, and what all calls say is told too."""
    late = "(select quantile_disc(at_us, 0.33) from runner_health)"
    verdict = broken(f"update runner_health set schedule_lag_max_us = 3000000 where at_us > {late}")["success rate"]
    assert verdict["state"] == "insufficient", verdict
    assert verdict["measure"] > 97
    assert re.search(r"in windows in which the generator was late \d\d\.\d+ %: less than half", verdict["detail"])
