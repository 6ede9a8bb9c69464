"""The open model, on a virtual clock with a gateway that answers as told."""

import asyncio
import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

import pytest
from virtual_time import run_virtually

from soaklib.plan.model import load_plan
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload
from soaklib.records import Expected, Kind, Reason
from soaklib.runner.client import Answer
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.load import Load, Schedule
from soaklib.runner.vitals import Vitals
from soaklib.store.views import Segment
from soaklib.targets.base import Identity, Limit, Reading
from soaklib.targets.fourrunr.target import FourRunrTarget

SPEED = 10.0
CALLS_OF_200_SLOTS = 200 + sum(len(Workload(load_plan(), 1).operation(n)[0]) - 1 for n in range(200))


class FakePool:
    """One token a role."""

    def take(self, role):
        return Identity(f"r1-{role}-0", role, role, generation=3)


@dataclass
class FakeEvents:
    """Events, kept."""

    written: list = field(default_factory=list)

    def write(self, name, detail="", *, key=None):
        self.written.append((name, detail, key))


@dataclass
class FakeClient:
    """Answers after `service_s` with what `answer(body)` says."""

    loop: object
    clock: RunClock
    service_s: float = 0.01
    answer: object = staticmethod(lambda _body: (Kind.OK, None))
    most_at_once: int = 0
    _at_once: int = 0

    async def send(self, wire, reader, *, stall_s=None):
        del reader, stall_s
        sent_us = self.clock.now_us()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.service_s)
        finally:
            self._at_once -= 1
        kind, reason, *limit = self.answer(wire.body)
        reading = Reading(kind, reason, *limit, correlation_id="req_1", lost_identity=reason is Reason.AGENT_NOT_FOUND)
        return Answer(sent_us, self.clock.now_us(), 200, reading)


class Bench:
    """A load of `slots` slots on a virtual loop."""

    def __init__(self, loop, *, slots=200, cap=1000, rps=10.0, plan=None, **client):
        anchor = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        self.clock = RunClock(anchor, monotonic_ns=loop.monotonic_ns, utc_now=lambda: anchor)
        self.client = FakeClient(loop, self.clock, **client)
        self.rows, self.events, self.vitals = [], FakeEvents(), Vitals()
        schedule = Schedule(
            pacer=Pacer(rps),
            workload=Workload(plan or load_plan(), 1),
            soak_clock=SoakClock(Segment(segment=0, started_at_us=0, soak_started_s=0.0), SPEED),
            phases=[(0.0, "baseline"), (10.0, "chaos")],
            total_slots=slots,
        )
        self.load = Load(
            schedule, target=FourRunrTarget(), client=self.client, pool=FakePool(), clock=self.clock,
            vitals=self.vitals, events=self.events, record=self.rows.append, max_in_flight=cap,
        )  # fmt: skip

    def kinds(self):
        return Counter(row.kind for row in self.rows)


def run(main):
    return run_virtually(main)


def test_every_slot_leaves_at_its_planned_time_whatever_the_answers_do():
    """With answers that take longer than the whole load, no slot waits for another."""

    async def main(loop):
        bench = Bench(loop, service_s=60.0)
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        return bench

    bench = run(main)
    first_steps = [row for row in bench.rows if row.step == 0]
    assert [row.slot for row in sorted(first_steps, key=lambda row: row.sent_at_us)] == list(range(200))
    assert all(row.planned_at_us == round(row.slot / 10 / SPEED * 1e6) for row in first_steps)
    assert max(row.sent_at_us - row.planned_at_us for row in first_steps) < 100
    assert bench.client.most_at_once == 200


def test_a_chains_second_call_is_planned_when_the_first_is_done():
    """Step 1 has step 0's done time as its planned time, and both carry the slot's phase."""

    async def main(loop):
        bench = Bench(loop)
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        return bench.rows

    rows = run(main)
    assert len(rows) == CALLS_OF_200_SLOTS
    done = {row.slot: row.done_at_us for row in rows if row.step == 0}
    second = [row for row in rows if row.step == 1]
    assert second
    assert all(row.planned_at_us == done[row.slot] for row in second)
    assert {row.phase for row in rows if row.slot < 100} == {"baseline"}
    assert {row.phase for row in rows if row.slot >= 100} == {"chaos"}


def test_a_step_after_one_that_was_not_ok_is_skipped():
    """The row is there, was never sent, and says why."""

    async def main(loop):
        bench = Bench(loop, answer=lambda _body: (Kind.UPSTREAM_ERROR, Reason.UPSTREAM))
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        return bench.rows

    rows = run(main)
    assert len(rows) == CALLS_OF_200_SLOTS
    skipped = [row for row in rows if row.step == 1]
    assert {(row.kind, row.reason, row.attempts, row.sent_at_us) for row in skipped} == {
        (Kind.SKIPPED, Reason.STEP_NOT_OK, 0, None)
    }


def test_at_the_cap_a_slot_is_dropped_never_delayed():
    """With room for 5 operations that never come back in time, 195 of 200 slots are dropped at their planned time."""

    async def main(loop):
        bench = Bench(loop, cap=5, service_s=60.0)
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        return bench

    bench = run(main)
    dropped = [row for row in bench.rows if row.kind == Kind.DROPPED]
    assert len({row.slot for row in dropped}) == 195
    assert bench.client.most_at_once == 5
    assert {(row.reason, row.sent_at_us, row.done_at_us, row.attempts) for row in dropped} == {
        (Reason.IN_FLIGHT_CAP, None, None, 0)
    }
    assert len(bench.rows) == CALLS_OF_200_SLOTS


