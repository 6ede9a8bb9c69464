"""Which routes a plan needs and whether a gateway has them, asked of real servers on the loopback."""

import asyncio
import datetime as dt

import pytest
from aiohttp import web

from soaklib.errors import TargetError
from soaklib.plan.model import load_plan
from soaklib.targets.clocks import about_clock
from soaklib.targets.fourrunr.api import ApiError, GatewayApi
from soaklib.targets.fourrunr.routes import check_routes

EXPRESS = "<!DOCTYPE html><pre>Cannot POST /api/admin/creds/set</pre>"
FASTIFY = '{"message":"Route POST:/api/admin/creds/set not found","error":"Not Found","statusCode":404}'


class Server:
    """A gateway that has the routes named, answers each with a refusal, and remembers what it was asked."""

    def __init__(self, *, without=(), answers=None, not_found=FASTIFY):
        self.asked = []
        self._without, self._answers, self._not_found = without, answers or {}, not_found

    async def answer(self, request):
        self.asked.append((request.method, request.path, await request.text(), request.headers.get("Content-Type")))
        for start in self._without:
            if f"{request.method} {request.path}".startswith(start):
                return web.Response(status=404, text=self._not_found)
        for start, status in self._answers.items():
            if f"{request.method} {request.path}".startswith(start):
                return web.json_response({"error": "no"}, status=status)
        if request.method == "GET":
            return web.Response(text="up 1\n")
        if request.method == "PATCH":
            return web.json_response({"error": "Policy not found"}, status=404)
        return web.json_response({"error": "Missing required fields"}, status=400)


def check(server, plan=None):
    """Ask a server for the routes of a plan."""

    async def main():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with GatewayApi(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_s=5) as api:
                return await check_routes(api, plan or load_plan())
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def test_routes_that_refuse_an_empty_request_are_there():
    """A 400 for what is lacking and a 404 for a policy that is not there are answers of routes."""
    assert check(Server()) == ({}, [])


def test_nothing_that_is_asked_could_change_anything():
    """POST and PATCH carry an empty object, DELETE an empty body that is said to be JSON, and names no real tool."""
    server = Server()
    check(server)
    assert {(method, body, content_type) for method, _, body, content_type in server.asked} == {
        ("POST", "{}", "application/json"), ("PATCH", "{}", "application/json"), ("DELETE", "", "application/json"),
        ("GET", "", None),
    }  # fmt: skip
    named = [path for method, path, _, _ in server.asked if method in {"PATCH", "DELETE"}]
    assert named == ["/api/admin/chaos/tool/soaklib-route-check", "/api/policies/soaklib-route-check"]


@pytest.mark.parametrize("not_found", [FASTIFY, EXPRESS, "404: Not Found", '{"detail":"Not Found"}', ""])
def test_a_missing_route_names_the_change_that_will_be_unsupported(not_found):
    """Whatever the gateway's framework says of a route that it does not have."""
    hindered, notes = check(Server(without=["POST /api/admin/creds/set"], not_found=not_found))
    assert hindered == {0: "unsupported, the gateway has no POST /api/admin/creds/set"}
    assert notes == []


def test_chaos_that_could_not_be_switched_off_again_is_said_too():
    """The DELETE is asked for before the POST is ever made."""
    hindered, _ = check(Server(without=["DELETE /api/admin/chaos"]))
    assert hindered == {1: "unsupported, the gateway has no DELETE /api/admin/chaos/tool/:tool"}


