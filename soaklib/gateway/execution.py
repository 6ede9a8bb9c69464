"""Executing an admitted call: cache, breaker, bulkhead, then attempts with chaos and retries.

A cache hit is answered before everything else. The breaker sees one success or failure a call, however many
attempts it took. Chaos strikes an attempt, where a real upstream would.
"""

import asyncio
from typing import NamedTuple

import orjson

from soaklib.gateway.admission import Admitted
from soaklib.gateway.breaker import Breaker
from soaklib.gateway.cache import Kept
from soaklib.gateway.records import Outcome, Reason
from soaklib.gateway.state import Gateway, State
from soaklib.gateway.tools import CACHE_TTL_S, MOCK_FAILURE, Answer, UpstreamError


class Execution(NamedTuple):
    """How an executed call ended; ``data`` is None when it failed with ``error``."""

    data: Answer | None
    attempts: int = 0
    cache_hit: bool = False
    outcome: Outcome = Outcome.OK
    reason: Reason | None = None
    error: str | None = None


class Executor:
    """Executes the calls of one gateway.

    Parameters
    ----------
    gateway
        Its settings, clock and faults.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock = gateway.clock

    async def execute(self, call: Admitted, state: State) -> Execution:
        """Execute a call; a failure is a value, not an exception."""
        tool, action = call.tool, call.action
        ttl_s = CACHE_TTL_S.get((tool, action))
        cache = state.cache if ttl_s is not None else None
        key = b""
        if cache is not None:
            params = orjson.dumps(call.params, option=orjson.OPT_SORT_KEYS)
            key = f"{tool}:{action}:".encode() + params
            kept = cache.get(key)
            if kept is not None:
                state.metrics.cache_hit(tool)
                return Execution(kept.data, cache_hit=True)
        breaker = state.breakers[tool]
        permit = self._permit(breaker, tool, state)
        if permit is None:
            state.metrics.fast_failed(tool)
            message = f"Circuit breaker is OPEN for {breaker.open_s * 1000.0:.0f}ms"
            return Execution(None, outcome=Outcome.FAST_FAIL, reason=Reason.BREAKER_OPEN, error=message)
        try:
            execution = await self._in_bulkhead(call, state)
        except asyncio.CancelledError:
            breaker.abandon(permit)
            state.metrics.breaker_state(tool, breaker.state)
            raise
        before = breaker.state
        breaker.record(permit, success=execution.data is not None)
        if breaker.state is not before:
            state.metrics.breaker_state(tool, breaker.state)
        if execution.data is not None and cache is not None and ttl_s is not None:
            cache[key] = Kept(execution.data, self._clock.wall_s(ttl_s))
        return execution

    @staticmethod
    def _permit(breaker: Breaker, tool: str, state: State) -> int | None:
        before = breaker.state
        permit = breaker.admit()
        if breaker.state is not before:
            state.metrics.breaker_state(tool, breaker.state)
        return permit

    async def _in_bulkhead(self, call: Admitted, state: State) -> Execution:
        async with state.bulkheads[call.tool]:
            return await self._attempts(call, state)

    async def _attempts(self, call: Admitted, state: State) -> Execution:
        tool, action = call.tool, call.action
        attempts = 0
        while True:
            attempts += 1
            reason = Reason.UPSTREAM
            effect = state.chaos.strike(tool) if self._gateway.chaos_works else None
            if effect is not None and effect.delay_s:
                await self._clock.sleep(self._clock.wall_s(effect.delay_s))
            if effect is not None and effect.error is not None:
                error, reason = effect.error, Reason.CHAOS
            elif self._gateway.faults.fail_attempts.take():
                error = MOCK_FAILURE
            else:
                try:
                    return Execution(state.tools.call(tool, action, call.params), attempts)
                except UpstreamError as problem:
                    error = str(problem)
            delay_s = state.retry.delay_s(tool, attempts, error, state.retry_generators[tool])
            if delay_s is None:
                return Execution(None, attempts, outcome=Outcome.UPSTREAM_ERROR, reason=reason, error=error)
            state.metrics.retried(tool, action)
            await self._clock.sleep(self._clock.wall_s(delay_s))