def test_after_a_stall_overdue_slots_leave_late_and_it_is_said():
    """A stall of 3 s makes 300 slots late; every one of them is sent, with its lag, and one event tells of it."""

    async def main(loop):
        bench = Bench(loop, slots=1000)
        sending = asyncio.create_task(bench.load.send_slots(0))
        await asyncio.sleep(2.0)
        loop.advance(3.0)
        await sending
        await bench.load.drain(1e9)
        return bench

    bench = run(main)
    first_steps = [row for row in bench.rows if row.step == 0]
    assert sorted(row.slot for row in first_steps) == list(range(1000))
    lags_s = [(row.sent_at_us - row.planned_at_us) / 1e6 for row in first_steps]
    assert max(lags_s) == pytest.approx(3.0, abs=0.02)
    assert sum(lag_s > 0.001 for lag_s in lags_s) == pytest.approx(300, abs=2)
    [(name, detail, _)] = bench.events.written
    assert name == "LATE_SENDING"
    assert "slots left up to 3.0" in detail or "slots left up to 2.99" in detail


def test_a_stop_cuts_off_what_is_open_and_says_so_in_the_rows():
    """After the drain's time is up, open calls are rows of kind interrupted with no done time."""

    async def main(loop):
        bench = Bench(loop, service_s=60.0)
        await bench.load.send_slots(0)
        cut_off = await bench.load.drain(1.0)
        return bench, cut_off

    bench, cut_off = run(main)
    assert cut_off == 200
    assert bench.kinds()[Kind.INTERRUPTED] == 200
    assert len(bench.rows) == CALLS_OF_200_SLOTS
    assert bench.vitals.in_flight == 0
    interrupted = [row for row in bench.rows if row.kind == Kind.INTERRUPTED]
    assert all(row.sent_at_us is not None and row.done_at_us is None for row in interrupted)


def test_probes_number_their_own_slots_and_keep_their_interval():
    """Ten probes, a soak-minute apart, are planned at their minutes."""

    async def main(loop):
        bench = Bench(loop)
        await bench.load.send_probes(0, 60.0, 0, 10)
        await bench.load.drain(1e9)
        return bench.rows

    rows = run(main)
    assert [(row.purpose, row.slot, row.planned_at_us) for row in rows] == [
        ("probe", minute, minute * 6_000_000) for minute in range(10)
    ]
    assert {row.expected for row in rows} == {Expected.DENY}


def test_a_forgotten_agent_and_a_rate_limit_are_signalled():
    """Answers that tell of either set the flag that the soak acts on."""

    async def main(loop):
        bench = Bench(loop, slots=1, answer=lambda _body: (Kind.UNAUTHORIZED, Reason.AGENT_NOT_FOUND))
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        other = Bench(loop, slots=1, answer=lambda _body: (Kind.RATE_LIMITED, Reason.RATE_LIMIT))
        await other.load.send_slots(0)
        await other.load.drain(1e9)
        return bench.load, other.load

    lost, limited = run(main)
    assert (lost.agents_lost.is_set(), lost.rate_limited.done()) == (True, False)
    assert (limited.agents_lost.is_set(), limited.rate_limited.done()) == (False, True)


@pytest.mark.parametrize(
    ("limit", "is_of_calls"),
    [(Limit.REQUESTS, True), (None, True)] + [(limit, False) for limit in Limit if limit is not Limit.REQUESTS],
)
def test_a_limit_of_something_else_than_calls_is_not_signalled(limit, is_of_calls):
    """More agents do not help where tokens, calls in flight or money are used up; one that is not told may be."""

    async def main(loop):
        bench = Bench(loop, slots=1, answer=lambda _body: (Kind.RATE_LIMITED, Reason.RATE_LIMIT, limit))
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        return bench.load.rate_limited.done()

    assert run(main) is is_of_calls


def test_a_probe_whose_token_is_refused_says_nothing_of_the_agents():
    """While nothing else is answered, probes that are to be refused do not make the load's agents lost; calls do."""

    async def main(loop):
        lost = []
        for send in ("send_probes", "send_slots"):
            bench = Bench(loop, slots=10, answer=lambda _body: (Kind.UNAUTHORIZED, Reason.TOKEN_INVALID))
            await getattr(bench.load, send)(*((0, 60.0, 0, 10) if send == "send_probes" else (0,)))
            await bench.load.drain(1e9)
            lost.append(bench.load.agents_lost.is_set())
        return lost

    assert run(main) == [False, True]


def test_a_defect_in_an_operation_ends_the_run_loudly():
    """An exception that is no answer is raised to whoever watches the load."""

    async def main(loop):
        def broken(_body):
            msg = "a defect of ours"
            raise ZeroDivisionError(msg)

        bench = Bench(loop, slots=1, answer=broken)
        await bench.load.send_slots(0)
        await bench.load.drain(1e9)
        await bench.load.watch()

    with pytest.raises(ZeroDivisionError, match="a defect of ours"):
        run(main)


def test_the_probes_of_a_plan_number_their_slots_together():
    """Two probes of other cadences: every turn has a key of its own, and leaves at its own time."""
    plan = load_plan()
    [probe] = plan.probes
    other = probe.model_copy(update={"action": "draft", "every_s": 25.0})

    async def main(loop):
        bench = Bench(loop, plan=plan.model_copy(update={"probes": (probe, other)}))
        await asyncio.gather(bench.load.send_probes(0, 10.0, 0, 5), bench.load.send_probes(1, 25.0, 0, 2))
        await bench.load.drain(1e9)
        return bench.rows

    rows = sorted(run(main), key=lambda row: (row.action, row.slot))
    planned = [(row.action, row.slot, row.planned_at_us * SPEED / 1e6) for row in rows]
    assert planned == [("draft", 1, 0.0), ("draft", 3, 25.0)] + [("send", 2 * turn, 10.0 * turn) for turn in range(5)]
