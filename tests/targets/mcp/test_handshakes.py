"""Sessions at servers of every kind: that forget them, end none, look at no token, or speak another revision."""

import asyncio
import datetime as dt

import pytest
from aiohttp import web
from target_links import Told, link_to
from upstream_driver import against, against_upstream

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason, Trial
from soaklib.targets.admin import AdminError
from soaklib.targets.asking import Reply
from soaklib.targets.base import Identity
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.admin import McpAdmin
from soaklib.targets.mcp.options import MCPOptions

LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
ECHO = Step(tool="echo", action="call", params={"text": "{n}"})


class Server:
    """A server that keeps sessions.

    Attributes
    ----------
    delete
        The status by which it answers to who would end one; None for no answer.
    result
        Of ``initialize``.
    tokens
        Those that it lets in; None where it looks at none.
    pages
        Tools that it lists.
    in_array
        Whether it sends its answers as arrays of one.
    begins
        The status by which it answers that a session may begin.
    name
        What the ids of its sessions begin with.
    asked
        Of each request its method, and what it bore of session, token and revision.
    """

    def __init__(self, *, delete=200, result=None, tokens=None, pages=(), in_array=False, begins=202, name="s"):
        self.in_array, self.begins, self.name = in_array, begins, name
        self.delete, self.result, self.tokens, self.pages = delete, result or {}, tokens, pages
        self.open, self.asked, self.made = set(), [], 0

    def app(self):
        app = web.Application()
        app.add_routes([web.post("/mcp", self.post), web.delete("/mcp", self.end)])
        return app

    async def post(self, request):
        message = await request.json()
        method, session = message["method"], request.headers.get("Mcp-Session-Id")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((method, session, token, request.headers.get("MCP-Protocol-Version")))
        if self.tokens is not None and token not in self.tokens:
            return web.json_response({"error": "invalid_token"}, status=401)
        if method == "initialize":
            self.made += 1
            self.open.add(f"{self.name}{self.made}")
            return self.answer(message, self.result, {"Mcp-Session-Id": f"{self.name}{self.made}"})
        if session not in self.open:
            text, status = ("Session not found", 404) if session else ("Mcp-Session-Id header is required", 400)
            return self.error(message, text, status)
        if "id" not in message:
            return web.Response(status=self.begins)
        if method == "tools/list":
            page = int(message["params"].get("cursor", "0"))
            more = {"nextCursor": str(page + 1)} if page + 1 < len(self.pages) else {}
            return self.answer(message, {"tools": [{"name": name} for name in self.pages[page]]} | more)
        return self.answer(message, {"content": [{"type": "text", "text": "x"}]})

    async def end(self, request):
        session = request.headers["Mcp-Session-Id"]
        if self.delete is None:  # it is done, and not said
            self.open.discard(session)
            request.transport.close()
            return web.Response()
        if self.delete == 200:
            was_open = session in self.open
            self.open.discard(session)
            return web.Response(status=200 if was_open else 404)
        return web.Response(status=self.delete)

    def answer(self, message, result, headers=None):
        said = {"jsonrpc": "2.0", "id": message.get("id"), "result": result}
        return web.json_response([said] if self.in_array else said, headers=headers)

    @staticmethod
    def error(message, text, status):
        said = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32000, "message": text}}
        return web.json_response(said, status=status)


def with_admin(server, ask, told=None, environment=None, **options):
    """Give what comes of asking an admin, and the driver, of a server."""

    async def scenario(driver):
        given = MCPOptions(**options)
        target = McpTarget(given)
        async with McpAdmin(link_to(driver.url, tell=told), given, target._sessions, environment) as admin:
            return await ask(admin, driver, target)

    return against(server.app(), scenario)


def book_of(told):
    """Give the book that was told at the end."""
    [book] = [data for name, _, data in told.events if name == "SESSIONS_CLOSED"]
    return book


@pytest.mark.parametrize(("policy", "lost"), [("run", 1), ("agent", 2)])
def test_a_session_that_is_kept_and_forgotten_is_lost(policy, lost):
    """Once, however many calls hear of it; those that nobody heard of are found out when they are to be ended."""
    server, told = Server(), Told()

    async def ask(admin, driver, target):
        agents = [await admin.open("reader", name) for name in "ab"]
        agents = [await admin.renew(agent, expires_at=LATER) for agent in agents]
        server.open.clear()
        readings = [await driver.ask(target, ECHO, agents[0], number) for number in range(2)]
        await admin.clear()
        return readings

    readings = with_admin(server, ask, told, sessions=policy)
    assert {(reading.reason, reading.lost_identity) for reading in readings} == {(Reason.SESSION_LOST, True)}
    book = book_of(told)
    assert (book["opened"], book["lost"], book["closed"], book["left"]) == (lost, lost, 0, 0)


