"""Changes by literal requests, against a server that keeps what it was asked."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from kept_events import KeptEvents
from pydantic import ValidationError

from soaklib.errors import SettingsError
from soaklib.plan.changes import HttpChange, UpstreamChange
from soaklib.plan.model import Plan, load_plan
from soaklib.runner.changes import ChangeContext, Changes
from soaklib.runner.journal import Debt, UndoJournal
from soaklib.runner.literal import CONTROL_VARIABLE, LiteralChanges, upstream_counts
from soaklib.runner.preflight.debts import Debts
from soaklib.runner.recovery import Past
from soaklib.targets.admin import AdminError, Health, Link
from soaklib.targets.base import Wire

HTTP = HttpChange.model_validate(
    {
        "do": "http", "at": 0.5, "lasts": 0.1, "name": "tool-off", "phase": "tool off", "phase_after": "after",
        "make": {
            "method": "POST", "path": "/tools/x/state?activate=false", "header_env": {"Authorization": "ADMIN_KEY"},
            "body": {"why": "a test"},
        },
        "undo": {"method": "POST", "path": "/tools/x/state?activate=true"},
    }
)  # fmt: skip
UPSTREAM = UpstreamChange.model_validate(
    {
        "do": "upstream", "at": 0.5, "lasts": 0.1, "name": "upstream-500", "phase": "upstream fails",
        "phase_after": "after", "behave": {"mode": "500", "share": 0.5},
    }
)  # fmt: skip


class Admin:
    """Fit, and without changes of its own."""

    async def health(self):
        return Health(fit=True, detail="healthy")

    async def clear_left(self, known):
        assert known == {}


class Guard:
    def __init__(self):
        self.watched = []

    async def watch(self, undoing):
        self.watched.append(undoing)

    async def dismiss(self, undoing=None):
        self.watched = [one for one in self.watched if one != undoing]

    def revive(self):
        """It never dies."""

    async def hand_over(self):
        """Nothing is left."""


async def _written_down():
    return True


class Bench:
    """Changes of one plan at one server."""

    def __init__(self, url, folder, change):
        plan = load_plan().model_copy(update={"changes": (change,)})
        self.events, self.guard, self.journal = KeptEvents(), Guard(), UndoJournal(folder)
        self.link = Link(
            base_url=url, timeout_s=5.0, headers={"X-Team": "blue"}, plan=plan, run_id="r1", rps=1.0, tell=None
        )
        self.changes = Changes(
            ChangeContext(
                admin=Admin(), events=self.events, plan=plan, guard=self.guard, written_down=_written_down,
                literal=LiteralChanges(self.link), journal=self.journal,
            )
        )  # fmt: skip


@asynccontextmanager
async def serving(*statuses):
    """Serve these statuses in turn, then 200; give the URL and what was asked."""
    asked, left = [], list(statuses)

    async def answer(request):
        asked.append((request.method, request.path_qs, await request.text(), dict(request.headers)))
        return web.Response(status=left.pop(0) if left else 200)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", "Bearer fake-admin-key")


def test_a_change_by_literal_requests_is_made_guarded_and_taken_back(tmp_path):
    """It is in the journal while it is on, the guard knows its end, and no secret is on disk or in an event."""

    async def main():
        async with serving() as (url, asked):
            bench = Bench(url, tmp_path, HTTP)
            assert await bench.changes.apply(HTTP, key="change:0:http")
            during = (tmp_path / "undo-journal.json").read_text()
            watched = list(bench.guard.watched)
            await bench.changes.take_back(HTTP, key="change:0:http:off")
            return bench, asked, during, watched

    bench, asked, during, watched = asyncio.run(main())
    assert [(method, path, body) for method, path, body, _ in asked] == [
        ("POST", "/tools/x/state?activate=false", '{"why":"a test"}'),
        ("POST", "/tools/x/state?activate=true", ""),
    ]
    assert asked[0][3]["Authorization"] == "Bearer fake-admin-key"
    assert "Authorization" not in asked[1][3]
    assert {headers["X-Team"] for *_, headers in asked} == {"blue"}
    [owed] = json.loads(during)["owed"]
    assert owed.pop("since_ns") > 0
    assert owed == {
        "do": "http", "subject": "tool-off", "method": "POST", "path": "/tools/x/state?activate=true", "body": None,
    }  # fmt: skip
    assert watched == [Wire("POST", "/tools/x/state?activate=true", {}, None)]
    assert (bench.guard.watched, (tmp_path / "undo-journal.json").exists()) == ([], False)
    assert [(name, key) for name, _, key in bench.events.written] == [
        ("HEALTH_GATE_PASSED", "begun:change:0:http"), ("CHANGE_MADE", "change:0:http"), ("HEALTH_GATE_PASSED", None),
        ("CHANGE_UNDONE", "change:0:http:off"),
    ]  # fmt: skip
    assert "fake-admin-key" not in during + str(bench.events.written)


@pytest.mark.parametrize(
    ("status", "name", "is_owed"),
    [(400, "CHANGE_FAILED", False), (405, "CHANGE_UNSUPPORTED", False), (500, "CHANGE_UNCERTAIN", True)],
)
def test_what_became_of_it_is_told_by_the_answers_status(tmp_path, status, name, is_owed):
    """A refusal owes nothing; a server's failure may have come after it was done."""

    async def main():
        async with serving(status) as (url, _):
            bench = Bench(url, tmp_path, HTTP)
            assert not await bench.changes.apply(HTTP, key="k")
            return bench

    bench = asyncio.run(main())
    assert bench.events.names() == ["HEALTH_GATE_PASSED", name]
    assert bench.changes.may_be_on(HTTP) is is_owed
    assert bool(bench.guard.watched) is is_owed


