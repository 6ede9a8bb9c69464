"""How soon a tool must have recovered, where a soak goes by so fast that the limit is less than the wall can tell."""

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.lasting import recovers_after_lasting_changes
from soaklib.plan.changes import UpstreamChange
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName

SPEED = 2880.0  # a day in half a minute: 120 soak seconds are 42 ms of the wall
MS = 1000
MADE_MS, UNDONE_MS, END_MS = 1000, 1600, 4000
OUTAGE = UpstreamChange(
    do="upstream", behave={"mode": "500", "only": ["openai"]}, at=0.1, lasts=0.1, name="outage", phase="outage",
    phase_after="after",
)  # fmt: skip
EVENTS = [
    Event(MADE_MS * MS, EventName.CHANGE_MADE, "", "change:0:x", "x", "outage", '{"name":"outage"}'),
    Event(UNDONE_MS * MS, EventName.CHANGE_UNDONE, "", "change:0:x:off", "x", "outage", '{"name":"outage"}'),
]


@pytest.fixture
def judged(tmp_path):
    """Give a function that judges a run, a call a millisecond, in which calls fail until so long after the end."""

    def judge(until_ms, speed=SPEED):
        rows = [
            outcome(
                ms, tool="openai", kind="upstream_error" if MADE_MS <= ms < UNDONE_MS + until_ms else "ok",
                planned_at_us=ms * MS, sent_at_us=ms * MS, done_at_us=ms * MS + 500,
            )
            for ms in range(END_MS)
        ]  # fmt: skip
        plan = load_plan().model_copy(update={"changes": (OUTAGE,)})
        with soaklib.open_run(written_run(tmp_path, plan=plan, rows=rows, events=EVENTS, speed=speed)) as run:
            return recovers_after_lasting_changes(run), soaklib.planned_windows(run)

    return judge


def test_a_lag_of_the_wall_is_no_slow_recovery(judged):
    """A tenth of a second late is no lateness of the generator, and 288 soak seconds."""
    verdict, windows = judged(100)
    assert (verdict.state, verdict.measure) == ("pass", pytest.approx(285.12))
    assert verdict.threshold == "<= 864 soak s (0.3 s of the wall) after each was undone, then ok calls"
    assert windows["end_s"].to_list() == pytest.approx([UNDONE_MS * MS * SPEED / 1e6 + 864])


def test_what_the_wall_can_tell_is_told(judged):
    """Four tenths of a second are beyond it."""
    assert judged(400)[0].state == "fail"


def test_a_soak_in_no_hurry_is_judged_in_its_own_time(judged):
    """At the wall's speed the limit is the stated one."""
    verdict, _ = judged(100, speed=1.0)
    assert (verdict.state, verdict.threshold) == ("pass", "<= 120 soak s after each was undone, then ok calls")