def test_of_one_who_must_be_refused_no_session_is_lost():
    """A server may refuse a token that was replaced by not knowing its session; the agent's goes on, and is ended."""
    server, told = Server(), Told()

    async def ask(admin, driver, target):
        agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        server.open.clear()
        stranger = Identity("rotated:reader", "reader", "old", session=agent.session)
        reading = await driver.ask(target, ECHO, stranger, 0)
        server.open.add(agent.session)
        await admin.clear()
        return reading

    assert with_admin(server, ask, told, sessions="agent").reason is Reason.SESSION_LOST
    assert (book_of(told)["lost"], book_of(told)["closed"]) == (0, 1)


@pytest.mark.parametrize(
    ("delete", "closed", "left", "unendable"),
    [(200, 1, 0, 0), (405, 0, 1, 1), (501, 0, 1, 1), (404, 0, 1, 1), (500, 0, 1, 0)],
)
def test_what_became_of_a_session_that_was_to_be_ended(delete, closed, left, unendable):
    """A server need not end any on request: by a 405, or without such a route by a 404 for one that it still serves."""
    server, told = Server(delete=delete), Told()

    async def ask(admin, *_):
        await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        await admin.clear()

    with_admin(server, ask, told)
    book = book_of(told)
    assert (book["closed"], book["left"], book["unendable"], book["lost"]) == (closed, left, unendable, 0)


def test_a_session_that_was_ended_without_an_answer_is_not_lost():
    """Asked again at the end, the server does not know it: it was ended the first time."""
    server, told = Server(delete=None), Told()

    async def ask(admin, *_):
        agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        with pytest.raises(AdminError):
            await admin.close(agent)
        server.delete = 200
        await admin.clear()

    with_admin(server, ask, told)
    assert (book_of(told)["closed"], book_of(told)["lost"]) == (1, 0)


def test_a_session_that_is_being_ended_as_the_soak_ends_is_closed():
    """What ends sessions beside the calls is stopped in the middle of it: it is ended once more, and counted once."""
    server, told = Server(), Told()

    async def ask(admin, _, target):
        await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        asked, ask_ = asyncio.Event(), admin.asking.ask

        async def slow(method, *words, **more):
            reply = await ask_(method, *words, **more)
            if method == "DELETE":
                asked.set()
                await asyncio.sleep(60)
            return reply

        admin.asking.ask = slow
        target._sessions._serve_out(target._sessions._places["a"].current)
        async with asyncio.timeout(5):
            await asked.wait()
        await admin._stop_keeping()
        admin.asking.ask = ask_
        await admin.clear()

    with_admin(server, ask, told, sessions="calls")
    book = book_of(told)
    assert (book["opened"] - book["closed"], book["left"], book["lost"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("said", "spoken"), [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), (None, "2025-06-18")]
)
def test_the_revision_that_is_agreed_is_spoken(said, spoken):
    """A server that answers with another than it was asked for gets that from then on, also by the load's calls."""
    server = Server(result={} if said is None else {"protocolVersion": said})

    async def ask(admin, driver, target):
        agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        reading = await driver.ask(target, ECHO, agent, 0)
        await admin.clear()
        return reading

    assert with_admin(server, ask).kind is Kind.OK
    assert [revision for *_, revision in server.asked] == [None, spoken, spoken]


@pytest.mark.parametrize("said", ["2031-01-01", 7, "x" * 500])
def test_a_revision_that_is_none_of_ours_is_refused(said):
    """In one sentence, before any load; the session is ended all the same."""
    server, told = Server(result={"protocolVersion": said}), Told()

    async def ask(admin, *_):
        with pytest.raises(AdminError, match="is none of 2024-11-05, 2025-03-26") as caught:
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        await admin.clear()
        return caught.value

    error = with_admin(server, ask, told)
    assert not error.is_passing
    assert len(str(error)) < 200
    assert (book_of(told)["opened"], book_of(told)["closed"]) == (1, 1)


def test_the_upstream_of_ours_speaks_what_is_agreed():
    """Asked for a revision of another era it answers with the newest of this one, and is spoken to in that."""

    async def scenario(driver):
        target = McpTarget(MCPOptions(version="2026-01-01"))
        async with target.admin(link_to(driver.url)) as admin:
            agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
            template = target.compile(ECHO, "reader")
            return template.request(agent, 1).headers["MCP-Protocol-Version"]

    assert against_upstream(scenario) == "2025-11-25"


