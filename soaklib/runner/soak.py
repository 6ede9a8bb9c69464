"""The loop: one soak from its set-up to the last row, with every change taken back on every way out.

A soak is made of segments. In each, soak time goes on steadily; it stands still between two of them, when the runner
was killed and the run resumed, or when the machine slept under a living runner.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import SoaklibError, TargetError
from soaklib.plan.cadence import occurrences, sampling_s
from soaklib.plan.pacer import Pacer
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.plan.workload import Workload
from soaklib.records import EventName, RunStatus
from soaklib.runner.abort import AbortRule, watch_for_abort
from soaklib.runner.agent_keeper import keep_agents
from soaklib.runner.changes import ChangeContext, Changes
from soaklib.runner.clean_up import clean_up, hand_over_rows
from soaklib.runner.clock import ClockJumpedError, SoakClock
from soaklib.runner.events import EventLog
from soaklib.runner.gaps import due_turns, missed_probes
from soaklib.runner.garbage import settle_garbage
from soaklib.runner.inbox import watch_inbox
from soaklib.runner.job import SoakJob, SoakResult
from soaklib.runner.journal import UndoJournal
from soaklib.runner.literal import LiteralChanges
from soaklib.runner.load import Load, Schedule
from soaklib.runner.rate_limit import say_rate_limit
from soaklib.runner.recovery import Past
from soaklib.runner.scraper import Scraper
from soaklib.runner.side_by_side import End, heeding, run_side_by_side
from soaklib.runner.surroundings import Surroundings
from soaklib.runner.timeline import Timeline
from soaklib.runner.timeslice import ask_for_short_slices
from soaklib.runner.tokens import AgentPool
from soaklib.runner.trials import IdentityTrials
from soaklib.runner.vitals import Vitals
from soaklib.store.names import EVENT_LOG_NAME
from soaklib.store.views import Segment
from soaklib.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from soaklib.runner.client import Client
    from soaklib.targets import Target
    from soaklib.targets.admin import Admin, Link

__all__ = ["Soak"]

_FINAL_SNAPSHOT_WITHIN_S: Final = 20.0
_AWAKE_WITHIN_S: Final = 300.0
"""For how long after the machine slept the gateway is waited for: the network comes back later than the processes."""
_LOOK_AT_CLOCK_S: Final = 1.0


class _Ways(NamedTuple):
    """The ways to the gateway: what is done and read beside the load, and the load's calls."""

    link: Link
    admin: Admin
    client: Client


