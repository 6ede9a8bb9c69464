"""A lane of a fleet that is late spoils what it measured itself, and nothing that others did."""

import duckdb
import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.traffic import healthy
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
