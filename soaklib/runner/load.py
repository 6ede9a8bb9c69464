"""The load: an open model that starts every slot at its planned time, whatever the answers do.

A slot that finds the in-flight cap reached becomes a row of kind ``dropped``; after a stall the slots that are overdue
leave late, with their lag in the data, and none is skipped. Every planned call ends as exactly one row.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soaklib.plan.workload import probe_slot
from soaklib.records import EventName, Kind, Outcome, Purpose, Reason
from soaklib.runner.rows import CUT_OFF, DROPPED, SKIPPED, Phases, Planned, outcome_of
from soaklib.targets.base import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soaklib.plan.pacer import Pacer
    from soaklib.plan.workload import Call, Workload
    from soaklib.runner.client import Client
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.tokens import AgentPool
    from soaklib.runner.vitals import Vitals
    from soaklib.targets import Target
    from soaklib.targets.base import Identity, Reading

__all__ = ["Load", "Schedule"]

_YIELD_EVERY: Final = 32  # overdue slots started in a row before answers get their turn
# The loop is not woken more often than this: at thousands of slots a second a wake-up each would cost more than a call.
# A slot leaves up to this much late, never early, and its lag is in the data.
_GRAIN_S: Final = 0.001
_LATE_US: Final = 1_000_000
_ON_TIME_US: Final = 100_000
_INVALID_IN_A_ROW: Final = 5
"""So many calls in a row refused for their token, whatever their role, say that the gateway takes none of them."""
_TAKEN: Final = frozenset({Kind.OK, Kind.DENIED, Kind.RATE_LIMITED})
"""What a call becomes whose token was taken."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a load sends, and when: all of a plan's slots, or a lane's share of them.

    Attributes
    ----------
    pacer, workload
        When each slot is due, and what it does.
    soak_clock
        Where on the run's clock soak time lies.
    phases
        (soak second, name) of the plan's phases, in order.
    total_slots
        How many slots the plan has.
    lane
        Which sender of a fleet this is; None where there is one.
    stride
        One in how many slots this load sends: all of them, or a lane's of a fleet.
    """

    pacer: Pacer
    workload: Workload
    soak_clock: SoakClock
    phases: Sequence[tuple[float, str]]
    total_slots: int
    lane: int | None = None
    stride: int = 1

    def due_us(self, slot: int) -> int:
        """When a slot is due, on the run's clock."""
        return self.soak_clock.at_us(self.pacer.due_s(slot))