@pytest.mark.parametrize(("tokens", "kind"), [(None, Kind.OK), ({"good"}, Kind.UNAUTHORIZED)])
def test_a_token_that_must_be_refused_is_tried_in_a_session(tokens, kind):
    """A server that looks at no token lets it in, and is not taken for one that refuses it for want of a session."""
    server, told = Server(tokens=tokens), Told()

    async def ask(admin, driver, target):
        agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        readings = []
        for number in range(3):
            stranger = await admin.trial_identity(Trial.UNKNOWN, agent, expires_at=LATER)
            assert stranger.secret != agent.secret
            readings.append(await driver.ask(target, ECHO, stranger, number))
        during = len(server.open)
        await admin.clear()
        return readings, during

    readings, during = with_admin(server, ask, told, {"TOKEN": "good"}, sessions="agent", token="TOKEN")  # noqa: S106 - a variable's name
    assert {reading.kind for reading in readings} == {kind}
    assert Reason.SESSION_LOST not in {reading.reason for reading in readings}
    assert during <= 3  # those of the turns before are ended but for the last
    assert (server.open, book_of(told)["left"]) == (set(), 0)


def test_tools_are_looked_for_on_every_page():
    """A server may list its tools on several; one that never comes to an end is not followed for ever."""
    plan_tools = link_to("http://127.0.0.1:1").plan.tools
    first, *others = plan_tools

    async def ask(admin, *_):
        return (await admin.missing(admin.link.plan)).notes

    assert with_admin(Server(pages=[[first], ["another"], others]), ask) == []
    assert with_admin(Server(pages=[[first], others[1:]]), ask) == [f"the server lists no tool {others[0]!r}"]
    endless = Server(pages=[["another"]] * 100)
    assert len(with_admin(endless, ask)) == len(plan_tools)
    assert sum(method == "tools/list" for method, *_ in endless.asked) == 50


def test_a_server_may_answer_in_arrays():
    """Revision 2025-03-26 lets it: a session is opened, its tools are read, and it is ended."""
    plan_tools = link_to("http://127.0.0.1:1").plan.tools

    async def ask(admin, *_):
        return await admin.health(), (await admin.missing(admin.link.plan)).notes

    server = Server(pages=[plan_tools], in_array=True)
    health, notes = with_admin(server, ask)
    assert (health.fit, notes, server.open) == (True, [], set())


def test_a_session_that_may_not_begin_is_ended():
    """Each try opens another one: a server that limits what comes after would keep them all until the run is over."""
    server, told = Server(begins=429), Told()

    async def ask(admin, *_):
        agent = await admin.open("reader", "a")
        for _ in range(3):
            with pytest.raises(AdminError, match="429"):
                await admin.renew(agent, expires_at=LATER)
        still_open = set(server.open)
        await admin.clear()
        return still_open

    assert with_admin(server, ask, told) == set()
    assert (book_of(told)["opened"], book_of(told)["closed"]) == (3, 3)


def test_a_session_of_another_revision_is_ended():
    """A server that speaks none of ours keeps no session that nobody will call in."""
    server = Server(result={"protocolVersion": "1999-01-01"})

    async def ask(admin, *_):
        with pytest.raises(AdminError, match="revision 1999-01-01"):
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        return set(server.open)

    assert with_admin(server, ask) == set()


def test_a_session_whose_id_no_header_can_bear_is_none():
    """It would be sent as it is no more: the server says so before the load, and not by every call of it."""

    async def ask(admin, *_):
        admin.asking.ask = _with_odd_id
        with pytest.raises(AdminError, match="no header can bear back"):
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)

    with_admin(Server(), ask)


async def _with_odd_id(*_, **__):
    return Reply(200, {"Mcp-Session-Id": "s\udcff"}, b'{"jsonrpc":"2.0","id":1,"result":{}}')


def test_no_error_shows_a_session():
    """Whoever knows its id may speak in it, where a server asks for no more."""

    async def ask(admin, *_):
        ask_ = admin.asking.ask

        async def echo(method, path, *, headers=None, json=None, **more):
            if json is not None and "id" in json:
                return await ask_(method, path, headers=headers, json=json, **more)
            reply = await ask_(method, path, headers=headers, json=json, **more)
            return reply._replace(status=400, body=f"no session {headers['Mcp-Session-Id']}".encode())

        admin.asking.ask = echo
        with pytest.raises(AdminError, match="no session") as caught:
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
        return str(caught.value)

    assert "session-0123456789" not in with_admin(Server(name="session-0123456789-"), ask)


def test_a_type_may_be_written_in_any_case():
    """As the load's readers take it: events are events, whatever the letters of their type."""

    async def ask(admin, *_):
        events = {"Content-Type": "Text/Event-Stream; charset=UTF-8"}

        async def in_capitals(*_, **__):
            return Reply(200, events, b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')

        admin.asking.ask = in_capitals
        return await admin.health()

    assert with_admin(Server(), ask).fit
