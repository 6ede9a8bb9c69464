"""The MCP wire over streamable HTTP: sessions, the stateless era, and bare JSON-RPC at ``/rpc``.

A session is forgotten when it is deleted, when ``forget-session`` befalls it, or when too many are open: the oldest
goes first. What a server tells its client by itself (GET) is not offered.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from soaklib.upstream.conduct import Conduct, Upstream, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MCPWire"]

_WIRE: Final = "mcp"
_STATELESS: Final = "2026-07-28"
_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
_NEWEST_OF_SESSIONS: Final = "2025-11-25"
_ENVELOPE: Final = ("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities")
_MOST_SESSIONS: Final = 100_000
_SESSION: Final = "Mcp-Session-Id"
_SERVER: Final = {"name": "soaklib-upstream", "version": "1"}
_CAPABILITIES: Final = {"tools": {"listChanged": False}}


class MCPWire:
    """Handlers of the wire's routes, and the sessions that are open.

    Parameters
    ----------
    upstream
        What all requests share.
    tools
        Names of the tools that it has.
    """

    def __init__(self, upstream: Upstream, tools: Sequence[str]) -> None:
        self._upstream = upstream
        self._tools = tools
        self._sessions: OrderedDict[str, None] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [web.post("/mcp", self._mcp), web.delete("/mcp", self._delete), web.post("/rpc", self._rpc)]

    async def _mcp(self, request: web.Request) -> web.StreamResponse:
        message = _message(await request.read())
        if message is None:
            return _error(None, -32700, "Parse error", status=400)
        if request.headers.get("MCP-Protocol-Version") == _STATELESS:
            return await self._stateless(request, message)
        method = message.get("method")
        if method == "initialize":
            return self._initialize(message)
        if (refusal := self._refuse_session(request, message)) is not None:
            return refusal
        if "id" not in message:
            return web.Response(status=202)
        return await self._serve(request, message)

    async def _rpc(self, request: web.Request) -> web.StreamResponse:
        message = _message(await request.read())
        if message is None:
            return _error(None, -32700, "Parse error", status=400)
        return await self._serve(request, message)

    async def _stateless(self, request: web.Request, message: dict[str, object]) -> web.StreamResponse:
        params = message.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        if not isinstance(meta, dict) or any(name not in meta for name in _ENVELOPE):
            return _error(message.get("id"), -32602, f"params._meta lacks {' or '.join(_ENVELOPE)}", status=400)
        if message.get("method") == "server/discover":
            return _result(message, {"supportedVersions": [_STATELESS], "capabilities": _CAPABILITIES})
        return await self._serve(request, message)

    def _initialize(self, message: dict[str, object]) -> web.Response:
        params = message.get("params")
        asked = params.get("protocolVersion") if isinstance(params, dict) else None
        session = uuid.uuid4().hex
        self._sessions[session] = None
        self._upstream.book.session("opened")
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
            self._upstream.book.session("closed")
        version = asked if asked in _VERSIONS else _NEWEST_OF_SESSIONS
        result = {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": _SERVER}
        return _result(message, result, {_SESSION: session})

    def _refuse_session(self, request: web.Request, message: dict[str, object]) -> web.Response | None:
        session = request.headers.get(_SESSION)
        if session is None:
            return _error(message.get("id"), -32600, "Bad Request: Missing session ID", status=400)
        if session not in self._sessions:
            return _error(message.get("id"), -32600, "Session not found", status=404)
        return None

    async def _delete(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._forget(request.headers.get(_SESSION)) else 404)

    def _forget(self, session: str | None) -> bool:
        if session is None or session not in self._sessions:
            return False
        del self._sessions[session]
        self._upstream.book.session("closed")
        return True

    async def _serve(self, request: web.Request, message: dict[str, object]) -> web.StreamResponse:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        method, tool = message.get("method"), params.get("name")
        name = tool if method == "tools/call" and isinstance(tool, str) else str(method)
        conduct = Conduct(self._upstream, request, _WIRE, name, is_call=method == "tools/call")
        with conduct.counted():
            if conduct.is_limited:
                return _error(message.get("id"), -32000, "Rate limit exceeded for client")
            if method in {"tools/list", "ping"}:
                conduct.spare_from(conduct.mode)  # only calls are misbehaved to
            if method == "tools/list":
                return _result(message, {"tools": [_listed(name) for name in self._tools]})
            if method == "ping":
                return _result(message, {})
            if method != "tools/call":
                conduct.outcome = "refused"
                return _error(message.get("id"), -32601, "Method not found")
            return await self._call(conduct, message, params)

    async def _call(
        self, conduct: Conduct, message: dict[str, object], params: Mapping[str, object]
    ) -> web.StreamResponse:
        await conduct.wait()
        if (misbehaved := await conduct.misbehave({"error": f"mock {conduct.mode}"})) is not None:
            return misbehaved
        if conduct.mode == "forget-session":
            self._forget(conduct.request.headers.get(_SESSION))
            return _error(message.get("id"), -32600, "Session not found", status=404)
        if conduct.mode == "error-frame":
            return _error(message.get("id"), -32603, "Internal error")
        answer = _answer(message, self._result(conduct, params))
        if not conduct.behaviour.sse:
            return await conduct.whole(answer)
        return await self._stream(conduct, answer)

    def _result(self, conduct: Conduct, params: Mapping[str, object]) -> dict[str, object]:
        tool, arguments = params.get("name"), params.get("arguments")
        text = arguments.get("text", "") if isinstance(arguments, dict) else ""
        is_error = True
        if tool not in self._tools:
            conduct.outcome = "refused"
            text = f"Unknown tool: {tool}"
        elif conduct.mode == "tool-error":
            text = "mock tool error"
        else:
            is_error = False
        result: dict[str, object] = {"content": [{"type": "text", "text": text}], "isError": is_error}
        if conduct.request.headers.get("MCP-Protocol-Version") == _STATELESS:
            result["resultType"] = "complete"
        return result

    async def _stream(self, conduct: Conduct, answer: bytes) -> web.StreamResponse:
        frames = conduct.behaviour.frames
        writer = Writer(conduct, frames, b"\r\n")
        await writer.begin()
        for i in range(frames - 1):
            said = {"level": "info", "data": f"step {i}"}
            note = orjson.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": said})
            if not await writer.frame(i, note, b"", b"message"):
                return writer.response
        if conduct.mode != "no-end" and await writer.frame(frames - 1, answer, b"", b"message"):
            await writer.response.write_eof()
        return writer.response


def _listed(name: str) -> dict[str, object]:
    return {"name": name, "description": f"{name} a text", "inputSchema": {"type": "object", "required": ["text"]}}


def _message(body: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _answer(message: Mapping[str, object], result: Mapping[str, object]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result})


def _result(
    message: Mapping[str, object], result: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(body=_answer(message, result), content_type="application/json", headers=headers)


def _error(id_: object, code: int, text: str, *, status: int = 200) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": text}}, status=status)
