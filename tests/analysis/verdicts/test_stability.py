"""What must not drift: judged tool by tool, in soak time, of one process."""

import math
from types import SimpleNamespace

import pytest

import soaklib
from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.measures.processes import longest_lived
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.criteria import stability
from soaklib.analysis.verdicts.criteria.drifts import found_of
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, endpoint_series
from soaklib.targets.base import Meaning, MetricMap, Series

GAUGE = "insert into samples select i * {step_s} * 1000000, '{metric}', [], {value} from range({n}) r(i)"
NO_START = "delete from samples where metric like '%process_start_time_seconds'"


def gauge(metric, value, *, n=1440, step_s=60):
    """Give statements that let a gauge of the gateway have other readings: by default every minute of a day."""
    return (
        f"delete from samples where metric = '{metric}'",
        GAUGE.format(metric=metric, value=value, n=n, step_s=step_s),
        "update events set name = 'CHANGE_FAILED' where name like 'CHAOS_MODE%'",
        "delete from runner_health",
        NO_START,
    )


def own_memory(value, n=3600, at="i * 1000000"):
    """Give statements that let the generator have other readings of its memory."""
    kept = "create temp table one as select * exclude (at_us, rss_bytes) from runner_health limit 1"
    made = f"insert into runner_health by name select ({at})::BIGINT as at_us, ({value})::BIGINT as rss_bytes, *"
    return kept, "delete from runner_health", f"{made} from range({n}) r(i), one".replace(", *", ", one.*")


JITTER = "(hash(i) % 1000) / 1000.0"

# a busy machine makes a rehearsal noisy, and then what is judged here is the machine
STEADY = "update outcomes set done_at_us = sent_at_us + 1200 + hash(slot * 3 + step) % 700 where done_at_us is not null"


@pytest.mark.parametrize(
    ("criterion", "statements"),
    [
        (stability.no_drift_in_latency_tail, [STEADY, "update outcomes set done_at_us = done_at_us + slot * 40"]),
        (stability.no_drift_in_gateway_files, gauge("process_open_fds", f"50 + i * 0.2 + 4 * {JITTER}")),
        (
            stability.no_drift_in_event_loop_lag,
            gauge("nodejs_eventloop_lag_seconds", f"0.01 + i * 4e-5 + 0.01 * {JITTER}"),
        ),
        (stability.no_drift_in_generator_memory, own_memory(f"1e8 + i * 5e4 + 1e6 * {JITTER}")),
    ],
)
def test_what_drifts_fails(judged, criterion, statements):
    """Of each there is a run that fails it."""
    verdict = judged(criterion, *statements)
    assert (verdict.state, "Drifts by" in verdict.detail) == ("fail", True), verdict
    assert verdict.low <= verdict.measure <= verdict.high


def test_the_tail_of_the_lag_is_judged_before_its_last_value(judged):
    """A gateway that says both is judged by its 99th percentile; a level one passes."""
    verdict = judged(
        stability.no_drift_in_event_loop_lag,
        *gauge("nodejs_eventloop_lag_seconds", f"0.01 + i * 4e-5 + 0.01 * {JITTER}"),
        *gauge("nodejs_eventloop_lag_p99_seconds", f"0.02 + 0.01 * {JITTER}"),
    )
    assert (verdict.state, "lag_p99" in verdict.query) == ("pass", True)


def test_files_that_are_swept_are_judged_on_their_floors(judged):
    """A pool that fills in twenty minutes and is swept, again and again, holds no more after a day: no drift."""
    files = gauge("process_open_fds", f"50 + 15 * (i % 20) + 4 * {JITTER}")
    verdict = judged(stability.no_drift_in_gateway_files, *files)
    assert (verdict.state, "floors of a sawtooth" in verdict.detail) == ("pass", True), verdict


SLOW_CHATS = "update outcomes set done_at_us = sent_at_us + 300000 + (hash(slot) % 2000) where tool = 'openai'"


