"""POST /api/proxy-request, /api/proxy/status and /api/proxy/logs."""

import os
import random
from itertools import islice
from typing import NamedTuple

import orjson
from aiohttp import web

from soaklib.gateway.admission import Admission, Admitted, Call, Refusal
from soaklib.gateway.clock import iso_utc
from soaklib.gateway.execution import Executor
from soaklib.gateway.quirks import GROWTH_BYTES_PER_REQUEST, GROWTH_CAP_MS, GROWTH_US_PER_REQUEST
from soaklib.gateway.records import DETAIL_CHARACTERS, NAME_CHARACTERS, Outcome, ProxyLogRow, Reason, clipped
from soaklib.gateway.response_filters import apply_filters
from soaklib.gateway.state import Gateway, State
from soaklib.gateway.tools import TOOL_ACTIONS
from soaklib.gateway.wire.answers import JSON_TYPE, json_answer
from soaklib.gateway.wire.bodies import query_count, read_json

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TRIPLES = [a + b + c for a in _DIGITS for b in _DIGITS for c in _DIGITS]
_LOGGED_BY_THE_REAL_ONE = frozenset(
    {Outcome.OK, Outcome.DENIED, Outcome.RATE_LIMITED, Outcome.FAST_FAIL, Outcome.UPSTREAM_ERROR}
)


class CorrelationIds:
    """Makes correlation ids: ``req_<epoch ms>_<9 base36 digits>``; no two in a run are the same."""

    def __init__(self) -> None:
        self._draw = random.Random(os.urandom(16)).random  # noqa: S311 - an id has to be unique, it is no secret

    def new(self, epoch_s: float) -> str:
        """Return an id for a request that arrived at ``epoch_s``."""
        draw = self._draw  # three table look-ups instead of nine digits
        first, second, third = int(draw() * 46_656), int(draw() * 46_656), int(draw() * 46_656)
        return f"req_{int(epoch_s * 1000.0)}_{_TRIPLES[first]}{_TRIPLES[second]}{_TRIPLES[third]}"


class _Answer(NamedTuple):
    status: int
    body: bytes
    outcome: Outcome
    reason: Reason | None
    detail: str | None
    cache_hit: bool = False
    attempts: int = 0


def _refused(refusal: Refusal) -> _Answer:
    return _Answer(refusal.status, orjson.dumps(refusal.body), refusal.outcome, refusal.reason, refusal.detail)


class ProxyRoutes:
    """The proxy of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock = gateway.clock
        self._admission = Admission(gateway)
        self._executor = Executor(gateway)
        self._ids = CorrelationIds()
        self._quirks = gateway.settings.quirks

    async def proxy_request(self, request: web.Request) -> web.Response:
        """Check a call, execute it, answer, and write it down."""
        body = await read_json(request)
        started_s = self._clock.monotonic()
        gateway, state = self._gateway, self._gateway.state
        corr_id = self._ids.new(self._clock.wall())
        call = Call()
        verdict = self._admission.check(body, call, state)
        answer = _refused(verdict) if isinstance(verdict, Refusal) else await self._execute(verdict, state, started_s)
        row = ProxyLogRow(
            corr_id=corr_id,
            created_at=self._clock.wall(),
            agent_id=call.agent_id,
            tool=clipped(call.tool, NAME_CHARACTERS),
            action=clipped(call.action, NAME_CHARACTERS),
            status=answer.status,
            outcome=answer.outcome,
            reason=answer.reason,
            detail=clipped(answer.detail, DETAIL_CHARACTERS),
            response_time_ms=(self._clock.monotonic() - started_s) * 1000.0,
            success=answer.outcome is Outcome.OK,
            cache_hit=answer.cache_hit,
            attempts=answer.attempts,
        )
        self._write_down(row, state)
        if not gateway.faults.lose_log_rows.take():
            gateway.record(row)
        headers = {"Content-Type": JSON_TYPE, "X-Correlation-Id": corr_id}
        if call.rotate_by is not None:
            headers["X-Token-Rotation-Recommended"] = "true"
            headers["X-Token-Expires-At"] = call.rotate_by
        return web.Response(body=answer.body, status=answer.status, headers=headers)

    async def _execute(self, call: Admitted, state: State, started_s: float) -> _Answer:
        execution = await self._executor.execute(call, state)
        state.requests_served += 1
        if self._quirks.grows:
            served = state.requests_served
            state.growth.grow_to(served * GROWTH_BYTES_PER_REQUEST)
            await self._clock.sleep(min(served * GROWTH_US_PER_REQUEST / 1000.0, GROWTH_CAP_MS) / 1000.0)
        if self._gateway.faults.slows:
            await self._clock.sleep(self._gateway.faults.delay_s())
        tool, action = call.tool, call.action
        duration_ms = (self._clock.monotonic() - started_s) * 1000.0
        status = 200 if execution.data is not None else 502
        state.metrics.executed(tool, action, status, duration_ms, self._gateway.faults.increments())
        if execution.data is None:
            body: dict[str, object] = {"error": "External API request failed", "details": execution.error}
        else:
            filters = call.policy.filters
            body = {
                "success": True,
                "data": execution.data if filters is None else apply_filters(filters, execution.data),
                "metadata": {
                    "agent_id": call.agent.agent_id,
                    "agent_name": call.agent.name,
                    "tool": tool,
                    "action": action,
                    "response_time_ms": int(duration_ms),
                },
            }
        return _Answer(
            status,
            orjson.dumps(body),
            execution.outcome,
            execution.reason,
            execution.error,
            execution.cache_hit,
            execution.attempts,
        )

    def _write_down(self, row: ProxyLogRow, state: State) -> None:
        if self._quirks.partial_logs and not (
            row.outcome in _LOGGED_BY_THE_REAL_ONE or row.reason is Reason.TOKEN_EXPIRED
        ):
            return
        state.proxy_logs.append(row)

    async def status(self, _: web.Request) -> web.Response:
        """Tell which tools there are."""
        body = {
            "status": "operational",
            "timestamp": iso_utc(self._clock.wall()),
            "configured_tools": dict.fromkeys(TOOL_ACTIONS, True),
            "available_actions": TOOL_ACTIONS,
            "signing_secret": True,
            "gateway_key": True,
            "kek_configured": True,
        }
        return json_answer(body)

    async def logs(self, request: web.Request) -> web.Response:
        """Return the newest log entries."""
        limit = query_count(request, "limit")
        entries = [
            _log_entry(row) for row in islice(reversed(self._gateway.state.proxy_logs), 20 if limit is None else limit)
        ]
        body = {"logs": entries, "total": len(entries), "timestamp": iso_utc(self._clock.wall())}
        return json_answer(body)


def _log_entry(row: ProxyLogRow) -> dict[str, object]:
    entry: dict[str, object] = {
        "corrId": row.corr_id,
        "agentId": row.agent_id,
        "tool": row.tool,
        "action": row.action,
        "responseTime": int(row.response_time_ms),
        "statusCode": row.status,
        "success": row.success,
        "id": row.corr_id.removeprefix("req_"),
        "createdAt": iso_utc(row.created_at),
    }
    if row.detail is not None:
        entry["errorMessage"] = row.detail
    return entry
