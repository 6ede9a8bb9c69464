"""The mock upstream on a loopback port of this process, and a small driver that asks it through a target."""

import asyncio

import aiohttp
from aiohttp import web

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.runner.client import classify_failure
from soaklib.targets.base import Identity
from soaklib.upstream.app import create_app
from soaklib.upstream.behaviour import Behaviour
from soaklib.upstream.settings import UpstreamSettings

CHAT = {"messages": [{"role": "user", "content": "{n}"}]}
QUICK = {"latency_ms": 0, "latency_spread": 0, "gap_ms": 0}


class Driver:
    """Sends calls of targets, as the load's transport does."""

    def __init__(self, session, url):
        self.session, self.url = session, url

    async def control(self, **behaviour):
        """Set a behaviour, quick where nothing else is said."""
        async with self.session.put(f"{self.url}/control", json=QUICK | behaviour) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def get(self, path):
        """Give the JSON, or the text, of a path."""
        async with self.session.get(self.url + path) as answer:
            return await (answer.json() if answer.content_type == "application/json" else answer.text())

    async def call(self, target, tool, action, params=None, *, session=None, timeout_s=5.0):
        """Send a call of a made-up agent; give its reading."""
        step = Step(tool=tool, action=action, params=params or CHAT)
        return await self.ask(target, step, Identity("a", "agent", "key", session=session), 7, timeout_s=timeout_s)

    async def ask(self, target, step, identity, number, *, timeout_s=5.0):
        """Send a call; give its reading."""
        template = target.compile(step, identity.role)
        wire = template.request(identity, number)
        reader = target.reader(template)
        loop = asyncio.get_running_loop()
        is_wanted = True
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.session.request(wire.method, self.url + wire.path, data=wire.body, headers=wire.headers) as answer,
            ):
                reader.head(answer.status, answer.headers)
                async for chunk in answer.content.iter_any():
                    is_wanted = is_wanted and reader.feed(chunk, round(loop.time() * 1e6))
        except (aiohttp.ClientError, OSError) as exc:
            return reader.broken_off(*classify_failure(exc))
        return reader.end() if is_wanted else reader.broken_off(Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)


def against_upstream(scenario, **settings):
    """Run a scenario, a coroutine function of a driver, against an upstream of its own."""
    return against(create_app(UpstreamSettings(behaviour=Behaviour(**QUICK), **settings)), scenario)


def against(app, scenario):
    """Run a scenario against an application on a loopback port."""

    async def main():
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as session:
                return await scenario(Driver(session, url))
        finally:
            await runner.cleanup()

    return asyncio.run(main())
