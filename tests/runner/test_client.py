"""The client against real loopback servers that answer as they should not."""

import asyncio
import contextlib
import errno
import gzip
import os
import socket
import ssl
import struct
from importlib.metadata import version
from types import SimpleNamespace

import aiohttp
import orjson
import pytest
import trustme
from aiohttp.client_reqrep import ConnectionKey

from soaklib.errors import SettingsError
from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.runner.client import FAILURES, Client, classify_failure
from soaklib.targets.base import Identity, Reading, Wire
from soaklib.targets.fourrunr.reading import MAX_BODY_BYTES, AnswerReader
from soaklib.targets.fourrunr.target import CallTemplate
from soaklib.targets.transport import connect_limit_s


def http(status_line, body=b"", content_type=b"application/json", extra=b""):
    """Give a whole HTTP answer."""
    return (
        b"HTTP/1.1 " + status_line + b"\r\ncontent-type: " + content_type + b"\r\ncontent-length: %d\r\n" % len(body)
        + b"connection: close\r\n" + extra + b"\r\n" + body
    )  # fmt: skip


async def _read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    reader.head = head.decode()  # for a handler that looks at it
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)


async def _answer_from(handler, *, timeout_s=5.0, sends=1, **client):
    requests = 0

    async def serve(reader, writer):
        nonlocal requests
        try:
            while True:
                await _read_request(reader)
                requests += 1
                if await handler(reader, writer) == "close":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(
        f"http://127.0.0.1:{port}", now_us=_now_us, timeout_s=timeout_s, max_connections=4, **client
    ) as sender:  # fmt: skip
        answers = [await _send(sender) for _ in range(sends)]
    return answers, requests


_CALL = CallTemplate(Step(tool="t", action="a", params={})).request(Identity("a", "r", "t"), 1)


async def _send(client, wire=_CALL, reader=None, **options):
    answer = await client.send(wire, reader or AnswerReader(), **options)
    return SimpleNamespace(**answer._asdict() | answer.reading._asdict())


def _now_us():
    return round(asyncio.get_running_loop().time() * 1e6)


def says(data):
    """Give a handler that writes `data` and closes."""

    async def handler(_reader, writer):
        writer.write(data)
        await writer.drain()
        return "close"

    return handler


def answer_from(handler, **options):
    return asyncio.run(_answer_from(handler, **options))[0][0]


OK = b'{"success":true,"data":{},"metadata":{}}'


