"""The limit of agents that call by keys of the environment, which the load's agents have as well."""

import asyncio
import datetime as dt
from dataclasses import replace
from itertools import cycle

import pytest
from virtual_time import run_virtually

from soaklib.plan.given import AgentLimit
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.plan.oracles import RateLimit
from soaklib.plan.workload import Workload
from soaklib.records import Kind, Reason
from soaklib.runner.client import Answer
from soaklib.runner.preflight.calls import Caller, try_calls
from soaklib.runner.preflight.findings import Found, Standing
from soaklib.runner.preflight.limits import find_limit, need_of
from soaklib.targets import load_target
from soaklib.targets.base import Identity, Limit, Reading

URL = ("--gateway-url", "http://127.0.0.1:1")


class KeyedAdmin:
    """Gives the agents of a role its keys in turn."""

    def __init__(self, *keys):
        self._keys = cycle(keys)

    async def open(self, role, name):
        return Identity(name, role, next(self._keys))

    async def renew(self, identity, *, expires_at):
        assert expires_at
        return replace(identity)


class LimitedClient:
    """Answers so many calls, and limits those after them."""

    def __init__(self, calls, by=None):
        self.left, self.by = calls, by

    async def send(self, wire, reader, *, stall_s=None):
        assert (wire.method, stall_s) == ("POST", None)
        del reader
        self.left -= 1
        if self.left >= 0:
            return Answer(0, 1, 200, Reading(Kind.OK, None))
        return Answer(0, 1, 429, Reading(Kind.RATE_LIMITED, Reason.RATE_LIMIT, self.by))


class MinuteClient:
    """Lets so many calls in a minute in, whoever makes them."""

    def __init__(self, calls):
        self._calls, self._at_s = calls, []

    async def send(self, wire, reader, *, stall_s=None):
        del wire, reader, stall_s
        now_s = asyncio.get_running_loop().time()
        self._at_s = [at_s for at_s in self._at_s if at_s > now_s - 60]
        if len(self._at_s) < self._calls:
            self._at_s.append(now_s)
            return Answer(0, 1, 200, Reading(Kind.OK, None))
        return Answer(0, 1, 429, Reading(Kind.RATE_LIMITED, Reason.RATE_LIMIT))


def test_calls_that_were_made_with_the_same_key_before_are_none_that_the_limit_lacks():
    """One call of each kind used three of ten up: the limit is found to be ten, when its window is over."""
    settings, plan, found = load_settings([*URL]), load_plan(), Found()
    target = load_target(plan.target)
    caller = Caller(
        target=target, admin=KeyedAdmin("k"), client=MinuteClient(10), check_id="check", lifetime_s=60,
        utc_now=lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )  # fmt: skip
    calls = Workload(plan, 1).calls[:3]

    async def main(loop):
        await try_calls(caller, list(calls), found, kind=plan.target.kind)
        await find_limit(caller, {calls[0].role: calls[0]}, found, settings, plan)
        return loop.time()

    assert run_virtually(main) == pytest.approx(60, abs=1)
    assert found.limit == AgentLimit(10, 60)


class SomeKeyed(KeyedAdmin):
    """One role has a key of the environment; those of the others are made, one for each agent."""

    async def open(self, role, name):
        return await super().open(role, name) if role == "scraper" else Identity(name, role, "")

    async def renew(self, identity, *, expires_at):
        assert expires_at
        return identity if identity.secret else replace(identity, secret=f"made-for-{identity.name}")


def test_agents_whose_keys_are_made_are_told_apart():
    """Beside a role with keys of the environment, of which there are as many as were given."""
    plan = load_plan()
    caller = Caller(
        target=load_target(plan.target), admin=SomeKeyed("k1", "k2", "k3"), client=LimitedClient(9), check_id="check",
        lifetime_s=60, utc_now=lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )  # fmt: skip

    async def main():
        for role in plan.roles:
            await caller.agent(role)
        return await caller.distinct(plan, 20)

    assert asyncio.run(main()) == 3
    caller.admin = SomeKeyed(*(f"k{number}" for number in range(20)))
    assert asyncio.run(main()) == 20


