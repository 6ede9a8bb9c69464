"""Sessions: how long one is kept, and that each is ended and counted."""

import asyncio
import datetime as dt

import orjson
import pytest
from aiohttp import web
from captured import answers
from target_links import Told, link_to
from upstream_driver import against, against_upstream

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.admin import AdminError
from soaklib.targets.base import Identity
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.options import Era, MCPOptions, SessionPolicy
from soaklib.targets.mcp.sessions import Session, Sessions

CALLS = 24
AGENTS = 3
LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
ECHO = Step(tool="echo", action="call", params={"text": "{n}"})


def soak(**options):
    """Send calls of a few agents, as the load does; give readings, what the server counted, and what was told."""
    told = Told()

    async def scenario(driver):
        target = McpTarget(MCPOptions(**options))
        async with target.admin(link_to(driver.url, tell=told)) as admin:
            agents = [await admin.open("reader", f"a{number}") for number in range(AGENTS)]
            agents = [await admin.renew(agent, expires_at=LATER) for agent in agents]
            kept = [await admin.renew(agent, expires_at=LATER) for agent in agents]
            assert [agent.session for agent in kept] == [agent.session for agent in agents]
            readings = []
            for number in range(CALLS):
                readings.append(await driver.ask(target, ECHO, kept[number % AGENTS], number))
                await ready(target)
            async with asyncio.timeout(5):
                while target._sessions._served:  # noqa: ASYNC110 - what ends them tells nobody else
                    await asyncio.sleep(0.001)
            during = (await driver.get("/control/counts"))["sessions"]
            await admin.clear()
        return readings, during, (await driver.get("/control/counts"))["sessions"]

    return *against_upstream(scenario), told.events


async def ready(target):
    """Wait until sessions are opened ahead, so that what is counted is no matter of speed."""
    sessions = target._sessions
    async with asyncio.timeout(5):
        while sessions.to_open() or sessions.wanted.is_set():  # noqa: ASYNC110 - what opens them tells nobody else
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("policy", "needed"),
    [(SessionPolicy.RUN, 1), (SessionPolicy.AGENT, AGENTS), (SessionPolicy.CALLS, 6), (SessionPolicy.CALL, CALLS)],
)
def test_each_policy_opens_what_it_says_and_ends_all(policy, needed):
    """One session a run, an agent, every 4 calls or a call: all calls succeed, and none is left open."""
    readings, during, after, events = soak(sessions=policy, calls_a_session=4)
    assert {reading.kind for reading in readings} == {Kind.OK}
    ahead = {SessionPolicy.CALLS: AGENTS, SessionPolicy.CALL: AGENTS * 4}.get(policy, 0)
    assert needed <= during["opened"] <= needed + ahead + AGENTS
    assert during["open"] <= AGENTS + ahead + AGENTS  # those that have served are ended while calls go on
    assert after == {"opened": after["opened"], "closed": after["opened"], "open": 0}
    [(name, _, data)] = events
    assert name == "SESSIONS_CLOSED"
    assert (data["opened"], data["closed"], data["overused"], data["lost"]) == (after["opened"], after["opened"], 0, 0)


def test_sessions_may_be_left():
    """Where the plan says that sessions are not to be ended, the server keeps them, and the book says how many."""
    _, _, after, [(_, _, data)] = soak(sessions=SessionPolicy.AGENT, close=False)
    assert after == {"opened": AGENTS, "closed": 0, "open": AGENTS}
    assert (data["closed"], data["left"]) == (0, AGENTS)


def test_sessions_that_nobody_could_be_asked_to_end_are_left():
    """The server is away at the end: the book says how many it may still have, and an event says why."""
    told = Told()

    async def scenario(driver):
        target = McpTarget(MCPOptions(sessions="agent"))
        async with target.admin(link_to(driver.url, tell=told)) as admin:
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
            await admin.renew(await admin.open("reader", "b"), expires_at=LATER)
            admin.asking.ask = _away
            await admin.clear()

    against_upstream(scenario)
    [(failed, why, _), (closed, _, data)] = told.events
    assert (failed, closed) == ("POLICIES_NOT_REMOVED", "SESSIONS_CLOSED")
    assert "connection refused" in why
    assert (data["opened"], data["closed"], data["left"]) == (2, 0, 2)


async def _away(*_, **__):
    raise AdminError("connection refused")  # noqa: EM101, TRY003 - as a link would say it


@pytest.mark.parametrize("era", [Era.STATELESS, Era.RPC])
def test_without_sessions_none_is_opened(era):
    """The stateless era and bare JSON-RPC open none, and tell of none."""
    readings, _, after, events = soak(era=era, path="/rpc" if era is Era.RPC else "/mcp")
    assert {reading.kind for reading in readings} == {Kind.OK}
    assert (after["opened"], events) == (0, [])


