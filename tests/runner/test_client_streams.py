"""Streams and the connections of the client, from real loopback servers."""

import asyncio
import contextlib

import pytest
from loopback import LONG_S, OK, answering, http, now_us, read_request, send, serving

from soaklib.records import Kind, Reason
from soaklib.runner.client import Client, classify_failure
from soaklib.targets.base import Reading, Wire


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


def _streams(*pieces, then="end", apart_s=0.05):
    """Give a handler that sends pieces so far apart, and then ends, stands still or cuts off."""

    async def handler(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(apart_s)
        if then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif then == "stall":
            await reader.read()
        return "close"

    return handler


async def _stream_from(handler, *, reader=None, timeout_s=LONG_S, **options):
    reader = reader or _Stream()

    async def serve(incoming, writer):
        try:
            await read_request(incoming)
            with contextlib.suppress(ConnectionError):
                await handler(incoming, writer)
        finally:
            writer.close()

    async with (
        serving(serve) as url,
        Client(url, now_us=now_us, timeout_s=timeout_s, max_connections=1) as client,
    ):
        answer = await send(client, Wire("POST", "/s", {}, b"{}"), reader, **options)
    return answer, reader.chunks


def test_a_stream_is_handed_over_as_it_comes():
    """Each piece with the time at which it came, and the end once."""
    answer, [head, *chunks] = asyncio.run(_stream_from(_streams(b"one", b"two")))
    assert head == (200, "text/event-stream")
    assert [chunk for chunk, _ in chunks] == [b"one", b"two"]
    assert answer.sent_at_us <= chunks[0][1] <= chunks[1][1] - 30_000 <= answer.done_at_us
    assert (answer.kind, answer.chunks) == (Kind.OK, 2)


def test_a_stream_that_stands_still_longer_than_it_may_is_told():
    """Long before the call's own limit; pieces that keep coming within the stall limit are no stall."""
    streams = _streams(b"1", b"2", b"3", b"4", then="stall", apart_s=0.3)  # a busy machine adds some tenths
    answer, _ = asyncio.run(_stream_from(streams, stall_s=1.0))
    assert (answer.kind, answer.reason, answer.chunks) == (Kind.TIMEOUT, Reason.STREAM_STALLED, 4)
    assert 1_800_000 <= answer.done_at_us - answer.sent_at_us < LONG_S * 1e6 / 2


@pytest.mark.parametrize("stall_s", [0.5, 1.0, 30.0])
def test_a_stream_that_stood_still_until_the_calls_limit_has_stalled(stall_s):
    """However long it might have stood still."""
    stalls = _streams(b"1", then="stall", apart_s=0)
    answer, _ = asyncio.run(_stream_from(stalls, timeout_s=1.0, stall_s=stall_s))
    assert (answer.kind, answer.reason, answer.chunks) == (Kind.TIMEOUT, Reason.STREAM_STALLED, 1)


@pytest.mark.parametrize(("pieces", "stall_s"), [((b"1",) * 100, 1.0), ((), 1.0), ((b"1",), None)])
def test_a_stream_that_was_too_slow_has_not_stalled(pieces, stall_s):
    """One that kept coming, one that never began, and one that may stand still."""
    slow = _streams(*pieces, then="stall", apart_s=0.05)
    answer, _ = asyncio.run(_stream_from(slow, timeout_s=1.0, stall_s=stall_s))
    assert (answer.kind, answer.reason) == (Kind.TIMEOUT, Reason.READ_TIMEOUT)


class _UntilDone(_Stream):
    """A reader that knows a stream's last word."""

    def feed(self, chunk, at_us):
        return super().feed(chunk, at_us) and chunk != b"done"

    def broken_off(self, kind, reason):
        assert (kind, reason) == (Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)  # or so it would be
        return self.end()


@pytest.mark.parametrize("then", ["end", "stall", "cut"])
def test_what_comes_after_the_last_word_is_no_matter(then):
    """The answer is whole, and was when that came; its end is not waited for."""
    streams = _streams(b"one", b"done", then=then)
    answer, [_, *chunks] = asyncio.run(_stream_from(streams, reader=_UntilDone(), timeout_s=LONG_S))
    assert (answer.kind, answer.chunks) == (Kind.OK, 2)
    assert 0 <= answer.done_at_us - chunks[1][1] < 500_000


def test_a_stream_that_ends_after_its_last_word_leaves_its_connection():
    """The next call goes on it; after one that is held open it gets another."""

    async def main():
        holds = [False, False, True, False]

        async def handler(reader, writer):
            await _streams(b"one", b"done", then="stall" if holds.pop(0) else "end")(reader, writer)

        async with (
            serving(answering(handler)) as url,
            Client(url, now_us=now_us, timeout_s=LONG_S, max_connections=1) as client,
        ):
            opened = []
            for _ in range(4):
                answer = await send(client, Wire("POST", "/s", {}, b"{}"), _UntilDone())
                opened.append((answer.kind, client.take_connections().opened))
        return opened

    assert asyncio.run(main()) == [(Kind.OK, opened) for opened in (1, 0, 0, 1)]


def test_a_stream_that_is_cut_off_is_told_with_what_came_of_it():
    """Its connection ended before its body did."""
    answer, _ = asyncio.run(_stream_from(_streams(b"1", b"2", then="cut"), stall_s=LONG_S / 2))
    assert (answer.status, answer.kind, answer.chunks) == (200, Kind.INVALID_RESPONSE, 2)


def test_connections_are_counted_as_they_come_and_are_lost():
    """Three calls on one connection; one that the gateway closes is lost, and the next call makes another."""

    async def main():
        closes = [False, False, True, False]

        async def handler(_reader, writer):
            writer.write(http(b"200 OK", OK).replace(b"connection: close\r\n", b""))
            await writer.drain()
            return "close" if closes.pop(0) else None

        async with (
            serving(answering(handler)) as url,
            Client(url, now_us=now_us, timeout_s=LONG_S, max_connections=4) as client,
        ):
            counted = []
            for is_closed in [*closes]:
                await send(client)
                found = client.take_connections()
                async with asyncio.timeout(LONG_S):
                    while is_closed and not found.lost:  # the loop has not read yet that it is
                        await asyncio.sleep(0)
                        found = client.take_connections()
                counted.append(tuple(found))
        return counted

    assert asyncio.run(main()) == [(1, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0)]


@pytest.mark.parametrize(("most_age_s", "opened"), [(None, 1), (5.0, 3)])
def test_a_connection_past_its_age_is_replaced_and_is_not_called_lost(most_age_s, opened):
    """A balancer that came to know of another gateway gets new connections to give it."""

    async def main():
        loop, ahead_s = asyncio.get_running_loop(), 0.0
        time_s = loop.time
        loop.time = lambda: time_s() + ahead_s

        async def handler(_reader, writer):
            nonlocal ahead_s
            ahead_s += 6.0
            writer.write(http(b"200 OK", OK).replace(b"connection: close\r\n", b""))
            await writer.drain()

        async with (
            serving(answering(handler)) as url,
            Client(url, now_us=now_us, timeout_s=LONG_S, max_connections=4, connection_max_age_s=most_age_s) as client,
        ):
            for _ in range(3):
                await send(client)
            await asyncio.sleep(0)  # what is closed is told of with the loop's next turn
            return client.take_connections()

    counted = asyncio.run(main())
    assert (counted.opened, counted.lost) == (opened, 0)


def test_what_is_no_failure_of_the_transport_is_raised():
    """A defect of ours is not hidden in the data."""
    with pytest.raises(KeyError):
        classify_failure(KeyError("x"))
