"""The event log: a line and a row an event, and the knowledge of what has happened."""

import datetime as dt
import re
from pathlib import Path

import pytest

from soaklib.records import NOT_MADE, EventName
from soaklib.runner.clock import RunClock
from soaklib.runner.events import EventLog

ANCHOR = dt.datetime(2026, 11, 28, 12, 0, tzinfo=dt.UTC)


class Bench:
    """A log at a stopped clock, half a second into a run."""

    def __init__(self, folder, *, done=None):
        self.path, self.rows = folder / "soak-events.log", []
        self.clock = RunClock(ANCHOR, monotonic_ns=lambda: 0, utc_now=lambda: ANCHOR + dt.timedelta(milliseconds=500))
        self.log = EventLog(self.path, self.clock, self.rows.append, done=done)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    with made.log:
        yield made


def test_an_event_is_a_line_and_a_row_whatever_its_words_hold(bench):
    """Line feeds of a gateway's message make no second line, and the row says the same."""
    bench.log.write(EventName.CHANGE_FAILED, "chaos:\nno\t answer ", key="change:1:chaos")
    bench.log.write(EventName.TOKENS_ROTATED)
    assert bench.path.read_text() == (
        "[2026-11-28T12:00:00.500Z] CHANGE_FAILED chaos: no answer\n[2026-11-28T12:00:00.500Z] TOKENS_ROTATED\n"
    )
    assert [tuple(row)[:4] for row in bench.rows] == [
        (500_000, "CHANGE_FAILED", "chaos: no answer", "change:1:chaos"), (500_000, "TOKENS_ROTATED", "", None),
    ]  # fmt: skip
    assert bench.log.last == "TOKENS_ROTATED"


def test_a_key_is_used_once(bench):
    """A second event of the key is written without it."""
    for _ in range(2):
        bench.log.write(EventName.CHAOS_MODE_ON, key="change:1:chaos")
    assert [row.key for row in bench.rows] == ["change:1:chaos", None]


@pytest.mark.parametrize("name", list(EventName))
def test_done_and_made_are_two_facts(bench, name):
    """What was tried in vain is done, and not made."""
    assert (bench.log.is_done("k"), bench.log.is_made("k")) == (False, False)
    bench.log.write(name, key="k")
    assert (bench.log.is_done("k"), bench.log.is_made("k")) == (True, name not in NOT_MADE)


def test_what_happened_before_a_resume_is_known(tmp_path):
    """Its key is not used again."""
    bench = Bench(tmp_path, done={"rotation:3": "TOKENS_ROTATED", "change:0:chaos": "HEALTH_GATE_FAILED"})
    with bench.log as log:
        assert [log.is_made(key) for key in ("rotation:3", "change:0:chaos", "rotation:4")] == [True, False, False]
        log.write(EventName.TOKENS_ROTATED, key="rotation:3")
    assert bench.rows[0].key is None


def test_a_log_on_a_full_disk_is_closed_and_its_error_is_kept(bench):
    """The line that was not taken is tried once more at the end, and that it is refused again ends nothing else."""
    rows = []
    log = EventLog(Path("/dev/full"), bench.clock, rows.append)
    with log:
        log.write(EventName.TOKENS_ROTATED)
    assert str(log.error) == "cannot write /dev/full: No space left on device"
    assert [row.name for row in rows] == ["TOKENS_ROTATED"]


def test_a_log_that_cannot_be_written_is_an_error_for_the_end_and_no_row_is_lost(bench):
    """What has to be done goes on."""

    class Full:
        def write(self, _text):
            raise OSError(28, "No space left on device")

        def close(self):
            """Close nothing."""

    bench.log._file.close()
    bench.log._file = Full()
    bench.log.write(EventName.CHAOS_MODE_OFF, "tool=openai")
    assert [row.name for row in bench.rows] == ["CHAOS_MODE_OFF"]
    assert re.fullmatch(r"cannot write .*soak-events\.log: No space left on device", str(bench.log.error))


def test_the_line_of_an_event_is_made_of_its_data(bench):
    """One renderer; the row has the data beside the line, and what the event is about in columns of their own."""
    write = bench.log.write
    write("CHAOS_MODE_ON", key="k", change="chaos", subject="openai", data={"tool": "openai", "pct": 50})
    write("TOKENS_ROTATED", data={"generation": 2, "took_ms": 12.5, "speed": 720.0})
    write("CHANGE_FAILED", "chaos: no", change="chaos", subject="openai")
    lines = [line.partition("] ")[2] for line in bench.path.read_text().splitlines()]
    assert lines == [
        "CHAOS_MODE_ON tool=openai pct=50", "TOKENS_ROTATED generation=2 took_ms=12.5 speed=720",
        "CHANGE_FAILED chaos: no",
    ]  # fmt: skip
    assert [row[2:] for row in bench.rows] == [
        ("tool=openai pct=50", "k", "chaos", "openai", '{"tool":"openai","pct":50}'),
        ("generation=2 took_ms=12.5 speed=720", None, None, None, '{"generation":2,"took_ms":12.5,"speed":720.0}'),
        ("chaos: no", None, "chaos", "openai", None),
    ]
