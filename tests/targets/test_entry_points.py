"""A kind of gateway that another package brings: found by its entry point, and soaked like any other."""

import asyncio
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp import web
from known_files import changed_copy
from target_links import link_to

import soaklib
from soaklib.analysis.verdicts.criteria import CRITERIA
from soaklib.errors import SettingsError
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import Kind, Reason
from soaklib.runner.client import Client
from soaklib.runner.tokens import AgentPool
from soaklib.targets import known_kinds, load_target, refuse_unless_whole
from soaklib.targets.admin import Admin, Link
from soaklib.targets.idle_admin import IdleAdmin

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
MODULE = """
from dataclasses import replace
from pydantic import BaseModel, ConfigDict
from soaklib.errors import SettingsError
from soaklib.records import Kind, Reason, State, Verdict
from soaklib.targets.base import Limit, MetricMap, Reading, Wire
from soaklib.targets.idle_admin import IdleAdmin


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


class Admin(IdleAdmin):
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
        return Admin(link)

    def criteria(self):
        return {"says what it heard": says_what_it_heard, "is deaf": lambda run: run.ears, "success rate": None}


def says_what_it_heard(run):
    query = "select count(*) from outcomes where kind = 'ok'"
    said = run.sql(query).item()
    return Verdict("", said, "> 0 words", said, None, None, State.PASS if said else State.FAIL, f"{said} said", query)


class Half(Target):
    def __getattribute__(self, name):
        if name == "agent_limit":
            raise AttributeError(name)
        return super().__getattribute__(name)
"""
PLAN = """
name = "parrot"
intervals = { rotate_tokens_s = 900, token_lifetime_s = 1200, snapshot_s = 3600, scrape_s = 60 }
[target]
kind = "parrot"
greeting = "hello"
[roles.talker]
scopes = ["polly:say"]
[[operations]]
role = "talker"
share = 1.0
steps = [{ tool = "polly", action = "say", params = {} }]
"""


@pytest.fixture
def parrot(tmp_path, monkeypatch):
    """Install a package of one module beside its entry point."""
    (tmp_path / "parrot_target.py").write_text(MODULE)
    info = tmp_path / "parrot_target-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-target\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[soaklib.targets]\nparrot = parrot_target:Target\nbroken = parrot_target:Nobody\nhalf = parrot_target:Half\n"
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
    with pytest.raises(SettingsError, match="target of kind 'parrot': greeting: it is missing"):
        load_target(TargetTable(kind="parrot"))
    step = load_plan().operations[0].steps[0].model_copy(update={"tool": "mute"})
    with pytest.raises(SettingsError, match="role 'scraper' calls mute, which a parrot cannot say"):
        load_target(parrot).compile(step, "scraper")
    with pytest.raises(SettingsError, match="target of kind 'broken' cannot be loaded: "):
        load_target(TargetTable(kind="broken"))
    with pytest.raises(SettingsError, match="target of kind 'half': its Target lacks agent_limit"):
        load_target(TargetTable.model_validate({"kind": "half", "greeting": "hello"}))
    with pytest.raises(
        SettingsError, match="target of kind 'parrot': its Admin lacks capabilities, clear, clear_left, "
    ):
        refuse_unless_whole(object(), Admin, "parrot")
    with pytest.raises(SettingsError, match="no target of kind 'cat'; there are 4runr, openai, mcp, "):
        load_target(TargetTable(kind="cat"))
    with pytest.raises(SettingsError, match="no target of kind 'openia': did you mean openai"):
        load_target(TargetTable(kind="openia"))
    with pytest.raises(
        SettingsError, match="'openai': colour: there is no such key; there are admin_key, health_path, "
    ):
        load_target(TargetTable.model_validate({"kind": "openai", "colour": "red"}))


def test_an_admin_that_is_derived_has_all_that_a_soak_asks_for():
    """Who writes nothing has agents without a secret, at a gateway that is taken to be well."""

    async def main():
        async with IdleAdmin(link_to("http://127.0.0.1:9")) as admin:
            refuse_unless_whole(admin, Admin, "any")
            agent = await admin.open("scraper", "a")
            return agent, await admin.renew(agent, expires_at=None), await admin.health(), admin.endpoints

    opened, renewed, health, endpoints = asyncio.run(main())
    assert (opened.name, opened.secret, renewed) == ("a", "", opened)
    assert (health.fit, health.detail, endpoints) == (True, "its health is not asked for", ())


