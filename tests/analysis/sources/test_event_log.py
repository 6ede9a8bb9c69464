"""The event log, line by line."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from soaklib.analysis.sources.event_log import EVENTS_SCHEMA, read_events
from soaklib.errors import RunError

AT = dt.datetime(2026, 11, 24, 8, 20, 23, 969_000, tzinfo=dt.UTC)


def test_events(tmp_path):
    """A line is a time in UTC, a name and a detail, which may be empty."""
    path = tmp_path / "soak-events.log"
    path.write_text(
        "[2026-11-24T08:20:23.969Z] SOAK_TEST_STARTED\n"
        "[2026-11-24T08:20:23.969Z] METRICS_SNAPSHOT soak-h0.prom 1,535 bytes\n"
        "[2026-11-24T09:20:23.969+01:00] TOKENS_ROTATED 3 \u2028 agents\r\n",
        encoding="utf-8",
    )
    expected = pl.DataFrame(
        [
            (AT, "SOAK_TEST_STARTED", ""),
            (AT, "METRICS_SNAPSHOT", "soak-h0.prom 1,535 bytes"),
            (AT, "TOKENS_ROTATED", "3 \u2028 agents"),
        ],
        schema=EVENTS_SCHEMA,
        orient="row",
    )
    assert_frame_equal(read_events(path), expected)
    assert_frame_equal(read_events(str(path)), expected)


@pytest.mark.parametrize("broken", ["[2026-11-24T08:2", "[2026-99-24T08:20:23Z] NAME x", "free text", "[now] NAME"])
def test_broken_line(tmp_path, broken):
    """A line of another form is kept whole, without time and name."""
    path = tmp_path / "soak-events.log"
    path.write_text(f"[2026-11-24T08:20:23.969Z] SOAK_TEST_STARTED ok\n{broken}")
    assert read_events(path).rows() == [(AT, "SOAK_TEST_STARTED", "ok"), (None, None, broken)]


def test_empty_log(tmp_path):
    """An empty log has no events."""
    path = tmp_path / "soak-events.log"
    path.write_text("\n")
    assert_frame_equal(read_events(path), pl.DataFrame(schema=EVENTS_SCHEMA))


def test_no_event_log(tmp_path):
    """A file without one event, and a missing file, are refused."""
    path = tmp_path / "soak-events.log"
    with pytest.raises(RunError, match="cannot read"):
        read_events(path)
    path.write_text("2026-11-24T08:20:23.969Z + 0.51s server\n")
    with pytest.raises(RunError, match="none of its 1 lines"):
        read_events(path)
