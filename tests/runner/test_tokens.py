import asyncio

import pytest

from soaklib.plan.model import load_plan
from soaklib.runner.tokens import AgentPool
from soaklib.targets.admin import Link
from soaklib.targets.fourrunr.admin import FourRunrAdmin
from soaklib.targets.fourrunr.api import ApiError


class FakeApi:
    """Gives numbered agents and tokens; `errors` are raised first."""

    def __init__(self):
        self.agents, self.tokens, self.errors, self.asked = 0, 0, [], []

    async def create_agent(self, *, name, role):
        assert name.startswith(f"r1-{role}-")
        self.agents += 1
        return f"{role}-{self.agents}"

    async def generate_token(self, agent_id, *, scopes, expires_at):
        await asyncio.sleep(0)
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.tokens += 1
        self.asked.append((agent_id, scopes, expires_at))
        return f'token"{self.tokens}'


def pool_of(api, agents_per_role=2):
    plan = load_plan()
    link = Link(base_url="", timeout_s=1.0, plan=plan, run_id="r1", rps=1.0, tell=None)
    admin = FourRunrAdmin(link, api)
    return AgentPool(admin, plan.roles, agents_per_role=agents_per_role, run_id="r1", lifetime_s=1.5)


def test_agents_of_a_role_take_turns():
    """Three calls of two agents carry the first's token, the second's and the first's."""
    api = FakeApi()

    async def main():
        pool = pool_of(api)
        await pool.create()
        await pool.rotate(within_s=1)
        return [pool.take("scraper") for _ in range(4)], pool

    taken, pool = asyncio.run(main())
    assert taken[0] == taken[2] != taken[1] == taken[3]
    assert pool.agent_count == 6
    assert {(agent.name[:10], agent.generation) for agent in taken} == {("r1-scraper", 0)}


def test_tokens_are_asked_for_the_roles_scopes_and_in_utc():
    """Each agent's token is for its role's scopes, and expires at an ISO time with Z."""
    api = FakeApi()

    async def main():
        pool = pool_of(api, 1)
        await pool.create()
        await pool.rotate(within_s=1)

    asyncio.run(main())
    assert {agent.split("-")[0]: scopes for agent, scopes, _ in api.asked} == {
        "scraper": ("serpapi:search",), "enricher": ("http_fetch:get", "openai:chat"), "engager": ("gmail_send:send",),
    }  # fmt: skip
    assert all(expires_at.endswith("Z") and "T" in expires_at for *_, expires_at in api.asked)


def test_a_rotation_swaps_all_tokens_at_once_and_calls_never_wait():
    """While new tokens are fetched every call gets an old one; after it every call gets a new one."""
    api = FakeApi()

    async def main():
        pool = pool_of(api)
        await pool.create()
        await pool.rotate(within_s=1)
        old = {pool.take(role).secret for role in load_plan().roles for _ in range(2)}
        rotating = asyncio.create_task(pool.rotate(within_s=1))
        during = []
        while not rotating.done():
            during += [pool.take(role) for role in load_plan().roles]
            await asyncio.sleep(0)
        after = [pool.take(role) for role in load_plan().roles for _ in range(2)]
        return old, during, after

    old, during, after = asyncio.run(main())
    assert {agent.secret for agent in during if agent.generation == 0} <= old
    assert {agent.generation for agent in after} == {1}
    assert not {agent.secret for agent in after} & old


def test_a_rotation_tells_how_many_tokens_are_others():
    """All that were made anew; none of keys that stay what they are."""

    async def main(renews):
        pool = pool_of(FakeApi())
        if not renews:
            pool._admin.renew = _same
        await pool.create()
        return [await pool.rotate(within_s=1) for _ in range(2)]

    async def _same(agent, *, expires_at):
        assert expires_at
        return agent

    assert (asyncio.run(main(renews=True)), asyncio.run(main(renews=False))) == ([6, 6], [0, 0])


def test_a_failure_that_passes_is_tried_again():
    """A server error and a lost connection cost a retry, not the rotation."""
    api = FakeApi()
    api.errors = [ApiError("POST", 503, "busy"), ApiError("POST", None, "reset")]

    async def main():
        pool = pool_of(api, 1)
        await pool.create()
        await pool.rotate(within_s=5)
        return pool.generation

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize("error", [ApiError("POST", 404, "Agent not found."), ApiError("POST", 400, "bad")])
def test_a_refusal_is_raised_and_the_tokens_in_place_stay(error):
    """No is no: it is not tried again, and calls go on with the tokens they have."""
    api = FakeApi()

    async def main():
        pool = pool_of(api, 1)
        await pool.create()
        await pool.rotate(within_s=1)
        before = pool.take("scraper")
        api.errors = [error]
        with pytest.raises(ApiError):
            await pool.rotate(within_s=60)
        return before, pool.take("scraper")

    before, after = asyncio.run(main())
    assert before == after
