"""Who may make tokens at ContextForge: a session, which ends; and what a killed runner left of them."""

import asyncio
import datetime as dt
from itertools import count

import pytest
from aiohttp import web
from captured import answers
from target_links import Told, link_to
from upstream_driver import against

from soaklib.errors import SettingsError
from soaklib.records import EventName, Reason, Trial
from soaklib.targets.admin import AdminError
from soaklib.targets.base import Identity
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.admin import McpAdmin
from soaklib.targets.mcp.options import Era, MCPOptions, SessionPolicy
from soaklib.targets.mcp.sessions import Sessions

LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
OPTIONS = MCPOptions(
    is_contextforge=True, era="rpc", path="/rpc", make_tokens=True,
    login={"email_env": "EMAIL", "password_env": "PASSWORD"}, tokens={"outsider": ("REVOKED",)},
)  # fmt: skip
ENVIRONMENT = {"EMAIL": "admin@example.com", "PASSWORD": "hush", "REVOKED": "revoked"}


class ContextForge:
    """Logs in, makes, lists and revokes tokens as the real one does: by the answers that it gave."""

    def __init__(self, *, lives_s=1200, busy=0):
        self.lives_s, self.busy, self.failing = lives_s, busy, 0
        self.logins, self.named, self.live, self.good, self.refused = [], {}, {}, None, 0

    def app(self):
        app = web.Application()
        app.add_routes([
            web.post("/auth/login", self.login), web.get("/metrics/prometheus", self.metrics),
            web.post("/tokens", self.make), web.get("/tokens", self.list), web.delete("/tokens/{id}", self.revoke),
            web.get("/tokens/{id}", self.look),
        ])  # fmt: skip
        return app

    @staticmethod
    def as_captured(name):
        case = answers("contextforge")[name]
        return web.Response(status=case.status, headers=case.headers, body=case.body)

    def refusal(self, request):
        """Refuse whoever has no session that is good."""
        if request.headers.get("Authorization") == f"Bearer {self.good}":
            return None
        self.refused += 1
        return self.as_captured("auth-expired-rpc")

    async def login(self, request):
        asked = await request.json()
        if asked != {"email": "admin@example.com", "password": "hush"}:
            return self.as_captured("login-refused")
        self.logins.append(asked)
        self.good = f"session-{len(self.logins)}"
        return web.json_response({"access_token": self.good, "token_type": "bearer", "expires_in": self.lives_s})

    async def metrics(self, request):
        return self.refusal(request) or web.Response(text="up 1\n")

    async def make(self, request):
        if (refusal := self.refusal(request)) is not None:
            return refusal
        name = (await request.json())["name"]
        if name in self.named:
            return self.as_captured("token-name-taken")
        id_ = self.named[name] = f"id-{len(self.named)}"
        self.live[id_] = name
        return web.json_response({"token": {"id": id_}, "access_token": f"jwt-{id_}"}, status=201)

    async def list(self, request):
        offset = int(request.query["offset"])
        page = [{"id": id_, "name": name} for id_, name in self.live.items()][offset : offset + 1]  # one a page
        return self.refusal(request) or web.json_response({"tokens": page, "total": len(self.live)})

    async def revoke(self, request):
        if (refusal := self.refusal(request)) is not None:
            return refusal
        if self.failing > 0:
            self.failing -= 1
            return web.Response(status=503)
        if self.busy > 0:
            self.busy -= 1
            return self.as_captured("token-delete-conflict")
        id_ = request.match_info["id"]
        if self.live.pop(id_, None) is None:
            is_known = id_ in self.named.values()
            return self.as_captured("token-delete-conflict") if is_known else web.Response(status=404)
        return web.Response(status=204)

    async def look(self, request):
        id_ = request.match_info["id"]
        return self.refusal(request) or web.json_response({"id": id_, "is_active": id_ in self.live})


def with_admin(gateway, ask, environment=ENVIRONMENT, told=None):
    """Give what comes of asking an admin of a gateway."""

    async def scenario(driver):
        link = link_to(driver.url, "contextforge.toml", tell=told)
        async with McpAdmin(link, OPTIONS, Sessions(OPTIONS), environment) as admin:
            return await ask(admin)

    return against(gateway.app(), scenario)