def test_a_change_of_the_mix_is_no_change_of_latency(judged):
    """A slow tool of which no call is ok for half of the last third lowers the tail of all, and of no tool."""
    fewer = "update outcomes set kind = 'denied', reason = 'quota', expected = 'either' where tool = 'openai'"
    in_parts = f"{fewer} and slot > 4800 and slot % 1200 >= 600"
    verdict = judged(stability.no_drift_in_latency_tail, STEADY, SLOW_CHATS, in_parts)
    assert verdict.state == "pass", verdict


def test_one_tool_that_gets_slower_is_named(judged):
    """One of four that gets 100 ms slower fails the criterion, with its name and numbers, and the others' states."""
    slower = "update outcomes set done_at_us = done_at_us + slot * 14 where tool = 'gmail_send'"
    verdict = judged(stability.no_drift_in_latency_median, STEADY, slower)
    assert verdict.state == "fail"
    assert verdict.detail.startswith("gmail_send: Drifts by")
    assert "among 4 tools p = " in verdict.detail
    assert " Also " in verdict.detail
    assert verdict.measure == pytest.approx(100, rel=0.15)


def test_a_window_with_few_calls_is_a_gap(rehearsal):
    """What is left of a tool in a window with less than half of its usual calls is not judged."""
    with soaklib.open_run(rehearsal.folder) as run:
        series = endpoint_series(run, ENDPOINTS[1])
    for _, part in series.group_by("tool"):
        usual = part.filter(n=part["n"]).filter(part["n"] > 0)["n"].median()
        assert part.filter(part["n"] * 2 < usual)["value"].null_count() == part.filter(part["n"] * 2 < usual).height
        assert part.filter(part["n"] * 2 >= usual)["value"].null_count() == 0


GAP_US = 3_600_000_000


def resumed():
    """Give statements that put an hour, in which nobody ran, into the first half of a run, before chaos."""
    third = "(select min(planned_at_us) + (max(planned_at_us) - min(planned_at_us)) // 3 from outcomes)"
    soak_s = f"(select soak_started_s + ({third} - started_at_us) * (select speed from run) / 1e6 from segments)"
    return (
        f"create temp table cut as select {third} as us, {soak_s} as soak_s",
        f"""insert into segments by name
            select 1 as segment, us + {GAP_US} as started_at_us, soak_s as soak_started_s,
                   ended_at_us + {GAP_US} as ended_at_us, soak_ended_s, runner_pid from segments, cut""",
        "update segments set ended_at_us = us, soak_ended_s = soak_s from cut where segment = 0",
        *(
            f"update {table} set {at} = {at} + {GAP_US} where {at} > (select us from cut)"
            for table, at in (
                ("outcomes", "sent_at_us"), ("outcomes", "done_at_us"), ("outcomes", "planned_at_us"),
                ("events", "at_us"), ("samples", "at_us"), ("scrapes", "at_us"), ("runner_health", "at_us"),
            )
        ),
    )  # fmt: skip


def test_a_gap_changes_nothing(judged):
    """A run that stood still for an hour is judged in soak time: as the same run without the gap, chaos left out."""
    whole = judged(stability.no_drift_in_errors)
    gapped = judged(stability.no_drift_in_errors, *resumed())
    assert (gapped.state, gapped.n, gapped.measure) == (whole.state, whole.n, whole.measure)


def test_planned_windows_are_a_mask_of_a_series_in_soak_time(rehearsal):
    """Both on the clock of the soak: the windows of chaos are left out and nothing else."""
    with soaklib.open_run(rehearsal.folder) as run:
        series = endpoint_series(run, ENDPOINTS[0]).filter(tool="serpapi")
        windows = soaklib.planned_windows(run)
        judged = drift(in_soak_time(series), mask=in_soak_time(windows), warm_up=0).n
        reached = sum(
            any(soak_s + 60 > start_s and soak_s < end_s for start_s, end_s in windows.iter_rows())
            for soak_s in series.drop_nulls("value")["soak_s"]
        )
    assert judged == series["value"].count() - reached
    assert reached > 0


