"""The text of a run in numbers."""

from contextlib import closing
from pathlib import Path

import duckdb
from stored_rows import written_run

import soaklib
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName
from soaklib.reports.run_report import QUERIES, run_report
from soaklib.store.tables import DATABASE_NAME

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def test_a_run_of_an_earlier_schema_has_every_table():
    """What such a run lacks stands in views, in which nothing is known of the rows' places but their order."""
    with soaklib.open_run(SAMPLE) as run:
        assert run.sql("select schema_version from run").item() == 1
        text = run_report(run)
        events = run.sql("select detail from events where name like 'POLICY%'")["detail"].to_list()
        verdicts = run.sql("select name from verdicts order by rowid")["name"].to_list()
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == [*QUERIES, "Queries"]
    assert events
    assert all(detail in text for detail in events)
    places = [text.index(f"| {name} |") for name in verdicts]
    assert places == sorted(places), "in the order in which they were recorded"


def test_what_every_sender_does_all_the_time_leaves_room_for_what_went_wrong(tmp_path):
    """The tokens and clocks of a fleet fill no table of changes: a sender that is lost late is in it."""
    often = (EventName.LANE_STARTED, EventName.CLOCK_OFFSET, EventName.LANE_TOKENS_ROTATED, EventName.LANE_ENDED)
    events = [Event(1000 * place, often[place % 4], "lane=0", None) for place in range(400)]
    written_run(
        tmp_path, plan=load_plan(), rows=[], events=[*events, Event(500_000, EventName.LANE_LOST, "lane=3", None)]
    )
    with soaklib.open_run(tmp_path) as run:
        found = run.sql(QUERIES["Changes and what went wrong"])
    assert found.select("name", "detail").rows() == [("LANE_LOST", "lane=3")]


def test_what_all_senders_have_in_flight_is_added_up(tmp_path):
    """Of a fleet that sends side by side the most of one sender is not the most of the load."""
    written_run(tmp_path, plan=load_plan(), rows=[])
    with closing(duckdb.connect(str(tmp_path / DATABASE_NAME))) as connection:
        for lane, in_flight, connections in ((None, 1, 2), (0, 30, 40), (1, 50, 60), (1, 20, 10)):
            connection.execute(
                "insert into runner_health by name select 1000000 as at_us, 0 as planned, 0 as sent, 0 as done, "
                "0 as queue_rows, 0 as schedule_lag_max_us, 0 as loop_lag_max_us, 0 as connect_wait_max_us, "
                "1 as rss_bytes, 0 as cpu_s, 1 as open_files, 1 as disk_free_bytes, 0 as clock_offset_us, "
                "? as lane, ? as in_flight, ? as connections_open",
                [lane, in_flight, connections],
            )
    with soaklib.open_run(tmp_path) as run:
        found = run.sql(QUERIES["The generator itself"]).row(0, named=True)
    assert (found["in_flight_max"], found["connections_max"]) == (81, 102)
