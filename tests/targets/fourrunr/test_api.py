"""The gateway's other routes against real servers that answer as they should not: an ApiError, and nothing else."""

import asyncio
import contextlib
import datetime as dt
import ssl
from importlib.metadata import version

import pytest
import trustme
from aiohttp import web
from loopback import serving

from soaklib.errors import SettingsError
from soaklib.targets.fourrunr.api import ApiError, GatewayApi

NOW = dt.datetime.now(dt.UTC)

ROUTES = {
    "create_agent": lambda api: api.create_agent(name="a", role="r"),
    "generate_token": lambda api: api.generate_token(
        "agent", scopes=("openai:chat",), expires_at="2026-01-01T00:00:00Z"
    ),
    "create_policy": lambda api: api.create_policy(name="p", role="r", spec={}),
    "update_policy": lambda api: api.update_policy("p1", spec={}),
    "delete_policy": lambda api: api.delete_policy("p1"),
    "chaos_on": lambda api: api.chaos_on(tool="openai", mode="500", pct=50),
    "chaos_off": lambda api: api.chaos_off("openai"),
    "set_credential": lambda api: api.set_credential(tool="openai", version="v", credential="a-credential"),
    "activate_credential": lambda api: api.activate_credential("c1"),
    "active_credential": lambda api: api.active_credential("openai"),
    "read": lambda api: api.read("/api/policies"),
}
NAMES_SOMETHING = {
    "create_agent": "agent_id",
    "generate_token": "agent_token",
    "create_policy": "id",
    "set_credential": "id",
}


def http(status, body, extra=b""):
    """Give a whole HTTP answer."""
    head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    return head + b"connection: close\r\n" + extra + b"\r\n" + body


async def _read_request(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)


def asked_of(data, call, **options):
    """Give what a call gives against a server that answers with these bytes."""

    async def serve(reader, writer):
        await _read_request(reader)
        writer.write(data)
        try:
            await writer.drain()
        except ConnectionError:  # it has heard enough
            return
        writer.close()

    async def main():
        async with serving(serve) as url, GatewayApi(url, **({"timeout_s": 5} | options)) as api:
            return await call(api)

    return asyncio.run(main())


def error_of(data, call, **options):
    """Give the ApiError of a call."""
    with pytest.raises(ApiError) as caught:
        asked_of(data, call, **options)
    return caught.value


NO_JSON = [b"<html>", b"{", b'{"id":', b"\xff\xfe", b"nul", b'"\xed\xa0\x80"', b"[" * 100_000]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", NO_JSON)
def test_a_success_that_is_no_json_is_an_error_with_its_status(route, body):
    """Whatever stands in the body."""
    error = error_of(http(b"200 OK", body), ROUTES[route])
    assert (error.status, error.is_missing) == (200, False)
    assert str(error).endswith("was answered with 200: the body is no JSON")


WITHOUT_NAME = [
    b"", b"{}", b"[]", b"null", b"7", b'"id"', b"true", b'[{"NAME":"x"}]', b'{"NAME":null}', b'{"NAME":7}',
    b'{"NAME":""}', b'{"NAME":["x"]}', b'{"NAME":{"x":1}}', b'{"NAME":"a\\u0000b"}', b'{"NAME":"\\u001b[31m"}',
    b'{"NAME":"a\\nb"}', b'{"NAME":"' + b"x" * 20_000 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("route", NAMES_SOMETHING)
@pytest.mark.parametrize("body", WITHOUT_NAME)
def test_a_success_without_the_name_it_must_hold_is_an_error_with_its_status(route, body):
    """No id, one of another type, one that is no name: a soak goes on without what it asked for."""
    name = NAMES_SOMETHING[route]
    error = error_of(http(b"201 Created", body.replace(b"NAME", name.encode())), ROUTES[route])
    assert (error.status, error.is_missing) == (201, False)
    assert f"but has no {name}" in str(error) or f"but its {name} cannot be one" in str(error)


@pytest.mark.parametrize("route", NAMES_SOMETHING)
def test_a_success_with_its_name_is_taken(route):
    """The twin of all these."""
    assert asked_of(http(b"201 Created", b'{"%s":"x-1"}' % NAMES_SOMETHING[route].encode()), ROUTES[route]) == "x-1"


@pytest.mark.parametrize("route", sorted(set(ROUTES) - set(NAMES_SOMETHING) - {"active_credential", "read"}))
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"7", b"null"])
def test_a_route_that_gives_nothing_takes_any_success(route, body):
    """Nothing of its answer is used."""
    assert asked_of(http(b"200 OK", body), ROUTES[route]) is None


@pytest.mark.parametrize(
    ("status", "body", "active"),
    [
        (b"200 OK", b'{"id":"c1"}', "c1"),
        (b"200 OK", b"null", None),
        (b"204 No Content", b"", None),
        (b"404 Not Found", b'{"error":"No active credential found"}', None),
    ],
)
def test_which_credential_is_active_may_be_none(status, body, active):
    """There may be none."""
    assert asked_of(http(status, body), ROUTES["active_credential"]) == active