@pytest.mark.parametrize(
    ("data", "status", "kind", "reason"),
    [
        (http(b"200 OK", OK), 200, Kind.OK, None),
        (http(b"200 OK", b'{"success":false}'), 200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
        (http(b"200 OK", b"[1, 2]"), 200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
        (http(b"200 OK", b'{"success":tr'), 200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
        (http(b"200 OK", b""), 200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
        (http(b"200 OK", b"<html>", b"text/html"), 200, Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE),
        (http(b"302 Found", b"", extra=b"location: /x\r\n"), 302, Kind.INVALID_RESPONSE, Reason.REDIRECT),
        (
            http(b"403 Forbidden", b'{"error":"Policy denied","reason":"Scope \'a:b\' not allowed."}'),
            403, Kind.DENIED, Reason.SCOPE,
        ),
        (http(b"403 Forbidden", b'{"error":"Token expired"}'), 403, Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED),
        (http(b"429 Too Many Requests", b'{"error":"Rate limit exceeded"}'), 429, Kind.RATE_LIMITED, Reason.RATE_LIMIT),
        (
            http(b"502 Bad Gateway", b'{"error":"External API request failed","details":"Circuit breaker is OPEN"}'),
            502, Kind.FAST_FAIL, Reason.BREAKER_OPEN,
        ),
        (http(b"502 Bad Gateway", b"<html>", b"text/html"), 502, Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
        (b"garbage\r\n\r\n", None, Kind.INVALID_RESPONSE, Reason.PROTOCOL),
        (b"", None, Kind.TRANSPORT_ERROR, Reason.RESET),
        (http(b"200 OK", OK)[:-5], 200, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
    ],
)  # fmt: skip
def test_each_answer_has_its_kind(data, status, kind, reason):
    """What comes back over the wire is classified; nothing is raised."""
    answer = answer_from(says(data))
    assert (answer.status, answer.kind, answer.reason) == (status, kind, reason)
    assert answer.done_at_us >= answer.sent_at_us


def test_a_connection_that_never_answers_is_a_timeout_at_the_limit():
    """The answer says timeout, with the time limit as its service time."""

    async def silent(reader, _writer):
        await reader.read()
        return "close"

    answer = answer_from(silent, timeout_s=0.2)
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TIMEOUT, Reason.READ_TIMEOUT)
    assert 200_000 <= answer.done_at_us - answer.sent_at_us < 2_000_000


def test_a_body_without_end_is_given_up_at_the_limit():
    """A chunked body that goes on for ever costs the limit and no more."""
    sent_bytes = 0

    async def endless(_reader, writer):
        nonlocal sent_bytes
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            sent_bytes += 0x10000
            await writer.drain()

    answer = answer_from(endless)
    assert (answer.status, answer.kind, answer.reason) == (200, Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)
    assert MAX_BODY_BYTES < sent_bytes < 16 * MAX_BODY_BYTES


def test_a_body_of_a_gigabyte_is_not_read():
    """An answer that announces more than the limit costs the limit and no more, however much of it is there."""
    sent_bytes = 0

    async def huge(_reader, writer):
        nonlocal sent_bytes
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n")
        while sent_bytes < 1 << 30:
            writer.write(b"x" * 0x10000)
            sent_bytes += 0x10000
            await writer.drain()

    answer = answer_from(huge)
    assert (answer.status, answer.kind, answer.reason) == (200, Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)
    assert sent_bytes < 16 * MAX_BODY_BYTES


def test_a_connection_that_is_reset_is_told_apart():
    """RST in place of an answer, as a gateway gives whose machine or network is cut off: transport_error, reset."""

    async def reset(_reader, writer):
        linger = struct.pack("ii", 1, 0)  # close at once, and throw away what is on its way
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return "close"

    answer = answer_from(reset)
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TRANSPORT_ERROR, Reason.RESET)


def test_a_name_that_does_not_resolve_is_told_apart():
    """A name server that is gone, or a name that is: transport_error, dns."""

    async def main():
        async with Client("http://gateway.invalid", now_us=_now_us, timeout_s=5, max_connections=1) as client:
            return await _send(client)

    answer = asyncio.run(main())
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TRANSPORT_ERROR, Reason.DNS)


def test_a_refused_connection_is_told_apart():
    """Nobody listening is transport_error, connect_refused."""

    async def main():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with Client(f"http://127.0.0.1:{port}", now_us=_now_us, timeout_s=5, max_connections=1) as client:
            return await _send(client)

    answer = asyncio.run(main())
    assert (answer.kind, answer.reason) == (Kind.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)


def test_a_dropped_kept_alive_connection_is_one_row_and_one_attempt():
    """The server drops the reused connection without an answer: the second call fails, and was sent once."""
    served = 0

    async def drops_the_second(_reader, writer):
        nonlocal served
        served += 1
        if served == 2:
            return "close"
        writer.write(http(b"200 OK", OK).replace(b"connection: close\r\n", b""))
        await writer.drain()
        return None

    answers, requests = asyncio.run(_answer_from(drops_the_second, sends=2))
    assert [answer.kind for answer in answers] == [Kind.OK, Kind.TRANSPORT_ERROR]
    assert answers[1].reason == Reason.RESET
    assert requests == 2


def test_the_correlation_id_is_kept():
    """The gateway's X-Correlation-Id is in the answer."""
    answer = answer_from(says(http(b"200 OK", OK, extra=b"x-correlation-id: req_1_abc\r\n")))
    assert answer.correlation_id == "req_1_abc"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"req_\xff", "req_\ufffd"),  # Latin-1, which no JSON encoder takes as it comes
        (b"req_\xc3\xa9", "req_\u00e9"),
        (b"req_\x1b[31m", "req_\ufffd[31m"),
        (b"r" * 128, "r" * 128),
        (b"r" * 8000, "r" * 127 + "\u2026"),
    ],
)
def test_a_correlation_id_is_text_and_of_bounded_length(sent, kept):
    """Whatever the header holds is a row's text: clipped, and without what no encoder takes."""
    answer = answer_from(says(http(b"200 OK", OK, extra=b"x-correlation-id: " + sent + b"\r\n")))
    assert (answer.kind, answer.correlation_id) == (Kind.OK, kept)
    assert orjson.loads(orjson.dumps(answer.correlation_id)) == kept


