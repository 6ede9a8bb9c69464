"""What an answer of the MCP wire says that is no success; nearly all of it comes inside a 200.

The words are ContextForge's and FastMCP's; texts are matched at their beginning, so that a tool's own words can hardly
pose. ContextForge answers an expired, a forged and a garbled token with one text, an unknown, a switched-off and an
offline tool over ``/rpc`` with one other, and an upstream's every failure there with ``Internal error``: no more can be
told than it says.

========================== ============================================ =========================================
where                      words                                        kind, reason, limit
========================== ============================================ =========================================
status 404                 any, to a request with a session's id        unauthorized, session_lost
status 400                 a session that is not found, missing,        unauthorized, session_lost
                           required, invalid, unknown or over;
                           ``not initialized``
status 401                 ``Token has been revoked``                   unauthorized, token_revoked
                           ``User not found``                           unauthorized, agent_not_found
                           any other                                    unauthorized, token_invalid
status 403                 CSRF (what came was no Bearer token)         unauthorized, token_invalid
                           any other                                    denied, scope
status 429                 ``x-lockout-remaining``, ``Account locked``  rate_limited, rate_limit, lock-out
                           any other                                    rate_limited, rate_limit, requests
error, any status          ``Session not found``, ``Missing session``   unauthorized, session_lost
error -32003, any status   any                                          denied, scope
error, but 401, 403, 429   ``Rate limit exceeded``                      rate_limited, rate_limit, requests
error -32602, the same     any                                          invalid_request, parameters
error -32600, -32601,      any (bad request, no such method or tool,    invalid_request, client_error
-32700, the same           not acceptable, no JSON)
error, any other code      any, inside a 2xx                            upstream_error, internal
                           any, with another status                     what the status says
isError                    any, with a ``structuredContent.status_code`` upstream_error, upstream
                           ``Access denied``                            denied, scope
                           ``Tool not found: ``, ``Unknown tool: ``     invalid_request, client_error
                           ``Tool '..' exists but is inactive``         denied, policy_other
                           ``Tool '..' exists but is currently offline`` upstream_error, upstream
                           ``Tool invocation failed: ``, ``timed out``  upstream_error, upstream
                           ``N validation error``                       invalid_request, parameters
                           ``Input validation error: ``                 invalid_request, parameters
                           ``MCP error -32602: Tool .. not found``      invalid_request, client_error
                           ``MCP error -32602: Tool .. disabled``       denied, policy_other
                           any other                                    upstream_error, tool_error
========================== ============================================ =========================================

The TypeScript SDK answers whatever it refuses with error -32000: what it means is told by status and words alone. What
is wrong with a call it says in the result, behind ``MCP error -32602: ``; Python's says so of arguments without that.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.records import Kind, Reason
from soaklib.targets.answers import OK, Finding, of_status
from soaklib.targets.base import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["INVALID", "of_error", "of_http", "of_result"]

INVALID: Final = Finding(Kind.INVALID_RESPONSE, Reason.BODY_INVALID)

_SCOPE: Final = Finding(Kind.DENIED, Reason.SCOPE)
_PARAMETERS: Final = Finding(Kind.INVALID_REQUEST, Reason.PARAMETERS)
_OUR_FAULT: Final = Finding(Kind.INVALID_REQUEST, Reason.CLIENT_ERROR)
_UPSTREAM: Final = Finding(Kind.UPSTREAM_ERROR, Reason.UPSTREAM)
_REQUESTS: Final = Finding(Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.REQUESTS)
_LOCK_OUT: Final = Finding(Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.LOCK_OUT)
_TOKEN_INVALID: Final = Finding(Kind.UNAUTHORIZED, Reason.TOKEN_INVALID)
_SESSION_LOST: Final = Finding(Kind.UNAUTHORIZED, Reason.SESSION_LOST)

_SESSION: Final = re.compile(
    r"(?:Bad Request: |Not Found: )?(?:Session not found|Missing session ID|No valid session)", re.IGNORECASE
)
_SESSION_IS_OVER: Final = re.compile(
    r"\bsession(?:[ _-]?id)?\b.*\b(?:not found|invalid|required|missing|expired|terminated|unknown)\b"
    r"|\b(?:no|no valid|invalid|missing|expired|unknown) (?:mcp[ -])?session|\bnot initialized\b",
    re.IGNORECASE,
)
"""How other servers say so with a 400; found anywhere in a text, which is no tool's: those come inside a 200."""

