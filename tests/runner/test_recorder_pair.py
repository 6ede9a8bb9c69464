"""The two ends of the recorder together: whatever stands in any column, the rows beside it are stored."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_rows import outcome
from thoroughness import examples

from soaklib.records import Event, HealthTick, Sample, Scrape
from soaklib.runner.frames import FrameReader, rows_frame
from soaklib.runner.storing import store
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter, segment_row

GOOD = {
    "outcomes": tuple(outcome(1)),
    "samples": tuple(Sample(1, "m", (("a", "b"),), 1.0)),
    "scrapes": tuple(Scrape(1, "metrics", 200, ok=True, duration_us=1, size_bytes=1, detail=None)),
    "events": tuple(Event(1, "N", "d", None)),
    "runner_health": tuple(HealthTick(*range(14))),
    "segments": segment_row(Segment(segment=0, started_at_us=0, soak_started_s=0.0), runner_pid=1),
}

texts = st.text(st.characters(), max_size=6) | st.text(st.characters(categories=["Cs", "Cc"]), max_size=3)
scalars = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | texts | st.binary()
values = st.recursive(scalars, lambda held: st.lists(held, max_size=3) | st.dictionaries(texts, held, max_size=2))


@st.composite
def rows(draw):
    """Give a table, and a row of it with any value in any column."""
    table = draw(st.sampled_from(sorted(GOOD)))
    row = list(GOOD[table])
    row[draw(st.integers(0, len(row) - 1))] = draw(values)
    return table, tuple(row)


@pytest.fixture(scope="module")
def writer():
    """Give a writer of a database in memory."""
    return RunWriter(Path(":memory:"))


def _sizes(writer):
    """Give how many rows each table has."""
    [sizes] = writer.read(f"select {', '.join(f'(select count(*) from {table})' for table in GOOD)}")
    return dict(zip(GOOD, sizes, strict=True))


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(rows(), min_size=1, max_size=6))
def test_any_value_in_any_column_costs_at_most_its_own_row(writer, strange):
    """All rows that are as they should be are on disk; of the others each is, or is told with its table and reason."""
    # a row of each table that has a strange one, and of one that has none, as long as there is such a table
    others = [table for table in GOOD if table not in dict(strange)]
    batch = {table: [GOOD[table]] for table in GOOD if table in dict(strange) or table in others[:1]}
    for table, row in strange:
        batch[table].append(row)
    before = _sizes(writer)
    [frame] = FrameReader().feed(rows_frame(batch))
    stored = store(writer, frame.rows)
    grown = {table: size - before[table] for table, size in _sizes(writer).items()}
    refused = [refusal.table for refusal in stored.refused]
    assert {table: grown[table] + refused.count(table) for table in GOOD} == {
        table: len(batch.get(table, ())) for table in GOOD
    }
    for table in batch:
        [first] = writer.read(f"select * from {table} order by rowid limit 1 offset {before[table]}")
        assert first == (GOOD[table] if table != "samples" else (1, "m", [{"key": "a", "value": "b"}], 1.0))
    assert stored.rows == sum(grown.values())
    assert all(refusal.reason for refusal in stored.refused)
