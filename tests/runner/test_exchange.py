"""An exchange of the load beside what aiohttp's session sends and does for the same request."""

import asyncio

import pytest
from loopback import LONG_S, OK, answering, answers_from, now_us, send, serving

from soaklib.records import Kind, Reason
from soaklib.runner import exchange
from soaklib.runner.client import Client
from soaklib.targets.base import Wire
from soaklib.targets.fourrunr.reading import AnswerReader

KEPT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(OK), OK)


async def seen_of(wires, *, by_session, headers=None):
    """Give the requests that a server sees of some calls, sent by a session or by exchanges."""
    seen = []

    async def handler(reader, writer):
        first, *lines = reader.head.strip().split("\r\n")
        headers = sorted((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines))
        seen.append((first, headers, reader.body))
        writer.write(KEPT)

    async with (
        serving(answering(handler)) as url,
        Client(f"{url}/base", now_us=now_us, timeout_s=LONG_S, max_connections=1, headers=headers) as client,
    ):
        if by_session:
            client._exchanges.begin = lambda _wire: None
        for wire in wires:
            assert (await send(client, wire)).kind == Kind.OK
    return [(first, [(name, value) for name, value in lines if name != "host"], body) for first, lines, body in seen]


def test_this_release_of_the_library_was_tried():
    """All tests here hold for it: a newer one is to be let in by ``IS_KNOWN`` where they pass with it."""
    assert exchange.IS_KNOWN


def test_with_a_release_that_was_not_tried_the_session_sends(monkeypatch):
    """Each call costs more then, and is the same; nothing below the session is touched."""
    monkeypatch.setattr(exchange, "IS_KNOWN", False)
    monkeypatch.setattr(exchange, "Exchange", None)
    wire = Wire("POST", "/a", {"X-Team": "a"}, b"body")
    seen = asyncio.run(seen_of([wire], by_session=False))
    assert [(first, body) for first, _, body in seen] == [("POST /base/a HTTP/1.1", b"body")]


@pytest.mark.parametrize(
    "given", [{}, {"User-Agent": "mine/1", "X-Team": "a", "accept": "text/plain"}, {"Host": "b.example"}]
)
def test_what_is_sent_is_what_a_session_sends(given):
    """Line by line but for the order of headers: of own and given headers, an empty body and none, an odd path."""
    wires = [
        Wire("POST", "/a", {"Content-Type": "application/json", "Accept": "application/json"}, b'{"n":1}'),
        Wire("POST", "/a", {"authorization": "Bearer one"}, b"\x00\xff" * 50_000),
        Wire("POST", "/a", {"authorization": "Bearer two"}, b"two"),
        Wire("POST", "/a b/\u00e9?q=%20x&y=\u00e9#part", {"X-Name": "\u00e9\tb"}, None),
        Wire("POST", "", {"Cookie": "a=b"}, b""),
        Wire("GET", "/a", {"Content-Length": "0"}, None),
    ]
    by_session = asyncio.run(seen_of(wires, by_session=True, headers=given))
    by_exchange = asyncio.run(seen_of(wires, by_session=False, headers=given))
    assert by_exchange == by_session


@pytest.mark.parametrize(
    "wire",
    [
        Wire("GET", "/", {}, None),
        Wire("PUT", "/", {}, b"a"),
        Wire("POST", "/", {"expect": "100-continue"}, b"a"),
        Wire("POST", "/", {"Transfer-Encoding": "chunked"}, b"a"),
        Wire("POST", "/", {"content-length": "1"}, b"a"),
    ],
)
def test_what_is_sent_in_another_way_is_left_to_the_session(wire):
    """A method that may be repeated, and headers by which the body is sent otherwise."""

    async def main():
        async with Client("http://127.0.0.1:9", now_us=now_us, timeout_s=1, max_connections=1) as client:
            return client._exchanges.begin(wire)

    assert asyncio.run(main()) is None


def test_a_header_that_would_end_its_line_is_not_sent():
    """It would be a header more; the session refuses it as well."""

    async def main():
        async with Client("http://127.0.0.1:9", now_us=now_us, timeout_s=1, max_connections=1) as client:
            await client.send(Wire("POST", "/", {"X-A": "a\r\nX-B: b"}, b""), AnswerReader())

    with pytest.raises(ValueError, match="control character"):
        asyncio.run(main())


async def connections_of(answer, *, body=b"{}", calls=2):
    """Give the answers of some calls to a server that reads heads only, and how many connections they took."""
    connections = 0
    gone = asyncio.Event()

    async def serve(reader, writer):
        nonlocal connections
        connections += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await gone.wait()
        finally:
            writer.close()

    async with serving(serve) as url:
        async with Client(url, now_us=now_us, timeout_s=LONG_S, max_connections=1) as client:
            answers = [await send(client, Wire("POST", "/", {}, body)) for _ in range(calls)]
        gone.set()
    return answers, connections


def test_a_connection_whose_request_was_not_wanted_whole_is_not_used_again():
    """The rest of it would be read as the beginning of the next."""
    answers, connections = asyncio.run(connections_of(KEPT, body=b"x" * (32 << 20)))
    assert [answer.kind for answer in answers] == [Kind.OK] * 2
    assert connections == 2


def test_a_connection_that_speaks_something_else_from_here_on_is_not_used_again():
    """An answer of 101 is no answer of this protocol's."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    answers, connections = asyncio.run(connections_of(switched))
    assert [(answer.status, answer.kind) for answer in answers] == [(101, Kind.INVALID_RESPONSE)] * 2
    assert connections == 2


def test_a_connection_is_used_again_and_a_dropped_one_is_a_reset():
    """One attempt on the wire is one row: nothing is sent again."""
    answers_left = [KEPT, KEPT, b""]

    async def handler(_reader, writer):
        data = answers_left.pop(0)
        writer.write(data)
        return None if data else "close"

    answers, requests = asyncio.run(answers_from(handler, sends=3))
    assert [answer.reason for answer in answers] == [None, None, Reason.RESET]
    assert requests == 3