_MOST_CHARACTERS: Final = 200
_DENIED: Final = -32003
_BAD_PARAMETERS: Final = -32602
_ERROR_CODES: Final = {
    _DENIED: _SCOPE, _BAD_PARAMETERS: _PARAMETERS, -32600: _OUR_FAULT, -32601: _OUR_FAULT, -32700: _OUR_FAULT,
}  # fmt: skip
_TOOL_TEXTS: Final = (
    (re.compile(r"Access denied$"), _SCOPE),
    (re.compile(r"Tool not found: |Unknown tool: "), _OUR_FAULT),
    (re.compile(r"Tool '[^']*' exists but is inactive"), Finding(Kind.DENIED, Reason.POLICY_OTHER)),
    (re.compile(r"Tool '[^']*' exists but is currently offline"), _UPSTREAM),
    (re.compile(r"Tool invocation (?:failed: |timed out)"), _UPSTREAM),
    (re.compile(r"\d+ validation errors? for |(?:MCP error -32602: )?Input validation error: "), _PARAMETERS),
    (re.compile(r"MCP error -32602: Tool .{1,200} not found$", re.DOTALL), _OUR_FAULT),
    (re.compile(r"MCP error -32602: Tool .{1,200} disabled$", re.DOTALL), Finding(Kind.DENIED, Reason.POLICY_OTHER)),
)
_NO_ANSWER_OF_REST: Final = re.compile(r'\{\s*"(?:response_text": "|error": "Empty response body"\s*\}$)')
"""What ContextForge makes, as a success, of an upstream's answer that is no JSON, or is empty."""


def of_http(
    status: int, body: bytes, message: Mapping[str, object], headers: Mapping[str, str], *, has_session: bool = False
) -> Finding:
    """Say what an answer is whose status is no success: what its words leave open, the status says.

    To a request with a session's id a 404 says, whatever its body is, that the server knows the session no more (MCP
    2025-06-18, Transports, Session Management).
    """
    code, said = _words_of(message, body)
    is_refusal = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
    if (
        (status == HTTPStatus.NOT_FOUND and has_session)
        or ((code is not None or not is_refusal) and _SESSION.match(said))
        or (status == HTTPStatus.BAD_REQUEST and code != _BAD_PARAMETERS and _SESSION_IS_OVER.search(said))
    ):
        return _SESSION_LOST
    if code == _DENIED:
        return _SCOPE
    if is_refusal:
        return _of_refusal(status, said, headers)
    if said.startswith("Rate limit exceeded"):
        return _REQUESTS
    return (_ERROR_CODES.get(code) if code is not None else None) or of_status(status)


def _of_refusal(status: int, said: str, headers: Mapping[str, str]) -> Finding:
    """Say what a 401, 403 or 429 is."""
    if status == HTTPStatus.UNAUTHORIZED:
        if said.startswith("Token has been revoked"):
            return Finding(Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED)
        if said.startswith("User not found"):
            return Finding(Kind.UNAUTHORIZED, Reason.AGENT_NOT_FOUND)
        return _TOKEN_INVALID
    if status == HTTPStatus.FORBIDDEN:
        return _TOKEN_INVALID if said.startswith("CSRF") else _SCOPE
    is_locked = "x-lockout-remaining" in headers or said.startswith("Account locked")
    return _LOCK_OUT if is_locked else _REQUESTS


def _words_of(message: Mapping[str, object], body: bytes) -> tuple[int | None, str]:
    """Give the code and the words of an error, JSON-RPC's or another's; of what is no JSON the beginning."""
    error = message.get("error")
    if isinstance(error, dict):
        code, text = error.get("code"), error.get("message")
        return code if isinstance(code, int) else None, text[:_MOST_CHARACTERS] if isinstance(text, str) else ""
    if not message:
        return None, body[:_MOST_CHARACTERS].decode("utf-8", "replace")
    texts = (text for name in ("detail", "error", "message") if isinstance(text := message.get(name), str))
    return None, ": ".join(texts)[:_MOST_CHARACTERS]


def of_error(error: Mapping[str, object]) -> Finding:
    """Say what a JSON-RPC error inside a success is."""
    code, said = _words_of({"error": error}, b"")
    if _SESSION.match(said):
        return _SESSION_LOST
    if said.startswith("Rate limit exceeded"):
        return _REQUESTS
    return (_ERROR_CODES.get(code) if code is not None else None) or Finding(Kind.UPSTREAM_ERROR, Reason.INTERNAL)


def of_result(result: Mapping[str, object], *, is_call: bool, is_contextforge: bool) -> Finding:
    """Say what the result of a request is; another server's tool may well say what ContextForge says of an upstream."""
    if not is_call:
        return OK
    content = result.get("content")
    if not isinstance(content, list):
        return INVALID
    said = _first_text(content)
    if result.get("isError") is not True:
        return INVALID if is_contextforge and _NO_ANSWER_OF_REST.match(said) else OK
    structured = result.get("structuredContent")
    if isinstance(structured, dict) and type(structured.get("status_code")) is int:
        return _UPSTREAM  # whose words the text is, whatever they are
    known = (finding for pattern, finding in _TOOL_TEXTS if pattern.match(said))
    return next(known, Finding(Kind.UPSTREAM_ERROR, Reason.TOOL_ERROR))


def _first_text(content: list[object]) -> str:
    for one in content:
        if isinstance(one, dict) and isinstance(text := one.get("text"), str):
            return text
    return ""
