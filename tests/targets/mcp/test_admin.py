"""ContextForge beside the load: tokens made, replaced and revoked; health that has to be read."""

import datetime as dt
from dataclasses import replace

import pytest
from aiohttp import web
from captured import answers
from target_links import link_to
from upstream_driver import against

from soaklib.errors import SettingsError
from soaklib.targets.admin import AdminError
from soaklib.targets.mcp.admin import McpAdmin
from soaklib.targets.mcp.options import Era, MCPOptions, SessionPolicy
from soaklib.targets.mcp.sessions import Sessions

LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
OPTIONS = MCPOptions(
    is_contextforge=True, era="rpc", path="/rpc", make_tokens=True, admin_token="ADMIN",  # noqa: S106 - a variable's name
    server_id="srv", permissions={"outsider": ("tools.read",)},
)  # fmt: skip
ENVIRONMENT = {"ADMIN": "admin-secret", "TOKEN_A": "a", "TOKEN_B": "b"}


class ContextForge:
    """Answers as the captured ContextForge does; remembers what it was asked."""

    def __init__(self, **said):
        self.said, self.asked, self.revoked = said, [], []

    def app(self):
        app = web.Application()
        app.add_routes([
            web.post("/tokens", self.make), web.delete("/tokens/{id}", self.revoke),
            web.get("/health", self.health), web.get("/ready", self.ready),
        ])  # fmt: skip
        return app

    async def make(self, request):
        if request.headers["Authorization"] != "Bearer admin-secret":
            return web.json_response({"detail": "Invalid authentication credentials"}, status=401)
        if (status := self.said.get("make_status")) is not None:
            return web.json_response({"detail": "no, admin-secret"}, status=status)
        self.asked.append(await request.json())
        number = len(self.asked)
        return web.json_response({"token": {"id": f"id-{number}"}, "access_token": f"jwt-{number}"}, status=201)

    async def revoke(self, request):
        self.revoked.append(request.match_info["id"])
        return web.Response(status=204)

    async def health(self, _):
        case = answers("contextforge")[self.said.get("health", "health")]
        return web.Response(status=case.status, headers=case.headers, body=case.body)

    async def ready(self, _):
        case = answers("contextforge")["ready"]
        return web.Response(status=case.status, headers=case.headers, body=case.body)


def with_admin(gateway, ask, options=OPTIONS, environment=ENVIRONMENT):
    """Give what comes of asking an admin of a gateway."""

    async def scenario(driver):
        link = link_to(driver.url, "contextforge.toml")
        async with McpAdmin(link, options, Sessions(options), environment) as admin:
            return await ask(admin)

    return against(gateway.app(), scenario)


def test_tokens_are_made_replaced_and_revoked():
    """Each renewal makes a token; the one before the last is revoked, and at the end every one that is left."""
    gateway = ContextForge()

    async def ask(admin):
        caller, outsider = await admin.open("caller", "c"), await admin.open("outsider", "o")
        secrets = []
        for _ in range(3):
            caller = await admin.renew(caller, expires_at=LATER)
            secrets.append(caller.secret)
        await admin.renew(outsider, expires_at=LATER)
        revoked = list(gateway.revoked)
        await admin.clear()
        return secrets, revoked

    secrets, revoked = with_admin(gateway, ask)
    assert secrets == ["jwt-1", "jwt-2", "jwt-3"]
    assert revoked == ["id-1"]
    assert sorted(gateway.revoked) == ["id-1", "id-2", "id-3", "id-4"]
    assert [asked["scope"] for asked in gateway.asked] == [{"server_id": "srv"}] * 3 + [
        {"server_id": "srv", "permissions": ["tools.read"]}
    ]
    assert len({asked["name"] for asked in gateway.asked}) == 4
    assert {asked["expires_in_days"] for asked in gateway.asked} == {1}