def test_time_in_which_nobody_read_does_not_count(judged):
    """Twenty minutes of readings with a quarter of an hour between them are twenty minutes."""
    twenty = own_memory("1e8", n=1200, at="i * 1000000 + if(i >= 600, 900000000, 0)")
    verdict = judged(stability.no_drift_in_generator_memory, *twenty)
    assert (verdict.state, verdict.detail[:4]) == ("insufficient", "20.0"), verdict


def test_a_leak_that_a_restart_hides_is_found_in_the_longest_process(judged):
    """100 MiB an hour, restarted every three hours: each process leaks, and its readings alone are judged."""
    memory = gauge("process_resident_memory_bytes", f"2e8 + (i % 180) * 1.048e8 / 60 + 1e6 * {JITTER}")
    started = GAUGE.format(metric="process_start_time_seconds", value="1e9 + 10800 * (i // 180)", n=1440, step_s=60)
    verdict = judged(stability.no_drift_in_gateway_memory, *memory, started)
    assert verdict.state == "fail"
    assert verdict.measure == pytest.approx(300, rel=0.05)
    assert "179.0 wall minutes of readings of the longest of 8 processes" in verdict.detail
    assert "(7 starts seen, 7 of them beside no change)" in verdict.detail


def test_two_processes_behind_one_address_are_two_series(judged):
    """Readings that alternate between two processes are judged as one process's."""
    memory = gauge("process_resident_memory_bytes", f"2e8 + (i % 2) * 4e8 + 1e6 * {JITTER}")
    started = GAUGE.format(metric="process_start_time_seconds", value="1e9 + 5 * (i % 2)", n=1440, step_s=60)
    verdict = judged(stability.no_drift_in_gateway_memory, *memory, started)
    assert (verdict.state, "of 2 processes" in verdict.detail) == ("pass", True), verdict


def test_no_reading_is_no_process(rehearsal):
    """Of nothing there is nothing."""
    with soaklib.open_run(rehearsal.folder) as run:
        empty = run.sql('select at_us, 0.0 as soak_s, 0.0 as "value", 0.0 as process from events where false')
    assert longest_lived(empty)[1:] == (0.0, 0, None)


def test_chance_alarms_of_many_tools_are_allowed_for(rehearsal):
    """Among four tools a p of 0.03 is no drift."""
    with soaklib.open_run(rehearsal.folder) as run:
        part = endpoint_series(run, ENDPOINTS[0]).filter(tool="serpapi")
    found = drift(part, margin=1e-6)
    drifting = found.__class__(**{**vars(found), "state": "drift", "detail": "Drifts by it."})
    assert found_of(part, drifting, 1e-6, 0.04, 4).state == "fail"
    told = found_of(part, drifting, 1e-6, 0.12, 4)
    assert (told.state, "which chance may make" in told.detail) == ("insufficient", True)
    assert math.isfinite(told.reach)


TEETH = "2e8 + (i % 120) * 5242880 + 1e6 * " + JITTER
UNKNOWN_START = (*gauge("process_resident_memory_bytes", TEETH), "update run set embedded = false")


def test_a_process_that_leaks_within_the_margin_of_the_run_is_not_told_for_it(judged):
    """60 MiB in 70 minutes, again and again, are within 64 MiB, and 1.2 GiB a day."""
    memory = gauge("process_resident_memory_bytes", f"2e8 + (i % 70) * 62914560 / 70 + 1e6 * {JITTER}")
    started = GAUGE.format(metric="process_start_time_seconds", value="1e9 + 4200 * (i // 70)", n=1440, step_s=60)
    verdict = judged(stability.no_drift_in_gateway_memory, *memory, started)
    assert (verdict.state, "not told for the run" in verdict.detail) == ("insufficient", True), verdict
    assert "20 starts seen" in verdict.detail


