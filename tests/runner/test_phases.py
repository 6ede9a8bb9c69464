"""A row of a call that nobody sent is of the phase that the load would have given it."""

import pytest
from virtual_soak import FOUR_HOURS

from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload
from soaklib.runner.clock import SoakClock
from soaklib.runner.gaps import missed_probes, missed_slots
from soaklib.runner.recovery import _Missed

PHASES = ["baseline", "credentials rotated", "chaos", "after chaos", "quota cut"]


@pytest.fixture
def run(world):
    """A whole run, in which a slot is due as chaos ends, and several as another phase begins."""
    made = world(*FOUR_HOURS)
    made.start()
    made.finish()
    return made


def _sent(run):
    rows = run.writer.read("select purpose, slot, step, phase from outcomes where purpose <> 'trial'")
    return {(purpose, slot, step): phase for purpose, slot, step, phase in rows}


def _phases(rows):
    return {(row.purpose.value, row.slot, row.step): row.phase for row in rows}


def test_a_gap_has_the_phases_of_the_load(run):
    """Also of a slot that is due at the very microsecond of a phase's start, which floats have a bit later."""
    settings, plan = run.settings, run.plan
    workload, clock = Workload(plan, settings.seed), SoakClock(run.soak.segment, settings.speed)
    pacer = Pacer(settings.rps, settings.arrivals, settings.seed, settings.total_slots)
    slots = missed_slots(
        range(settings.total_slots), workload=workload, pacer=pacer, soak_clock=clock,
        phases=plan.phase_starts(settings.duration_s),
    )  # fmt: skip
    probes = missed_probes(plan, 0, range(240), workload=workload, soak_clock=clock, duration_s=settings.duration_s)
    sent = _sent(run)
    assert _phases([*slots, *probes]) == sent
    assert list(dict.fromkeys(phase for _, phase in sorted(sent.items()))) == PHASES


def test_what_a_resumed_run_missed_has_the_phases_of_the_load(run):
    """A chain's later step is of the phase of its slot, however late the step before it was done."""
    sent = _sent(run)
    run.writer._execute("delete from outcomes where slot % 2 = 1 or step > 0", [])
    run.writer._execute("update outcomes set done_at_us = done_at_us + 60000000", [])
    clock = SoakClock(run.soak.segment, run.settings.speed)
    missed = _Missed(run.writer, run.settings, run.plan, clock, 0).rows(range(run.settings.total_slots), (240,))
    phases = _phases(missed)
    assert any(step for _, slot, step in phases if slot % 2 == 0)
    assert phases == {key: sent[key] for key in phases}
