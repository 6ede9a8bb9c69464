"""A lane of a fleet that is late spoils what it measured itself, and nothing that others did."""

from contextlib import contextmanager

import duckdb
import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.measures.processes import longest_lived
from soaklib.analysis.verdicts.criteria.stability import (
    no_drift_in_event_loop_lag,
    no_drift_in_latency_median,
)
from soaklib.analysis.verdicts.criteria.traffic import healthy
from soaklib.analysis.verdicts.masks import calls_not_judged, readings_not_judged
from soaklib.analysis.verdicts.memory import gauge_trend, memory_query
from soaklib.plan.model import load_plan
from soaklib.store.tables import DATABASE_NAME

LATE = "if(second between 140 and 170 and lane is not distinct from {late}, 500000, 0)"
LOOKS = """
    insert into runner_health by name
    select second * 1000000 as at_us, 1 as planned, 1 as sent, 1 as done, 0 as in_flight, 0 as queue_rows,
           {late} as schedule_lag_max_us, 0 as loop_lag_max_us, 0 as connect_wait_max_us, 0 as rss_bytes, 0 as cpu_s,
           0 as open_files, 0 as disk_free_bytes, 0 as clock_offset_us, lane
    from range(1, 600) as r(second), (values (5), (null)) as of_fleet(lane)"""
UNWELL = """
    insert into scrapes
    select i * 5000000, 'health', 200, i not between 30 and 33, 1000, 10, null from range(120) as r(i)"""


@pytest.mark.parametrize(("late", "state"), [("5", "fail"), ("null", "pass")])
def test_what_the_conductor_saw_of_health_counts_whichever_lane_was_late(tmp_path, late, state):
    """It asks for it by itself, so that its own lateness alone spoils an answer."""
    written_run(tmp_path, plan=load_plan(), rows=[outcome(1, lane=5)])
    with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
        for statement in (LOOKS.format(late=LATE.format(late=late)), UNWELL):
            connection.execute(statement)
    with soaklib.open_run(tmp_path) as run:
        assert healthy(run).state == state


LANES = 8
FAR_LANE = 5
LAST_QUARTER_S = 64_800
CALLS = """
    create temp table one as from outcomes limit 1;
    delete from outcomes;
    insert into outcomes by name
    select slots.*, took_us + slots.sent_at_us as done_at_us,
           one.* exclude (slot, lane, planned_at_us, sent_at_us, done_at_us)
    from (
        select slot, (slot % {lanes})::SMALLINT as lane, slot * 120000000 // {slots} as planned_at_us,
               planned_at_us + 10 as sent_at_us
        from range({slots}) as r(slot)
    ) as slots, one, lateral (
        select (10000 + hash(slots.slot) % 1000 + if(slots.lane = {far}, 200000, 0))::BIGINT as took_us
    )"""
TICKS = """
    insert into runner_health by name
    select second * 1000000 as at_us, 1 as planned, 1 as sent, 1 as done, 0 as in_flight, 0 as queue_rows,
           if({late}, 500000, 0) as schedule_lag_max_us, 0 as loop_lag_max_us, 0 as connect_wait_max_us,
           100000000 as rss_bytes, 0 as cpu_s, 0 as open_files, 0 as disk_free_bytes, 0 as clock_offset_us, lane
    from range(1, 121) as r(second), (select lane from range({lanes}) as l(lane) union all select null)"""
LAG = """
    insert into samples
    select i * 1000000, 'nodejs_eventloop_lag_seconds', [], 0.01 + hash(i) % 1000 / 1e6 from range(120) as r(i)"""


@contextmanager
def fleet_day(folder, late, *, lanes=LANES, far=FAR_LANE, slots=86_400, extra=""):
    """A day of a fleet in two wall minutes, a lane of which lies far from the gateway, and of which some are late."""
    written_run(folder, plan=load_plan(), rows=[outcome(1, lane=0)], speed=720.0)
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        calls = CALLS.format(lanes=lanes, far=far, slots=slots)
        for statement in (calls, TICKS.format(lanes=lanes, late=late), LAG, extra):
            connection.execute(statement)
    with soaklib.open_run(folder) as run:
        yield run