def test_processes_that_hold_what_they_held_pass(judged):
    """The twin: a level memory, restarted every three hours."""
    memory = gauge("process_resident_memory_bytes", f"2e8 + 1e6 * {JITTER}")
    started = GAUGE.format(metric="process_start_time_seconds", value="1e9 + 10800 * (i // 180)", n=1440, step_s=60)
    assert judged(stability.no_drift_in_gateway_memory, *memory, started).state == "pass"


@pytest.mark.parametrize(
    ("requests", "state", "said"),
    [
        ("100 * (i % 120)", "insufficient", "its count of requests fell 11 times"),
        ("100 * i", "pass", "floors of a sawtooth"),
        (None, "pass", "a fall may be a collection, or a process that died"),
    ],
    ids=["died", "collected", "not told"],
)
def test_floors_may_be_those_of_processes_that_died(judged, requests, state, said):
    """600 MiB in two hours, and back: where no start is told, the count of requests tells a death from a collection."""
    made = GAUGE.format(metric="gateway_requests_total", value=requests, n=1440, step_s=60)
    none = "delete from samples where metric = 'gateway_requests_total'"
    verdict = judged(stability.no_drift_in_gateway_memory, *UNKNOWN_START, none, *([made] if requests else []))
    assert (verdict.state, said in verdict.detail) == (state, True), verdict


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"1e8 + (i % 30) * 10485760 + if(i >= 1368, 524288000, 0) + 1e6 * {JITTER}", "The level moved"),
        (f"1e8 + greatest(0, i - 720) * 728178 + 2e6 * {JITTER}", "to beyond all before"),
    ],
    ids=["floors", "half way"],
)
def test_memory_that_goes_wrong_late_fails(judged, value, said):
    """Floors of a sawtooth that moved in the last 72 minutes, and a straight leak from the middle on."""
    verdict = judged(stability.no_drift_in_gateway_memory, *gauge("process_resident_memory_bytes", value))
    assert (verdict.state, said in verdict.detail) == ("fail", True), verdict
    assert verdict.low <= verdict.measure <= verdict.high


AREA = "[{{'key': 'area', 'value': '{}'}}]"


def test_a_gauge_is_found_under_its_targets_name(judged, monkeypatch):
    """A gateway that calls its memory and files otherwise is judged by those, with the labels that are meant."""
    meanings = {
        Meaning.MEMORY: Series("mygw_bytes", {"area": "heap"}),
        Meaning.OPEN_FILES: Series("mygw_files"),
        Meaning.START: Series("mygw_began"),
    }
    target = SimpleNamespace(metrics=MetricMap(meanings=meanings))
    monkeypatch.setattr("soaklib.analysis.measures.meanings.load_target", lambda _table: target)
    climb = f"1e8 + i * 4e5 + 1e6 * {JITTER}"
    heap, other = (
        GAUGE.format(metric="mygw_bytes", value=value, n=1440, step_s=60).replace("[]", AREA.format(area))
        for value, area in ((climb, "heap"), ("9e9 - i * 4e5", "stack"))
    )
    leaking = judged(stability.no_drift_in_gateway_memory, *gauge("process_resident_memory_bytes", "2e8"), heap, other)
    assert (leaking.state, leaking.measure > 400, "mygw_bytes" in leaking.query) == ("fail", True, True), leaking
    files = GAUGE.format(metric="mygw_files", value=f"50 + (i % 180) * 2 + {JITTER}", n=1440, step_s=60)
    began = GAUGE.format(metric="mygw_began", value="1e9 + 10800 * (i // 180)", n=1440, step_s=60)
    verdict = judged(stability.no_drift_in_gateway_files, *gauge("process_open_fds", "50"), files, began)
    assert (verdict.state, "of the longest of 8 processes" in verdict.detail) == ("fail", True), verdict