async def renew_twice(admin):
    """Give the secrets of two renewals."""
    agent = await admin.open("caller", "run-1-caller-0")
    first = await admin.renew(agent, expires_at=LATER)
    return [first.secret, (await admin.renew(first, expires_at=LATER)).secret]


@pytest.mark.parametrize("lives_s", [1200, 0])
def test_a_login_serves_as_long_as_it_lives(lives_s):
    """One login makes many tokens; before its session ends there is another, and no request goes with the old one."""
    gateway = ContextForge(lives_s=lives_s)
    assert with_admin(gateway, renew_twice) == ["jwt-id-0", "jwt-id-1"]
    assert (len(gateway.logins) == 1) == (lives_s > 0)
    assert gateway.refused == 0


@pytest.mark.parametrize("what", ["tokens", "metrics"])
def test_a_session_that_is_not_taken_any_more_is_replaced(what):
    """A gateway that started anew, or has dropped its sessions, refuses the session: the soak logs in again, once."""
    gateway = ContextForge()

    async def ask(admin):
        agent = await admin.renew(await admin.open("caller", "run-1-caller-0"), expires_at=LATER)
        gateway.good = "another"
        if what == "metrics":
            return (await admin.look("metrics")).body
        return (await admin.renew(agent, expires_at=LATER)).secret

    assert with_admin(gateway, ask) == {"tokens": "jwt-id-1", "metrics": b"up 1\n"}[what]
    assert len(gateway.logins) == 2


def test_a_login_that_is_refused_is_told():
    """With the gateway's words and without the password; a password that is not set is named before."""
    with pytest.raises(AdminError, match=r"/auth/login was answered with 401: .*Invalid email or password") as caught:
        with_admin(ContextForge(), renew_twice, ENVIRONMENT | {"PASSWORD": "wrong-one"})
    assert caught.value.is_refusal
    assert "wrong-one" not in str(caught.value)

    async def check(admin):
        await admin.missing(admin.link.plan)

    with pytest.raises(SettingsError, match="PASSWORD: it is not set"):
        with_admin(ContextForge(), check, {"EMAIL": "a", "REVOKED": "r"})


def test_a_resumed_run_makes_tokens_anew_and_revokes_those_that_were_left():
    """A name once used stays taken, and a killed runner has revoked nothing: the next one does, but for its own."""
    gateway = ContextForge()
    with_admin(gateway, renew_twice)  # ends without a word, as one that is killed
    others = gateway.live["other"] = "run-12-caller-0-1"
    assert len(gateway.live) == 3

    async def resume(admin):
        secrets = await renew_twice(admin)
        await admin.clear_left({})
        return secrets

    assert with_admin(gateway, resume) == ["jwt-id-2", "jwt-id-3"]
    assert sorted(gateway.live) == ["id-2", "id-3", "other"]
    assert gateway.live["other"] == others


def test_tokens_that_cannot_be_revoked_are_told():
    """Where the gateway lists none to the soak, the run goes on, and an event says what is left."""
    told = Told()

    async def resume(admin):
        await admin.clear_left({})

    with_admin(ContextForge(), resume, ENVIRONMENT | {"PASSWORD": "wrong"}, told)
    [(name, detail, _)] = told.events
    assert name == EventName.POLICIES_NOT_REMOVED
    assert detail.startswith("tokens of an earlier runner are left: POST /auth/login was answered with 401")


def test_a_revocation_that_is_to_be_tried_again_is():
    """Two writers at once are a 409 that asks to try again: no token is left for it, and nothing is told."""
    gateway, told = ContextForge(busy=2), Told()

    async def ask(admin):
        await renew_twice(admin)
        await admin.clear()

    with_admin(gateway, ask, told=told)
    assert (gateway.live, told.events) == ({}, [])


def test_a_token_that_is_revoked_already_is_revoked():
    """A second revocation is a 409 that asks to try again for ever; that it is revoked says the token itself."""
    gateway, told = ContextForge(), Told()

    async def ask(admin):
        await renew_twice(admin)
        gateway.live.clear()  # somebody else was faster
        await admin.clear()
        return admin.removing

    assert (with_admin(gateway, ask, told=told), told.events) == ((), [])


