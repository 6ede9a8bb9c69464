"""What the paper says of changes that any gateway takes."""

from stored_rows import with_plan

from soaklib.plan.changes import HttpChange, LiteralRequest, UpstreamChange
from soaklib.plan.model import load_plan
from soaklib.whitepaper.document import Table, plain
from soaklib.whitepaper.sections.changes import changes

ROUTE = LiteralRequest(method="POST", path="/keys")
CUT = HttpChange(
    do="http", name="limit-cut", tool="openai", at="1/2", lasts="1/48", phase="cut", phase_after="uncut",
    make=ROUTE, undo=ROUTE,
)  # fmt: skip
OUTAGE = UpstreamChange(
    do="upstream", name="outage", tool="openai", at="2/3", lasts="1/48", phase="out", phase_after="back",
    behave={"mode": "503"},
)  # fmt: skip
NAMES = "case when event_key like '%:off' then 'CHANGE_UNDONE' else 'CHANGE_MADE' end"


def test_changes_by_request_and_of_the_upstream_are_called_as_the_plan_calls_them(ask):
    """Each has its row among the planned ones, and its windows, by its name."""
    writer = ask(
        with_plan(changes=(load_plan().changes[0], CUT, OUTAGE)),
        f"update events set name = {NAMES}, event_key = replace(event_key, 'chaos', 'http') "
        "where event_key like 'change:1:chaos%'",
        f"update events set name = {NAMES}, event_key = replace(event_key, 'update-policy', 'upstream') "
        "where event_key like 'change:2:update-policy%'",
    )
    planned, met = (block for block in changes(writer) if isinstance(block, Table))
    said = [[plain(cell.text) for cell in row] for row in planned.rows]
    assert [(row[0], row[4]) for row in said] == [
        ("new credential for openai", "made"),
        ("limit-cut, by requests to the gateway", "made"),
        ("outage, by the upstream", "made"),
    ]
    assert {plain(row[0].text) for row in met.rows} == {row[0] for row in said}