class _Parrot(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def soaked(tmp_path):
    """Give the sample as a run of a parrot."""
    statement = """update run set plan = json_merge_patch(plan, '{"target": {"kind": "parrot", "greeting": "hi"}}')"""
    with soaklib.open_run(changed_copy(SAMPLE, tmp_path / "run", statement)) as run:
        yield run


@pytest.mark.usefixtures("parrot")
def test_a_kind_brings_criteria_of_its_own(soaked):
    """They are judged after those of all, whose names they cannot take; what goes wrong in one costs its own answer."""
    assert soaklib.criteria(soaked)["name"].to_list() == [*CRITERIA, "says what it heard", "is deaf"]
    heard, deaf = soaklib.criteria(soaked, "says what it heard", "is deaf").iter_rows(named=True)
    assert (heard["state"], heard["measure"] > 0, heard["query"][:6]) == ("pass", True, "select")
    assert (deaf["state"], deaf["detail"]) == (
        "insufficient", "its kind of gateway could not judge it: AttributeError: 'Run' object has no attribute 'ears'",
    )  # fmt: skip
    assert soaklib.criteria(soaked, "success rate")["state"].item() == "pass"


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (("", "much", "t", 1, None, None, "pass", "d", "q"), "ValueError: could not convert string to float: 'much'"),
        (("", float("nan"), "t", 1, None, None, "pass", "d", "q"), "ValueError: its measure is nan"),
        (("", 1, "t", 1, None, None, "passed", "d", "q"), "ValueError: 'passed' is not a valid State"),
        (("", 1, "t", None, None, None, "pass", "d", "q"), "TypeError: 'NoneType' object cannot be interpreted as an"),
        (("", 1, "t", 2**63, None, None, "pass", "d", "q"), "ValueError: its n is 9223372036854775808"),
        (("", 1, "t", -1, None, None, "pass", "d", "q"), "ValueError: its n is -1"),
        (("", 1, "t", 1, None, None, "pass", None, "q"), "TypeError: its detail is no text"),
        (("", 1, "t", 1, None, None, "pass", "\udce9", "q"), "TypeError: its detail is no text"),
    ],
    ids=["measure", "no number", "state", "n", "n too large", "n below none", "detail", "detail of bytes"],
)
def test_what_is_no_verdict_costs_its_own_answer_alone(soaked, monkeypatch, verdict, why):
    """A state or a number that is none would keep all verdicts from being told and kept."""
    kind = type(load_target(soaked.info.plan.target))
    monkeypatch.setattr(kind, "criteria", lambda _: {"says much": lambda _: verdict})
    full, much = soaklib.criteria(soaked, "full duration", "says much").iter_rows(named=True)
    assert (full["state"], much["name"], much["state"]) == ("pass", "says much", "insufficient")
    assert why in much["detail"]


@pytest.mark.usefixtures("parrot")
def test_a_kind_that_cannot_name_its_criteria_says_so_in_place_of_them(soaked, monkeypatch):
    """Those of all kinds are judged."""
    monkeypatch.setattr(type(load_target(soaked.info.plan.target)), "criteria", lambda self: self.feathers)
    full, own = soaklib.criteria(soaked, "full duration", "criteria of its kind").iter_rows(named=True)
    assert (full["state"], own["state"]) == ("pass", "insufficient")
    assert own["detail"].endswith("AttributeError: 'Target' object has no attribute 'feathers'")


def test_a_run_of_a_kind_that_is_not_there_is_judged_by_what_all_have(soaked):
    """Whoever reads it need not have the package."""
    assert soaklib.criteria(soaked, "full duration")["state"].item() == "pass"
    with pytest.raises(SettingsError, match="there is no criterion 'says what it heard'"):
        soaklib.criteria(soaked, "says what it heard")


def test_what_a_kind_that_is_not_there_recorded_is_shown(tmp_path):
    """By its name, too: to show it nothing is judged."""
    own = "select verdicts.* replace ('says what it heard' as name) from verdicts where state = 'pass' limit 1"
    statement = f"insert into verdicts {own}"
    with soaklib.open_run(changed_copy(SAMPLE, tmp_path / "run", statement)) as run:
        assert run.verdict("says what it heard").state == "pass"
        with pytest.raises(SettingsError, match="there is no criterion 'says much'"):
            run.verdict("says much")


@pytest.mark.slow
@pytest.mark.usefixtures("parrot")
def test_a_kind_of_another_package_is_soaked_from_start_to_end(tmp_path):
    """By the command, with preflight, rotation, verdicts and summary, as any kind of soaklib's own."""
    (tmp_path / "plan.toml").write_text(PLAN)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Parrot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [
        sys.executable, "-m", "soaklib.run", "--plan", "plan.toml", "--gateway-url",
        f"http://127.0.0.1:{server.server_port}", "--hours", "1", "--speed", "360", "--rps", "0.05", "--no-report",
        "--yes", "--out", "runs", "--thresholds.late-ms", "5000",
    ]  # fmt: skip
    try:
        ended = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert ended.returncode in (0, 1), ended.stderr
    with soaklib.open_run(ended.stdout.splitlines()[-1]) as run:
        rows = run.sql(
            "select kind, count(*), count(output_tokens), count(distinct token_generation) from outcomes group by 1"
        )
        states = dict(run.verdicts().select("name", "state").iter_rows())
    assert rows.rows() == [("ok", 180, 180, 4)]
    assert states["says what it heard"] == states["every slot accounted for"] == states["success rate"] == "pass"
    assert states["healthy"] == states["books balanced"] == states["no drift in gateway memory"] == "not applicable"
