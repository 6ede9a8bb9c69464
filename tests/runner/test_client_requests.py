"""What the client sends, by which way, and whom it trusts."""

import asyncio
import gzip
import socket
import ssl
from importlib.metadata import version

import pytest
import trustme
from loopback import LONG_S, OK, answer_from, http, now_us, read_request, says, send

from soaklib.errors import SettingsError
from soaklib.records import Kind, Reason
from soaklib.runner.client import Client


@pytest.mark.parametrize(
    ("headers", "name"), [({}, f"soaklib/{version('soaklib')}"), ({"user-agent": "mine/1"}, "mine/1")]
)
def test_the_load_says_who_it_is(headers, name):
    """A gateway that refuses calls without a User-Agent answers them; another name may be given."""

    async def refuses_the_nameless(reader, writer):
        named = f"\r\nuser-agent: {name}\r\n".lower() in reader.head.lower()
        writer.write(http(b"200 OK", OK) if named else http(b"403 Forbidden", b'{"message":"Forbidden"}'))
        await writer.drain()
        return "close"

    assert answer_from(refuses_the_nameless, headers=headers).kind == Kind.OK


@pytest.mark.parametrize(
    "interim", [b"103 Early Hints\r\nlink: </a>; rel=preload", b"100 Continue", b"102 Processing\r\nx-y: z"]
)
def test_interim_answers_are_passed_over(interim):
    """However many come first, the call is what the answer after them says."""
    before = b"HTTP/1.1 " + interim + b"\r\n\r\n"
    told = answer_from(says(before * 3 + http(b"200 OK", OK)))
    assert (told.kind, told.status) == (Kind.OK, 200)
    refused = answer_from(says(before + http(b"429 Too Many Requests", b"{}")))
    assert (refused.kind, refused.status) == (Kind.RATE_LIMITED, 429)


def test_no_proxy_is_asked_and_none_sees_a_call(monkeypatch):
    """Whatever the environment says: the call goes straight to the gateway."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert answer_from(says(http(b"200 OK", OK))).kind == Kind.OK
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\x00", "a\udcff"])
def test_a_header_that_cannot_be_sent_is_refused_before_anything_is(value):
    """With its name, and without its value."""

    async def main():
        async with Client(
            "http://127.0.0.1:9", now_us=now_us, timeout_s=1, max_connections=1, headers={"X-Key": value}
        ):
            pass

    with pytest.raises(SettingsError, match=r"^the value of the header X-Key (?!.*Other)"):
        asyncio.run(main())


@pytest.mark.parametrize("trusts", [False, True])
def test_tls_is_verified_against_the_authorities_given(trusts, tmp_path):
    """A certificate by an unknown authority is refused as tls; with --ca-file it is accepted."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)

    async def main():
        async def serve(reader, writer):
            await read_request(reader)
            writer.write(http(b"200 OK", OK))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, Client(
            f"https://127.0.0.1:{port}", now_us=now_us, timeout_s=LONG_S, max_connections=1,
            ca_file=ca_file if trusts else None,
        ) as client:  # fmt: skip
            return await send(client)

    answer = asyncio.run(main())
    expected = (Kind.OK, None) if trusts else (Kind.TRANSPORT_ERROR, Reason.TLS)
    assert (answer.kind, answer.reason) == expected


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"lz4"])
def test_a_body_that_is_packed_in_a_way_not_asked_for_is_named_as_that(encoding):
    """Gzip and deflate are asked for, and nothing else is, whichever packages are installed."""
    answer = answer_from(says(http(b"200 OK", OK, extra=b"content-encoding: " + encoding + b"\r\n")))
    assert (answer.kind, answer.reason) == (Kind.INVALID_RESPONSE, Reason.CONTENT_ENCODING)


def test_a_body_packed_as_asked_for_is_unpacked():
    """The load asks for gzip and deflate by name, and reads gzip."""
    asked = []

    async def packs(reader, writer):
        asked.extend(line for line in reader.head.lower().split("\r\n") if line.startswith("accept-encoding"))
        writer.write(http(b"200 OK", gzip.compress(OK), extra=b"content-encoding: gzip\r\n"))
        await writer.drain()
        return "close"

    assert answer_from(packs).kind == Kind.OK
    assert asked == ["accept-encoding: gzip, deflate"]


def test_a_header_flag_stands_above_what_the_call_would_send():
    """``Accept`` and ``Content-Type`` among them; what is not given by a flag is the call's own."""
    heads = []

    async def keeps(reader, writer):
        heads.append(reader.head.lower())
        return await says(http(b"200 OK", OK))(reader, writer)

    answer_from(keeps, headers={"accept": "application/vnd.api+json"})
    assert "accept: application/vnd.api+json\r\n" in heads[0]
    assert heads[0].count("\r\naccept: ") == 1
    assert "\r\ncontent-type: application/json\r\n" in heads[0]
