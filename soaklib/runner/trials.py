"""Calls that a gateway must refuse, on schedule: as identities that are not good (any more), and beyond its limits.

A turn first tries what the turn before it has made (a token that has expired since, one that was revoked), so that
whatever a gateway remembers of a token for a while has had time to go; then it makes the next. Nothing here touches
the identities that the load calls as.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from soaklib.plan.cadence import occurrences
from soaklib.plan.workload import Call
from soaklib.records import EventName, Expected, Kind, Purpose, Trial
from soaklib.runner.rows import CUT_OFF, Planned, outcome_of
from soaklib.targets.admin import AdminError
from soaklib.targets.trials import TrialNotPossibleError, TriesIdentities

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from soaklib.plan.model import Plan, Step
    from soaklib.plan.oracles import RateLimit
    from soaklib.records import Outcome
    from soaklib.runner.client import Client
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.tokens import AgentPool
    from soaklib.runner.vitals import Vitals
    from soaklib.targets import Target
    from soaklib.targets.admin import Admin
    from soaklib.targets.base import Identity

__all__ = ["IdentityTrials"]

_LONGEST_LIFE_S: Final = 60.0
"""Of a token that is made to expire, wall seconds."""
_MOST_AT_AN_EDGE: Final = 2000
"""Calls of one burst; a limit beyond it is not tried."""
_NO_ADMIN: Final = "this kind of gateway makes no identities to be tried"


@dataclass(frozen=True, kw_only=True)
class IdentityTrials:
    """The trials of a soak.

    Attributes
    ----------
    plan, duration_s
        What is tried, and the soak's length in soak seconds.
    target, admin, client, pool
        Make the calls, the identities, and the way.
    clock, soak_clock, utc_now
        The run's clocks, and the wall's.
    vitals, record, events
        Take what became of the calls.
    embedded
        Whether the gateway is a rehearsal's own, which shortens its windows by its speed.
    """

    plan: Plan
    duration_s: float
    target: Target
    admin: Admin
    client: Client
    pool: AgentPool
    clock: RunClock
    soak_clock: SoakClock
    utc_now: Callable[[], dt.datetime]
    vitals: Vitals
    record: Callable[[Outcome], None]
    events: EventLog
    embedded: bool
    _made: dict[Trial, tuple[Identity, int]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def tasks(self, soak_s: float) -> list[Coroutine[object, object, None]]:
        """Give what is to run beside the load, from a soak second on."""
        tasks = [] if self.plan.trials is None else [self._run(self.plan.trials.every_s, self._take_turn, soak_s)]
        for place, limit in enumerate(self.plan.limits):
            if limit.try_every_s is not None:
                tasks.append(self._run(limit.try_every_s, self._edge_of(place, limit), soak_s))
        return tasks

    async def _run(
        self, every_s: float, take_turn: Callable[[int], Coroutine[object, object, None]], soak_s: float
    ) -> None:
        first = math.floor(soak_s / every_s) + 1 if soak_s > 0 else 0
        for turn in range(first, occurrences(self.duration_s, every_s)):
            await self.clock.sleep_until(self.soak_clock.at_us(turn * every_s))
            with suppress(AdminError):  # the gateway is not well: the load's rows say so, and the next turn comes
                await take_turn(turn)

    # -- identities

    async def _take_turn(self, turn: int) -> None:
        trials = self.plan.trials
        if trials is None:
            return
        operations = self.plan.operations
        operation = operations[turn % len(operations)]
        for place, trial in enumerate(trials.of):
            with suppress(AdminError):
                made = await self._of_turn(trial, operation.role)
                if made is not None:
                    step = self._closed_to(made.role) if trial is Trial.SCOPE else self._open_to(made.role)
                    if step is not None:
                        slot = 2 * (turn * len(trials.of) + place)  # even ones; those at an edge have the odd ones
                        await self._call(made, step, slot=slot, burst=0, expected=Expected.DENY)

    async def _of_turn(self, trial: Trial, role: str) -> Identity | None:
        """Give whom this turn calls as; None where nobody can be had, or not yet."""
        current = self.pool.first(role)
        if trial is Trial.SCOPE and self._closed_to(role) is None:
            self._say(trial, "every role may do all that the plan calls")
            return None
        every_s = (self.plan.trials.every_s if self.plan.trials else 0.0) / self.soak_clock.speed
        now = self.utc_now()
        lives_s = min(_LONGEST_LIFE_S, every_s / 2)
        made = await self._make(trial, current, now + dt.timedelta(seconds=lives_s))
        if made is None:
            return None
        if trial is Trial.ROTATED:
            return self._named(trial, self.pool.replaced(role))
        if trial in {Trial.UNKNOWN, Trial.SCOPE}:
            return self._named(trial, made)
        before, good_until_us = self._made.get(trial, (None, 0))
        if before is not None and self.clock.now_us() < good_until_us:
            return None
        self._made[trial] = (made, self.clock.now_us() + round(lives_s * 1.1e6))
        return self._named(trial, before)

    async def _make(self, trial: Trial, current: Identity, expires_at: dt.datetime) -> Identity | None:
        if not isinstance(self.admin, TriesIdentities):
            self._say(trial, _NO_ADMIN)
            return None
        try:
            return await self.admin.trial_identity(trial, current, expires_at=expires_at)
        except TrialNotPossibleError as exc:
            self._say(trial, str(exc))
        except AdminError as exc:
            if exc.is_passing:
                raise
            self._say(trial, f"{'the gateway has no route for it' if exc.is_missing else 'it was not made'}: {exc}")
        return None

    def _say(self, trial: str, why: str) -> None:
        """Say once for each kind of trial why it is not possible."""
        if trial not in self._told:
            self._told.add(trial)
            self.events.write(EventName.TRIAL_NOT_POSSIBLE, why, subject=trial)

    @staticmethod
    def _named(trial: Trial, identity: Identity | None) -> Identity | None:
        return None if identity is None else replace(identity, name=f"{trial}:{identity.role}")

    def _open_to(self, role: str) -> Step:
        return next(operation.steps[0] for operation in self.plan.operations if operation.role == role)

    def _closed_to(self, role: str) -> Step | None:
        scopes = self.plan.roles[role].scopes
        steps = (step for operation in self.plan.operations for step in operation.steps)
        return next((step for step in steps if step.scope not in scopes), None)

    # -- limits

    def _edge_of(self, place: int, limit: RateLimit) -> Callable[[int], Coroutine[object, object, None]]:
        """Give a turn at a limit's edge: calls one after the other until one is refused, or all should be."""
        callers = [operation.role for operation in self.plan.operations]
        role = next((role for role in limit.roles if role in callers), callers[0])
        name = f"limit {place}"

        async def take_turn(turn: int) -> None:
            if limit.certain_calls > _MOST_AT_AN_EDGE:
                self._say(name, f"{limit.certain_calls} calls are more than a trial makes")
                return
            if limit.per not in {"agent", "key"}:
                self._say(name, f"the limit is one of {limit.per}: an agent apart from the load has none of its own")
                return
            made = await self._make(Trial.EDGE, self.pool.first(role), self.utc_now() + dt.timedelta(hours=1))
            if made is None:
                return
            identity = replace(made, name=f"{Trial.EDGE}:{role}:{place}", generation=turn)
            ends_us = self.clock.now_us() + self._window_us(limit)
            for burst in range(limit.certain_calls + 1):
                slot = 2 * (turn * len(self.plan.limits) + place) + 1
                kind = await self._call(identity, self._open_to(role), slot=slot, burst=burst, expected=Expected.EITHER)
                if kind is Kind.RATE_LIMITED or self.clock.now_us() > ends_us:
                    break

        return take_turn

    def _window_us(self, limit: RateLimit) -> int:
        return round(limit.window_s / (self.soak_clock.speed if self.embedded else 1.0) * 1e6)

    # -- calls

    async def _call(self, identity: Identity, step: Step, *, slot: int, burst: int, expected: Expected) -> Kind:
        """Make one call, and its row."""
        call = Call(-1, identity.role, step.tool, step.action, expected, step)
        due_us = self.clock.now_us()
        phases = self.plan.phase_starts(self.duration_s)
        soak_s = self.soak_clock.soak_s(due_us)
        phase = [name for start_s, name in phases if start_s <= soak_s][-1:] or [phases[0][1]]
        planned = Planned(Purpose.TRIAL, slot, (call,) * (burst + 1), slot, phase[0])
        template = self.target.compile(step, identity.role)
        wire = template.request(identity, slot)
        self.vitals.saw_sending(Purpose.TRIAL, step.tool, 0)
        try:
            answer = await self.client.send(wire, self.target.reader(template), stall_s=template.stall_s)
        except asyncio.CancelledError:
            self._record(outcome_of(planned, burst, due_us, CUT_OFF, expected, identity=identity, sent_us=due_us))
            raise
        self._record(
            outcome_of(
                planned,
                burst,
                due_us,
                answer.reading,
                expected,
                identity=identity,
                sent_us=answer.sent_at_us,
                done_us=answer.done_at_us,
                status=answer.status,
            )
        )
        return answer.reading.kind

    def _record(self, row: Outcome) -> None:
        self.vitals.saw_outcome(row)
        self.record(row)
