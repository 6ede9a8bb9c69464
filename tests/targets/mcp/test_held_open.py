"""A server that holds a stream of events open after its answer, or cuts it off: it has answered all the same."""

import asyncio

import pytest
from loopback import serving
from target_links import link_to

from soaklib.safety import foreign_json
from soaklib.targets.asking import Reply
from soaklib.targets.mcp import handshakes
from soaklib.targets.mcp.admin import McpAdmin
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.mcp.sessions import Sessions

NOTE = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n'
ANSWER = b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}\n\n'
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: s\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)


@pytest.mark.parametrize("then", ["held open", "cut"])
def test_a_session_is_open_when_its_answer_has_come(then):
    """Long before the time limit of the request; the session is ended as any other."""

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = b""
        if "content-length" in head:
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
        if b'"initialize"' in body:
            for piece in (NOTE, ANSWER):
                writer.write((HEAD if piece is NOTE else b"") + b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            if then == "held open":
                await reader.read()
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def main():
        options = MCPOptions()
        async with (
            serving(serve) as url,
            McpAdmin(link_to(url, timeout_s=60.0), options, Sessions(options), {}) as admin,
        ):
            began_s = asyncio.get_running_loop().time()
            health = await admin.health()
            took_s = asyncio.get_running_loop().time() - began_s
        return health, took_s

    health, took_s = asyncio.run(main())
    assert (health.fit, health.detail) == (True, "initialize 200")
    assert took_s < 30


def test_what_a_server_says_before_it_answers_is_looked_at_once(monkeypatch):
    """However much it is: the loop that keeps the load's schedule waits for it."""
    read = []
    monkeypatch.setattr(handshakes, "objects_of", lambda text: read.append(text) or foreign_json.objects_of(text))

    async def ask(*_, is_whole=None, **__):
        came = b""
        for piece in (*[NOTE] * 200, ANSWER[:40], ANSWER[40:]):
            came += piece
            if is_whole is not None and is_whole(came):
                break
        return Reply(200, {"Content-Type": "text/event-stream"}, came)

    async def main():
        options = MCPOptions()
        async with McpAdmin(link_to("http://127.0.0.1:1"), options, Sessions(options), {}) as admin:
            admin.asking.ask = ask
            return await admin.health()

    assert asyncio.run(main()).fit
    assert len(read) == 2 * 201  # as it comes, and when the whole is there
