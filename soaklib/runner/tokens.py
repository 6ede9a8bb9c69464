"""Whom the load calls as: agents of each role, whose tokens are replaced before they expire and no call waits or fails.

New tokens of all agents are fetched while the old ones are still good, and only then put in their place, all at once:
a call takes the identity that is in place when it leaves. Agents of a role take turns, since rate limits count per
agent.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential, wait_random

from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from soaklib.targets.admin import Admin
    from soaklib.targets.base import Identity

__all__ = ["AgentPool"]

_T = TypeVar("_T")
_AT_A_TIME: Final = 8
_KEPT: Final = 3
"""Generations that are kept after they were replaced: one of them is over, whatever calls still go on with."""


class AgentPool:
    """Agents and tokens.

    Parameters
    ----------
    admin
        Makes agents, and gives them tokens.
    roles
        The plan's roles.
    agents_per_role
        Agents of each role.
    run_id
        Part of the agents' names, so that their maker can be found.
    lifetime_s
        What a token is asked to live, in wall seconds.
    generation
        The last generation of tokens that the run has had; the next rotation makes the one after it.
    utc_now
        The wall clock, by which the gateway will judge whether a token has expired.
    """

    def __init__(
        self,
        admin: Admin,
        roles: Iterable[str],
        *,
        agents_per_role: int,
        run_id: str,
        lifetime_s: float,
        generation: int = -1,
        utc_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._admin = admin
        self._roles = tuple(roles)
        self._agents_per_role = agents_per_role
        self._run_id = run_id
        self._lifetime_s = lifetime_s
        self._utc_now = utc_now
        self._agents: dict[str, list[Identity]] = {}
        self._in_place: dict[str, list[Identity]] = {}
        self._replaced: deque[tuple[dict[str, Identity], dt.datetime]] = deque(maxlen=_KEPT)
        self._good_until = utc_now()
        self._turn = dict.fromkeys(self._roles, 0)
        self._one_at_a_time = asyncio.Lock()
        self.generation = generation

    @property
    def agent_count(self) -> int:
        """How many agents there are."""
        return sum(len(agents) for agents in self._agents.values())

    def take(self, role: str) -> Identity:
        """Give the role's next agent, with its token."""
        agents = self._in_place[role]
        turn = self._turn[role] = self._turn[role] + 1
        return agents[turn % len(agents)]

    def first(self, role: str) -> Identity:
        """Give the role's first agent, without taking a turn."""
        return self._in_place[role][0]

    def replaced(self, role: str) -> Identity | None:
        """Give an agent as it was two rotations ago or more, if its secret was replaced and its life is over."""
        now, current = self._utc_now(), self.first(role)
        for agents, good_until in list(self._replaced)[:-1]:
            if now > good_until and agents[role].secret != current.secret:
                return agents[role]
        return None

    async def create(self) -> None:
        """Create all agents, also in place of ones that the gateway has forgotten.

        Raises
        ------
        TargetError
            The gateway refuses.
        """
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one(role: str, number: int) -> Identity:
            async with places:
                return await self._admin.open(role, f"{self._run_id}-{role}-{number}")

        async with self._one_at_a_time:
            self._agents = {
                role: await _together(*(one(role, number) for number in range(self._agents_per_role)))
                for role in self._roles
            }

    async def rotate(self, *, within_s: float) -> int:
        """Fetch new tokens for all agents, then swap them in; give how many agents have another than before.

        Parameters
        ----------
        within_s
            Keep trying for this long (wall seconds) when the gateway does not answer or answers 5xx.

        Raises
        ------
        TargetError
            It did not work; the tokens in place stay.
        """
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one(agent: Identity) -> Identity:
            async with places:
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception(_is_passing),
                    stop=stop_after_delay(within_s),
                    wait=wait_exponential(multiplier=0.02, max=1.0) + wait_random(0, 0.02),
                    reraise=True,
                ):
                    with attempt:
                        renewed = await self._admin.renew(agent, expires_at=self._expiry())
                return replace(renewed, generation=self.generation + 1)

        async with self._one_at_a_time:
            fetched = {role: await _together(*map(one, agents)) for role, agents in self._agents.items()}
            before = [agent for agents in self._agents.values() for agent in agents]
            after = [agent for agents in fetched.values() for agent in agents]
            if self._in_place:
                self._replaced.append(({role: agents[0] for role, agents in self._in_place.items()}, self._good_until))
            self._good_until = self._expiry()
            self._agents = self._in_place = fetched
            self.generation += 1
        return sum(_calls_with(old) != _calls_with(new) for old, new in zip(before, after, strict=True))

    async def recover(self, prepare: Callable[[], Awaitable[None]], *, within_s: float) -> None:
        """Rotate after a time in which no token was renewed; agents that the gateway has forgotten are made anew.

        Parameters
        ----------
        prepare
            Makes what new agents need to be let in.
        within_s
            As in :meth:`rotate`.

        Raises
        ------
        TargetError
            It did not work; the tokens in place stay.
        """
        try:
            await self.rotate(within_s=within_s)
        except AdminError as exc:
            if not exc.lost_identity:
                raise
            await prepare()
            await self.create()
            await self.rotate(within_s=within_s)

    def _expiry(self) -> dt.datetime:
        """Give when a token that is asked for now is to expire: it may be asked for long after the first try."""
        return self._utc_now() + dt.timedelta(seconds=self._lifetime_s)


def _calls_with(agent: Identity) -> tuple[str, str | None]:
    """Give what shows the gateway who calls."""
    return agent.secret, agent.session


def _is_passing(exc: BaseException) -> bool:
    """Say whether trying again may help."""
    return isinstance(exc, AdminError) and exc.is_passing


async def _together(*awaitables: Coroutine[object, object, _T]) -> list[_T]:
    """Wait for all; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(awaitable) for awaitable in awaitables]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
