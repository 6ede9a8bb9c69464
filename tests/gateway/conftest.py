"""A gateway over a real loopback server whose time stands still unless a test moves it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict

from soaklib.gateway.app import GATEWAY, create_app
from soaklib.gateway.clock import Clock, iso_utc
from soaklib.gateway.settings import GatewaySettings

PARAMS = {
    "serpapi:search": {"query": "soak", "q": "soak", "num": 3, "engine": "google"},
    "http_fetch:get": {"url": "https://example.com/a"},
    "http_fetch:head": {"url": "https://example.com/a"},
    "openai:chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"},
    "gmail_send:send": {"to": "a@example.com", "subject": "s", "body": "b", "text": "b"},
}


@dataclass
class FakeTime:
    """Time that a test moves; a sleep moves it at once and is remembered."""

    now_s: float = 0.0
    epoch_s: float = 1_795_000_000.0  # Wednesday 2026-11-18, 11:06:40 UTC
    slept_s: list[float] = field(default_factory=list)

    def monotonic(self):
        """Return the seconds since the start."""
        return self.now_s

    def wall(self):
        """Return the seconds since the epoch."""
        return self.epoch_s + self.now_s

    async def sleep(self, seconds):
        """Move the time on."""
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def clock(self, speed=1.0):
        """Return a clock of this time."""
        return Clock(speed=speed, monotonic=self.monotonic, wall=self.wall, sleep=self.sleep)


@dataclass
class Answer:
    """A status, a body and headers."""

    status: int
    body: object
    headers: CIMultiDict[str]


class Api:
    """The few requests that a scenario needs."""

    def __init__(self, client, time):
        self.client, self.time = client, time
        self.gateway = client.server.app[GATEWAY]

    async def send(self, method, path, json=None, headers=None):
        """Send a request."""
        async with self.client.request(method, path, json=json, headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, await (answer.json() if is_json else answer.text()), answer.headers.copy())

    async def agent(self, role="r"):
        """Make an agent, return its id."""
        body = {"name": "n", "created_by": "c", "role": role}
        return (await self.send("POST", "/api/create-agent", body)).body["agent_id"]

    async def policy(self, role="r", **spec):
        """Make a policy of a role that allows everything, unless the spec says otherwise."""
        spec = {"scopes": list(PARAMS)} | spec
        answer = await self.send("POST", "/api/policies", {"name": "p", "role": role, "spec": spec})
        assert answer.status == 201, answer.body
        return answer.body["id"]

    async def token(self, agent_id, lives_s=3_600.0):
        """Return a token."""
        return (await self.issue(agent_id, lives_s))["agent_token"]

    async def issue(self, agent_id, lives_s=3_600.0):
        """Return the whole answer to a request for a token."""
        body = {"agent_id": agent_id, "tools": ["t"], "permissions": ["p"]}
        body["expires_at"] = iso_utc(self.time.wall() + lives_s)
        return (await self.send("POST", "/api/generate-token", body)).body

    async def ready_token(self, role="r", **spec):
        """Make an agent and a policy for it, return a token."""
        await self.policy(role, **spec)
        return await self.token(await self.agent(role))

    async def call(self, token, scope="gmail_send:send", params=None, **more):
        """Send a proxy request."""
        tool, action = scope.split(":")
        body = {"agent_token": token, "tool": tool, "action": action, "params": params or PARAMS[scope]}
        return await self.send("POST", "/api/proxy-request", body | more)

    async def statuses(self, token, scope="gmail_send:send", times=1, params=None):
        """Send proxy requests, return their statuses."""
        return [(await self.call(token, scope, params)).status for _ in range(times)]

    async def metrics(self):
        """Return the samples of /metrics by name and labels."""
        text = (await self.send("GET", "/metrics")).body
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples


Scenario = Callable[[Api], Awaitable[None]]


@pytest.fixture
def fake_time():
    """Return time that a test moves."""
    return FakeTime()


@pytest.fixture
def wire(fake_time):
    """Run a scenario against a gateway with the given settings, over loopback."""

    def run(scenario: Scenario, **settings):
        async def go():
            made = GatewaySettings(**settings)
            app = create_app(made, clock=fake_time.clock(made.speed))
            async with TestClient(TestServer(app)) as client:
                await scenario(Api(client, fake_time))

        asyncio.run(go())

    return run
