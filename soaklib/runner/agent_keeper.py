"""Gives new agents to a gateway that has forgotten the run's, or does not take their tokens any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from soaklib.errors import TargetError
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soaklib.runner.events import EventLog
    from soaklib.runner.tokens import AgentPool
    from soaklib.targets.admin import Admin

__all__ = ["keep_agents"]

_SHORTEST_PAUSE_S: Final = 1.0
_LONGEST_TRY_PAUSE_S: Final = 15.0
_LONGEST_PAUSE_S: Final = 300.0


async def keep_agents(
    lost: asyncio.Event,
    *,
    pool: AgentPool,
    admin: Admin,
    events: EventLog,
    rotate: Callable[[], Awaitable[None]],
) -> None:
    """Make new agents, policies and tokens whenever the old ones are lost, until cancelled.

    A gateway that takes the new ones no better than the old is given more of them ever more seldom: it must not be
    filled with agents by its tester.

    Parameters
    ----------
    lost
        Set when the gateway does not take the agents or their tokens; cleared here.
    pool, admin
        Make them, and what they need to be let in.
    events
        Takes what happened.
    rotate
        Gets tokens for the new agents.
    """
    loop = asyncio.get_running_loop()
    pause_s, quiet_since_s = _SHORTEST_PAUSE_S, loop.time()
    while True:
        await lost.wait()
        if loop.time() - quiet_since_s > pause_s:
            pause_s = _SHORTEST_PAUSE_S
        events.write(EventName.AGENTS_LOST, "the gateway does not know the run's agents, or takes none of their tokens")
        await _make_anew(pool, admin, events)
        events.write(EventName.AGENTS_CREATED, f"{pool.agent_count} in place of the lost ones")
        await rotate()
        await asyncio.sleep(pause_s)  # calls that left with the old tokens come back first
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        quiet_since_s = loop.time()
        lost.clear()


async def _make_anew(pool: AgentPool, admin: Admin, events: EventLog) -> None:
    """Try until it is done; the first failure is written down."""
    pause_s = _SHORTEST_PAUSE_S
    steps = [lambda: admin.prepare(anew=True), pool.create]
    while steps:
        try:
            await steps[0]()
        except TargetError as exc:
            if pause_s == _SHORTEST_PAUSE_S:
                events.write(EventName.CHANGE_FAILED, f"new agents, tried again until they are there: {exc}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_TRY_PAUSE_S)
        else:
            del steps[0]
