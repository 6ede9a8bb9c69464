"""The client against real loopback servers that answer as they should not."""

import asyncio
import contextlib
import errno
import os
import socket
import struct

import aiohttp
import orjson
import pytest
from aiohttp.client_reqrep import ConnectionKey
from loopback import LONG_S, OK, answer_from, answers_from, http, now_us, says, send

from soaklib.records import Kind, Reason
from soaklib.runner.client import FAILURES, Client, classify_failure
from soaklib.targets.fourrunr.reading import MAX_BODY_BYTES
from soaklib.targets.transport import connect_limit_s


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
    assert 200_000 <= answer.done_at_us - answer.sent_at_us < LONG_S * 1e6 / 2


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
        async with Client("http://gateway.invalid", now_us=now_us, timeout_s=LONG_S, max_connections=1) as client:
            return await send(client)

    answer = asyncio.run(main())
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TRANSPORT_ERROR, Reason.DNS)


def test_a_name_that_is_not_answered_is_a_connection_that_was_not_made(monkeypatch):
    """A name server that is silent ends the call at the connection's own limit, and blames no gateway's answer."""

    async def silent(*_):
        await asyncio.sleep(LONG_S)

    async def main():
        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", silent)
        async with Client("http://gateway.invalid", now_us=now_us, timeout_s=1.5, max_connections=1) as client:
            return await send(client)

    answer = asyncio.run(main())
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TIMEOUT, Reason.CONNECT_TIMEOUT)
    assert 500_000 <= answer.done_at_us - answer.sent_at_us < 1_500_000


def test_a_refused_connection_is_told_apart():
    """Nobody listening is transport_error, connect_refused."""

    async def main():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with Client(f"http://127.0.0.1:{port}", now_us=now_us, timeout_s=LONG_S, max_connections=1) as client:
            return await send(client)

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

    answers, requests = asyncio.run(answers_from(drops_the_second, sends=2))
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
            async with Client(url, now_us=now_us, timeout_s=6, max_connections=1) as client:
                return await send(client)

    answer = asyncio.run(main())
    assert (answer.status, answer.kind, answer.reason) == (None, Kind.TIMEOUT, Reason.CONNECT_TIMEOUT)
    assert 2_000_000 <= answer.done_at_us - answer.sent_at_us < 6_000_000


def test_the_limit_of_a_connection_is_well_below_that_of_a_call():
    """A third of it, and ten seconds at most."""
    assert [connect_limit_s(timeout_s) for timeout_s in (0.3, 3, 30, 3600)] == pytest.approx([0.1, 1, 10, 10])


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


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ("[Errno 111] Connect call failed ('::1', 80, 0, 0), [Errno 99] Cannot assign requested address",
         Reason.SENDER_EXHAUSTED),
        ("[Errno 111] Connect call failed ('::1', 80, 0, 0), [Errno 24] Too many open files", Reason.SENDER_EXHAUSTED),
        ("[Errno 99] Cannot assign requested address, [Errno 111] Connect call failed ('127.0.0.1', 80)",
         Reason.CONNECT_REFUSED),
        ("[Errno 101] Network is unreachable, [Errno 111] Connect call failed ('10.0.0.1', 80)",
         Reason.CONNECT_REFUSED),
        ("[Errno 101] Network is unreachable, [Errno 113] No route to host", Reason.TRANSPORT_OTHER),
    ],
)  # fmt: skip
def test_why_none_of_several_addresses_was_reached(held, reason):
    """The failures stand in the text alone; where there is no IPv6, it is that of IPv4 that counts."""
    key = ConnectionKey("localhost", 80, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    error = aiohttp.ClientConnectorError(key, OSError(f"Multiple exceptions: {held}"))
    assert classify_failure(error) == (Kind.TRANSPORT_ERROR, reason)