@pytest.mark.parametrize(
    ("status", "is_missing", "is_refusal", "is_passing"),
    [(404, True, True, False), (400, False, True, False), (503, False, False, True)],
)
def test_a_token_that_is_not_made_is_told(status, is_missing, is_refusal, is_passing):
    """A missing route, a refusal and a server's error are told apart, and no text holds the secret."""

    async def ask(admin):
        await admin.renew(await admin.open("caller", "c"), expires_at=LATER)

    with pytest.raises(AdminError) as caught:
        with_admin(ContextForge(make_status=status), ask)
    error = caught.value
    assert (error.status, error.is_missing, error.is_refusal, error.is_passing) == (
        status, is_missing, is_refusal, is_passing,
    )  # fmt: skip
    assert "admin-secret" not in str(error)


@pytest.mark.parametrize(
    ("health", "is_fit"), [("health", True), ("unhealthy", False), ("ratelimit-health-while-locked", False)]
)
def test_health_is_read_from_its_body(health, is_fit, monkeypatch):
    """A 200 that says unhealthy is not well, and neither is a gateway that has locked this address out."""
    cases = answers("contextforge")
    sick = cases["health"]._replace(body=cases["health"].body.replace(b'"healthy"', b'"unhealthy"'))
    monkeypatch.setitem(globals(), "answers", lambda _: cases | {"unhealthy": sick})

    async def ask(admin):
        return await admin.health()

    said = with_admin(ContextForge(health=health), ask)
    assert said.fit == is_fit
    assert ("locked out" in said.detail) == (health == "ratelimit-health-while-locked")


def test_sessions_follow_the_token():
    """After a rotation sessions are opened, and the old ones ended, with the token that is good: older are revoked."""
    gateway = ContextForge()
    options = OPTIONS.model_copy(update={"era": Era.SESSIONS, "path": "/mcp", "sessions": SessionPolicy.CALLS})
    used = []

    async def mcp(request):
        used.append((request.method, request.headers["Authorization"]))
        message = {"jsonrpc": "2.0", "id": 1, "result": {}}
        return web.json_response(message, headers={"Mcp-Session-Id": f"s{len(used)}"})

    app = gateway.app()
    app.router.add_route("*", "/mcp", mcp)

    async def scenario(driver):
        sessions = Sessions(options)
        async with McpAdmin(link_to(driver.url, "contextforge.toml"), options, sessions, ENVIRONMENT) as admin:
            agent = await admin.open("caller", "c")
            for _ in range(3):
                agent = await admin.renew(agent, expires_at=LATER)
            owners = {identity.secret for identity in sessions.to_open()} or {sessions._places["c"].owner.secret}
            await admin.clear()
        return owners, {token for method, token in used if method == "DELETE"}

    assert against(app, scenario) == ({"jwt-3"}, {"Bearer jwt-3"})


def test_tokens_of_the_environment_are_shared_out():
    """Agents of a role take its tokens in turn, others the common one; a variable that is not set is named."""
    options = MCPOptions(tokens={"caller": ("TOKEN_A", "TOKEN_B")}, token="ADMIN", era="rpc")  # noqa: S106 - a variable's name

    async def ask(admin):
        return [(await admin.open(role, "n")).secret for role in ("caller", "caller", "caller", "outsider")]

    assert with_admin(ContextForge(), ask, options) == ["a", "b", "a", "admin-secret"]
    with pytest.raises(SettingsError, match="TOKEN_B: it is not set"):
        with_admin(ContextForge(), ask, options, {"TOKEN_A": "a"})


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"permissions": {"outsidr": ("tools.read",)}}, "permissions of outsidr, for whom no token is made"),
        ({"tokens": {"outsider": ("TOKEN_A",)}}, "permissions of outsider, for whom no token is made"),
        ({"make_tokens": False}, "permissions and server_id, which are of tokens that are made"),
        ({"make_tokens": False, "permissions": {}}, "has server_id, which are of tokens that are made"),
    ],
)
def test_what_is_said_of_tokens_is_of_some_that_are_made(update, said):
    """A role that is misspelt would get a token that may do everything, and its probe would blame the gateway."""

    async def check(admin):
        await admin.missing(admin.link.plan)

    with pytest.raises(SettingsError, match=said):
        with_admin(ContextForge(), check, OPTIONS.model_copy(update=update))


