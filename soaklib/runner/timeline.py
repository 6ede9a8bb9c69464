"""What happens at stated soak times beside the load: changes, token rotations, snapshots. Each happens exactly once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soaklib.errors import TargetError
from soaklib.plan.cadence import occurrences, snapshot_at_s
from soaklib.plan.changes import LastingChange
from soaklib.records import NOBODY_LIVED, EventName
from soaklib.runner.change_keys import change_key, in_order, off_key
from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.runner.changes import Changes
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.scraper import Scraper
    from soaklib.runner.tokens import AgentPool

__all__ = ["Timeline"]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The scheduled part of a soak.

    Attributes
    ----------
    plan, duration_s
        What is scheduled, and the soak's length in soak seconds.
    clock, soak_clock
        The run's clocks.
    events
        Takes what happened.
    pool, changes, scraper
        Do it.
    agents_lost
        Set when the gateway does not know the run's agents any more.
    owes_tokens
        Whether the agents have had no new ones since the machine slept: they are got first.
    """

    plan: Plan
    duration_s: float
    clock: RunClock
    soak_clock: SoakClock
    events: EventLog
    pool: AgentPool
    changes: Changes
    scraper: Scraper
    agents_lost: asyncio.Event
    owes_tokens: bool = False

    def tasks(self) -> list[Coroutine[object, object, None]]:
        """Give what is to run beside the load; each ends when its last occurrence is over."""
        return [
            self._sleep_until(self.duration_s),
            self._rotate_tokens(),
            self._take_snapshots(),
            self._make_changes(),
        ]

    def next_change(self, soak_s: float) -> tuple[float, str] | None:
        """Give the soak second and name of the first change that is not due before `soak_s`; None after the last."""
        coming = [
            (start_s, change.do) for change in self.plan.changes if (start_s := change.at * self.duration_s) >= soak_s
        ]
        return min(coming, default=None)

    async def rotate(self, *, within_s: float, key: str | None = None) -> None:
        """Replace all tokens and write down that it was done, that there are no others to have, or that it failed."""
        started_us = self.clock.now_us()
        try:
            replaced = await self.pool.rotate(within_s=within_s)
        except TargetError as exc:
            self.events.write(EventName.TOKENS_ROTATION_FAILED, str(exc), key=key)
            if isinstance(exc, AdminError) and exc.lost_identity:
                self.agents_lost.set()
        else:
            took_ms = (self.clock.now_us() - started_us) / 1000
            self.events.write(
                EventName.TOKENS_ROTATED if replaced else EventName.TOKENS_KEPT,
                key=key,
                data={
                    "generation": self.pool.generation,
                    "agents": self.pool.agent_count,
                    "took_ms": round(took_ms, 1),
                },
            )

    def _now_s(self) -> float:
        """Give the soak second that it is; where a conductor was gone, soak time went on without it."""
        return self.soak_clock.soak_s(self.clock.now_us())

    async def _sleep_until(self, soak_s: float) -> None:
        await self.clock.sleep_until(self.soak_clock.at_us(soak_s))

    def _left_s(self, soak_s: float) -> float:
        """Give the wall seconds until a soak second, 0 when it is over."""
        return max(0.0, (self.soak_clock.at_us(soak_s) - self.clock.now_us()) / 1e6)

    def _end_of(self, change: LastingChange) -> float:
        return (change.at + change.lasts) * self.duration_s

    async def _make_changes(self) -> None:
        """Make the plan's changes one after the other: none while the one before it may still be on, or be undone.

        One may begin as another ends. An undo that is still under way then could end what it is not about, and its
        answer would be taken for the end of that.
        """
        for number, change in in_order(self.plan.changes):
            key = change_key(number, change)
            if isinstance(change, LastingChange):
                await self._make_and_take_back(change, key)
            elif not self.events.is_done(key):
                await self._sleep_until(change.at * self.duration_s)
                if self._left_s(self.duration_s):
                    await self.changes.apply(change, key=key)
                else:
                    self._say_too_late(change, key)

    async def _make_and_take_back(self, change: LastingChange, key: str) -> None:
        """Make a change at its time, take it back at its end; what a crash cut short is made again, without its key."""
        is_given_up = self.events.is_done(key) and not self.events.is_made(key)
        if not is_given_up and not self.events.is_done(off_key(key)):
            await self._sleep_until(change.at * self.duration_s)
            if self._now_s() < self._end_of(change) and self.changes.may_be_on(change):
                await self._take_back(change, None)
            if self._now_s() < self._end_of(change):
                if await self.changes.apply(change, key=key):
                    await self._sleep_until(self._end_of(change))
            elif not self.events.is_done(key):
                self._say_too_late(change, key)
        if self.changes.may_be_on(change):
            await self._take_back(change, off_key(key))

    def _say_too_late(self, change: Change, key: str) -> None:
        said = f"{change.do}: its time was over when it came to it"
        self.events.write(EventName.CHANGE_FAILED, said, key=key, change=change.do, subject=change.subject)

    async def _take_back(self, change: LastingChange, key: str | None) -> None:
        """Try until it is taken back or the soak ends; what is on then is for the clean-up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._left_s(self.duration_s)):
                await self.changes.take_back(change, key=key)

    async def _rotate_tokens(self) -> None:
        every_s, begun_s = self.plan.intervals.rotate_tokens_s, self._now_s()
        if self.owes_tokens:
            await self.rotate(within_s=self._left_s(min((begun_s // every_s + 1) * every_s, self.duration_s)))
        for number in range(1, occurrences(self.duration_s, every_s)):
            if self.events.is_done(key := f"rotation:{number}"):
                continue
            if (number + 1) * every_s <= begun_s:
                self.events.write(EventName.TOKENS_ROTATION_FAILED, NOBODY_LIVED, key=key)
            else:
                await self._sleep_until(number * every_s)
                # tried until the next one is due: when a gateway comes back late, tokens are renewed at once
                within_s = min(every_s / self.soak_clock.speed, self._left_s(self.duration_s))
                await self.rotate(within_s=within_s, key=key)

    async def _take_snapshots(self) -> None:
        every_s, begun_s = self.plan.intervals.snapshot_s, self._now_s()
        for number in range(occurrences(self.duration_s, every_s)):
            if self.events.is_done(key := f"snapshot:{number}"):
                continue
            if (number + 1) * every_s <= begun_s:  # metrics of now are not those of then
                self.scraper.say_missed(f"soak-h{number}.prom", NOBODY_LIVED, key=key)
            else:
                rotate_s = self.plan.intervals.rotate_tokens_s
                await self._sleep_until(snapshot_at_s(number, every_s, rotate_s, self.duration_s))
                left_s = self._left_s(min((number + 1) * every_s, self.duration_s))
                await self.scraper.snapshot(f"soak-h{number}.prom", key=key, within_s=left_s)