def test_a_gateway_that_is_not_there_leaves_it_uncertain(tmp_path):
    """No answer is no refusal."""
    bench = Bench("http://127.0.0.1:1", tmp_path, HTTP)
    with pytest.raises(AdminError, match=r"^POST /tools/x/state\?activate=false got no answer: ") as raised:
        asyncio.run(LiteralChanges(bench.link).make(HTTP))
    assert (raised.value.is_refusal, raised.value.is_passing) == (False, True)


def test_what_cannot_be_written_down_is_not_made(tmp_path):
    """A later runner could not know that it is to be taken back; nothing is sent."""

    async def main():
        async with serving() as (url, asked):
            bench = Bench(url, tmp_path / "gone", HTTP)
            assert not await bench.changes.apply(HTTP, key="k")
            return bench, asked

    bench, asked = asyncio.run(main())
    assert (asked, bench.guard.watched, bench.changes.may_be_on(HTTP)) == ([], [], False)
    assert bench.events.written[-1][0] == "CHANGE_FAILED"
    assert "cannot be written down" in bench.events.written[-1][1]


def test_a_later_runner_takes_back_what_the_journal_says_is_owed(tmp_path):
    """Its events got lost with the machine; a 404 says that there is nothing left to undo."""
    UndoJournal(tmp_path).owe(Debt("http", "tool-off"))

    async def main():
        async with serving(404) as (url, asked):
            bench = Bench(url, tmp_path, HTTP)
            await bench.changes.restore(Past(segment=1, soak_s=50.0), gateway_is_new=False, duration_s=100.0)
            return bench, asked

    bench, asked = asyncio.run(main())
    assert [path for _, path, *_ in asked] == ["/tools/x/state?activate=true"]
    assert bench.events.names() == ["CHANGE_UNDONE"]
    assert not bench.journal


def test_an_upstream_outlives_the_gateway_and_is_told_to_behave_again(tmp_path, monkeypatch):
    """At its own control route, without what lets calls into the gateway; also where the gateway died with a runner."""

    async def main():
        async with serving() as (url, asked):
            monkeypatch.setenv(CONTROL_VARIABLE, f"{url}/control")
            bench = Bench("http://127.0.0.1:1", tmp_path, UPSTREAM)
            assert await bench.changes.apply(UPSTREAM, key="k")
            again = Bench("http://127.0.0.1:1", tmp_path, UPSTREAM)
            await again.changes.restore(Past(segment=1, soak_s=50.0), gateway_is_new=True, duration_s=100.0)
            return asked, again

    asked, again = asyncio.run(main())
    assert [(method, path, body) for method, path, body, _ in asked] == [
        ("PUT", "/control", '{"mode":"500","share":0.5}'), ("DELETE", "/control", ""),
    ]  # fmt: skip
    assert not any("X-Team" in headers for *_, headers in asked)
    assert not again.journal


def test_what_cannot_be_sent_is_refused_before_anything_is(monkeypatch):
    """A variable that is not set is named with the change and the header that it is for."""
    literal = LiteralChanges(Link(base_url="", timeout_s=1.0, plan=load_plan(), run_id="r1", rps=1.0, tell=None))
    monkeypatch.delenv("ADMIN_KEY")
    with pytest.raises(SettingsError, match="tool-off: the environment variable ADMIN_KEY of its header Authorization"):
        literal.refuse_what_cannot_be_sent(HTTP)
    monkeypatch.delenv(CONTROL_VARIABLE, raising=False)
    with pytest.raises(SettingsError, match="upstream-500 has no `control`"):
        literal.refuse_what_cannot_be_sent(UPSTREAM)