class Soak:
    """One soak under way; its parts are there for a display to look at.

    Parameters
    ----------
    job
        The soak to be run.
    surroundings
        What it works with outside of itself; None for the real ones.
    """

    def __init__(self, job: SoakJob, surroundings: Surroundings | None = None) -> None:
        settings = job.settings
        self.job = job
        self._target: Target = load_target(job.plan.target)
        self._surroundings = surroundings or Surroundings(
            settings, job.target, headers=settings.headers(), secret=os.environ.get(ADMIN_TOKEN_VARIABLE)
        )
        self.vitals = Vitals(outcomes=Counter(job.past.outcomes), sent_calls=Counter(job.past.sent_calls))
        self.clock = self._surroundings.clock(job.anchor_utc, not_before_us=job.past.last_us + 1)
        self.recorder = self._surroundings.recorder(job.folder, on_warning=self._warn)
        self.events = EventLog(job.folder / EVENT_LOG_NAME, self.clock, self.recorder.event, done=job.past.done)
        self.segment = Segment(segment=job.past.segment, started_at_us=0, soak_started_s=job.past.soak_s)
        self.timeline: Timeline | None = None
        self._ended: list[Segment] = []
        self._owes_tokens = False  # it woke up, and got no new ones
        self._tokens_asked_us = 0  # for those in place: they grow old from then on

    @property
    def soak_clock(self) -> SoakClock:
        """The mapping between wall and soak time."""
        return SoakClock(self.segment, self.job.settings.speed)

    @property
    def soak_s(self) -> float:
        """The soak second it is; where it left off while the set-up goes on."""
        if self.timeline is None:
            return self.segment.soak_started_s
        if self._ended and self._ended[-1].segment == self.segment.segment:  # soak time stands still
            return self._ended[-1].soak_ended_s or 0.0
        return min(max(0.0, self.soak_clock.soak_s(self.clock.now_us())), self.job.settings.duration_s)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The stretches so far, each with its end; one that nobody ended ends now."""
        if self.timeline is None or (self._ended and self._ended[-1].segment == self.segment.segment):
            return tuple(self._ended)
        return *self._ended, replace(self.segment, ended_at_us=self.clock.now_us(), soak_ended_s=self.soak_s)

    async def run(self, stop: asyncio.Event) -> SoakResult:
        """Run the soak until it is complete or `stop` is set; everything recorded is on disk when it returns."""
        with self.events:
            await self.recorder.start()
            link = self._surroundings.link(self.job.plan, run_id=self.job.run_id, tell=self.events.write)
            async with (
                self._surroundings.admin(self._target, link) as admin,
                self._surroundings.client(self.clock) as client,
            ):
                result = await self._run_between_set_up_and_clean_up(_Ways(link, admin, client), stop)
            try:
                await self.recorder.close()
            except SoaklibError as exc:
                return replace(result, status=RunStatus.FAILED, error=result.error or exc)
        return result

    async def _run_between_set_up_and_clean_up(self, ways: _Ways, stop: asyncio.Event) -> SoakResult:
        job, journal = self.job, UndoJournal(self.job.folder)
        changes = Changes(
            ChangeContext(
                admin=ways.admin, events=self.events, plan=job.plan, guard=self._surroundings.guard(journal.path),
                written_down=self.recorder.is_written_down, literal=LiteralChanges(ways.link),
                journal=journal, guards_what_was_made=job.senders is None and not job.settings.embedded,
            )
        )  # fmt: skip
        status, error, defect = RunStatus.FAILED, None, None
        try:
            pool = await self._set_up(ways.admin, changes)
            completed = await self._run_segments(ways, pool, changes, stop)
            status = RunStatus.COMPLETED if completed else RunStatus.INTERRUPTED
        except SoaklibError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 - a defect of ours, raised when what is on has been taken back
            defect = exc
        finally:
            if job.senders is not None:
                await clean_up(job.senders.end(), self.events, within_s=None)  # which has its own limit
            await clean_up(changes.end_all(self.soak_s / job.settings.duration_s), self.events)
            if self.timeline is not None:
                key = "snapshot:final" if status is RunStatus.COMPLETED else None  # a run may be resumed and end again
                last = self.timeline.scraper.snapshot("soak-final.prom", key=key, within_s=_FINAL_SNAPSHOT_WITHIN_S)
                await clean_up(last, self.events)
            await clean_up(changes.clear(), self.events)
        if error is None and self.events.error is not None:
            status, error = RunStatus.FAILED, self.events.error
        self._say_how_it_ended(status, error if defect is None else f"a defect: {type(defect).__name__}")
        if defect is not None:
            raise defect
        return SoakResult(status=status, segments=self.segments, error=error)

    # -- set-up

    async def _set_up(self, admin: Admin, changes: Changes) -> AgentPool:
        """Make agents, what they need to be let in, and their first tokens."""
        job = self.job
        pool = AgentPool(
            admin, job.plan.roles, agents_per_role=job.settings.agents_per_role, run_id=job.run_id,
            lifetime_s=job.plan.intervals.token_lifetime_s / job.settings.speed, generation=job.past.generation,
            utc_now=self._surroundings.utc_now,
        )  # fmt: skip
        await pool.create()
        self.events.write(
            EventName.AGENTS_CREATED, f"{job.settings.agents_per_role} each for {', '.join(job.plan.roles)}"
        )
        if job.past.was_begun:
            await changes.restore(job.past, gateway_is_new=job.settings.embedded, duration_s=job.settings.duration_s)
        await changes.prepare()
        self._tokens_asked_us = self.clock.now_us()
        await pool.rotate(within_s=job.settings.http_timeout_ms / 1000)
        settle_garbage()
        ask_for_short_slices()
        return pool

    # -- segments

    async def _run_segments(self, ways: _Ways, pool: AgentPool, changes: Changes, stop: asyncio.Event) -> bool:
        """Run a segment, and another one whenever the machine has slept; say whether the soak ran to its end."""
        job, past = self.job, self.job.past
        gap_us = 0 if not past.is_resumed else past.last_us
        why = f"no runner for {(self.clock.now_us() - gap_us) / 1e6:.1f} s"
        zero_us = None
        if job.senders is not None:
            begun = await heeding(stop, job.senders.begin(clock=self.clock, events=self.events, vitals=self.vitals))
            if begun is None:
                return False
            zero_us = begun.result()
            self._tokens_asked_us = self.clock.now_us()
            await pool.rotate(within_s=job.settings.http_timeout_ms / 1000)  # those of the set-up have grown old
        while True:
            past = self._begin_segment(past, why, zero_us, pool.generation)
            load = self._load(ways.client, pool)
            if job.senders is not None:
                load.next_slot = job.settings.total_slots  # none of them is its own
            self.timeline = Timeline(
                plan=job.plan, duration_s=job.settings.duration_s, clock=self.clock, soak_clock=self.soak_clock,
                events=self.events, pool=pool, changes=changes, agents_lost=load.agents_lost,
                owes_tokens=self._owes_tokens,
                scraper=Scraper(
                    ways.admin, clock=self.clock, soak_clock=self.soak_clock, recorder=self.recorder,
                    events=self.events, folder=job.folder,
                    upstream=lambda: self._surroundings.upstream_counts(job.plan),
                ),
            )  # fmt: skip
            end = await run_side_by_side(
                [*self._scheduled(load, self.timeline, past), *self._trials(ways, pool).tasks(past.soak_s)],
                self._watchers(load, self.timeline, ways), load=load, stop=stop, drain_s=job.settings.drain_s,
                clock=self.clock, ended=partial(self._end_load, load),
            )  # fmt: skip
            self._ended.append(self._ended_segment(end, load))
            await hand_over_rows(self.recorder)
            if not isinstance(end.error, ClockJumpedError):
                if end.error is not None:
                    raise end.error
                return end.completed
            waking = await heeding(stop, self._wake_up(load, pool, ways.admin, changes))
            if waking is None:
                return False
            past = waking.result()
            why = f"{end.error}: it slept, or was set"

    def _begin_segment(self, past: Past, why: str, zero_us: int | None, generation: int) -> Past:
        """Start soak time, or let it go on; give the past with what was missed up to here."""
        settings = self.job.settings
        self.segment = Segment(segment=past.segment, started_at_us=self.clock.now_us(), soak_started_s=past.soak_s)
        if zero_us is not None:
            past = self._keep_to_the_plans_clock(past, zero_us)
        self.recorder.segment(self.segment, os.getpid())
        tokens = {"generation": generation, "tokens_took_ms": self._since_tokens_ms()}
        if past.is_resumed:
            self.events.write(EventName.RUN_GAP, f"{why} at H+{past.soak_s / 3600:.3f}; {past.missed} calls missed")
            begun = f"run={self.job.run_id} segment={past.segment}"
            self.events.write(EventName.SOAK_TEST_RESUMED, begun, data=tokens)
            return past
        self.events.write(
            EventName.SOAK_TEST_STARTED,
            data={
                "run": self.job.run_id, "target": self.job.target, "rps": settings.rps, "hours": settings.hours,
                "speed": settings.speed, "seed": settings.seed, "slots": settings.total_slots,
                "in_flight_cap": settings.in_flight_cap, **tokens,
            },
        )  # fmt: skip
        return past

    def _since_tokens_ms(self) -> float:
        return round((self.clock.now_us() - self._tokens_asked_us) / 1000, 1)

    def _keep_to_the_plans_clock(self, past: Past, zero_us: int) -> Past:
        """Begin the segment where the plan's clock is, with rows for the probes that nobody lived to send."""
        plan, duration_s = self.job.plan, self.job.settings.duration_s
        clock = SoakClock(
            Segment(segment=past.segment, started_at_us=zero_us, soak_started_s=0.0), self.job.settings.speed
        )
        began_us = max(zero_us, self.segment.started_at_us)
        soak_s = clock.soak_s(began_us)
        self.segment = replace(self.segment, started_at_us=began_us, soak_started_s=soak_s)
        workload, turns = Workload(plan, self.job.settings.seed), due_turns(plan, past.first_probes, soak_s, duration_s)
        for which, due in enumerate(turns):
            for row in missed_probes(plan, which, due, workload=workload, soak_clock=clock, duration_s=duration_s):
                self.recorder.outcome(row)
        firsts = tuple(max(due.start, due.stop) for due in turns)
        return replace(past, soak_s=soak_s, first_probes=firsts, missed=past.missed + sum(map(len, turns)))

    def _ended_segment(self, end: End, load: Load) -> Segment:
        """Give the segment with its end: what is waited for after the load is no part of the soak."""
        at_us = max(end.at_us if end.completed else min(end.at_us, load.next_due_us), self.segment.started_at_us)
        soak_s = min(self.soak_clock.soak_s(at_us), self.job.settings.duration_s)
        return replace(self.segment, ended_at_us=at_us, soak_ended_s=soak_s)

    def _end_load(self, load: Load, end: End) -> None:
        """Write down where soak time stands still: a runner that is killed before it has cleaned up tells no more."""
        ended = self._ended_segment(end, load)
        self.events.write(
            EventName.LOAD_ENDED,
            data={"segment": ended.segment, "ended_at_us": ended.ended_at_us, "soak_s": ended.soak_ended_s},
        )

    async def _wake_up(self, load: Load, pool: AgentPool, admin: Admin, changes: Changes) -> Past:
        """Get ready to go on after the machine slept: the time, what was under way at the gateway, and tokens.

        Where the gateway gives none it goes on with those that it has, and gets others while it does.
        """
        self.clock.catch_up()
        before = self._ended[-1]
        soak_s = before.soak_started_s if before.soak_ended_s is None else before.soak_ended_s
        await changes.end_cut_short(soak_s / self.job.settings.duration_s)
        self._owes_tokens, asked_us = True, self.clock.now_us()
        try:
            await pool.recover(lambda: admin.prepare(anew=True), within_s=_AWAKE_WITHIN_S)
        except TargetError as exc:
            self.events.write(EventName.TOKENS_ROTATION_FAILED, str(exc))
        else:
            self._owes_tokens, self._tokens_asked_us = False, asked_us
            told = {"generation": pool.generation, "agents": pool.agent_count, "took_ms": self._since_tokens_ms()}
            self.events.write(EventName.TOKENS_ROTATED, data=told)
        return Past(
            segment=before.segment + 1, soak_s=soak_s, last_us=before.ended_at_us or 0, first_slot=load.next_slot,
            first_probes=tuple(load.next_turns), was_begun=True,
        )  # fmt: skip

    def _load(self, client: Client, pool: AgentPool) -> Load:
        settings = self.job.settings
        schedule = Schedule(
            pacer=Pacer.of(settings),
            workload=Workload(self.job.plan, settings.seed),
            soak_clock=self.soak_clock,
            phases=self.job.plan.phase_starts(settings.duration_s),
            total_slots=settings.total_slots,
        )
        return Load(
            schedule, target=self._target, client=client, pool=pool, clock=self.clock, vitals=self.vitals,
            events=self.events, record=self.recorder.outcome, max_in_flight=settings.in_flight_cap,
        )  # fmt: skip

    def _trials(self, ways: _Ways, pool: AgentPool) -> IdentityTrials:
        return IdentityTrials(
            plan=self.job.plan, duration_s=self.job.settings.duration_s, target=self._target, admin=ways.admin,
            client=ways.client, pool=pool, clock=self.clock, soak_clock=self.soak_clock,
            utc_now=self._surroundings.utc_now, vitals=self.vitals, record=self.recorder.outcome, events=self.events,
            embedded=self.job.settings.embedded,
        )  # fmt: skip

    def _scheduled(self, load: Load, timeline: Timeline, past: Past) -> list[Coroutine[object, object, None]]:
        """Give what the soak is made of; it is over when all of it is."""
        plan, duration_s = self.job.plan, self.job.settings.duration_s
        first_probes = past.first_probes or (0,) * len(plan.probes)
        probes = [
            load.send_probes(which, probe.every_s, first, occurrences(duration_s, probe.every_s))
            for which, (probe, first) in enumerate(zip(plan.probes, first_probes, strict=True))
        ]
        slots = load.send_slots(past.first_slot) if self.job.senders is None else self.job.senders.sent()
        return [slots, *probes, *timeline.tasks()]

    def _watchers(self, load: Load, timeline: Timeline, ways: _Ways) -> list[Coroutine[object, object, None]]:
        """Give what goes on around it, and ends only by what went wrong."""
        plan, settings = self.job.plan, self.job.settings
        watchers: list[Coroutine[object, object, None]] = [
            self.recorder.run(),
            self._surroundings.watch(
                self.vitals, clock=self.clock, recorder=self.recorder, client=ways.client, folder=self.job.folder,
                warn=self._warn,
            ),
            self._watch_clock(),
            timeline.scraper.run(sampling_s(plan.intervals.scrape_s, settings.duration_s, settings.speed)),
            keep_agents(
                load.agents_lost, pool=timeline.pool, admin=ways.admin, events=self.events,
                rotate=lambda: timeline.rotate(within_s=1.0),
            ),
            say_rate_limit(load.rate_limited, self.events, plan, settings, self._target.agent_limit),
            load.watch(),
            watch_inbox(self.job.folder, self.events),
            timeline.changes.keep_guarded(),
        ]  # fmt: skip
        if self.job.senders is not None:
            watchers.append(self.job.senders.watch())
        if settings.abort_when is not None:
            rule = AbortRule.parse(settings.abort_when)
            watchers.append(watch_for_abort(rule, self.vitals, self.clock, self.soak_clock))
        return watchers

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_CLOCK_S)
            self.clock.raise_if_jumped()

    def _warn(self, text: str) -> None:
        self.events.write(EventName.RECORDER_WARNING, text)

    # -- the end

    def _say_how_it_ended(self, status: RunStatus, error: SoaklibError | str | None) -> None:
        name = {
            RunStatus.COMPLETED: EventName.SOAK_TEST_COMPLETED,
            RunStatus.INTERRUPTED: EventName.SOAK_TEST_INTERRUPTED,
        }.get(status, EventName.SOAK_TEST_FAILED)
        counts = " ".join(f"{kind}={count}" for kind, count in sorted(self.vitals.kinds.items()))
        self.events.write(name, f"{counts} {error or ''}")