def limit(*flags, keys=("k",), calls=3, limits=(), by=None):
    """Look for the limit by keys; give what was found, and the one finding."""
    settings, plan, found = load_settings([*URL, *flags]), load_plan().model_copy(update={"limits": limits}), Found()
    target = load_target(plan.target)
    caller = Caller(
        target=target, admin=KeyedAdmin(*keys), client=LimitedClient(calls, by), check_id="check", lifetime_s=60,
        utc_now=lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )  # fmt: skip
    good = {"scraper": Workload(plan, 1).calls[0]}
    asyncio.run(find_limit(caller, good, found, settings, plan))
    return found, found.findings[0]


def test_agents_that_share_a_key_are_one():
    """Twenty of a role with two keys are two; the load waits for what was used up of them."""
    flags = ("--rps", "0.05", "--agents-per-role", "20")
    found, finding = limit(*flags, keys=("k1", "k2"))
    assert (found.limit, found.agents_needed) == (AgentLimit(3, 60), 5)
    assert (finding.standing, found.pause_s) == (Standing.PROBLEM, 60)
    assert "each with a token or key of its own, and there are 2: pass --agents-per-role 5" in finding.detail
    found, finding = limit(*flags, keys=[f"k{number}" for number in range(20)])
    assert (finding.standing, found.pause_s) == (Standing.OK, 60)


def test_the_first_call_that_is_limited_already_tells_no_limit():
    """Somebody else has used it up."""
    found, finding = limit(calls=0)
    assert (found.limit, finding.standing) == (None, Standing.NOTE)
    assert finding.detail == "not known: the first call was answered with rate_limited, rate_limit (status 429)"


@pytest.mark.parametrize("by", [Limit.TOKENS, Limit.PARALLEL, Limit.LOCK_OUT, Limit.BUDGET])
def test_a_limit_of_something_else_is_none_of_calls(by):
    """Nothing is known then of how many calls an agent may make, and no later 429 is excused by it."""
    found, finding = limit(by=by)
    assert (found.limit, found.agents_needed, finding.standing) == (None, None, Standing.NOTE)
    words = f"not known: after 3 calls one met another limit, {by} (rate_limited, rate_limit (status 429))"
    assert (finding.detail, found.pause_s) == (words, 60)
    assert limit(by=Limit.REQUESTS)[0].limit == limit(by=None)[0].limit == AgentLimit(3, 60)


@pytest.mark.parametrize(("flags", "agents"), [((), 96), (("--rps", "1"), 16), (("--rps", "1", "--speed", "10"), 96)])
def test_how_many_agents_follows_from_the_calls_of_a_wall_minute(flags, agents):
    """A real gateway counts by its own clock, whatever the speed of the soak is."""
    assert need_of(AgentLimit(5, 60), load_settings([*URL, *flags]), load_plan()).agents == agents


@pytest.mark.parametrize(
    ("stated", "agents", "standing", "said"),
    [
        (3, 1, Standing.NOTE, False),
        (4, 1, Standing.NOTE, True),
        (3, 20, Standing.OK, False),
        (4, 20, Standing.NOTE, True),
    ],
)
def test_a_limit_that_the_plan_states_is_held_to_what_is_found_and_may_be_meant_to_be_met(
    stated, agents, standing, said
):
    """Too few agents are then no reason to refuse; another limit than the stated one is said."""
    keys = [f"k{number}" for number in range(agents)]
    flags = ("--rps", "0.05", "--agents-per-role", str(agents))
    _, finding = limit(*flags, keys=keys, limits=(RateLimit(calls=stated),))
    assert finding.standing is standing
    assert ("the plan's [[limits]] say 4 in 60 s" in finding.detail) is said
