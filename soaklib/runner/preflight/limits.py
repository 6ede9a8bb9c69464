"""How many agents a soak needs, by the limit that one agent was found to have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.plan.given import AgentLimit
from soaklib.records import Kind
from soaklib.runner.preflight.calls import MOST_TRIES, try_limit
from soaklib.runner.preflight.findings import Standing
from soaklib.runner.rate_limit import busiest_role
from soaklib.targets.base import Limit

if TYPE_CHECKING:
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.plan.workload import Call
    from soaklib.runner.preflight.calls import Caller
    from soaklib.runner.preflight.findings import Found

__all__ = ["Need", "find_limit", "need_of"]

_WINDOW_S: Final = 60.0
"""No answer says in which stretch of time its calls are counted; a minute is what gateways count by."""
_WHAT: Final = "limit of an agent"
_OF_ONE: Final = frozenset({"agent", "key"})
_OF_CALLS: Final = frozenset({None, Limit.REQUESTS})
"""Limits that count calls, as far as an answer says; of tokens, of money or of a locked-out address nothing follows."""


class Need(NamedTuple):
    """What the busiest role asks of its agents in one stretch of a limit.

    Attributes
    ----------
    planned, most
        Calls planned in it, and the most that the draw of the slots makes of them.
    agents
        Agents that it takes so that none of them meets the limit.
    """

    planned: float
    most: float
    agents: int


def need_of(limit: AgentLimit, settings: SoakSettings, plan: Plan) -> Need:
    """Say how many agents a role needs, with room for the minutes in which most slots fall to it."""
    # the reference gateway shortens the limit's window by its speed, so that in soak time it is the same
    rps = settings.rps * (1 if settings.embedded else settings.speed)
    planned, most = busiest_role(plan, rps * limit.window_s)
    return Need(planned, most, math.ceil(most / limit.calls) + 1)


async def find_limit(caller: Caller, good: dict[str, Call], found: Found, settings: SoakSettings, plan: Plan) -> None:
    """Find the limit of an agent, and say whether there are agents enough for it.

    A limit that ``--agent-limit`` states is not tried: who states it knows what becomes of the calls beyond it.
    """
    if settings.agent_limit is not None:
        found.limit = AgentLimit.parse(settings.agent_limit)
        need = need_of(found.limit, settings, plan)
        found.agents_needed = need.agents
        there = await caller.distinct(plan, settings.agents_per_role)
        is_enough = there >= need.agents
        found.add(_WHAT, Standing.OK if is_enough else Standing.NOTE, f"stated: {_words(found.limit, need, there)}")
        return
    if settings.embedded:
        found.add(_WHAT, Standing.NOT_APPLICABLE, "of a rehearsal's gateway its own flags say it")
        return
    if not good:
        found.add(_WHAT, Standing.NOTE, "not tried: no call was answered")
        return
    let_in, last, took_s = await try_limit(caller, next(iter(good.values())), window_s=_WINDOW_S)
    if last.kind is not Kind.RATE_LIMITED:
        found.add(_WHAT, Standing.OK, _unmet(let_in, str(last), settings, plan))
        return
    if let_in == 0:
        found.add(_WHAT, Standing.NOTE, f"not known: the first call was answered with {last}")
        return
    if caller.has_keys:
        found.pause_s = _WINDOW_S  # the load's agents call by the same keys
    if last.limit not in _OF_CALLS:
        words = f"not known: after {let_in} calls one met another limit, {last.limit} ({last})"
        found.add(_WHAT, Standing.NOTE, words)
        return
    found.limit = AgentLimit(let_in, _WINDOW_S)
    need = need_of(found.limit, settings, plan)
    found.agents_needed = need.agents
    there = await caller.distinct(plan, settings.agents_per_role)
    is_enough = there >= need.agents
    words = f"{_words(found.limit, need, there)}; met in {took_s:.1f} s"
    said = next((one for one in plan.limits if one.per in _OF_ONE), None)
    if said is not None and said.calls != let_in:
        words += f"; the plan's [[limits]] say {said.calls} in {said.window_s:g} s"
    standing = Standing.PROBLEM if said is None else Standing.NOTE  # who states a limit may mean to go beyond it
    is_fine = is_enough and (said is None or said.calls == let_in)
    found.add(_WHAT, Standing.OK if is_fine else standing, words, is_of_settings=True)


def _words(limit: AgentLimit, need: Need, there: int) -> str:
    text = (
        f"{limit.calls} calls in {limit.window_s:g} s; the busiest role plans {need.planned:.0f}, and up to "
        f"{need.most:.0f} as its slots are drawn, for which it takes {need.agents} agents"
    )
    if there >= need.agents:
        return f"{text}: there are {there}"
    return (
        f"{text}, each with a token or key of its own, and there are {there}: pass --agents-per-role {need.agents}, "
        f"a lower --rps, or --agent-limit {limit.calls}/{limit.window_s:g}s where calls beyond it are meant to be "
        "refused"
    )


def _unmet(let_in: int, last: str, settings: SoakSettings, plan: Plan) -> str:
    if let_in < MOST_TRIES:
        return f"none met in {let_in} calls; then one was {last}"
    need = need_of(AgentLimit(let_in, _WINDOW_S), settings, plan)
    each = need.most / settings.agents_per_role
    text = f"none met in {let_in} calls of one agent"
    return text if each <= let_in else f"{text}; in the soak one makes up to {each:.0f} in {_WINDOW_S:g} s"
