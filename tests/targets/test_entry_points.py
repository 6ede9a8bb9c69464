"""A kind of gateway that another package brings: found by its entry point, and soaked like any other."""

import asyncio
import sys

import pytest
from aiohttp import web

from soaklib.errors import SettingsError
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import Kind, Reason
from soaklib.runner.client import Client
from soaklib.runner.tokens import AgentPool
from soaklib.targets import known_kinds, load_target
from soaklib.targets.admin import Link

MODULE = """
from dataclasses import replace
from pydantic import BaseModel, ConfigDict
from soaklib.errors import SettingsError
from soaklib.records import Kind, Reason
from soaklib.targets.admin import Health, Made, Missing
from soaklib.targets.base import Identity, Limit, MetricMap, Reading, Wire


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    greeting: str


class Template:
    stall_s = None

    def __init__(self, greeting, tool):
        self.greeting, self.tool = greeting, tool

    def request(self, identity, number):
        body = f"{self.greeting} {self.tool} {number}".encode()
        return Wire("POST", f"/say/{self.tool}", {"X-Who": identity.secret}, body)


class Reader:
    def __init__(self):
        self.said = b""

    def head(self, status, headers):
        self.status = status

    def feed(self, chunk, at_us):
        self.said += chunk
        return len(self.said) < 1000

    def end(self):
        if self.status == 420:
            return Reading(Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.REQUESTS)
        return Reading(Kind.OK, None, output_tokens=len(self.said.split()))

    def broken_off(self, kind, reason):
        return Reading(kind, reason)


class Admin:
    capabilities = frozenset()
    endpoints = ()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def open(self, role, name):
        return Identity(name, role, "")

    async def renew(self, identity, *, expires_at):
        return replace(identity, secret=f"secret of {identity.name}")


class Target:
    kind = "parrot"
    options = Options
    metrics = MetricMap(path=None)
    agent_limit = None

    def __init__(self, options):
        self.greeting = options.greeting

    def compile(self, step, role):
        if step.tool == "mute":
            raise SettingsError(f"role {role!r} calls mute, which a parrot cannot say")
        return Template(self.greeting, step.tool)

    def reader(self, template):
        return Reader()

    def admin(self, link):
        return Admin()
"""


@pytest.fixture
def parrot(tmp_path, monkeypatch):
    """Install a package of one module beside its entry point."""
    (tmp_path / "parrot_target.py").write_text(MODULE)
    info = tmp_path / "parrot_target-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-target\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[soaklib.targets]\nparrot = parrot_target:Target\nbroken = parrot_target:Nobody\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield TargetTable.model_validate({"kind": "parrot", "greeting": "hello"})
    sys.modules.pop("parrot_target", None)


def test_a_kind_of_another_package_is_found_made_and_driven(parrot):
    """Its calls are sent as its identities, and its answers are read by its own reader, over the one transport."""

    async def answer(request):
        said = await request.text()
        return web.Response(status=420 if said.endswith("3") else 200, text=f"{request.headers['X-Who']}: {said}")

    async def main():
        target = load_target(parrot)
        app = web.Application()
        app.router.add_post("/say/{tool}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        link = Link(base_url=url, timeout_s=5.0, plan=load_plan(), run_id="r1", rps=1.0, tell=None)
        template = target.compile(load_plan().operations[0].steps[0], "scraper")
        async with (
            target.admin(link) as admin,
            Client(url, now_us=lambda: 0, timeout_s=5.0, max_connections=1) as client,
        ):
            pool = AgentPool(admin, ["scraper"], agents_per_role=1, run_id="r1", lifetime_s=1.0)
            await pool.create()
            await pool.rotate(within_s=1.0)
            answers = [
                await client.send(template.request(pool.take("scraper"), number), target.reader(template))
                for number in (2, 3)
            ]
        await runner.cleanup()
        return answers

    two, three = asyncio.run(main())
    assert (two.status, two.reading.kind, two.reading.output_tokens) == (200, Kind.OK, 6)
    assert (three.status, three.reading.kind, three.reading.reason) == (420, Kind.RATE_LIMITED, Reason.RATE_LIMIT)
    assert three.reading.limit == "requests"


def test_what_it_refuses_is_refused_as_a_setting(parrot):
    """An option that it lacks, a call that it cannot be asked for, and a kind whose package is damaged or not there."""
    assert known_kinds()[:3] == ["4runr", "openai", "mcp"]
    assert {"parrot", "broken"} <= set(known_kinds())
    with pytest.raises(SettingsError, match="target of kind 'parrot': greeting: Field required"):
        load_target(TargetTable(kind="parrot"))
    step = load_plan().operations[0].steps[0].model_copy(update={"tool": "mute"})
    with pytest.raises(SettingsError, match="role 'scraper' calls mute, which a parrot cannot say"):
        load_target(parrot).compile(step, "scraper")
    with pytest.raises(SettingsError, match="target of kind 'broken' cannot be loaded: "):
        load_target(TargetTable(kind="broken"))
    with pytest.raises(SettingsError, match="no target of kind 'cat'; there are 4runr, openai, mcp, "):
        load_target(TargetTable(kind="cat"))
