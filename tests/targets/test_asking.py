"""Requests beside the load of every kind of gateway but 4Runr's: where they go, what they ask for, what they tell."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from loopback import serving
from target_links import link_to
from upstream_driver import against

from soaklib.targets import asking as module
from soaklib.targets.admin import AdminError
from soaklib.targets.asking import Asking, refuse_unless_success
from soaklib.targets.idle_admin import IdleAdmin
from soaklib.targets.transport import ACCEPT_METRICS

ROUTES = {"metrics": "/metrics", "health": "/health"}


class Gateway:
    """Moves what it is told to, and says `body` to everything else; remembers what it was asked."""

    def __init__(self, moved=None, body=b"up 1\n", status=200):
        self.moved, self.body, self.status, self.asked = moved or {}, body, status, []

    async def answer(self, request):
        self.asked.append((request.method, request.path, request.headers.get("Accept")))
        if (there := self.moved.get(request.path)) is not None:
            return web.Response(status=307, headers={"Location": there})
        return web.Response(status=self.status, body=self.body)

    def app(self):
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self.answer)])
        return app


def asked(gateway, ask, **link):
    """Give what comes of asking as an admin does."""

    async def scenario(driver):
        async with IdleAdmin(replace(link_to(driver.url), **link), ROUTES) as admin:
            return await ask(admin)

    return against(gateway.app(), scenario)


def test_metrics_are_read_where_they_are_moved_to():
    """Within the gateway's own origin, as frameworks add a slash to a path; asked for as Prometheus does."""
    gateway = Gateway({"/metrics": "/metrics/"})
    told = asked(gateway, lambda admin: admin.look("metrics"))
    assert (told.status, told.body, told.ok) == (200, b"up 1\n", True)
    assert gateway.asked == [("GET", "/metrics", ACCEPT_METRICS), ("GET", "/metrics/", ACCEPT_METRICS)]


def test_nothing_else_is_asked_for_as_metrics_are():
    """Health is JSON; a run's own Accept stays."""
    gateway = Gateway()
    asked(gateway, lambda admin: admin.look("health"))
    asked(gateway, lambda admin: admin.look("metrics"), headers={"accept": "text/plain"})
    assert [accept for _, _, accept in gateway.asked] == ["application/json", "text/plain"]


@pytest.mark.parametrize("there", ["http://localhost:1/metrics", "//other.example/", "mailto:x", "http://[", ""])
def test_no_redirect_to_another_origin_is_followed(there):
    """It is the answer: no header is sent where it was not meant to go."""
    gateway = Gateway({"/metrics": there} if there else {"/metrics": "/metrics"})
    told = asked(gateway, lambda admin: admin.look("metrics"))
    assert (told.status, told.ok, told.detail) == (307, False, "status 307")
    assert len(gateway.asked) == (1 if there else 3)  # a circle ends


def test_only_a_get_is_sent_again():
    """What may have been done is not done twice."""
    gateway = Gateway({"/key/generate": "/key/generate/"})
    reply = asked(gateway, lambda admin: admin.asking.ask("POST", "/key/generate", json={}))
    assert (reply.status, len(gateway.asked)) == (307, 1)


def test_metrics_may_be_longer_than_other_answers(monkeypatch):
    """Those of many keys and models grow through a day; what has no end is refused by its size."""
    monkeypatch.setattr(module, "_MOST_BYTES", 1 << 20)
    gateway = Gateway(body=b"a 1\n" * (1 << 19))
    assert len(asked(gateway, lambda admin: admin.look("metrics")).body) == 2 << 20
    with pytest.raises(AdminError, match=r"^GET /health was answered with more than 1 MiB$"):
        asked(gateway, lambda admin: admin.look("health"))
    monkeypatch.setattr(module, "MOST_METRICS_BYTES", 1 << 20)
    with pytest.raises(AdminError, match=r"^GET /metrics was answered with more than 1 MiB$"):
        asked(gateway, lambda admin: admin.look("metrics"))


def test_no_header_of_the_run_is_in_the_words_of_an_error():
    """A gateway may say again what it was sent, as it was sent or inside a JSON string."""
    secrets = ["a-run-header", "a-bearer", "the-secret", 'quo"ted', 'quo\\"ted']
    gateway = Gateway(body=" and ".join(["sent", *secrets]).encode(), status=403)
    headers = {"X-Gateway-Key": "Key a-run-header", "X-Other": 'quo"ted'}

    async def ask(admin):
        reply = await admin.asking.ask("POST", "/x", secret="a-bearer", json={})  # noqa: S106 - none
        with pytest.raises(AdminError) as caught:
            refuse_unless_success("POST", "/x", reply)
        return str(caught.value)

    said = asked(gateway, ask, headers=headers, secret="the-secret")  # noqa: S106 - none
    assert said == f"POST /x was answered with 403: sent{' and ***' * len(secrets)}"


@pytest.mark.parametrize("then", ["held open", "cut"])
def test_a_stream_that_has_said_all_is_not_waited_for(then):
    """A server that answers by events may hold the stream open after them, or cut it off."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        for piece in (head, b"8\r\ndata: 1\n\r\n", b"1\r\n\n\r\n"):
            writer.write(piece)
            await writer.drain()
        if then == "held open":
            await reader.read()
        writer.close()

    async def main():
        async with serving(serve) as url, Asking(link_to(url, timeout_s=60.0)) as way:
            return await way.ask("POST", "/mcp", json={}, is_whole=lambda body: body.endswith(b"\n\n"))

    assert asyncio.run(main()).body == b"data: 1\n\n"