@pytest.mark.parametrize("control", ["http://[::1", "http://127.0.0.1:no", "http://127.0.0.1:70000/control"])
@pytest.mark.parametrize("is_of_plan", [True, False])
def test_a_control_route_that_is_no_url_is_refused_and_not_asked(monkeypatch, control, is_of_plan):
    """By the place where it stands: the plan, or the variable; a count is never had of it."""
    monkeypatch.setenv("SOAK_UPSTREAM_CONTROL", control)
    change = UPSTREAM.model_copy(update={"control": control if is_of_plan else None})
    where = "its `control`" if is_of_plan else "SOAK_UPSTREAM_CONTROL"
    with pytest.raises(SettingsError, match=f"the change upstream-500: {where} ") as refused:
        LiteralChanges(None).refuse_what_cannot_be_sent(change)
    assert f"{control} is no URL" in str(refused.value)
    plan = load_plan().model_copy(update={"changes": (change,)})
    assert asyncio.run(upstream_counts(plan, 1.0)) is None


def test_a_header_that_cannot_be_sent_is_refused_before_anything_is(monkeypatch):
    """A line end at the end of a variable is found now, and not when the change is due; its value is not shown."""
    literal = LiteralChanges(Link(base_url="", timeout_s=1.0, plan=load_plan(), run_id="r1", rps=1.0, tell=None))
    monkeypatch.setenv("ADMIN_KEY", "Bearer secret\n")
    with pytest.raises(SettingsError, match="the value of the header Authorization holds a line end") as refused:
        literal.refuse_what_cannot_be_sent(HTTP)
    assert "secret" not in str(refused.value)


def test_what_is_amiss_with_tls_when_a_change_is_due_is_no_answer(tmp_path):
    """The file with the authorities is gone, hours after it was looked at: the change failed, and the soak goes on."""
    bench = Bench("https://127.0.0.1:9", tmp_path, HTTP)
    link = replace(bench.link, ca_file=str(tmp_path / "gone.pem"))
    with pytest.raises(AdminError, match=r"got no answer: .*gone\.pem"):
        asyncio.run(LiteralChanges(link).make(HTTP))


def test_a_plan_takes_them_and_names_a_tool_only_where_there_is_one():
    """Their phases are the plan's, and a tool that no operation calls is refused."""
    plan = load_plan()
    content = plan.model_dump() | {"changes": [HTTP.model_dump(), UPSTREAM.model_dump() | {"at": 0.8}]}
    assert [name for _, name in Plan.model_validate(content).phase_starts(100.0)] == [
        "baseline", "tool off", "after", "upstream fails", "after",
    ]  # fmt: skip
    content["changes"][0]["tool"] = "nobody"
    with pytest.raises(ValidationError, match="the change http is on 'nobody', which no operation calls"):
        Plan.model_validate(content)


def test_what_one_route_removes_is_guarded_each_by_its_body(tmp_path):
    """As keys are that one request deletes by their names: none stands for another, and one that is gone is let go."""
    wires = [Wire("POST", "/key/delete", {}, body) for body in (b"a", b"b", b"c")]

    async def main():
        bench = Bench("http://127.0.0.1:1", tmp_path, HTTP)
        context = replace(bench.changes._context, guards_what_was_made=True)
        context.admin.prepare = _written_down
        changes = Changes(context)
        context.admin.removing = wires[:2]
        await changes.prepare()
        first = list(bench.guard.watched)
        context.admin.removing = wires[1:]
        await changes.prepare()
        return first, bench.guard.watched

    assert asyncio.run(main()) == (wires[:2], wires[1:])


def test_a_preflight_owes_what_one_route_removes_each_by_its_body(tmp_path):
    """On disk as well, so that the next one removes what is left of each."""
    wires = [Wire("POST", "/key/delete", {"Authorization": "hush"}, body) for body in (b"a", b"b")]
    sent, guard = [], Guard()

    async def send(undoing):
        sent.append(undoing)
        return 404

    async def main():
        debts = Debts(UndoJournal(tmp_path), guard, send)
        await debts.owe_each("policies", wires)
        written = (tmp_path / "undo-journal.json").read_text()
        watched = list(guard.watched)
        await debts.forget_gone("policies", still=wires[1:])
        return written, watched, await debts.pay_all()

    written, watched, said = asyncio.run(main())
    assert (watched, sent, said, guard.watched) == (wires, wires[1:], [], [])
    assert "hush" not in written
    assert written.count('"body":') == 2