@pytest.mark.parametrize("body", [b"{}", b"[]", b"7", b'{"id":null}', b'{"id":5}'])
def test_an_active_credential_without_an_id_is_an_error_with_its_status(body):
    """It is not taken for none: what is active would be forgotten."""
    assert error_of(http(b"200 OK", body), ROUTES["active_credential"]).status == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (http(b"500 Internal Server Error", b"{"), 500),
        (http(b"302 Found", b"", b"location: http://127.0.0.1:9/x\r\n"), 302),
        (http(b"302 Found", b"", b"location: http://[/x\r\n"), 302),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n", 101),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", None),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + http(b"503 Service Unavailable", b""), 503),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"", None),
        (b"\x15\x03\x01\x00\x02\x02\x0a", None),
        (b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n", 999),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nx: \xff\xfe\x00\r\n\r\n", None),
        (http(b"200 OK", b"{}")[:-1], None),
        (http(b"200 OK", b"not gzip", b"content-encoding: gzip\r\n"), None),
        (http(b"200 OK", b"x", b"content-encoding: br\r\n"), None),
    ],
)
def test_any_other_answer_is_an_error(route, data, status):
    """With its status, or with none where there was no whole answer; its text can be stored and shown."""
    error = error_of(data, ROUTES[route])
    assert error.status == status
    assert str(error).isprintable()
    assert len(str(error)) <= 200


@pytest.mark.parametrize("route", sorted(set(ROUTES) - {"read"}))
def test_a_body_that_is_too_large_is_an_error(route):
    """It is not read to its end."""
    error = error_of(http(b"200 OK", b'{"id":"' + b"x" * (2 << 20) + b'"}'), ROUTES[route])
    assert (error.status, str(error).endswith("the body is over 1048576 bytes")) == (200, True)


# -- what comes back is shown


def test_the_words_of_an_error_can_be_stored_and_shown():
    """Without terminal escapes, NUL, or bytes that are no text, and not without end."""
    body = b'{"error":"\x1b]0;mine\x07 \x00 \xff no\xe2\x80\xae"}' + b"x" * 1000
    assert str(error_of(http(b"400 Bad Request", body), ROUTES["chaos_on"])).startswith(
        'POST /api/admin/chaos/tool was answered with 400: {"error":"\ufffd]0;mine\ufffd \ufffd \ufffd no\ufffd"}xxx'
    )


@pytest.mark.parametrize("before", ["", "x" * 128, "x" * 130, "x" * 134])  # where it is cut off there is half a secret
def test_what_was_secret_in_a_request_is_not_in_its_error(before):
    """The credential, the admin token and every header's value, as they were sent or inside a JSON string."""
    secrets = ["a-credential", "the-admin-token", "a-bearer-token", 'quo"ted', 'quo\\"ted']
    body = f"{before} sent {' and '.join(secrets)} to me".encode()
    error = error_of(
        http(b"422 Unprocessable", body), ROUTES["set_credential"], admin_token="the-admin-token",  # noqa: S106 - none
        headers={"Authorization": "Bearer a-bearer-token", "X-Key": 'quo"ted'},
    )  # fmt: skip
    assert f"{before} sent ***" in str(error)
    assert [secret for secret in secrets if secret[:6] in str(error)] == []


def test_an_id_that_is_the_credential_itself_is_none():
    """It would stand in the events."""
    error = error_of(http(b"200 OK", b'{"id":"openai/a-credential"}'), ROUTES["set_credential"])
    assert (error.status, "a-credential" in str(error)) == (200, False)


# -- where it is sent


class Server:
    """A server that redirects as told, and remembers every path with its headers."""

    def __init__(self, **moved):
        self.asked, self.moved = [], moved.get

    async def answer(self, request):
        self.asked.append((request.path_qs, dict(request.headers)))
        if (there := self.moved(request.path.lstrip("/"))) is not None:
            return web.Response(status=307, headers={"Location": there})
        return web.Response(text="here")

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()


def test_a_redirect_within_the_origin_is_followed_by_a_get():
    """/metrics may be at /metrics/; it is said where the answer is from."""

    async def main():
        async with Server(metrics="metrics/?all=1", old="/metrics") as server:
            async with GatewayApi(server.url, timeout_s=5) as api:
                reply = await api.get("/old")
            return tuple(reply[:3]), [path for path, _ in server.asked]

    assert asyncio.run(main()) == ((200, b"here", "/metrics/?all=1"), ["/old", "/metrics", "/metrics/?all=1"])


