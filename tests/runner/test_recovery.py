"""What a resumed run finds of its past, when the plan has several probes."""

import datetime as dt
from importlib.resources import files
from pathlib import Path

import pytest

from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.plan.workload import Workload, probe_slot
from soaklib.records import Event, HealthTick, Outcome
from soaklib.runner.recovery import recover
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

PLAN = load_plan(Path(str(files("soaklib.plan").joinpath("example_plan.toml"))))
EVERY_S = (60, 300)


def _row(purpose, slot, call, planned_us, *, kind="ok", step=0):
    return Outcome(
        purpose, slot, step, call.role, call.tool, call.action, planned_us, planned_us, planned_us + 900, 200, kind,
        call.expected, None, 1, 0, f"req_{slot}", "baseline",
    )  # fmt: skip


@pytest.fixture
def past(tmp_path):
    """A run at speed 1 whose runner died 10 minutes in, with all rows but those of three probes and one slot."""
    settings = load_settings(["--hours", "2", "--rps", "0.1", "--speed", "1"])
    workload = Workload(PLAN, settings.seed)
    writer = RunWriter(tmp_path / DATABASE_NAME)
    writer.begin_run(
        Manifest(
            run_id="r1", soaklib_version="0", anchor_utc=dt.datetime(2026, 11, 24, tzinfo=dt.UTC), speed=1.0, rps=0.1,
            hours=2.0, seed=settings.seed, target="", embedded=False, settings=settings.public_json(),
            plan=PLAN.model_dump_json(), environment="{}",
        )
    )  # fmt: skip
    load = [
        _row("load", slot, call, slot * 10_000_000 + step, step=step)
        for slot in range(60)
        for step, call in enumerate(workload.operation(slot)[0])
        if slot != 7
    ]
    lost = {(0, 3), (0, 4), (1, 1)}  # (which probe, turn)
    probes = [
        _row("probe", probe_slot(turn, which, 2), workload.probes[which], turn * every_s * 1_000_000, kind="denied")
        for which, every_s in enumerate(EVERY_S)
        for turn in range(600 // every_s)
        if (which, turn) not in lost
    ]
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
    tick = HealthTick(600_000_000, *[0] * 13)
    writer.append(
        {"segments": [segment_row(segment, runner_pid=1)], "outcomes": load + probes, "runner_health": [tick]}
    )
    found = recover(writer, settings, PLAN)
    rows = writer.read("select purpose, slot, step, tool, planned_at_us, kind from outcomes order by 1, 2, 3")
    writer.close()
    return found, rows, len(workload.operation(7)[0])


def test_lost_probes_of_each_sort_become_missed_at_their_own_times(past):
    """Each probe has its own slots, so that one's rows are never taken for another's."""
    _, rows, _ = past
    assert [(slot, tool, planned_us / 1e6) for purpose, slot, _, tool, planned_us, kind in rows if kind == "missed"
            and purpose == "probe"] == [(3, "jira", 300.0), (6, "slack", 180.0), (8, "slack", 240.0)]  # fmt: skip


def test_every_planned_call_up_to_the_end_has_one_row(past):
    """Sixty slots, ten turns of the one probe and two of the other."""
    found, rows, _ = past
    keys = [row[:3] for row in rows]
    assert len(keys) == len(set(keys))
    assert {slot for purpose, slot, *_ in rows if purpose == "load"} == set(range(60))
    assert {slot for purpose, slot, *_ in rows if purpose == "probe"} == {*range(0, 20, 2), 1, 3}
    assert found.first_slot == 60
    assert found.first_probes == (10, 2)


def test_what_was_counted_goes_on_from_the_rows(past):
    """By purpose, tool and kind; a missed call was not sent."""
    found, rows, steps = past
    assert found.outcomes["probe", "slack", "missed"] == 2
    assert found.outcomes["probe", "slack", "denied"] == found.sent_calls["probe", "slack"] == 8
    assert sum(found.outcomes.values()) == len(rows)
    assert sum(found.sent_calls.values()) == len(rows) - 3 - steps


BEGUN = ("HEALTH_GATE_PASSED", "before chaos: healthy", "begun:change:1:chaos")
ON = ("CHAOS_MODE_ON", "tool=openai mode=500 pct=50", "change:1:chaos")
OFF = ("CHAOS_MODE_OFF", "tool=openai", "change:1:chaos:off")


@pytest.mark.parametrize(
    ("events", "tools"),
    [
        ([], set()),
        ([BEGUN], {"openai"}),
        ([BEGUN, ON], {"openai"}),
        ([ON], {"openai"}),  # of a version that wrote no beginning down
        ([BEGUN, ("CHANGE_UNCERTAIN", "chaos: no answer", "change:1:chaos")], {"openai"}),
        ([BEGUN, ("CHANGE_FAILED", "chaos: refused", "change:1:chaos")], set()),
        ([BEGUN, ("CHANGE_UNSUPPORTED", "chaos: no route", "change:1:chaos")], set()),
        ([("HEALTH_GATE_FAILED", "before chaos: down", "change:1:chaos")], set()),
        ([BEGUN, ON, OFF], set()),
        ([BEGUN, ON, ("CHAOS_MODE_OFF", "tool=openai", None), ("x", "", "begun:change:1:chaos:2")], {"openai"}),
        ([BEGUN, ON, ("CHAOS_MODE_OFF", "tool=jira", None)], {"openai"}),
        ([("CHAOS_MODE_ON", "tool=openai", "inbox:1-1")], set()),  # by hand, and for a hand to end
        ([("HEALTH_GATE_PASSED", "before update-policy", "begun:change:2:update-policy")], set()),
    ],
)
def test_chaos_may_be_on_from_its_beginning_until_its_end_or_a_refusal(tmp_path, events, tools):
    """The events say it, in their order."""
    settings = load_settings(["--hours", "2", "--rps", "0.1", "--speed", "1"])
    writer = RunWriter(tmp_path / DATABASE_NAME)
    writer.begin_run(
        Manifest(
            run_id="r1", soaklib_version="0", anchor_utc=dt.datetime(2026, 11, 24, tzinfo=dt.UTC), speed=1.0, rps=0.1,
            hours=2.0, seed=settings.seed, target="", embedded=False, settings=settings.public_json(),
            plan=load_plan().model_dump_json(), environment="{}",
        )
    )  # fmt: skip
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
    rows = [Event(at_us, *event) for at_us, event in enumerate(events)]
    writer.append({"segments": [segment_row(segment, runner_pid=1)], "events": rows})
    found = recover(writer, settings, load_plan())
    writer.close()
    assert {change.tool for change in found.may_be_on} == tools
    assert found.done == {key: name for name, _, key in events if key is not None}
