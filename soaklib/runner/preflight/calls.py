"""One call of everything that the plan calls, and one agent's calls up to the limit of its gateway."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from soaklib.records import Expected, Kind
from soaklib.runner.preflight.findings import Standing
from soaklib.targets.refusal_proofs import IS_REFUSED, let_through_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from soaklib.plan.model import Plan
    from soaklib.plan.workload import Call
    from soaklib.records import Reason
    from soaklib.runner.client import Client
    from soaklib.runner.preflight.findings import Found
    from soaklib.targets import Target
    from soaklib.targets.admin import Admin
    from soaklib.targets.base import Identity, Limit, Reader, Reading

__all__ = ["MOST_TRIES", "Caller", "Tried", "try_calls", "try_limit"]

MOST_TRIES: Final = 24
"""Calls of one agent until its limit is met; a limit above it is left to the run to meet."""
_FIRST_QUERY: Final = 9_000_000_000  # beyond the numbers of any soak's slots: what is asked here is in no cache then
_TIMES: Final = 3
_STATED: Final = ("first_token_at_us", "input_tokens", "output_tokens", "cost_usd")
"""What an answer may state that criteria ask for: columns of ``outcomes``."""
_PASSING: Final = frozenset({Kind.UPSTREAM_ERROR, Kind.FAST_FAIL, Kind.TIMEOUT})
"""What another try may not meet: tools fail now and then, and a soak bears it."""
_COUNTS: Final = frozenset({Kind.OK, Kind.UPSTREAM_ERROR, Kind.FAST_FAIL, Kind.INVALID_RESPONSE})
"""What a limit has counted, which is asked before the tool."""


class Tried(NamedTuple):
    """What became of a call that was tried."""

    kind: Kind
    reason: Reason | None
    limit: Limit | None
    status: int | None
    correlation_id: str | None = None
    stated: frozenset[str] = frozenset()

    def __str__(self) -> str:
        status = "no answer" if self.status is None else f"status {self.status}"
        return f"{self.kind}" + ("" if self.reason is None else f", {self.reason}") + f" ({status})"


class _Hearing:
    """A reader that keeps what an answer says of the time, and leaves everything else to the target's own."""

    def __init__(self, reader: Reader, hear: Callable[[str | None], None]) -> None:
        self._reader, self._hear = reader, hear

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self._hear(headers.get("Date"))
        self._reader.head(status, headers)

    def feed(self, chunk: bytes, at_us: int) -> bool:
        return self._reader.feed(chunk, at_us)

    def end(self) -> Reading:
        return self._reader.end()

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        return self._reader.broken_off(kind, reason)


@dataclass(kw_only=True)
class Caller:
    """Makes calls of the plan beside any load.

    Attributes
    ----------
    target, admin, client
        What the gateway is, who makes agents, and the way of the calls.
    check_id
        Part of the agents' names.
    lifetime_s
        What a token is asked to live, wall seconds.
    utc_now
        The wall clock.
    date
        The ``Date`` of the last answer that had one, and when it came.
    has_keys
        Whether agents call by keys that are there for good, which the load's agents have as well.
    called_with
        Keys and tokens that calls were made with.
    """

    target: Target
    admin: Admin
    client: Client
    check_id: str
    lifetime_s: float
    utc_now: Callable[[], dt.datetime]
    date: tuple[str, dt.datetime] | None = None

    def __post_init__(self) -> None:
        self._numbers: Iterator[int] = count(_FIRST_QUERY)
        self.agents: list[Identity] = []
        self.has_keys = False
        self.called_with: set[str] = set()

    async def agent(self, role: str) -> Identity:
        """Make an agent for this check alone, with its token.

        Raises
        ------
        AdminError
            The gateway refuses.
        """
        made = await self.admin.open(role, f"{self.check_id}-{role}-{len(self.agents)}")
        self.has_keys = self.has_keys or bool(made.secret)
        made = await self.admin.renew(made, expires_at=self.utc_now() + dt.timedelta(seconds=self.lifetime_s))
        self.agents.append(made)
        return made

    async def call(self, call: Call, identity: Identity) -> Tried:
        """Make one call."""
        template = self.target.compile(call.step, call.role)
        wire = template.request(identity, next(self._numbers))
        self.called_with.add(identity.secret)
        reader = _Hearing(self.target.reader(template), self._hear)
        answer = await self.client.send(wire, reader, stall_s=template.stall_s)
        reading = answer.reading
        stated = frozenset(name for name in _STATED if getattr(reading, name) is not None)
        return Tried(reading.kind, reading.reason, reading.limit, answer.status, reading.correlation_id, stated)

    async def distinct(self, plan: Plan, agents: int) -> int:
        """Give how many of so many agents of a role would be told apart: those that share a key of ours are one.

        Those of a role whose keys are made have one each.
        """
        if not self.has_keys:
            return agents
        is_made = {agent.role for agent in self.agents if agent.secret}
        apart = []
        for role in dict.fromkeys(operation.role for operation in plan.operations):
            keys = {(await self.admin.open(role, self.check_id)).secret for _ in range(agents)}
            apart.append(agents if keys == {""} and role in is_made else len(keys))
        return min(apart)

    async def let_go(self) -> None:
        """Close all agents that were made."""
        while self.agents:
            await self.admin.close(self.agents.pop())

    def _hear(self, date: str | None) -> None:
        if date is not None:
            self.date = date, self.utc_now()