class Strict:
    """An MCP server that lets one token in."""

    def app(self):
        app = web.Application()
        app.add_routes([web.post("/mcp", self.post), web.delete("/mcp", self.delete)])
        return app

    async def post(self, request):
        if request.headers.get("Authorization") != "Bearer a":
            return web.json_response({"error": "invalid_token"}, status=401)
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        message = await request.json()
        return web.json_response(
            {"jsonrpc": "2.0", "id": message.get("id"), "result": result}, headers={"Mcp-Session-Id": "s"}
        )

    async def delete(self, _):
        return web.Response()


def test_health_is_asked_as_one_who_calls_whatever_role_the_plan_names_first():
    """A role that only probes, and must be refused, may stand first in a plan: the gateway is well all the same."""
    options = MCPOptions(era=Era.SESSIONS, tokens={"stranger": ("TOKEN_B",), "reader": ("TOKEN_A",)})

    async def scenario(driver):
        link = link_to(driver.url, "mcp.toml")
        stranger = {"stranger": link.plan.roles["reader"]}
        link = replace(link, plan=link.plan.model_copy(update={"roles": stranger | link.plan.roles}))
        async with McpAdmin(link, options, Sessions(options), ENVIRONMENT) as admin:
            return await admin.health()

    assert against(Strict().app(), scenario).fit


def with_left(gateway, pages, ask):
    """Give what comes of asking an admin of a gateway that lists such pages of tokens, one after the other."""
    app, asked = gateway.app(), iter(pages)

    async def page(_):
        return web.json_response({"tokens": next(asked)})

    app.add_routes([web.get("/tokens", page)])

    async def scenario(driver):
        link = link_to(driver.url, "contextforge.toml")
        async with McpAdmin(link, OPTIONS, Sessions(OPTIONS), ENVIRONMENT) as admin:
            return await ask(admin)

    return against(app, scenario)


LEFT = [{"id": f"id-{number}", "name": f"run-1-caller-0-x-{number}"} for number in range(3)]


def test_a_list_of_tokens_without_end_is_left():
    """A gateway that gives the same page for ever is asked no more once it says nothing new."""
    gateway, pages = ContextForge(), [[*LEFT, "no token"]] * 2

    async def clear_left(admin):
        await admin.clear_left({})

    with_left(gateway, pages, clear_left)
    assert gateway.revoked == ["id-0", "id-1", "id-2"]


def test_one_that_cannot_be_revoked_now_keeps_no_other():
    """It is revoked at the end, as those that were made here."""
    gateway = ContextForge()
    revoke, busy = gateway.revoke, ["id-0"]

    async def sometimes(request):
        return web.Response(status=503) if busy and request.match_info["id"] == busy.pop() else await revoke(request)

    gateway.revoke = sometimes

    async def ask(admin):
        await admin.clear_left({})
        revoked = list(gateway.revoked)
        await admin.clear()
        return revoked

    assert with_left(gateway, [LEFT, []], ask) == ["id-1", "id-2"]
    assert gateway.revoked == ["id-1", "id-2", "id-0"]


@pytest.mark.parametrize("secret", ["jwt\r\nX-Other: 1", "", "\x00", 7])
def test_a_token_that_no_header_can_bear_is_none(secret):
    """It would end the run where the first call is sent with it."""
    gateway = ContextForge()

    async def odd(_):
        return web.json_response({"token": {"id": "id-1"}, "access_token": secret}, status=201)

    gateway.make = odd

    async def renew(admin):
        await admin.renew(await admin.open("caller", "a"), expires_at=LATER)

    with pytest.raises(AdminError, match="but without a token"):
        with_left(gateway, [], renew)
