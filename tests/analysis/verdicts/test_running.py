"""Did the gateway keep running: told by its start time, or by a count of requests that falls."""

import pytest

from soaklib.analysis.verdicts.criteria.completeness import full_duration
from soaklib.analysis.verdicts.criteria.running import no_unplanned_restart
from soaklib.analysis.verdicts.criteria.stability import no_drift_in_gateway_memory

LIVE = (
    "delete from samples where metric like '%process_start_time_seconds'",
    "delete from events where event_key like 'change:%' or event_key like 'inbox:%'",
    "update run set speed = 1",
    "update segments set started_at_us = 0, ended_at_us = 3600000000, soak_ended_s = 3600",
)
GAUGE = "insert into samples select i * 60 * 1000000, '{name}', [], {value} from range(60) r(i)"
AT_HALF = "if(i >= 30, 1790, 0)"
CHANGE = "insert into events values ({at_s} * 1000000, '{name}', '', '{key}')"
AWAY = (
    "update segments set ended_at_us = 1750000000, soak_ended_s = 1750",
    "insert into segments select 1, 1770000000, 1750, 3600000000, 3580, 1",
)
SEVERAL = "if(i % 2 = 0, 0, 60 + 1780 * (i // 30))"


@pytest.fixture
def judged(judged_sample):
    """Give a function that judges an hour of readings, one a minute, after some statements."""
    return lambda *statements: judged_sample(no_unplanned_restart, *LIVE, *statements)


def started(value):
    """Give a statement that lets the gateway tell such starts."""
    return GAUGE.format(name="process_start_time_seconds", value=f"(select epoch(anchor_utc) from run) + {value}")


@pytest.mark.parametrize(
    ("statements", "state", "measure", "detail"),
    [
        ([started("0")], "pass", 0, "0 restarts seen in 60 readings"),
        ([started("i % 2")], "pass", 0, "0 restarts seen in 60 readings"),  # a clock that is corrected to and fro
        ([started("i // 20")], "pass", 0, "0 restarts seen in 60 readings"),  # or on and on
        ([started(AT_HALF)], "fail", 1, "1 of them beside no change, the first between H+0:29 and H+0:30"),
        ([started(AT_HALF), *AWAY], "pass", 0, "1 restart seen in 60 readings, 0 of them beside no change"),
        ([started(SEVERAL)], "insufficient", 1, "3 processes answer in turn, of which one may be replaced by design"),
        ([started("0.02 * (i % 4)")], "pass", 0, "0 restarts seen in 60 readings"),  # workers that began together
        ([started("if(i >= 30, 1200, 0)")], "pass", 0, "2 processes answer in turn"),  # one that answered late
        ([started("60 * (i % 2)")], "pass", 0, "2 processes answer in turn"),
        ([started("0"), "delete from samples where at_us > 0 and metric = 'process_start_time_seconds'"],
         "insufficient", 0, "0 restarts seen in 1 reading"),
    ],
)  # fmt: skip
def test_a_process_that_took_anothers_place_is_found(judged, statements, state, measure, detail):
    """Unless the runner was away then; processes in turn may be replaced by design."""
    verdict = judged(*statements)
    assert (verdict.state, verdict.measure, detail in verdict.detail) == (state, measure, True), verdict
    assert ("in turn" in verdict.detail) == ("in turn" in detail), verdict


@pytest.mark.parametrize(
    ("start", "read_us", "processes", "told"),
    [
        ("i // 20", 0, 1, ""),  # a clock that is corrected on and on
        ("-100", -1000, 1, ""),  # its memory was read before its start was
        ("i % 2", 0, 2, ""),  # workers that began together, and answer in turn
        ("300", -1000, 2, "(1 start seen, 1 of them beside no change)"),  # and that of the one before it
        ("60 * (i // 20)", 0, 3, "(2 starts seen, 2 of them beside no change)"),
    ],
)
def test_memory_is_that_of_as_many_processes(judged_sample, start, read_us, processes, told):
    """One whose start time is corrected, or was not told yet, is one; of the others each has its own."""
    name = "process_resident_memory_bytes"
    memory = f"insert into samples select i * 60000000 + {read_us}, '{name}', [], 5e8 from range(60) r(i)"
    read = f"delete from samples where metric = '{name}'", started(start), memory
    verdict = judged_sample(no_drift_in_gateway_memory, *LIVE, *read)
    assert (f"of {processes} processes" in verdict.detail) == (processes > 1), verdict
    assert told in verdict.detail, verdict


