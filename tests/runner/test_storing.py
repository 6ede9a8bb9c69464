"""A row that the database refuses costs that row."""

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from soaklib.errors import RecordingError
from soaklib.records import Event
from soaklib.runner.storing import Refusal, Stored, store
from soaklib.store.writer import RunWriter

BAD = [
    Event(None, "A", "d", None),  # NOT NULL
    ("x", "A", "d", None),  # no number
    (2**70, "A", "d", None),  # out of range
    (1, "A"),  # too short
    (1, "A", "d", None, 5),
    (1, "\ud800", "d", None),
    5,
]
BAD_SAMPLES = [(1, "m", [["a"]], 1.0), (1, "m", [["a", "b"]], "zz"), (1, None, [], 1.0), (1, "m", None, 1.0), (1, "m")]


@pytest.fixture(scope="module")
def writer():
    """Give a writer of a database in memory."""
    return RunWriter(Path(":memory:"))


@settings(max_examples=examples(60), deadline=None)
@given(
    events=st.lists(st.one_of(st.integers(0, 10**6), st.sampled_from(BAD)), max_size=30),
    samples=st.lists(st.one_of(st.integers(0, 10**6), st.sampled_from(BAD_SAMPLES)), max_size=30),
)
def test_all_rows_are_stored_but_those_refused(writer, events, samples):
    """In any mixture and order: every good row is there once, in order, and every bad one is told with its table."""
    for table in ("events", "samples"):
        writer.read(f"delete from {table} returning 1")
    good_events = [row for row in events if isinstance(row, int) and row != 5]
    good_samples = [row for row in samples if isinstance(row, int)]
    stored = store(
        writer,
        {
            "events": [Event(row, "A", "d", None) if row in good_events else row for row in events],
            "samples": [(row, "m", (("a", "b"),), 1.0) if isinstance(row, int) else row for row in samples],
        },
    )
    assert [row for (row,) in writer.read("select at_us from events order by rowid")] == good_events
    assert [row for (row,) in writer.read("select at_us from samples order by rowid")] == good_samples
    assert stored.rows == len(good_events) + len(good_samples)
    assert [refusal.table for refusal in stored.refused] == (
        ["events"] * (len(events) - len(good_events)) + ["samples"] * (len(samples) - len(good_samples))
    )
    assert all(refusal.reason for refusal in stored.refused)


def test_the_reason_is_the_database_s(writer):
    """So that it can be acted upon."""
    assert store(writer, {"events": [Event(None, "A", "d", None)]}) == Stored(
        0, [Refusal("events", "Constraint Error: NOT NULL constraint failed: events.at_us")]
    )


def test_an_unknown_table_is_a_refusal_too(writer):
    """The rows beside it are stored."""
    stored = store(writer, {"event": [Event(1, "A", "d", None)], "events": [Event(1, "A", "d", None)]})
    assert stored == Stored(1, [Refusal("event", "KeyError: 'event'")])


def test_a_disk_that_takes_nothing_is_no_matter_of_rows(monkeypatch, writer):
    """It is told at once, and not tried for every row."""
    tries = []

    def append(batch):
        tries.append(batch)
        msg = "cannot write"
        raise RecordingError(msg) from duckdb.IOException("No space left on device")

    monkeypatch.setattr(writer, "append", append)
    with pytest.raises(RecordingError, match="cannot write"):
        store(writer, {"events": [Event(1, "A", "d", None)] * 8})
    assert len(tries) == 1
