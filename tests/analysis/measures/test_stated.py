"""What answers state, by window and key."""

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.plan.model import load_plan

SECOND = 1_000_000


def call(second, key="a", **said):
    at_us = second * SECOND
    row = {"tool": "fast", "planned_at_us": at_us, "sent_at_us": at_us, "done_at_us": at_us + 5000, "key_id": key}
    return outcome(second, **(row | said))


@pytest.fixture
def run(tmp_path):
    rows = [
        call(1, input_tokens=9, output_tokens=8, cost_usd=0.25, gateway_us=1000, retries=1, remaining=7),
        call(2, input_tokens=9, output_tokens=4, cost_usd=0.5, gateway_us=3000, retries=0, fallbacks=1, remaining=6),
        call(3, "b", first_byte_at_us=3 * SECOND + 2000, chunks=8),
        call(70, "b"),
        call(4, "b", sent_at_us=None, done_at_us=None, kind="dropped", attempts=0, remaining=1),
        call(5, "a", purpose="probe", input_tokens=99),
    ]
    with soaklib.open_run(written_run(tmp_path, plan=load_plan(), rows=rows)) as opened:
        yield opened


def test_what_is_said_is_added_up_by_window_and_key(run):
    """Of the load's calls that were sent; what no answer says is null, and is no zero."""
    frame = soaklib.stated(run, every="1m", by=("tool", "key_id"))
    assert frame.columns[:4] == ["soak_s", "end_s", "tool", "key_id"]
    assert frame.drop("end_s", "tool").rows() == [
        (0.0, "a", 2, None, None, 18, 12, 0.75, 1.0, 3.0, 1, 1, 6),
        (0.0, "b", 1, 2.0, 8.0, None, None, None, None, None, None, None, None),
        (60.0, "b", 1, None, None, None, None, None, None, None, None, None, None),
    ]


def test_a_frame_of_outcomes_says_the_same(run):
    """All calls together, over everything."""
    [row] = soaklib.stated(run.outcomes(), every="all", by=()).rows(named=True)
    assert (row["n"], row["cost_usd"], row["chunks"], row["end_s"]) == (4, 0.75, 8.0, None)
    assert soaklib.stated(run, every="all", by=()).rows() == [tuple(row.values())]
