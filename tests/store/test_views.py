"""The views that every reader has: what a late generator invalidates, and what a reader may take of the machine."""

import tempfile
from pathlib import Path

import pytest
from stored_rows import MANIFEST, outcome

from soaklib.records import Event, EventName, HealthTick
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter, segment_row

SPEED = MANIFEST.speed
AT_ONCE = """
    select slot from calls where not exists (
        select 1 from invalid_windows where calls.soak_s < end_s
        and soak_seconds(coalesce(calls.done_at_us, calls.planned_at_us)) >= start_s) order by slot"""


@pytest.fixture
def reader(tmp_path):
    """Give a function that opens a run of calls, of seconds, each late by some ms, and of events."""
    opened = []

    def write(calls, lags_ms, events=()):
        writer = RunWriter(tmp_path / DATABASE_NAME)
        writer.begin_run(MANIFEST)
        segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
        writer.append({"segments": [segment_row(segment, runner_pid=1)], "outcomes": calls})
        ticks = [
            HealthTick((second + 1) * 1_000_000, 1, 1, 1, 0, 0, lag_ms * 1000, 0, 0, 0, 0.0, 0, 0, 0)
            for second, lag_ms in enumerate(lags_ms)
        ]
        writer.append({"runner_health": ticks, "events": [tuple(event) for event in events]})
        writer.close()
        opened.append(open_read_only(tmp_path / DATABASE_NAME))
        return opened[-1]

    yield write
    for connection in opened:
        connection.close()


def call(slot, planned_us, took_us):
    done_us = None if took_us is None else planned_us + took_us
    return outcome(slot, planned_at_us=planned_us, sent_at_us=planned_us, done_at_us=done_us)


@pytest.mark.parametrize("lags_ms", [[0] * 8, [0, 0, 400, 0, 0, 150, 151, 0], [500] * 8, [200, 0, 0, 0, 0, 0, 0, 200]])
def test_valid_calls_are_those_that_touch_no_invalid_window(reader, lags_ms):
    """The look-up by minute gives what a comparison of every call with every window gives."""
    starts_us = range(0, 8_000_000, 37_013)
    tooks_us = [500, 90_000, None, 3_000_000]
    calls = [call(slot, start_us, tooks_us[slot % 4]) for slot, start_us in enumerate(starts_us)]
    connection = reader(calls, lags_ms)
    valid = connection.execute("select slot from valid_calls order by slot").fetchall()
    assert valid == connection.execute(AT_ONCE).fetchall()
    late = any(lag_ms > 100 for lag_ms in lags_ms)
    assert (len(valid) < len(calls)) is late
    assert bool(valid) is (lags_ms != [500] * 8)


def test_a_minute_in_which_the_sender_was_out_of_ports_is_invalid(reader):
    """Its calls, and those beside them in that soak-minute, say nothing of the gateway; a reset by it does."""
    calls = [call(slot, slot * 100_000, 1000) for slot in range(4)]  # 72 soak seconds apart
    exhausted = {"kind": "transport_error", "reason": "sender_exhausted"}
    connection = reader(
        [calls[0], calls[1]._replace(**exhausted), calls[2]._replace(kind="transport_error", reason="reset"), calls[3]],
        [0],
    )
    assert connection.execute("select start_s, end_s, lag_us from invalid_windows").fetchall() == [(60.0, 120.0, None)]
    assert connection.execute("select slot from valid_calls order by slot").fetchall() == [(0,), (2,), (3,)]


def test_a_call_that_waits_through_an_invalid_window_is_invalid(reader):
    """Planned before it, answered in it, or after it: all touch it; one that came back before does not."""
    late = [0, 0, 0, 500, 0, 0]
    calls = [call(0, 1_000_000, 1000), call(1, 1_000_000, 2_400_000), call(2, 1_000_000, 4_000_000)]
    valid = reader(calls, late).execute("select slot from valid_calls").fetchall()
    assert valid == [(0,)]