def test_a_session_that_is_lost_is_replaced():
    """Where each session serves a few calls, one that the server forgot costs its calls, and the next serve again."""

    async def scenario(driver):
        target = McpTarget(MCPOptions(sessions="calls", calls_a_session=50))
        async with target.admin(link_to(driver.url)) as admin:
            agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
            await ready(target)
            await driver.control(mode="forget-session")
            lost = await driver.ask(target, ECHO, agent, 0)
            await driver.control()
            after = await driver.ask(target, ECHO, agent, 1)
            await admin.clear()
            return lost, after, target._sessions.book

    lost, after, book = against_upstream(scenario)
    assert (lost.kind, lost.lost_identity, after.kind, book["lost"]) == (Kind.UNAUTHORIZED, False, Kind.OK, 1)
    assert book["opened"] == book["closed"] + book["lost"]  # what is lost is not ended, too


def test_no_call_waits_for_a_session():
    """A call for which no session is ready goes on in the one before, and is counted."""

    async def scenario(driver):
        target = McpTarget(MCPOptions(sessions="call"))
        async with target.admin(link_to(driver.url)) as admin:
            agent = await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
            template = target.compile(ECHO, "reader")
            used = [template.request(agent, number).headers["Mcp-Session-Id"] for number in range(3)]
            return used, target._sessions.book["overused"]

    used, overused = against_upstream(scenario)
    assert (len(set(used)), overused) == (1, 2)


def test_each_request_has_an_id_of_its_own():
    """Two calls of one query, as a repeated one makes, differ in their id alone: a session tells them apart by it."""
    target = McpTarget(MCPOptions())
    agent = Identity("a", "reader", "", session="s")
    template, other = target.compile(ECHO, "reader"), target.compile(ECHO, "reader")
    wires = [template.request(agent, 7), template.request(agent, 7), other.request(agent, 7)]
    messages = [orjson.loads(wire.body) for wire in wires]
    assert [message.pop("id") for message in messages] == [1, 2, 3]
    assert messages[0] == messages[1] == messages[2]
    assert messages[0]["params"] == {"name": "echo", "arguments": {"text": "7"}}


def test_a_server_that_does_not_let_go_keeps_its_sessions():
    """A DELETE that is refused leaves the session, and the book says so."""
    told = Told()

    async def answer(request):
        if request.method == "DELETE":
            return web.Response(status=405)
        message = {"jsonrpc": "2.0", "id": (await request.json()).get("id"), "result": {}}
        return web.json_response(message, headers={"Mcp-Session-Id": "s"})

    async def scenario(driver):
        async with McpTarget(MCPOptions()).admin(link_to(driver.url, tell=told)) as admin:
            await admin.renew(await admin.open("reader", "a"), expires_at=LATER)
            await admin.clear()

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    against(app, scenario)
    [(_, _, data)] = told.events
    assert (data["opened"], data["closed"], data["left"]) == (1, 0, 1)


def test_health_leaves_no_session():
    """The probe of a server without /health is a session, which is ended at once; a server that is gone is unfit."""

    async def scenario(driver):
        target = McpTarget(MCPOptions())
        async with target.admin(link_to(driver.url)) as admin, target.admin(link_to("http://127.0.0.1:1")) as gone:
            fit, unfit = await admin.health(), await gone.health()
            missing = await admin.missing(link_to(driver.url).plan)
        return fit, unfit, missing, (await driver.get("/control/counts"))["sessions"]

    fit, unfit, missing, sessions = against_upstream(scenario)
    assert (fit.fit, unfit.fit) == (True, False)
    assert missing == ({}, [])
    assert sessions == {"opened": 2, "closed": 2, "open": 0}


def test_a_session_is_ended_when_its_last_call_is_back():
    """One that has served stays open for the calls that are under way in it, and is then ended once."""
    sessions = Sessions(MCPOptions(sessions="calls", calls_a_session=2))
    agent = Identity("a", "reader", "", session="s1")
    sessions.seat(agent, "s1")
    first = [sessions.take(agent), sessions.take(agent)]
    sessions.add(Session("s2", agent, 2))
    assert [one.id for one in [*first, sessions.take(agent)]] == ["s1", "s1", "s2"]
    closed = [sessions.to_close()]
    for session in first:
        sessions.give_back(session, is_lost=False)
        closed.append([one.id for one in sessions.to_close()])
    assert closed == [[], [], ["s1"]]
    assert [one.id for one in sessions.drain()] == ["s2"]


@pytest.mark.parametrize(
    ("role", "status", "is_let"), [("prober", 401, True), ("prober", 500, False), ("reader", 401, False)]
)
def test_who_only_probes_may_be_let_in_nowhere(role, status, is_let):
    """Whose probes are to be refused is refused a session already: they go without; who makes the load needs one."""
    refused = answers("fastmcp")["auth-unknown"]

    async def answer(_):
        return web.Response(status=status, headers=refused.headers, body=refused.body)

    async def scenario(driver):
        target = McpTarget(MCPOptions(sessions="calls"))
        async with target.admin(link_to(driver.url)) as admin:
            agent = await admin.renew(await admin.open(role, "a"), expires_at=LATER)
            return await driver.ask(target, ECHO, agent, 0)

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    if is_let:
        reading = against(app, scenario)
        assert (reading.kind, reading.reason, reading.lost_identity) == (
            Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, False,
        )  # fmt: skip
    else:
        with pytest.raises(AdminError, match="initialize by POST"):
            against(app, scenario)
