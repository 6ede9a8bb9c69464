"""The loop: one soak from its set-up to the last row, with every change taken back on every way out."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from soaklib.errors import SoaklibError
from soaklib.records import EventName, RunStatus
from soaklib.runner.abort import AbortRule, watch_for_abort
from soaklib.runner.api import GatewayApi
from soaklib.runner.changes import ChangeContext, Changes, ChaosGuard
from soaklib.runner.client import Client
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.events import EVENT_LOG_NAME, EventLog
from soaklib.runner.inbox import watch_inbox
from soaklib.runner.load import Load, LoadParts
from soaklib.runner.pacer import Pacer
from soaklib.runner.recorder import Recorder
from soaklib.runner.recovery import Past
from soaklib.runner.scraper import Scraper
from soaklib.runner.timeline import Timeline, occurrences
from soaklib.runner.tokens import AgentPool
from soaklib.runner.vitals import Vitals, watch_vitals
from soaklib.runner.workload import Workload
from soaklib.settings import ADMIN_TOKEN_VARIABLE
from soaklib.store import DATABASE_NAME, Segment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Coroutine, Sequence
    from pathlib import Path

    from soaklib.plan import Plan
    from soaklib.settings import SoakSettings

__all__ = ["Soak", "SoakJob", "SoakResult"]

_GC_THRESHOLDS: Final = (20_000, 20, 50)
_CLEAN_UP_WITHIN_S: Final = 30.0
_RATE_LIMIT_CALLS: Final = 5  # the real gateway's limit: calls an agent may make ...
_RATE_LIMIT_WINDOW_S: Final = 60.0  # ... in this many seconds


@dataclass(frozen=True, kw_only=True)
class SoakJob:
    """One soak to be run.

    Attributes
    ----------
    run_id, folder
        Name of the run, and where it leaves its files.
    settings, plan
        What to do.
    target
        Base URL of the gateway.
    anchor_utc
        UTC time of the run's microsecond 0.
    past
        What happened before, when the run is resumed.
    """

    run_id: str
    folder: Path
    settings: SoakSettings
    plan: Plan
    target: str
    anchor_utc: dt.datetime
    past: Past = field(default_factory=Past)


@dataclass(frozen=True, kw_only=True)
class SoakResult:
    """How a soak ended.

    Attributes
    ----------
    status
        ``completed``, ``interrupted`` or ``failed``.
    segment
        The stretch of the run that this runner made, its end filled in.
    error
        Why it failed; None otherwise.
    """

    status: RunStatus
    segment: Segment
    error: SoaklibError | None = None


class Soak:
    """One soak under way; its parts are there for a display to look at.

    Parameters
    ----------
    job
        The soak to be run.
    """

    def __init__(self, job: SoakJob) -> None:
        settings = job.settings
        self.job = job
        self.vitals = Vitals(outcomes=Counter(job.past.outcomes), sent_calls=Counter(job.past.sent_calls))
        self.clock = RunClock(job.anchor_utc, not_before_us=job.past.last_us + 1)
        self.recorder = Recorder(job.folder / DATABASE_NAME)
        self.events = EventLog(job.folder / EVENT_LOG_NAME, self.clock, self.recorder.event)
        self.segment = Segment(segment=job.past.segment, started_at_us=0, soak_started_s=job.past.soak_s)
        self.timeline: Timeline | None = None
        self._headers = settings.headers()
        self._admin_token = os.environ.get(ADMIN_TOKEN_VARIABLE)

    @property
    def soak_clock(self) -> SoakClock:
        """The mapping between wall and soak time."""
        return SoakClock(self.segment, self.job.settings.speed)

    @property
    def soak_s(self) -> float:
        """The soak second it is; where it left off while the set-up goes on."""
        if self.timeline is None:
            return self.segment.soak_started_s
        return min(max(0.0, self.soak_clock.soak_s(self.clock.now_us())), self.job.settings.duration_s)

    async def run(self, stop: asyncio.Event) -> SoakResult:
        """Run the soak until it is complete or `stop` is set; everything recorded is on disk when it returns."""
        settings = self.job.settings
        timeout_s = settings.http_timeout_ms / 1000
        await self.recorder.start()
        with self.events:
            async with (
                GatewayApi(
                    self.job.target, timeout_s=timeout_s, headers=self._headers, admin_token=self._admin_token,
                    ca_file=settings.ca_file,
                ) as api,
                Client(
                    self.job.target, now_us=self.clock.now_us, timeout_s=timeout_s,
                    max_connections=settings.in_flight_cap, headers=self._headers, ca_file=settings.ca_file,
                ) as client,
            ):  # fmt: skip
                result = await self._run_between_set_up_and_clean_up(api, client, stop)
            try:
                await self.recorder.close()
            except SoaklibError as exc:
                return SoakResult(status=RunStatus.FAILED, segment=result.segment, error=result.error or exc)
        return result

    async def _run_between_set_up_and_clean_up(
        self, api: GatewayApi, client: Client, stop: asyncio.Event
    ) -> SoakResult:
        job = self.job
        changes = Changes(
            ChangeContext(
                api=api, events=self.events, plan=job.plan, rps=job.settings.rps, run_id=job.run_id,
                guard=self._chaos_guard(),
            )
        )  # fmt: skip
        status, error = RunStatus.FAILED, None
        scraper: Scraper | None = None
        try:
            pool = await self._set_up(api, changes)
            self._begin_segment()
            scraper = Scraper(
                api, clock=self.clock, soak_clock=self.soak_clock, recorder=self.recorder, events=self.events,
                folder=job.folder,
            )  # fmt: skip
            load = Load(self._load_parts(client, pool, changes))
            self.timeline = Timeline(
                plan=job.plan, duration_s=job.settings.duration_s, clock=self.clock, soak_clock=self.soak_clock,
                events=self.events, pool=pool, changes=changes, scraper=scraper, done=job.past.done,
            )  # fmt: skip
            completed = await self._run_tasks(load, self.timeline, client, stop)
            status = RunStatus.COMPLETED if completed else RunStatus.INTERRUPTED
        except SoaklibError as exc:
            error = exc
        finally:
            segment = self._ended_segment()
            await self._clean_up(changes.switch_chaos_off())
            if scraper is not None:
                key = "snapshot:final" if status is RunStatus.COMPLETED else None  # a run may be resumed and end again
                await self._clean_up(scraper.snapshot("soak-final.prom", key=key))
            await self._clean_up(changes.remove_policies())
        if error is None and self.events.error is not None:
            status, error = RunStatus.FAILED, self.events.error
        self._say_how_it_ended(status, error)
        return SoakResult(status=status, segment=segment, error=error)

    # -- set-up

    def _chaos_guard(self) -> ChaosGuard:
        headers = self._headers | ({} if self._admin_token is None else {"X-Admin-Token": self._admin_token})
        ca_file = None if self.job.settings.ca_file is None else str(self.job.settings.ca_file.resolve())
        return ChaosGuard(headers, ca_file=ca_file, dies_with_runner=self.job.settings.embedded)

    async def _set_up(self, api: GatewayApi, changes: Changes) -> AgentPool:
        """Make agents, baseline policies and the first tokens."""
        job = self.job
        pool = AgentPool(
            api, job.plan, agents_per_role=job.settings.agents_per_role, run_id=job.run_id,
            lifetime_s=job.plan.intervals.token_lifetime_s / job.settings.speed, generation=job.past.generation,
        )  # fmt: skip
        await pool.create()
        self.events.write(
            EventName.AGENTS_CREATED, f"{job.settings.agents_per_role} each for {', '.join(job.plan.roles)}"
        )
        await changes.restore(job.past, gateway_is_new=job.settings.embedded)
        await changes.create_policies()
        await pool.rotate(within_s=job.settings.http_timeout_ms / 1000)
        gc.collect()
        gc.freeze()  # what is there now stays: collections in the middle of the load have less to look at,
        gc.set_threshold(*_GC_THRESHOLDS)  # and come seldom; calls leave next to nothing in cycles
        return pool

    def _begin_segment(self) -> None:
        """Start soak time, or let it go on."""
        settings, past = self.job.settings, self.job.past
        self.segment = Segment(segment=past.segment, started_at_us=self.clock.now_us(), soak_started_s=past.soak_s)
        self.recorder.segment(self.segment, os.getpid())
        if past.is_resumed:
            gap_s = (self.segment.started_at_us - past.last_us) / 1e6
            self.events.write(
                EventName.RUN_GAP,
                f"no runner for {gap_s:.1f} s at H+{past.soak_s / 3600:.3f}; {past.missed} calls missed",
            )
            self.events.write(EventName.SOAK_TEST_RESUMED, f"run={self.job.run_id} segment={past.segment}")
            return
        self.events.write(
            EventName.SOAK_TEST_STARTED,
            f"run={self.job.run_id} target={self.job.target} rps={settings.rps:g} hours={settings.hours:g} "
            f"speed={settings.speed:g} seed={settings.seed} slots={settings.total_slots} "
            f"in_flight_cap={settings.in_flight_cap}",
        )

    def _load_parts(self, client: Client, pool: AgentPool, changes: Changes) -> LoadParts:
        settings = self.job.settings
        return LoadParts(
            pacer=Pacer(settings.rps, settings.arrivals, settings.seed),
            workload=Workload(self.job.plan, settings.seed),
            client=client, pool=pool, changes=changes, clock=self.clock, soak_clock=self.soak_clock,
            vitals=self.vitals, events=self.events, record=self.recorder.outcome,
            phases=self.job.plan.phase_starts(settings.duration_s),
            total_slots=settings.total_slots, max_in_flight=settings.in_flight_cap,
        )  # fmt: skip

    # -- the tasks of a soak

    async def _run_tasks(self, load: Load, timeline: Timeline, client: Client, stop: asyncio.Event) -> bool:
        """Run everything that goes on at the same time; say whether the soak ran to its end."""
        plan, settings = self.job.plan, self.job.settings
        first_probes = self.job.past.first_probes or (0,) * len(plan.probes)
        probes = [
            load.send_probes(which, probe.every_s, first, occurrences(settings.duration_s, probe.every_s))
            for which, (probe, first) in enumerate(zip(plan.probes, first_probes, strict=True))
        ]
        watching_for_abort = (
            []
            if settings.abort_when is None
            else [watch_for_abort(AbortRule.parse(settings.abort_when), self.vitals, self.clock, self.soak_clock)]
        )
        stopping = asyncio.create_task(stop.wait())
        main = asyncio.create_task(_all([load.send_slots(self.job.past.first_slot), *probes, *timeline.tasks()]))
        around = asyncio.create_task(
            _all(
                [
                    self.recorder.run(),
                    watch_vitals(
                        self.vitals, clock=self.clock, recorder=self.recorder, client=client, folder=self.job.folder
                    ),
                    timeline.scraper.run(plan.intervals.scrape_s),
                    self._replace_lost_agents(load, timeline),
                    self._say_rate_limit(load),
                    load.watch(),
                    watch_inbox(self.job.folder, self.events, done=self.job.past.done),
                    *watching_for_abort,
                ]
            )
        )
        try:
            await asyncio.wait({stopping, main, around}, return_when=asyncio.FIRST_COMPLETED)
            completed = main.done()
            if around.done():
                await around  # raises what went wrong: nothing around the load ends by itself
            if completed:
                await main
            await _cancel(main)
            await load.drain(settings.drain_s)
        finally:
            await _cancel(stopping, main)
            await load.drain(0.0)
            await _cancel(around)
        return completed

    async def _replace_lost_agents(self, load: Load, timeline: Timeline) -> None:
        """Make new agents when the gateway has forgotten the old ones, as it does when it restarts."""
        while True:
            await load.agents_lost.wait()
            self.events.write(EventName.AGENTS_LOST, "the gateway does not know the run's agents any more")
            try:
                await timeline.changes.renew_policies()
                await timeline.pool.create()
            except SoaklibError as exc:
                self.events.write(EventName.CHANGE_FAILED, f"new agents: {exc}")
            else:
                self.events.write(EventName.AGENTS_CREATED, f"{timeline.pool.agent_count} in place of the lost ones")
                await timeline.rotate(within_s=1.0)
            await asyncio.sleep(1.0)  # calls that left with the old tokens come back first
            load.agents_lost.clear()

    async def _say_rate_limit(self, load: Load) -> None:
        """Say once how many agents a role would need: by the limit that is known, and how to tell by another."""
        await load.rate_limited.wait()
        plan, settings = self.job.plan, self.job.settings
        # the reference gateway shortens the limit's window by its speed, so that in soak time it is the same
        rps = settings.rps * (1 if settings.embedded else settings.speed)
        calls_per_s = max(
            rps * sum(operation.share * len(operation.steps) for operation in plan.operations if operation.role == role)
            for role in plan.roles
        )
        agents = int(calls_per_s * _RATE_LIMIT_WINDOW_S / _RATE_LIMIT_CALLS) + 1
        self.events.write(
            EventName.RATE_LIMITED,
            f"calls are answered with 429; the busiest role plans {calls_per_s * 60:.0f} calls a minute: divide by "
            f"what the gateway allows an agent, which is --agents-per-role {agents} where it is {_RATE_LIMIT_CALLS} in "
            f"{_RATE_LIMIT_WINDOW_S:g} s",
        )
        await asyncio.Event().wait()

    # -- the end

    async def _clean_up(self, step: Awaitable[object]) -> None:
        """Take one step of the clean-up; that it failed is said, and keeps none of the others from being taken."""
        try:
            async with asyncio.timeout(_CLEAN_UP_WITHIN_S):
                await step
        except (SoaklibError, TimeoutError) as exc:
            self.events.write(EventName.CHANGE_FAILED, f"clean-up: {exc or 'it took too long'}")

    def _ended_segment(self) -> Segment:
        now_us = self.clock.now_us()
        soak_s = min(self.soak_clock.soak_s(now_us), self.job.settings.duration_s)
        return Segment(
            segment=self.segment.segment, started_at_us=self.segment.started_at_us,
            soak_started_s=self.segment.soak_started_s, ended_at_us=now_us, soak_ended_s=soak_s,
        )  # fmt: skip

    def _say_how_it_ended(self, status: RunStatus, error: SoaklibError | None) -> None:
        name = {
            RunStatus.COMPLETED: EventName.SOAK_TEST_COMPLETED,
            RunStatus.INTERRUPTED: EventName.SOAK_TEST_INTERRUPTED,
        }.get(status, EventName.SOAK_TEST_FAILED)
        counts = " ".join(f"{kind}={count}" for kind, count in sorted(self.vitals.kinds.items()))
        self.events.write(name, f"{counts} {error or ''}")


async def _all(works: Sequence[Coroutine[object, object, None]]) -> None:
    """Wait for all; the first failure cancels the rest and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone; what they raised has been looked at before."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