def test_metrics_are_asked_for_as_prometheus_asks():
    """The formats are named with their versions, compressed or not; a run's own Accept stays."""

    async def main(**options):
        async with Server() as server:
            async with GatewayApi(server.url, timeout_s=5, **options) as api:
                await api.get("/metrics")
                await api.get("/health")
            return [(headers["Accept"], headers["Accept-Encoding"]) for _, headers in server.asked]

    (metrics, encodings), (health, _) = asyncio.run(main())
    formats = [one.split(";")[:2] for one in metrics.split(",")]
    assert formats == [
        ["application/openmetrics-text", "version=1.0.0"], ["application/openmetrics-text", "version=0.0.1"],
        ["text/plain", "version=1.0.0"], ["text/plain", "version=0.0.4"], ["*/*", "q=0.1"],
    ]  # fmt: skip
    assert ("gzip" in encodings, health) == (True, "*/*")
    assert [accept for accept, _ in asyncio.run(main(headers={"accept": "text/plain"}))] == ["text/plain"] * 2


BROKEN = {
    "shorter than announced": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\na 1\n",
    "closed within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\na 1\n",
    "no gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\na 1\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_does_not_come_whole_is_no_answer(data):
    """What came of it is never taken for all of it."""
    error = error_of(data, lambda api: api.get("/metrics"))
    assert error.status is None


def test_a_redirect_in_a_circle_ends():
    """It is the answer then."""

    async def main():
        async with Server(metrics="/metrics") as server, GatewayApi(server.url, timeout_s=5) as api:
            return (await api.get("/metrics")).status, len(server.asked)

    assert asyncio.run(main()) == (307, 3)


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://localhost:{own}/"])
@pytest.mark.parametrize("call", [*ROUTES.values(), lambda api: api.get("/x")])
def test_nothing_is_sent_to_another_origin(scheme, call):
    """Another port or another name, by whatever route: no request, no header, no token."""

    async def main():
        async with Server() as other:
            server = Server()
            async with server:
                port, own = (one.url.rpartition(":")[2] for one in (other, server))
                there = scheme.format(port=port, own=own)
                server.moved = lambda _path: there
                headers = {"Authorization": "Bearer x"}
                async with GatewayApi(server.url, timeout_s=5, headers=headers, admin_token="t") as api:  # noqa: S106 - none
                    with contextlib.suppress(ApiError):  # which it is, but for a plain GET
                        assert (await call(api)).status == 307
                return other.asked, len(server.asked)

    assert asyncio.run(main()) == ([], 1)


def test_every_request_says_who_it_is_and_an_admin_call_bears_the_token():
    """The token goes with the admin routes alone."""

    async def main():
        async with Server() as server, GatewayApi(server.url, timeout_s=5, admin_token="t") as api:  # noqa: S106 - none
            await api.get("/health")
            with pytest.raises(ApiError):  # "here" is no JSON
                await api.chaos_off("a/../b?c")
            return server.asked

    (_, health), (path, chaos) = asyncio.run(main())
    assert {health["User-Agent"], chaos["User-Agent"]} == {f"soaklib/{version('soaklib')}"}
    assert (health.get("X-Admin-Token"), chaos["X-Admin-Token"]) == (None, "t")
    assert path == "/api/admin/chaos/tool/a%2F..%2Fb%3Fc"


def test_a_header_that_cannot_be_sent_is_refused_before_anything_is():
    """The admin token too."""

    async def main():
        async with GatewayApi("http://127.0.0.1:9", timeout_s=5, admin_token="a\nb"):  # noqa: S106 - none
            pass

    with pytest.raises(SettingsError, match=r"^the value of the header X-Admin-Token holds a line end"):
        asyncio.run(main())


# -- TLS


def tls_error(context, *, scheme="https"):
    """Give the error of a GET at a server with (or without) TLS."""

    async def main():
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, GatewayApi(url, timeout_s=5) as api:
            with pytest.raises(ApiError) as caught:
                await api.get("/health")
        return str(caught.value)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "expires", "why"),
    [
        ("127.0.0.1", NOW + dt.timedelta(days=1), "unable to get local issuer certificate"),
        ("127.0.0.1", NOW - dt.timedelta(days=1), "certificate has expired"),
        ("other.example", NOW + dt.timedelta(days=1), "IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_fit_is_a_sentence(host, expires, why, monkeypatch, tmp_path):
    """Of an unknown authority, expired, or for another host."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=expires).configure_cert(context)
    if "issuer" not in why:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    said = tls_error(context)
    assert why in said
    assert said.endswith("where its authority is a private one, pass --ca-file")


def test_https_at_a_port_of_plain_http_is_a_sentence():
    """It says what may be wrong."""

    async def main():
        async with Server() as server, GatewayApi(server.url.replace("http:", "https:"), timeout_s=5) as api:
            await api.get("/health")

    with pytest.raises(ApiError, match=r"does not speak TLS as it must \(.+\): is it http in place of https\?$"):
        asyncio.run(main())
