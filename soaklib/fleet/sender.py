"""One sender: a lane's slots at their planned times, with identities, tokens and a database of its own.

It needs nobody while it runs. Its schedule follows from the plan, the settings, the start and its lane; what the plan
has rotated it rotates by the plan's clock; and a word to stop is the only one that it listens to. Slots that were due
before it came, or while its machine slept, become rows of kind ``missed``: it never makes up for them in a burst.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from soaklib.errors import RecordingError, SoaklibError, TargetError
from soaklib.fleet.desk import ask_start
from soaklib.fleet.offset import KeptOffset
from soaklib.plan.cadence import occurrences
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload
from soaklib.records import EventName, RunStatus
from soaklib.runner.agent_keeper import keep_agents
from soaklib.runner.clean_up import clean_up, hand_over_rows
from soaklib.runner.clock import ClockJumpedError, SoakClock
from soaklib.runner.events import EventLog
from soaklib.runner.gaps import ROWS_AT_A_TIME, missed_slots
from soaklib.runner.garbage import settle_garbage
from soaklib.runner.load import Load, Schedule
from soaklib.runner.rate_limit import say_rate_limit
from soaklib.runner.recovery import Past
from soaklib.runner.side_by_side import heeding, run_side_by_side
from soaklib.runner.timeslice import ask_for_short_slices
from soaklib.runner.tokens import AgentPool
from soaklib.runner.vitals import Vitals
from soaklib.store.names import EVENT_LOG_NAME
from soaklib.store.views import Segment
from soaklib.targets import load_target
from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from soaklib.fleet.job import LaneJob
    from soaklib.fleet.lanes import Lane
    from soaklib.records import HealthTick
    from soaklib.runner.client import Client
    from soaklib.runner.recorder import Recorder
    from soaklib.runner.surroundings import Surroundings
    from soaklib.targets.admin import Admin

__all__ = ["Sender", "SenderResult"]

_MEASURE_EVERY_S: Final = 3600.0
_AWAKE_WITHIN_S: Final = 300.0
_LOOK_AT_CLOCK_S: Final = 1.0
_ON_TIME_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class SenderResult:
    """How a sender ended.

    Attributes
    ----------
    status
        ``completed``, ``interrupted`` or ``failed``.
    segments
        The stretches in which it sent, their ends filled in.
    error
        Why it failed; None otherwise.
    """

    status: RunStatus
    segments: tuple[Segment, ...]
    error: SoaklibError | None = None


class _NothingToPrepare:
    """The part of an admin that the keeper of a lane's agents asks: what exists once is the conductor's."""

    async def prepare(self, *, anew: bool = False) -> None:
        """Leave it to the conductor, whose own calls find out that what it prepared is gone."""


@dataclass
class Sender:
    """One sender.

    Attributes
    ----------
    job, lane
        What is to be done, and its share.
    folder
        Where it records.
    surroundings
        What it works with outside of itself.
    past
        What its database tells of an earlier life.
    applied_us
        By how much its clock was taken to be ahead then.
    """

    job: LaneJob
    lane: Lane
    folder: Path
    surroundings: Surroundings
    past: Past = field(default_factory=Past)
    applied_us: int = 0

    def __post_init__(self) -> None:
        job, past = self.job, self.past
        self._target = load_target(job.plan.target)
        self._name = f"{job.run_id}-lane{self.lane.number}"
        self.settings = job.settings_of(self.lane)
        self.vitals = Vitals(outcomes=Counter(past.outcomes), sent_calls=Counter(past.sent_calls))
        self.clock = self.surroundings.clock(job.anchor_utc, not_before_us=past.last_us + 1)
        self.recorder = self.surroundings.recorder(self.folder, on_warning=self._warn)
        self.events = EventLog(self.folder / EVENT_LOG_NAME, self.clock, self.recorder.event, done=past.done)
        self.workload = Workload(job.plan, self.settings.seed)
        self.pacer = Pacer.of(self.settings)
        self.offset = KeptOffset(job, self.clock, self.events, applied_us=self.applied_us)
        self.has_sent = False
        self._ended: list[Segment] = []
        self._load: Load | None = None
        self._owes_tokens = False  # it woke up, and got no new ones
        self._tokens_asked_us = 0  # for those in place

    @property
    def slots_passed(self) -> int:
        """Slots of the whole schedule that are behind it."""
        return 0 if self._load is None else min(self._load.next_slot, self.settings.total_slots)

    async def run(self, stop: asyncio.Event) -> SenderResult:
        """Send until the lane's last slot has left and come back, or `stop` is set; all is on disk when it returns."""
        await self.recorder.start()
        status, error = RunStatus.FAILED, None
        with self.events:
            link = self.surroundings.link(self.job.plan, run_id=self._name, tell=self.events.write)
            async with (
                self.surroundings.admin(self._target, link) as admin,
                self.surroundings.client(self.clock) as client,
            ):
                try:
                    completed = await self._send(admin, client, stop)
                    status = RunStatus.COMPLETED if completed else RunStatus.INTERRUPTED
                except SoaklibError as exc:
                    error = exc
                finally:
                    await self._let_go(admin)
            await self.offset.measure()
            error = error or self.events.error
            kinds = " ".join(f"{kind}={count}" for kind, count in sorted(self.vitals.kinds.items()))
            self.events.write(EventName.LANE_ENDED, f"{status} {kinds} {error or ''}")
            try:
                await self.recorder.close()
            except SoaklibError as exc:
                error = error or exc
        return SenderResult(status=RunStatus.FAILED if error else status, segments=tuple(self._ended), error=error)

    async def _let_go(self, admin: Admin) -> None:
        """End the sessions of the lane's agents, and take their keys and tokens back; that it failed is said."""
        if self.past.was_begun:
            await clean_up(admin.clear_left({}), self.events)  # what an earlier sender of the lane was given
        await clean_up(admin.clear(), self.events)

    # -- before the start

    async def _send(self, admin: Admin, client: Client, stop: asyncio.Event) -> bool:
        """Get ready, wait for the start, and send segment after segment; say whether it came to the end."""
        await self.offset.measure(is_start=True, is_new=not self.past.was_begun)
        pool = AgentPool(
            admin, self.job.plan.roles, agents_per_role=self.settings.agents_per_role, run_id=self._name,
            lifetime_s=self.job.plan.intervals.token_lifetime_s / self.settings.speed, generation=self.past.generation,
            utc_now=self.surroundings.utc_now,
        )  # fmt: skip
        await pool.create()
        self.events.write(EventName.AGENTS_CREATED, f"{pool.agent_count} of lane {self.lane}")
        settle_garbage()
        ask_for_short_slices()
        zero_us = await self._start_us(stop)
        if zero_us is None:
            return False
        if await heeding(stop, self._first_tokens(pool, zero_us)) is None:
            return False
        return await self._run_segments(client, pool, zero_us, stop)

    async def _first_tokens(self, pool: AgentPool, zero_us: int) -> None:
        """Wait until it is time to ask for them, and do."""
        await self.clock.sleep_until(zero_us - self.job.tokens_before_us)
        asked_us = self.clock.now_us()
        await pool.rotate(within_s=self.settings.http_timeout_ms / 1000)
        self._tokens_asked_us = asked_us

    async def _start_us(self, stop: asyncio.Event) -> int | None:
        """Give soak second 0 by this machine's clock, asked for where it is not set; None when told to stop first."""
        start_us = self.job.start_us
        if start_us is None:
            if self.job.desk is None:
                msg = "neither a start nor a desk that will say it: pass --start-at"
                raise TargetError(msg)
            asking = await heeding(stop, ask_start(self.job.desk, self.job.run_id, self.lane.number))
            if asking is None:
                return None
            start_us = asking.result()
        return start_us + self.offset.applied_us

    # -- segments

    async def _run_segments(self, client: Client, pool: AgentPool, zero_us: int, stop: asyncio.Event) -> bool:
        """Send from now on by the plan's clock; again whenever the machine has slept."""
        whole = Segment(segment=0, started_at_us=zero_us, soak_started_s=0.0)
        soak_clock = SoakClock(whole, self.settings.speed)
        first, number = self.lane.first_from(self.past.first_slot), self.past.segment
        is_awake = first < self.lane.of  # it has nothing behind it
        while True:
            first = await self._skip_what_is_past(first, soak_clock, is_awake=is_awake)
            now_us = max(self.clock.now_us(), zero_us)
            segment = Segment(
                segment=number, started_at_us=now_us, soak_started_s=soak_clock.soak_s(now_us), lane=self.lane.number
            )
            self.recorder.segment(segment, os.getpid())
            self.events.write(EventName.LANE_STARTED, f"lane {self.lane} at H+{segment.soak_started_s / 3600:.3f}")
            load = self._load = self._load_of(client, pool, soak_clock)
            load.next_slot = first
            end = await run_side_by_side(
                [self._send_slots(load, first), self._rotate(pool, soak_clock, load)],
                self._watchers(load, pool, client), load=load, stop=stop, drain_s=self.settings.drain_s,
                clock=self.clock,
            )  # fmt: skip
            at_us = max(end.at_us if end.completed else min(end.at_us, load.next_due_us), now_us)
            soak_s = min(soak_clock.soak_s(at_us), self.settings.duration_s)
            self._ended.append(replace(segment, ended_at_us=at_us, soak_ended_s=soak_s))
            if not isinstance(end.error, ClockJumpedError):
                await hand_over_rows(self.recorder)
                if end.error is not None:
                    raise end.error
                return end.completed
            first, number = load.next_slot, number + 1
            is_awake = await self.offset.was_awake(end.error)
            if not is_awake:
                await hand_over_rows(self.recorder)
                zero_us += await self.offset.wake_up()
                soak_clock = SoakClock(replace(whole, started_at_us=zero_us), self.settings.speed)
                if await heeding(stop, self._renew(pool)) is None:
                    return False

    async def _skip_what_is_past(self, first: int, soak_clock: SoakClock, *, is_awake: bool) -> int:
        """Write rows for the lane's slots from `first` on that were due before now; give the first that was not.

        A lane that was awake and is late by less than a second sends late what it was late for, as after any stall.
        """
        soak_s = soak_clock.soak_s(self.clock.now_us())
        total = self.settings.total_slots
        late_s = (soak_s - self.pacer.due_s(first)) / self.settings.speed
        is_on_time = is_awake and late_s <= _ON_TIME_S
        following = first if is_on_time else max(first, self.lane.first_from(self.pacer.first_slot_from(soak_s)))
        due = range(first, min(following, total), self.lane.of)
        if due:
            rows = missed_slots(
                due, workload=self.workload, pacer=self.pacer, soak_clock=soak_clock,
                phases=self.job.plan.phase_starts(self.settings.duration_s),
            )  # fmt: skip
            while chunk := list(itertools.islice(rows, ROWS_AT_A_TIME)):
                for row in chunk:
                    self.vitals.saw_outcome(row)
                    self.recorder.outcome(row._replace(lane=self.lane.number))
                if len(chunk) == ROWS_AT_A_TIME and not await self.recorder.is_written_down():
                    msg = f"the disk does not keep up with rows for the {len(due)} slots that were missed"
                    raise RecordingError(msg)
            from_s, to_s = self.pacer.due_s(due[0]), self.pacer.due_s(due[-1])
            self.events.write(
                EventName.LANE_GAP,
                f"lane {self.lane}: {len(due)} slots missed from H+{from_s / 3600:.3f} to H+{to_s / 3600:.3f}",
            )
        return following

    async def _send_slots(self, load: Load, first: int) -> None:
        await load.send_slots(first)
        self.has_sent = True

    def _load_of(self, client: Client, pool: AgentPool, soak_clock: SoakClock) -> Load:
        schedule = Schedule(
            pacer=self.pacer, workload=self.workload, soak_clock=soak_clock,
            phases=self.job.plan.phase_starts(self.settings.duration_s), total_slots=self.settings.total_slots,
            lane=self.lane.number, stride=self.lane.of,
        )  # fmt: skip
        return Load(
            schedule, target=self._target, client=client, pool=pool, clock=self.clock, vitals=self.vitals,
            events=self.events, record=self.recorder.outcome, max_in_flight=self.settings.in_flight_cap,
        )  # fmt: skip

    def _watchers(self, load: Load, pool: AgentPool, client: Client) -> list[Coroutine[object, object, None]]:
        return [
            self.recorder.run(),
            self.surroundings.watch(
                self.vitals, clock=self.clock,
                recorder=cast("Recorder", _TicksOfLane(self.recorder, self.lane.number)),
                client=client, folder=self.folder, warn=self._warn,
            ),
            self._watch_clock(),
            self._measure_hourly(),
            keep_agents(
                load.agents_lost, pool=pool,
                admin=cast("Admin", _NothingToPrepare()),
                events=self.events, rotate=lambda: self._rotate_now(pool, load, within_s=1.0),
            ),
            say_rate_limit(load.rate_limited, self.events, self.job.plan, self.settings, self._target.agent_limit),
            load.watch(),
        ]  # fmt: skip

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_CLOCK_S)
            self.clock.raise_if_jumped()

    async def _measure_hourly(self) -> None:
        while True:
            await asyncio.sleep(_MEASURE_EVERY_S)
            await self.offset.measure()

    async def _rotate(self, pool: AgentPool, soak_clock: SoakClock, load: Load) -> None:
        """Replace tokens when the plan says so, and stay until the plan is over."""
        every_s = self.job.plan.intervals.rotate_tokens_s
        if self._owes_tokens:
            self._owes_tokens = False
            await self._rotate_now(pool, load, within_s=every_s / self.settings.speed)
        for number in range(1, occurrences(self.settings.duration_s, every_s)):
            # one that is due by now is made up for, once: the one before may have been tried in vain until then
            if self._tokens_asked_us < soak_clock.at_us(number * every_s):
                await self.clock.sleep_until(soak_clock.at_us(number * every_s))
                left_s = (soak_clock.at_us(self.settings.duration_s) - self.clock.now_us()) / 1e6
                within_s = max(0.0, min(every_s / self.settings.speed, left_s))
                await self._rotate_now(pool, load, within_s=within_s, key=f"rotation:{number}")
        await self.clock.sleep_until(soak_clock.at_us(self.settings.duration_s))

    async def _rotate_now(self, pool: AgentPool, load: Load, *, within_s: float, key: str | None = None) -> None:
        asked_us = self.clock.now_us()
        try:
            await pool.rotate(within_s=within_s)
        except TargetError as exc:
            self.events.write(EventName.LANE_TOKENS_ROTATION_FAILED, str(exc), key=key)
            if isinstance(exc, AdminError) and exc.lost_identity:
                load.agents_lost.set()
        else:
            self._tokens_asked_us = asked_us
            self.events.write(
                EventName.LANE_TOKENS_ROTATED, f"generation={pool.generation} agents={pool.agent_count}", key=key
            )

    async def _renew(self, pool: AgentPool) -> None:
        """Get tokens after the machine slept; where the gateway gives none, the lane goes on with those it has."""
        self._owes_tokens, asked_us = True, self.clock.now_us()
        try:
            await pool.recover(_NothingToPrepare().prepare, within_s=_AWAKE_WITHIN_S)
        except TargetError as exc:
            self.events.write(EventName.LANE_TOKENS_ROTATION_FAILED, str(exc))
        else:
            self._owes_tokens, self._tokens_asked_us = False, asked_us

    def _warn(self, text: str) -> None:
        self.events.write(EventName.RECORDER_WARNING, text)


class _TicksOfLane:
    """A recorder as who watches a lane's sender sees it: its ticks say which lane they are of, as rows of calls do."""

    def __init__(self, whole: Recorder, lane: int) -> None:
        self._whole = whole
        self._lane = lane

    @property
    def queued_rows(self) -> int:
        """As the recorder's."""
        return self._whole.queued_rows

    def health_tick(self, row: HealthTick) -> None:
        """Take a tick."""
        self._whole.health_tick(row._replace(lane=self._lane))