def test_a_token_that_cannot_be_revoked_is_still_to_be_removed():
    """What was not revoked stays among what is owed, and is told."""
    gateway, told = ContextForge(busy=99), Told()

    async def ask(admin):
        await renew_twice(admin)
        await admin.clear()
        return [wire.path for wire in admin.removing]

    assert with_admin(gateway, ask, told=told) == ["/tokens/id-0", "/tokens/id-1"]
    assert [name for name, *_ in told.events] == [EventName.POLICIES_NOT_REMOVED]


def test_a_role_may_have_a_token_that_is_there_already():
    """It is shown as it is, never made anew; that it is refused is no lost identity, as a made one's is."""
    gateway = ContextForge()

    async def ask(admin):
        outsider = await admin.open("outsider", "run-1-outsider-0")
        return [outsider.secret, (await admin.renew(outsider, expires_at=LATER)).secret]

    assert with_admin(gateway, ask) == ["revoked", "revoked"]
    assert gateway.named == {}
    target = McpTarget(OPTIONS)
    plan = link_to("http://127.0.0.1:1", "contextforge.toml").plan
    refused = answers("contextforge")["auth-revoked-rpc"]
    lost = {}
    for role in ("caller", "outsider"):
        template = target.compile(plan.probes[0], role)
        template.request(Identity("a", role, "x"), 1)
        reader = target.reader(template)
        reader.head(refused.status, refused.headers)
        reader.feed(refused.body, 1)
        reading = reader.end()
        assert reading.reason is Reason.TOKEN_REVOKED
        lost[role] = reading.lost_identity
    assert lost == {"caller": True, "outsider": False}


@pytest.mark.parametrize("revoked", [None, 401, 403])
def test_a_session_that_its_own_token_may_not_end_is_ended_by_the_admin(revoked):
    """A token that may call no tool opens a session, and is refused to end it, as one is that is revoked meanwhile."""
    gateway = ContextForge()
    told, ended = Told(), []

    async def mcp(request):
        if request.method == "DELETE":
            ended.append((request.headers["Authorization"], request.headers["Mcp-Session-Id"]))
            if not request.headers["Authorization"].startswith("Bearer session-"):
                if revoked is None:
                    return gateway.as_captured("session-delete-denied")
                return web.json_response({"detail": "Token has been revoked"}, status=revoked)
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"Mcp-Session-Id": "s"})

    async def scenario(driver):
        options = OPTIONS.model_copy(update={"era": Era.SESSIONS, "path": "/mcp"})
        link = link_to(driver.url, "contextforge.toml", tell=told)
        async with McpAdmin(link, options, Sessions(options), ENVIRONMENT) as admin:
            await admin.renew(await admin.open("caller", "run-1-caller-0"), expires_at=LATER)
            await admin.clear()

    app = gateway.app()
    app.router.add_route("*", "/mcp", mcp)
    against(app, scenario)
    assert ended == [("Bearer jwt-id-0", "s"), ("Bearer session-1", "s")]
    [(_, _, book)] = told.events
    assert (book["opened"], book["closed"], book["left"]) == (1, 1, 0)


def test_an_agent_that_is_let_go_leaves_no_session():
    """Of those that were opened ahead none is there, though its token is revoked; nor is one of a trial before."""
    gateway = ContextForge()
    opened, ended, numbers = [], [], count(1)

    async def mcp(request):
        if request.method == "DELETE":
            ended.append(request.headers["Mcp-Session-Id"])
            return web.Response(status=204)
        if (await request.json())["method"] == "initialize":
            opened.append(f"s{next(numbers)}")
            return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"Mcp-Session-Id": opened[-1]})
        return web.Response(status=202)

    async def scenario(driver):
        options = OPTIONS.model_copy(update={"era": Era.SESSIONS, "path": "/mcp", "sessions": SessionPolicy.CALL})
        sessions = Sessions(options)
        async with McpAdmin(link_to(driver.url, "contextforge.toml"), options, sessions, ENVIRONMENT) as admin:
            agent = await admin.renew(await admin.open("caller", "run-1-caller-0"), expires_at=LATER)
            async with asyncio.timeout(5):
                while sessions.to_open():  # noqa: ASYNC110 - what opens them tells nobody else
                    await asyncio.sleep(0.001)
            await admin.close(agent)
            before = sorted(opened) == sorted(ended), len(opened)
            for _ in range(3):
                await admin.trial_identity(Trial.EDGE, agent, expires_at=LATER)
            return before, len(opened) - len(ended)

    app = gateway.app()
    app.router.add_route("*", "/mcp", mcp)
    assert against(app, scenario) == ((True, 5), 1)