async def try_calls(caller: Caller, calls: list[Call], found: Found, *, kind: str) -> dict[str, Call]:
    """Make each call of the plan once, again where a tool failed; give for each role one that was answered well.

    Whether a probe was let in depends on the `kind` of gateway. A role that makes no load is there to be refused.
    """
    of_the_load = {call.role for call in calls if call.expected is not Expected.DENY}
    agents: dict[str, Identity] = {}
    good: dict[str, Call] = {}
    seen: set[tuple[str, str, Expected]] = set()
    bears_ids = False
    for call in calls:
        key = (call.role, call.step.scope, call.expected)
        if key in seen:
            continue
        seen.add(key)
        if call.role not in agents:
            agents[call.role] = await caller.agent(call.role)
        tried, times = await caller.call(call, agents[call.role]), 1
        while tried.kind in _PASSING and times < _TIMES:
            tried, times = await caller.call(call, agents[call.role]), times + 1
        if call.expected is Expected.DENY:
            was_let_in = _is(tried, let_through_sql(kind, bears_ids=bears_ids))
            is_refused = call.role not in of_the_load and _is(tried, IS_REFUSED)
            said = _of_probe(tried, was_let_in=was_let_in, is_refused=is_refused)
            found.add(f"probe of {call.role}: {call.step.scope}", *said)
            continue
        found.add(f"call of {call.role}: {call.step.scope}", *_of_call(tried, times))
        if tried.kind is Kind.OK:
            good.setdefault(call.role, call)
            bears_ids = bears_ids or tried.correlation_id is not None
            found.stated = (found.stated or frozenset()) | tried.stated
    return good


def _of_call(tried: Tried, times: int) -> tuple[Standing, str]:
    if tried.kind is Kind.OK:
        return Standing.OK, "answered" if times == 1 else f"answered, the {_ORDINALS[times]} time"
    if tried.kind in _PASSING:
        return Standing.NOTE, f"{tried}, {_TIMES} times: none of them was served"
    if tried.kind is Kind.RATE_LIMITED:
        return Standing.NOTE, f"{tried}: whoever it was made as has no call left for now"
    return Standing.PROBLEM, f"{tried}: no call like this one would succeed"


_ORDINALS: Final = {2: "second", 3: "third"}


def _of_probe(tried: Tried, *, was_let_in: bool, is_refused: bool) -> tuple[Standing, str]:
    if tried.kind is Kind.DENIED:
        return Standing.OK, f"denied, {tried.reason}"
    if is_refused:
        return Standing.OK, f"refused, {tried.reason}"
    if was_let_in:
        return Standing.PROBLEM, f"{tried}: policy let it in, which fails a soak"
    return Standing.NOTE, f"{tried}: it was neither denied nor let in"


def _is(tried: Tried, condition: str) -> bool:
    """Say whether a condition, SQL on a row of ``outcomes``, is true of a call."""
    row = 'select ? as kind, ? as reason, ? as "limit", ?::SMALLINT as status, ? as correlation_id'
    with duckdb.connect() as connection:
        [(is_true,)] = connection.execute(f"select {condition} from ({row})", tried[:-1]).fetchall()  # noqa: S608 - our own condition
    return bool(is_true)


async def try_limit(caller: Caller, call: Call, *, window_s: float) -> tuple[int, Tried, float]:
    """Call as one new agent until it is limited, or :data:`MOST_TRIES` times.

    Given are how many were let in, the last, and how long that took in seconds.

    Calls that are refused before the limit is asked (policy, token) are none that count. Where the agent's key is one
    that calls were made with before, those counted as well: it is tried again when a window is over.
    """
    agent = await caller.agent(call.role)
    has_called = bool(agent.secret) and agent.secret in caller.called_with
    let_in, last, took_s = await _until_limited(caller, call, agent)
    if last.kind is Kind.RATE_LIMITED and has_called:
        await asyncio.sleep(window_s)
        return await _until_limited(caller, call, agent)
    return let_in, last, took_s


async def _until_limited(caller: Caller, call: Call, agent: Identity) -> tuple[int, Tried, float]:
    let_in, began = 0, caller.utc_now()
    while True:
        tried = await caller.call(call, agent)
        if tried.kind is Kind.RATE_LIMITED or let_in + 1 >= MOST_TRIES or tried.kind not in _COUNTS | {Kind.TIMEOUT}:
            return let_in + (tried.kind in _COUNTS), tried, (caller.utc_now() - began).total_seconds()
        let_in += 1