def middles(run):
    """The soak times of what is left out of the series of calls."""
    return calls_not_judged(run, 600.0)["start_s"].to_list()


def test_a_lane_that_is_always_late_leaves_the_others_drift_to_be_judged(tmp_path):
    """What it measured is left out, all the time: there is nothing in which the windows differ."""
    with fleet_day(tmp_path, "lane = 3") as run:
        assert run.sql("select sum(end_s - start_s) from invalid_windows").item() > 85_000
        assert run.sql("select count(*) from valid_calls where lane = 3").item() == 0
        assert middles(run) == []
        verdict = no_drift_in_latency_median(run)
    assert (verdict.state, verdict.n) == ("pass", 144 - 8), verdict  # without the warm-up


def test_lanes_that_are_late_by_turns_leave_most_windows_judged(tmp_path):
    """One in a hundred looks of each of eight lanes was late, and hardly a window's calls are others for it."""
    with fleet_day(tmp_path, "lane is not null and hash(lane * 1000 + second) % 100 < 1", far=-1) as run:
        late = run.sql("select count(*), count(distinct lane) from invalid_windows").row(0)
        assert late[0] >= 4
        assert no_drift_in_latency_median(run).state == "pass"


def test_a_far_lane_that_is_late_at_the_end_is_no_drift_of_the_gateway(tmp_path):
    """Its calls are slow: without them the rest looks faster. The windows in which they lack are left out."""
    with fleet_day(tmp_path, f"lane = {FAR_LANE} and second > 90") as run:
        left_out = middles(run)
        assert min(left_out) == pytest.approx(LAST_QUARTER_S, abs=900)
        assert len(left_out) == pytest.approx(36, abs=3)
        assert no_drift_in_latency_median(run).state != "fail"


@pytest.mark.parametrize(
    ("late", "least", "most"), [("lane = 1 and second = 60", 0, 3), ("lane = 1 and second > 90", 35, 37)]
)
def test_of_few_calls_a_window_no_more_is_left_out_than_a_late_lane_spoiled(tmp_path, late, least, most):
    """Ten calls of three lanes never come evenly from all: that is the plan's doing, and no lane's lateness."""
    with fleet_day(tmp_path, late, lanes=3, slots=1440, far=1) as run:
        assert run.sql("select count(*) from invalid_windows").item() > 0
        assert least <= len(middles(run)) <= most


@pytest.mark.parametrize(("lanes", "late"), [(LANES, "lane is not null"), (1, "lane = 0")])
def test_a_window_in_which_most_lanes_were_late_is_left_out(tmp_path, lanes, late):
    """The machine stood still: what it had put off came in a burst."""
    with fleet_day(tmp_path, f"{late} and second = 60", lanes=lanes, far=-1) as run:
        assert middles(run) == [42_300.0, 42_900.0]


@pytest.mark.parametrize(("late", "spoiled", "n"), [("lane = 3", 0, 114), ("lane is null", 120, 0)])
def test_what_the_gateway_says_of_itself_is_left_out_where_its_reader_was_late(tmp_path, late, spoiled, n):
    """That is the conductor, whichever lane was late; and whose lateness spoils no call of a lane."""
    with fleet_day(tmp_path, late) as run:
        assert readings_not_judged(run).height == spoiled
        assert middles(run) == []
        assert no_drift_in_event_loop_lag(run).n == n


@pytest.mark.parametrize(("late", "n"), [("lane = 3", 1), ("lane = 4", 114), ("lane is null", 114)])
def test_a_lanes_memory_is_left_out_where_that_lane_was_late(tmp_path, late, n):
    """Lane 3 is the one that was read for longest."""
    with fleet_day(
        tmp_path, late, extra="delete from runner_health where lane is distinct from 3 and at_us > 9e7"
    ) as run:
        readings = longest_lived(run.sql(memory_query(run, "generator")))
        assert readings.lane == 3
        assert gauge_trend(run, readings, margin=16.0, floor=True).trend.n == n
