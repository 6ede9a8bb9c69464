"""What happens at stated soak times beside the load: changes, token rotations, snapshots. Each happens exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soaklib.errors import SoaklibError
from soaklib.plan import ChaosChange
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from soaklib.plan import Plan
    from soaklib.runner.changes import Changes
    from soaklib.runner.clock import RunClock, SoakClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.scraper import Scraper
    from soaklib.runner.tokens import AgentPool

__all__ = ["Timeline", "occurrences"]


def occurrences(duration_s: float, every_s: float) -> int:
    """Give how many of the times 0, every_s, 2 every_s, ... fall before the end."""
    return int(-(-duration_s // every_s))


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
    done
        Keys of what has happened before the run was resumed; it does not happen again.
    """

    plan: Plan
    duration_s: float
    clock: RunClock
    soak_clock: SoakClock
    events: EventLog
    pool: AgentPool
    changes: Changes
    scraper: Scraper
    done: frozenset[str] = frozenset()

    def tasks(self) -> list[Coroutine[object, object, None]]:
        """Give what is to run beside the load; each ends when its last occurrence is over."""
        return [
            self._sleep_until(self.duration_s),
            self._rotate_tokens(),
            self._take_snapshots(),
            *(self._make_change(number) for number in range(len(self.plan.changes))),
        ]

    def next_change(self, soak_s: float) -> tuple[float, str] | None:
        """Give the soak second and name of the first change that is not due before `soak_s`; None after the last."""
        coming = [
            (start_s, change.do) for change in self.plan.changes if (start_s := change.at * self.duration_s) >= soak_s
        ]
        return min(coming, default=None)

    async def rotate(self, *, within_s: float, key: str | None = None) -> None:
        """Replace all tokens and write down that it was done, or that it failed."""
        started_us = self.clock.now_us()
        try:
            await self.pool.rotate(within_s=within_s)
        except SoaklibError as exc:
            self.events.write(EventName.TOKENS_ROTATION_FAILED, str(exc), key=key)
        else:
            took_ms = (self.clock.now_us() - started_us) / 1000
            self.events.write(
                EventName.TOKENS_ROTATED,
                f"generation={self.pool.generation} agents={self.pool.agent_count} took_ms={took_ms:.1f}",
                key=key,
            )

    async def _sleep_until(self, soak_s: float) -> None:
        await self.clock.sleep_until(self.soak_clock.at_us(soak_s))

    async def _make_change(self, number: int) -> None:
        change = self.plan.changes[number]
        key = f"change:{number}:{change.do}"
        end_key = f"{key}:off"
        is_finished = key in self.done and (end_key in self.done or not isinstance(change, ChaosChange))
        if is_finished:
            return
        await self._sleep_until(change.at * self.duration_s)
        # chaos that a crash cut short has its key already, and is switched on once more without it
        made = await self.changes.apply(change, key=None if key in self.done else key)
        if isinstance(change, ChaosChange):
            await self._sleep_until((change.at + change.lasts) * self.duration_s)
            if made:
                await self.changes.switch_chaos_off(change.tool, key=end_key)

    async def _rotate_tokens(self) -> None:
        intervals = self.plan.intervals
        slack_s = (intervals.token_lifetime_s - intervals.rotate_tokens_s) / self.soak_clock.speed
        for number in range(1, occurrences(self.duration_s, intervals.rotate_tokens_s)):
            if (key := f"rotation:{number}") not in self.done:
                await self._sleep_until(number * intervals.rotate_tokens_s)
                await self.rotate(within_s=slack_s, key=key)

    async def _take_snapshots(self) -> None:
        for number in range(occurrences(self.duration_s, self.plan.intervals.snapshot_s)):
            if (key := f"snapshot:{number}") not in self.done:
                await self._sleep_until(number * self.plan.intervals.snapshot_s)
                await self.scraper.snapshot(f"soak-h{number}.prom", key=key)