def test_who_may_make_tokens_is_said_once():
    """A login and a session's token at once are refused."""
    with pytest.raises(ValueError, match="leave one out"):
        MCPOptions(make_tokens=True, admin_token="T", login={"email_env": "E", "password_env": "P"})  # noqa: S106 - variables' names


def test_a_rotation_that_fails_takes_no_token_from_the_load():
    """Revocations that get a 5xx are owed, and what was made in vain goes: the token in place is good all the time."""
    gateway = ContextForge()
    gateway.failing = 1

    async def ask(admin):
        agent = await admin.renew(await admin.open("caller", "run-1-caller-0"), expires_at=LATER)
        agent = await admin.renew(agent, expires_at=LATER)
        in_place = await admin.renew(agent, expires_at=LATER)  # id-0 cannot be revoked now
        seen = [sorted(gateway.live)]
        for _ in range(3):  # renewed again and again, since another agent could not be
            await admin.renew(in_place, expires_at=LATER)
            seen.append(sorted(gateway.live))
        owed = [wire.path for wire in admin.removing]
        await admin.clear()
        return seen, owed

    seen, owed = with_admin(gateway, ask)
    assert seen == [["id-0", "id-1", "id-2"], ["id-2", "id-3"], ["id-2", "id-4"], ["id-2", "id-5"]]
    assert owed == ["/tokens/id-2", "/tokens/id-5"]
    assert gateway.live == {}


def test_a_conductor_takes_no_token_from_lanes_that_outlived_it():
    """It revokes what the one before it has left; those of a lane are the lane's, which may call with them."""
    gateway = ContextForge()
    gateway.live |= {"a": "run-1-caller-0-m-1", "b": "run-1-lane0-caller-0-m-1", "c": "run-1-lane12-caller-0-m-1"}

    async def resume(admin):
        await admin.clear_left({})

    with_admin(gateway, resume)
    assert sorted(gateway.live) == ["b", "c"]


def test_a_token_that_was_revoked_is_called_with_in_a_session_a_turn_later():
    """A server that goes on with it lets it in: its session is not ended before that, and is after the next turn."""
    gateway = ContextForge()
    opened = []

    async def mcp(request):
        if request.method == "DELETE":
            opened.remove(request.headers["Mcp-Session-Id"])
            return web.Response(status=204)
        message = {"jsonrpc": "2.0", "id": 1, "result": {}}
        if (await request.json())["method"] != "initialize":
            return web.json_response(message)
        opened.append(f"s{len(gateway.named)}")
        return web.json_response(message, headers={"Mcp-Session-Id": opened[-1]})

    async def scenario(driver):
        options = OPTIONS.model_copy(update={"era": Era.SESSIONS, "path": "/mcp"})
        async with McpAdmin(link_to(driver.url, "contextforge.toml"), options, Sessions(options), ENVIRONMENT) as admin:
            agent = Identity("run-1-caller-0", "caller", "jwt")
            seen = []
            for _ in range(3):
                made = await admin.trial_identity(Trial.REVOKED, agent, expires_at=LATER)
                seen.append((made.session, list(opened)))
            return seen

    app = gateway.app()
    app.router.add_route("*", "/mcp", mcp)
    assert against(app, scenario) == [("s1", ["s1"]), ("s2", ["s1", "s2"]), ("s3", ["s2", "s3"])]
    assert gateway.live == {}