@pytest.mark.parametrize("extra", [b"x-long: " + b"x" * 9000 + b"\r\n", b"x-many: y\r\n" * 200])
def test_long_and_many_headers_are_no_failure(extra):
    """Nine thousand bytes of a header, or two hundred headers: other clients take them, and so does the load."""
    assert answer_from(says(http(b"200 OK", OK, extra=extra))).kind == Kind.OK


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


def test_a_gateway_that_takes_no_connections_is_told_from_one_that_does_not_answer():
    """With a full backlog the connection's own limit, a third of the call's, ends the call as connect_timeout."""

    async def main():
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):  # the backlog is full after one or two, and the kernel drops what comes after
                other = stack.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(listening.getsockname())
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with Client(url, now_us=_now_us, timeout_s=1.5, max_connections=1) as client:
                return await _send(client)

    answer = asyncio.run(main())
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TIMEOUT, Reason.CONNECT_TIMEOUT)
    assert 500_000 <= answer.done_at_us - answer.sent_at_us < 1_500_000


def test_the_limit_of_a_connection_is_well_below_that_of_a_call():
    """A third of it, and ten seconds at most."""
    assert [connect_limit_s(timeout_s) for timeout_s in (0.3, 3, 30, 3600)] == pytest.approx([0.1, 1, 10, 10])


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
            "http://127.0.0.1:9", now_us=_now_us, timeout_s=1, max_connections=1, headers={"X-Key": value}
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
            await _read_request(reader)
            writer.write(http(b"200 OK", OK))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, Client(
            f"https://127.0.0.1:{port}", now_us=_now_us, timeout_s=5, max_connections=1,
            ca_file=ca_file if trusts else None,
        ) as client:  # fmt: skip
            return await _send(client)

    answer = asyncio.run(main())
    expected = (Kind.OK, None) if trusts else (Kind.TRANSPORT_ERROR, Reason.TLS)
    assert (answer.kind, answer.reason) == expected


def _subclasses(base):
    return {base, *(deeper for sub in base.__subclasses__() for deeper in _subclasses(sub))}


def test_the_table_of_failures_knows_every_exception_of_aiohttps_client():
    """Each class of aiohttp's client errors falls on a row of its own base or itself, none through to the last."""
    general = FAILURES[-2:]
    for type_ in _subclasses(aiohttp.ClientError) - {aiohttp.ClientError}:
        rows = [row for row in FAILURES if issubclass(type_, row[0])]
        assert rows, type_
        if rows[0] in general:  # a bad URL, which the settings refuse; a redirect, never followed; or a bare base class
            never = {"RedirectClientError", "ClientConnectionError", "ServerConnectionError", "ClientConnectorError"}
            assert "url" in type_.__name__.lower() or type_.__name__ in never, type_


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS])
def test_what_this_machine_has_run_out_of_is_no_failure_of_the_gateways(number):
    """No descriptor, no port, no memory for a connection: the sender's own, told apart from what a gateway refuses."""
    key = ConnectionKey("127.0.0.1", 1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    error = aiohttp.ClientConnectorError(key, OSError(number, os.strerror(number)))
    assert classify_failure(error) == (Kind.TRANSPORT_ERROR, Reason.SENDER_EXHAUSTED)
    unreachable = aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)))
    assert classify_failure(unreachable) == (Kind.TRANSPORT_ERROR, Reason.TRANSPORT_OTHER)


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


class _Stream:
    """A reader of pieces: what it was given, and what the transport says of an answer that came to no end."""

    def __init__(self):
        self.chunks = []

    def head(self, status, headers):
        self.chunks.append((status, headers["content-type"]))

    def feed(self, chunk, at_us):
        self.chunks.append((chunk, at_us))
        return True

    def end(self):
        return Reading(Kind.OK, None, chunks=len(self.chunks) - 1)

    def broken_off(self, kind, reason):
        return Reading(kind, reason, chunks=len(self.chunks) - 1)


