"""A call that a quota which the plan cut may deny: found in the events, whoever sent it."""

from pathlib import Path

import pytest
from stored_rows import outcome, written_run

from soaklib.plan.model import load_plan
from soaklib.records import Event
from soaklib.store.cuts import may_be_cut_sql
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME

_PLAN = load_plan()
_NUMBER, _CUT = next((n, change) for n, change in enumerate(_PLAN.changes) if change.do == "update-policy")
_KEY = f"change:{_NUMBER}:update-policy"
_GATE = Event(40, "HEALTH_GATE_PASSED", "before update-policy: healthy", f"begun:{_KEY}")
_MADE = Event(60, str(_CUT.event), "cut", _KEY)


def _call(slot, done_us, **of):
    tool, action = _CUT.action.split(":")
    whose = {"role": _CUT.role, "tool": tool, "action": action}
    return outcome(slot, planned_at_us=1, sent_at_us=1, done_at_us=done_us, **(whose | of))


def _expected(folder, rows, events, plan=_PLAN):
    written_run(folder, plan=plan, rows=rows, events=events)
    connection = open_read_only(folder / DATABASE_NAME)
    said = dict(connection.execute("select slot, expected from calls").fetchall())
    connection.close()
    return said


_REFUSED = Event(60, "CHANGE_FAILED", "update-policy: 400", _KEY)
_AGAIN = Event(80, "HEALTH_GATE_PASSED", "before update-policy: healthy", f"begun:{_KEY}:2")


@pytest.mark.parametrize(
    ("events", "from_us"),
    [
        ([], None),
        ([_GATE, _MADE], 40),
        ([_MADE], 60),
        ([_GATE._replace(key=None), _MADE], 40),
        ([_GATE._replace(key="inbox:1"), _MADE], 60),
        ([_GATE._replace(key=None, change="update-policy"), _MADE], 60),
        ([_GATE._replace(detail="all is well"), _MADE], 40),
        ([_GATE, Event(60, "CHANGE_UNCERTAIN", "update-policy: no answer", _KEY)], 40),
        ([_GATE], 40),
        ([_GATE, _REFUSED], None),
        ([_GATE, _REFUSED._replace(name="CHANGE_UNSUPPORTED")], None),
        ([Event(40, "HEALTH_GATE_FAILED", "before update-policy: down", _KEY)], None),
        ([_GATE, _AGAIN, _MADE._replace(at_us=90)], 40),
        ([_GATE, _MADE, _AGAIN, _REFUSED._replace(at_us=90, key=f"again:begun:{_KEY}:2")], 40),
        ([_MADE._replace(key="change:99:update-policy")], None),
    ],
    ids=["none", "made", "no gate", "version 1", "by hand", "of no key", "in other words",
         "answer lost", "runner died", "refused", "unsupported", "gate failed",
         "made once more", "refused once more", "of no plan"],
)  # fmt: skip
def test_a_call_may_be_denied_from_the_gate_before_the_cut_on(tmp_path, events, from_us):
    """A call that ends from then on is `either`: unless the gateway refused the cut, or nobody asked for it."""
    said = _expected(tmp_path, [_call(done_us, done_us) for done_us in (39, 40, 60, 95)], events)
    assert said == {us: "either" if from_us is not None and us >= from_us else "allow" for us in said}


def test_events_say_what_a_runner_remembered():
    """In the sample, a run of version 1 whose runner wrote it into each row, the events tell the same calls."""
    sample = Path(__file__).parents[2] / "data" / "sample" / DATABASE_NAME
    connection = open_read_only(sample)
    cut = may_be_cut_sql(connection)
    [(recorded, differing)] = connection.execute(
        "select count(*) filter (expected = 'either'),"
        f" count(*) filter ((expected = 'either') <> ({cut})) from outcomes"
    ).fetchall()
    connection.close()
    assert recorded > 0
    assert differing == 0


def test_a_cut_says_nothing_of_other_calls(tmp_path):
    """Another role, tool or action, and a call that must be denied, stay as the plan says."""
    rows = [
        _call(0, 90), _call(1, 90, role="scraper"), _call(2, 90, tool="http_fetch"), _call(3, 90, action="embed"),
        _call(4, 90, expected="deny"), _call(5, 30, expected="either"), _call(6, None),
        _call(7, None)._replace(planned_at_us=70),
    ]  # fmt: skip
    said = _expected(tmp_path, rows, [_GATE, _MADE])
    assert said == {0: "either", 1: "allow", 2: "allow", 3: "allow", 4: "deny", 5: "either", 6: "allow", 7: "either"}