def test_a_gateway_without_policies_is_told_and_its_quota_cut_is_unsupported():
    """The baseline policies are missing as well."""
    hindered, notes = check(Server(without=["POST /api/policies", "PATCH /api/policies"]))
    assert hindered == {2: "unsupported, the gateway has no POST /api/policies"}
    assert notes == ["baseline policies: unsupported, the gateway has no POST /api/policies"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_route_that_is_closed_is_said_to_be_refused(status):
    """It is there, and the change would fail."""
    hindered, _ = check(Server(answers={"POST /api/admin/chaos": status}))
    assert hindered == {1: f"refused, POST /api/admin/chaos/tool was answered with {status}"}


def test_only_routes_of_the_plans_changes_are_asked_for():
    """A plan without changes needs none of the admin routes."""
    server = Server()
    check(server, load_plan().model_copy(update={"changes": ()}))
    assert not [path for _, path, _, _ in server.asked if "admin" in path]


NOW = dt.datetime(2026, 11, 28, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("date", "said"),
    [
        (None, None),
        ("yesterday", None),
        (f"Sat, 28 Nov {'9' * 20} 12:00:00 GMT", None),
        (f"Sat, 28 Nov 2026 12:00:00 +{'9' * 20}", None),
        ("Sat, 28 Nov 2026 12:00:59 GMT", None),
        ("Sat, 28 Nov 2026 12:01:01 GMT", "the gateway's clock is 61 s ahead of this machine's"),
        ("Sat, 28 Nov 2026 10:00:00 GMT", "the gateway's clock is 7200 s behind this machine's"),
        ("Sat, 28 Nov 2026 10:00:00", "the gateway's clock is 7200 s behind this machine's"),
    ],
)
def test_clocks_that_differ_by_more_than_a_minute_are_told_before_the_start(date, said):
    """Tokens expire by the gateway's clock."""
    assert [note.partition(":")[0] for note in about_clock(date, NOW)] == ([] if said is None else [said])


@pytest.mark.parametrize("route", ["POST /api/create-agent", "POST /api/generate-token"])
def test_a_gateway_without_agents_or_tokens_cannot_be_used(route):
    """No soak is possible."""
    with pytest.raises(TargetError, match=f"cannot be used: it has no {route}"):
        check(Server(without=[route]))


def test_no_call_is_made():
    """A gateway may log or count what it refuses there, and the books would not balance."""
    server = Server()
    check(server)
    assert "/api/proxy-request" not in {path for _, path, _, _ in server.asked}


NONE = "no samples and no snapshots: GET /metrics"


class _Metrics(Server):
    """A gateway whose /metrics is answered with a status and a location, and whose /metrics/ has samples."""

    def __init__(self, status, location):
        super().__init__()
        self._status, self._location = status, location

    async def answer(self, request):
        if request.method == "GET" and request.path == "/metrics":
            self.asked.append((request.method, request.path, "", None))
            return web.Response(status=self._status, headers={"Location": self._location} if self._location else {})
        return await super().answer(request)


@pytest.mark.parametrize(
    ("status", "location", "note"),
    [
        (307, "/metrics/", "GET /metrics is redirected, and read at /metrics/"),
        (307, "http://127.0.0.1:9/m", f"{NONE} is redirected to http://127.0.0.1:9/m, which is not followed"),
        (301, "/metrics", f"{NONE} is redirected to /metrics, which is not followed"),
        (404, None, f"{NONE} was answered with 404"),
    ],
)
def test_what_metrics_answers_is_said_before_the_start(status, location, note):
    """A redirect within the origin is followed, another never; a day without samples is known beforehand."""
    assert check(_Metrics(status, location)) == ({}, [note])


@pytest.mark.parametrize(
    ("status", "words", "missing"),
    [
        (404, '{"error":"Agent not found."}', False),
        (404, '{"error":"Credential not found"}', False),
        (404, '{"error":"No active credential found for tool"}', False),
        (404, '{"error":"Not Found"}', True),
        (404, FASTIFY, True),
        (405, "405: Method Not Allowed", True),
        (400, FASTIFY, False),
    ],
)
def test_a_missing_thing_is_told_from_a_missing_route(status, words, missing):
    """By the words: a route says which thing it did not find."""
    assert ApiError("POST /x", status, words).is_missing is missing
