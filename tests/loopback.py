"""A loopback server that answers what a test says, and calls of the load to it."""

import asyncio
import contextlib
from types import SimpleNamespace

from soaklib.plan.model import Step
from soaklib.runner.client import Client
from soaklib.targets.base import Identity
from soaklib.targets.fourrunr.reading import AnswerReader
from soaklib.targets.fourrunr.target import CallTemplate


def http(status_line, body=b"", content_type=b"application/json", extra=b""):
    """Give a whole HTTP answer."""
    return (
        b"HTTP/1.1 " + status_line + b"\r\ncontent-type: " + content_type + b"\r\ncontent-length: %d\r\n" % len(body)
        + b"connection: close\r\n" + extra + b"\r\n" + body
    )  # fmt: skip


async def read_request(reader):
    """Read one request; its head and its body stay at the reader."""
    head = await reader.readuntil(b"\r\n\r\n")
    reader.head = head.decode()  # for a handler that looks at it
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    reader.body = await reader.readexactly(length)


LONG_S = 60.0
"""A limit that no call meets, however busy the machine: for what asks of something else."""


@contextlib.asynccontextmanager
async def serving(serve):
    """Serve connections; give the URL. At the end `serve` has come to its own for every connection.

    What a connection was served by is waited for once its client has gone: enter the client after this.
    """
    served = set()

    async def remembered(reader, writer):
        served.add(asyncio.current_task())
        await serve(reader, writer)

    async with await asyncio.start_server(remembered, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(LONG_S):
        await asyncio.gather(*served)


def answering(handler):
    """Give what serves a connection: each request by `handler`, until it says "close" or its client has gone."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            said = None
            while said != "close":
                await read_request(reader)
                said = await handler(reader, writer)

    return serve


async def answers_from(handler, *, timeout_s=LONG_S, sends=1, **client):
    """Give the answers of some calls to a server that answers by `handler`, and how many requests it saw."""
    requests = 0

    async def counted(reader, writer):
        nonlocal requests
        requests += 1
        return await handler(reader, writer)

    async with (
        serving(answering(counted)) as url,
        Client(url, now_us=now_us, timeout_s=timeout_s, max_connections=4, **client) as sender,
    ):
        answers = [await send(sender) for _ in range(sends)]
    return answers, requests


_CALL = CallTemplate(Step(tool="t", action="a", params={})).request(Identity("a", "r", "t"), 1)


async def send(client, wire=_CALL, reader=None, **options):
    """Send a call; give its answer and its reading in one."""
    answer = await client.send(wire, reader or AnswerReader(), **options)
    return SimpleNamespace(**answer._asdict() | answer.reading._asdict())


def now_us():
    """Give the time of the loop, in microseconds."""
    return round(asyncio.get_running_loop().time() * 1e6)


def says(data):
    """Give a handler that writes `data` and closes."""

    async def handler(_reader, writer):
        writer.write(data)
        await writer.drain()
        return "close"

    return handler


def answer_from(handler, **options):
    """Give the answer of one call to a server that answers by `handler`."""
    return asyncio.run(answers_from(handler, **options))[0][0]


OK = b'{"success":true,"data":{},"metadata":{}}'