def test_a_reader_is_bounded_and_spills_aside(reader):
    """A query takes so much memory and no more, and what does not fit never goes into the folder of the run."""
    connection = reader([call(0, 0, 500)], [0])
    limit, folder = connection.execute(
        "select current_setting('memory_limit'), current_setting('temp_directory')"
    ).fetchone()
    size, unit = limit.split()
    assert unit == "MiB"
    assert float(size) <= 640
    assert Path(folder).parent.parent == Path(tempfile.gettempdir())
    assert Path(folder).parent.stat().st_mode & 0o777 == 0o700


def test_chaos_may_be_met_from_the_last_gate_before_it_to_the_first_end_after_it(reader):
    """A runner that was killed before its chaos came on, or as it went, leaves a gate or an end of its own behind."""
    gate, to = EventName.HEALTH_GATE_PASSED, {"change": "chaos", "subject": "serpapi"}
    events = [
        Event(100, gate, "before chaos: ok", None),
        Event(200, gate, "before chaos: ok", None),
        Event(250, gate, "before update-policy: ok", None),
        Event(150, EventName.CHAOS_MODE_OFF, "of an earlier one", None, **to),
        Event(300, EventName.CHAOS_MODE_ON, "on", "change:3:chaos:on", **to),
        Event(350, EventName.CHAOS_MODE_OFF, "of another tool", None, change="chaos", subject="openai"),
        Event(400, gate, "before chaos: ok", None),
        Event(500, EventName.CHAOS_MODE_OFF, "off", None, **to),
        Event(600, EventName.CHAOS_MODE_OFF, "off once more", None, **to),
    ]
    windows = reader([call(0, 0, 500)], [0], events).execute("select number, on_us, off_us from chaos_windows")
    assert windows.fetchall() == [(3, 200, 500)]


def test_a_gate_of_today_is_told_by_its_key_and_not_by_its_words(reader):
    """What its line says is for people: of version 1 alone, which wrote no key, it says what the gate was before."""
    gate, to = EventName.HEALTH_GATE_PASSED, {"change": "chaos", "subject": "serpapi"}
    events = [
        Event(100, gate, "in other words", "begun:change:3:chaos", **to),
        Event(200, gate, "before chaos: ok", "inbox:1"),
        Event(220, gate, "before chaos: ok", "begun:change:4:chaos", change="chaos", subject="openai"),
        Event(240, gate, "before chaos: ok", None, **to),
        Event(300, EventName.CHAOS_MODE_ON, "on", "change:3:chaos", **to),
        Event(500, EventName.CHAOS_MODE_OFF, "off", None, **to),
    ]
    windows = reader([call(0, 0, 500)], [0], events).execute("select number, on_us, off_us from chaos_windows")
    assert windows.fetchall() == [(3, 100, 500)]


@pytest.mark.parametrize(("ends", "off_us"), [((400, 900), 900), ((900,), 900), ((400,), None)])
def test_chaos_that_a_resumed_runner_made_once_more_ends_with_its_last_time(reader, ends, off_us):
    """Its event has no key then; that of a hand, or of another tool, is none of it, nor is that of the next chaos."""
    on, to = EventName.CHAOS_MODE_ON, {"change": "chaos", "subject": "serpapi"}
    events = [
        Event(300, on, "on", "change:3:chaos", **to),
        Event(500, on, "once more", None, **to),
        Event(950, on, "of another tool", None, change="chaos", subject="openai"),
        Event(960, on, "by hand", "inbox:1", **to),
        *(Event(at_us, EventName.CHAOS_MODE_OFF, "off", None, **to) for at_us in ends),
    ]
    following = [
        Event(2000, on, "on", "change:4:chaos", **to),
        Event(2100, EventName.CHAOS_MODE_OFF, "off", "change:4:chaos:off", **to),
        Event(2200, on, "once more", None, **to),
        Event(2300, EventName.CHAOS_MODE_OFF, "off", None, **to),
    ]
    query = "select number, on_us, off_us from chaos_windows order by number"
    off_us = off_us or 2100  # nobody lived to write its end down: the next is of the same tool
    assert reader([call(0, 0, 500)], [0], [*events, *following]).execute(query).fetchall() == [
        (3, 300, off_us), (4, 2000, 2300),
    ]  # fmt: skip
