"""The agents of each role and their tokens, replaced before they expire without a call waiting or failing.

New tokens of all agents are fetched while the old ones are still good, and only then put in their place, all at once:
a call takes the token that is in place when it leaves. Agents of a role take turns, since rate limits count per agent.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Final, TypeVar

import orjson
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential, wait_random

from soaklib.targets.fourrunr.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from soaklib.plan.model import Plan
    from soaklib.targets.fourrunr.api import GatewayApi

__all__ = ["AgentPool"]

_T = TypeVar("_T")
_AT_A_TIME: Final = 8


class AgentPool:
    """Agents and tokens.

    Parameters
    ----------
    api
        The gateway's routes.
    plan
        Names the roles and their scopes.
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
        api: GatewayApi,
        plan: Plan,
        *,
        agents_per_role: int,
        run_id: str,
        lifetime_s: float,
        generation: int = -1,
        utc_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._api = api
        self._scopes = {role: spec.scopes for role, spec in plan.roles.items()}
        self._agents_per_role = agents_per_role
        self._run_id = run_id
        self._lifetime_s = lifetime_s
        self._utc_now = utc_now
        self._agents: dict[str, list[str]] = {}
        self._tokens: dict[str, list[bytes]] = {}
        self._turn = dict.fromkeys(self._scopes, 0)
        self._one_at_a_time = asyncio.Lock()
        self.generation = generation

    @property
    def agent_count(self) -> int:
        """How many agents there are."""
        return sum(len(agents) for agents in self._agents.values())

    def take(self, role: str) -> tuple[bytes, int]:
        """Give the token of the role's next agent, and the generation it belongs to."""
        tokens = self._tokens[role]
        turn = self._turn[role] = self._turn[role] + 1
        return tokens[turn % len(tokens)], self.generation

    async def create(self) -> None:
        """Create all agents, also in place of ones that the gateway has forgotten.

        Raises
        ------
        TargetError
            The gateway refuses.
        """
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one(role: str, number: int) -> str:
            async with places:
                return await self._api.create_agent(name=f"{self._run_id}-{role}-{number}", role=role)

        async with self._one_at_a_time:
            self._agents = {
                role: await _together(*(one(role, number) for number in range(self._agents_per_role)))
                for role in self._scopes
            }

    async def rotate(self, *, within_s: float) -> None:
        """Fetch new tokens for all agents, then swap them in.

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

        async def one(agent_id: str, scopes: tuple[str, ...]) -> bytes:
            async with places:
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception(_is_passing),
                    stop=stop_after_delay(within_s),
                    wait=wait_exponential(multiplier=0.02, max=1.0) + wait_random(0, 0.02),
                    reraise=True,
                ):
                    with attempt:
                        token = await self._api.generate_token(agent_id, scopes=scopes, expires_at=self._expiry())
                return orjson.dumps(token)[1:-1]  # as it stands inside a JSON string

        async with self._one_at_a_time:
            fetched = {
                role: await _together(*(one(agent_id, self._scopes[role]) for agent_id in agents))
                for role, agents in self._agents.items()
            }
            self._tokens, self.generation = fetched, self.generation + 1

    def _expiry(self) -> str:
        """Give when a token that is asked for now is to expire: it may be asked for long after the first try."""
        expires_at = self._utc_now() + dt.timedelta(seconds=self._lifetime_s)
        return expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_passing(exc: BaseException) -> bool:
    """Say whether trying again may help: no answer, or a server error."""
    return isinstance(exc, ApiError) and (exc.status is None or exc.status >= 500)  # noqa: PLR2004 - server errors


async def _together(*awaitables: Coroutine[object, object, _T]) -> list[_T]:
    """Wait for all; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(awaitable) for awaitable in awaitables]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