def _streams(*pieces, then="end"):
    """Give a handler that sends pieces a twentieth of a second apart, and then ends, stands still or cuts off."""

    async def handler(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.05)
        if then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif then == "stall":
            await reader.read()
        return "close"

    return handler


async def _stream_from(handler, **options):
    reader = _Stream()

    async def serve(incoming, writer):
        try:
            await _read_request(incoming)
            with contextlib.suppress(ConnectionError):
                await handler(incoming, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(url, now_us=_now_us, timeout_s=10, max_connections=1) as client:
        return await _send(client, Wire("POST", "/s", {}, b"{}"), reader, **options), reader.chunks


def test_a_stream_is_handed_over_as_it_comes():
    """Each piece with the time at which it came, and the end once."""
    answer, [head, *chunks] = asyncio.run(_stream_from(_streams(b"one", b"two")))
    assert head == (200, "text/event-stream")
    assert [chunk for chunk, _ in chunks] == [b"one", b"two"]
    assert answer.sent_at_us <= chunks[0][1] <= chunks[1][1] - 30_000 <= answer.done_at_us
    assert (answer.kind, answer.chunks) == (Kind.OK, 2)


def test_a_stream_that_stands_still_longer_than_it_may_is_told():
    """Long before the call's own limit; pieces that keep coming within the stall limit are no stall."""
    answer, _ = asyncio.run(_stream_from(_streams(b"1", b"2", b"3", b"4", then="stall"), stall_s=0.15))
    assert (answer.kind, answer.reason, answer.chunks) == (Kind.TIMEOUT, Reason.STREAM_STALLED, 4)
    assert 250_000 <= answer.done_at_us - answer.sent_at_us < 5_000_000


def test_a_stream_that_is_cut_off_is_told_with_what_came_of_it():
    """Its connection ended before its body did."""
    answer, _ = asyncio.run(_stream_from(_streams(b"1", b"2", then="cut"), stall_s=5.0))
    assert (answer.status, answer.kind, answer.chunks) == (200, Kind.INVALID_RESPONSE, 2)


def test_connections_are_counted_as_they_come_and_are_lost():
    """Three calls on one connection; one that the gateway closes is lost, and the next call makes another."""

    async def main():
        closes = [False, False, True, False]

        async def serve(reader, writer):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
                while True:
                    await _read_request(reader)
                    writer.write(http(b"200 OK", OK).replace(b"connection: close\r\n", b""))
                    await writer.drain()
                    if closes.pop(0):
                        break

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Client(url, now_us=_now_us, timeout_s=5, max_connections=4) as client:
            counted = []
            for _ in range(4):
                await _send(client)
                await asyncio.sleep(0.05)
                counted.append(tuple(client.take_connections()))
        await asyncio.sleep(0.05)  # the server's end comes to its end as well
        return counted

    assert asyncio.run(main()) == [(1, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0)]


@pytest.mark.parametrize(("most_age_s", "opened"), [(None, 1), (0.05, 3)])
def test_a_connection_past_its_age_is_replaced_and_is_not_called_lost(most_age_s, opened):
    """A balancer that came to know of another gateway gets new connections to give it."""

    async def main():
        async def serve(reader, writer):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
                while True:
                    await _read_request(reader)
                    await asyncio.sleep(0.06)
                    writer.write(http(b"200 OK", OK).replace(b"connection: close\r\n", b""))
                    await writer.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Client(
            url, now_us=_now_us, timeout_s=5, max_connections=4, connection_max_age_s=most_age_s
        ) as client:  # fmt: skip
            for _ in range(3):
                await _send(client)
            await asyncio.sleep(0.02)
            counted = client.take_connections()
        await asyncio.sleep(0.05)  # the server's ends come to their end as well
        return counted

    counted = asyncio.run(main())
    assert (counted.opened, counted.lost) == (opened, 0)


def test_what_is_no_failure_of_the_transport_is_raised():
    """A defect of ours is not hidden in the data."""
    with pytest.raises(KeyError):
        classify_failure(KeyError("x"))
