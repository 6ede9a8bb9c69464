"""The text of a run in numbers."""

from pathlib import Path

import soaklib
from soaklib.reports.run_report import QUERIES, run_report

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