@pytest.mark.parametrize(
    ("at_s", "name", "key", "state"),
    [
        (1700, "CHANGE_MADE", "change:0:restart", "pass"),
        (1780, "CHAOS_MODE_OFF", "inbox:1", "pass"),
        (1000, "CHANGE_MADE", "change:0:restart", "fail"),
        (1900, "CHANGE_MADE", "change:0:restart", "fail"),
        (1780, "SNAPSHOT", "snapshot:1", "fail"),
    ],
)
def test_a_restart_beside_a_change_is_that_changes(judged, at_s, name, key, state):
    """Of the plan or by hand, up to the time that the gateway may take to recover before it."""
    assert judged(started(AT_HALF), CHANGE.format(at_s=at_s, name=name, key=key)).state == state


@pytest.mark.parametrize("name", ["HEALTH_GATE_FAILED", "CHANGE_FAILED", "CHANGE_UNSUPPORTED"])
def test_a_restart_beside_a_change_that_was_not_made_is_none_of_it(judged, name):
    """The gateway that died before it could be made did not die of it."""
    verdict = judged(started(AT_HALF), CHANGE.format(at_s=1780, name=name, key="change:0:restart"))
    assert (verdict.state, verdict.measure) == ("fail", 1), verdict


@pytest.mark.parametrize(("wall_s", "state"), [(0.2, "pass"), (0.4, "fail")])
def test_a_faster_soak_gives_a_change_no_less_than_the_wall_can_tell(judged, wall_s, state):
    """As it is with recoveries: 0.3 s, which are 1800 soak seconds at a speed of 6000."""
    fast = "update run set speed = 6000", "update segments set soak_ended_s = 3600 * 6000"
    made = CHANGE.format(at_s=1740 - wall_s, name="CHANGE_MADE", key="change:0:restart")  # the old one was read at 1740
    assert judged(started(AT_HALF), *fast, made).state == state


def test_readings_of_a_part_of_the_run_are_no_pass(judged):
    """Between the first and the last of them lies less than half of it."""
    latest = "update outcomes set planned_at_us = 3600000000 where slot = 1000 and purpose = 'load' and step = 0"
    early = "delete from samples where at_us > 1500000000"
    counted = GAUGE.format(name="gateway_requests_total", value="i")
    for told in (started("0"), counted):
        verdict = judged("delete from samples where metric like 'gateway_requests%'", latest, told, early)
        assert (verdict.state, verdict.measure) == ("insufficient", 0), verdict
        assert verdict.detail.endswith("from the first reading to the last it is 0.42 of 1.00 soak-hours")


@pytest.mark.parametrize(
    ("counted", "state", "measure"),
    [("100 * i", "pass", 0), ("100 * (i % 30)", "insufficient", 1), (None, "not applicable", None)],
)
def test_without_a_start_time_the_count_of_requests_tells(judged, counted, state, measure):
    """One that falls is that of a new process, or of another one."""
    statements = ["delete from samples where metric like 'gateway_requests%'"]
    if counted is not None:
        statements.append(GAUGE.format(name="gateway_requests_total", value=counted))
    verdict = judged(*statements)
    assert (verdict.state, verdict.measure) == (state, measure), verdict
    assert verdict.n == (0 if counted is None else 60)


def test_a_count_of_requests_that_was_read_once_tells_nothing(judged):
    """It cannot fall."""
    once = GAUGE.format(name="gateway_requests_total", value="i").replace("range(60)", "range(1)")
    verdict = judged("delete from samples where metric like 'gateway_requests%'", once)
    assert (verdict.state, verdict.measure, verdict.n) == ("insufficient", 0, 1), verdict


def test_a_run_that_goes_on_has_come_as_far_as_its_latest_call(judged_sample):
    """Its stretch has no end yet."""
    goes_on = "update run set status = 'running'", "update segments set ended_at_us = null, soak_ended_s = null"
    verdict = judged_sample(full_duration, *goes_on)
    assert (verdict.state, verdict.measure) == ("fail", pytest.approx(24, abs=0.01))
    assert verdict.detail == "status running after 24.00 of 24 soak-hours"