class Load:
    """Sends the load's slots and the probes.

    Parameters
    ----------
    schedule
        What is sent, and when.
    target
        Makes the calls' requests and reads their answers.
    client, pool
        Send its calls, as the identities of their roles.
    clock
        The run's clock.
    vitals, events
        Are told of lags and stalls.
    record
        Takes each outcome's row.
    max_in_flight
        How many operations may be under way.

    Attributes
    ----------
    next_slot, next_turns
        The slot, and the turn of each probe, that is to be started next.
    agents_lost
        Set when the gateway does not take the run's agents or tokens.
    rate_limited
        Has the role whose call was the first that a limit of calls stopped: one that is not known to be another.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        target: Target,
        client: Client,
        pool: AgentPool,
        clock: RunClock,
        vitals: Vitals,
        events: EventLog,
        record: Callable[[Outcome], None],
        max_in_flight: int,
    ) -> None:
        self._schedule, self._target, self._client, self._pool = schedule, target, client, pool
        self._clock, self._vitals, self._events, self._record_row = clock, vitals, events, record
        self._max_in_flight = max_in_flight
        self._templates = [target.compile(call.step, call.role) for call in schedule.workload.calls]
        self._open: set[asyncio.Task[None]] = set()
        self._phases = Phases(schedule.phases, schedule.soak_clock)
        self._late_slots = 0
        self._latest_us = 0
        self._invalid_in_a_row = 0
        self.next_slot = 0
        self.next_turns = [0] * len(schedule.workload.probes)
        self._next_probes_us: dict[int, int] = {}
        self.agents_lost = asyncio.Event()
        self.rate_limited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send_slots(self, first: int) -> None:
        """Start every slot from `first` on, stride by stride, at its planned time; returns when the last one has left.

        Raises
        ------
        ClockJumpedError
            The machine slept: what is due now was planned by a time that is past.
        """
        now_us, due_us = self._clock.now_us, self._schedule.due_us
        total, stride = self._schedule.total_slots, self._schedule.stride
        slot = self.next_slot = first
        while slot < total:
            started = 0
            now = now_us()
            while slot < total and (due := due_us(slot)) <= now:
                self._start_slot(slot, due, now)
                slot = self.next_slot = slot + stride
                started += 1
                if started % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                    now = now_us()
            if slot < total:
                await asyncio.sleep(max(_GRAIN_S, (due - now_us()) / 1e6))
                self._clock.raise_if_jumped()
        self._note_lateness(0)

    async def send_probes(self, which: int, every_s: float, first: int, count: int) -> None:
        """Send a probe every `every_s` soak seconds, from its turn `first` up to `count` in all."""
        probes = self._schedule.workload.probes
        self.next_turns[which] = first
        for turn in range(first, count):
            due = self._next_probes_us[which] = self._schedule.soak_clock.at_us(turn * every_s)
            await self._clock.sleep_until(due)
            self._clock.raise_if_jumped()
            slot = probe_slot(turn, which, len(probes))
            self._start(Purpose.PROBE, slot, (probes[which],), slot, due)
            self.next_turns[which] = turn + 1
        self._next_probes_us.pop(which, None)

    @property
    def next_due_us(self) -> int:
        """When the next slot or probe is due that has not been started, on the run's clock; at the last slot's end."""
        return min([self._schedule.due_us(self.next_slot), *self._next_probes_us.values()])

    async def watch(self) -> None:
        """Wait for an operation that ends with an exception, and raise it; answers never do."""
        await self._failure

    async def drain(self, within_s: float) -> int:
        """Wait for open operations, then cut off the rest; give how many were cut off."""
        if self._open:
            await asyncio.wait(self._open, timeout=within_s)
        cut_off = list(self._open)
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off)
        return len(cut_off)

    def _start_slot(self, slot: int, due: int, now: int) -> None:
        self._note_lateness(now - due)
        calls, number = self._schedule.workload.operation(slot)
        self._start(Purpose.LOAD, slot, calls, number, due)
        self._vitals.slots_passed = slot + 1

    def _start(self, purpose: Purpose, slot: int, calls: tuple[Call, ...], number: int, due: int) -> None:
        plan = Planned(purpose, slot, calls, number, self._phases.at(due), self._schedule.lane)
        if self._vitals.in_flight >= self._max_in_flight:
            self._record(plan, 0, due, DROPPED)
            self._record_skipped(plan, 1, due)
            return
        self._vitals.in_flight += 1
        task = asyncio.create_task(self._operate(plan, due))
        self._open.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._vitals.in_flight -= 1
        self._open.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)  # a defect of ours: the run ends, loudly

    async def _operate(self, plan: Planned, planned_us: int) -> None:
        """Make the calls of one operation, each when the one before it was ok."""
        for step, call in enumerate(plan.calls):
            template, identity = self._templates[call.place], self._pool.take(call.role)
            wire = template.request(identity, plan.number)
            sent_us = self._clock.now_us()
            self._vitals.saw_sending(plan.purpose, call.tool, sent_us - planned_us)
            try:
                answer = await self._client.send(wire, self._target.reader(template), stall_s=template.stall_s)
            except asyncio.CancelledError:
                self._record(plan, step, planned_us, CUT_OFF, identity=identity, sent_us=sent_us)
                self._record_skipped(plan, step + 1, planned_us)
                raise
            reading = answer.reading
            self._look_at_identity(reading, plan.purpose, call.role)
            self._record(
                plan, step, planned_us, reading, identity=identity, sent_us=answer.sent_at_us,
                done_us=answer.done_at_us, status=answer.status,
            )  # fmt: skip
            planned_us = answer.done_at_us
            if reading.kind is not Kind.OK:
                self._record_skipped(plan, step + 1, planned_us)
                return

    def _look_at_identity(self, reading: Reading, purpose: Purpose, role: str) -> None:
        """See whether the gateway still takes the run's agents: after a restart it may know none, or have a new key.

        A probe may have a token that is to be refused: while nothing else is answered, it says nothing of the others.
        """
        if reading.lost_identity:
            self.agents_lost.set()
        elif reading.kind in _TAKEN:
            self._invalid_in_a_row = 0
            is_of_calls = reading.limit in (None, Limit.REQUESTS)
            if reading.kind is Kind.RATE_LIMITED and is_of_calls and not self.rate_limited.done():
                self.rate_limited.set_result(role)
        elif reading.reason is Reason.TOKEN_INVALID and purpose is Purpose.LOAD:
            self._invalid_in_a_row += 1
            if self._invalid_in_a_row >= _INVALID_IN_A_ROW:
                self.agents_lost.set()

    def _record_skipped(self, plan: Planned, first_step: int, planned_us: int) -> None:
        for step in range(first_step, len(plan.calls)):
            self._record(plan, step, planned_us, SKIPPED)

    def _record(
        self,
        plan: Planned,
        step: int,
        planned_us: int,
        reading: Reading,
        *,
        identity: Identity | None = None,
        sent_us: int | None = None,
        done_us: int | None = None,
        status: int | None = None,
    ) -> None:
        """Make a call's row, and give it to all who look at rows."""
        row = outcome_of(
            plan, step, planned_us, reading, plan.calls[step].expected, identity=identity, sent_us=sent_us,
            done_us=done_us, status=status,
        )  # fmt: skip
        self._vitals.saw_outcome(row)
        self._record_row(row)

    def _note_lateness(self, lag_us: int) -> None:
        """Say once for every stall how many slots left late and by how much at most."""
        if lag_us > _LATE_US or (self._late_slots and lag_us > _ON_TIME_US):
            self._late_slots += 1
            self._latest_us = max(self._latest_us, lag_us)
        elif self._late_slots:
            self._events.write(
                EventName.LATE_SENDING, f"{self._late_slots} slots left up to {self._latest_us / 1e6:.3f} s late"
            )
            self._late_slots = self._latest_us = 0
