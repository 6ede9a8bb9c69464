"""What a refusal means that is a status and a JSON-RPC error at once, as servers of several SDKs give it."""

import orjson
import pytest

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.base import Identity, Limit
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.mcp.target import McpTarget


def read(status, body, *, session="s", options=None, headers=()):
    """Give what an answer is read as."""
    target = McpTarget(options or MCPOptions())
    template = target.compile(Step(tool="echo", action="call", params={}), "reader")
    template.request(Identity("a", "reader", "t", session=session), 1)
    reader = target.reader(template)
    reader.head(status, {"Content-Type": "application/json"} | dict(headers))
    reader.feed(body, 1)
    return reader.end()


def error(text, code=-32000):
    return orjson.dumps({"jsonrpc": "2.0", "error": {"code": code, "message": text}, "id": None})


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason", "limit"),
    [
        (401, error("Unauthorized"), Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, None),
        (401, error("Token has been revoked"), Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED, None),
        (401, error("Unauthorized", -32600), Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, None),
        (401, b'{"error":{"message":"User not found","code":401}}', Kind.UNAUTHORIZED, Reason.AGENT_NOT_FOUND, None),
        (401, b'{"detail":"No valid session"}', Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, None),
        (403, error("Forbidden: Invalid origin"), Kind.DENIED, Reason.SCOPE, None),
        (403, error("no", -32003), Kind.DENIED, Reason.SCOPE, None),
        (429, error("Too many requests"), Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.REQUESTS),
        (429, error("Invalid Request", -32600), Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.REQUESTS),
        (400, error("Rate limit exceeded for client"), Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.REQUESTS),
        (400, error("Bad Request: Unsupported protocol version"), Kind.INVALID_REQUEST, Reason.CLIENT_ERROR, None),
        (400, error("bad arguments", -32602), Kind.INVALID_REQUEST, Reason.PARAMETERS, None),
        (406, error("Not Acceptable: Client must accept"), Kind.INVALID_REQUEST, Reason.CLIENT_ERROR, None),
        (500, error("Internal server error", -32603), Kind.UPSTREAM_ERROR, Reason.INTERNAL, None),
        (503, error("Service unavailable"), Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None),
        (200, error("whatever"), Kind.UPSTREAM_ERROR, Reason.INTERNAL, None),
        (200, error("no", -32003), Kind.DENIED, Reason.SCOPE, None),
    ],
)
def test_what_words_leave_open_the_status_says(status, body, kind, reason, limit):
    """A JSON-RPC error in a body takes nothing from a 401, 403 or 429; a code or a text that is known says more."""
    found = read(status, body)
    assert (found.kind, found.reason, found.limit) == (kind, reason, limit)


LOST = (
    error("Bad Request: Server not initialized"),
    error("Bad Request: Mcp-Session-Id header is required"),
    error("Bad Request: No valid session ID provided"),
    error("Session expired", -32001),
    b"Invalid session ID",
    b'"Unknown session"',
    b'{"error":"Bad Request","message":"The session was terminated"}',
    b'{"error":{"message":"sessionId is missing"}}',
)


@pytest.mark.parametrize("body", LOST)
def test_a_400_may_say_that_a_session_is_lost(body):
    """Each server has its own words for it, and some but a line of text: a new session mends it."""
    found = read(400, body)
    assert (found.kind, found.reason, found.lost_identity) == (Kind.UNAUTHORIZED, Reason.SESSION_LOST, True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("session_id: Field required", -32602)),
        (400, error("Bad Request: Unsupported protocol version")),
        (400, b"bad session"),
        (500, error("upstream session expired", -32603)),
        (200, error("upstream session expired", -32603)),
    ],
)
def test_not_every_word_of_a_session_says_that_it_is_lost(status, body):
    """A tool may have an argument of that name, and a failure of the server's may tell of its own."""
    found = read(status, body)
    assert found.reason is not Reason.SESSION_LOST
    assert not found.lost_identity


def test_nobody_gets_a_session_where_none_are_spoken_in():
    """In bare JSON-RPC a new agent would mend nothing."""
    found = read(400, LOST[1], session=None, options=MCPOptions(era="rpc", path="/rpc"))
    assert (found.reason, found.lost_identity) == (Reason.SESSION_LOST, False)


BROKEN = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\\"response_text\\": \\"fine\\"}"}]}}'


def test_what_contextforge_says_of_an_upstream_another_servers_tool_may_say():
    """Its words for a broken answer are held against it alone."""
    assert read(200, BROKEN).kind is Kind.OK
    found = read(200, BROKEN, options=MCPOptions(is_contextforge=True))
    assert (found.kind, found.reason) == (Kind.INVALID_RESPONSE, Reason.BODY_INVALID)


WORDS = {
    "Input validation error: 'text' is a required property": (Kind.INVALID_REQUEST, Reason.PARAMETERS),
    "MCP error -32602: Input validation error: Invalid arguments for tool echo: []": (
        Kind.INVALID_REQUEST, Reason.PARAMETERS,
    ),
    "MCP error -32602: Tool echo not found": (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    "MCP error -32602: Tool echo disabled": (Kind.DENIED, Reason.POLICY_OTHER),
    "MCP error -32602: Output validation error: x": (Kind.UPSTREAM_ERROR, Reason.TOOL_ERROR),
    "You said: Input validation error: x": (Kind.UPSTREAM_ERROR, Reason.TOOL_ERROR),
    "Tool echo not found": (Kind.UPSTREAM_ERROR, Reason.TOOL_ERROR),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_the_sdks_say_in_a_result_what_is_wrong_with_a_call(text, expected):
    """TypeScript's and Python's refuse arguments, and tools that are not there, before any tool is asked."""
    result = {"isError": True, "content": [{"type": "text", "text": text}]}
    found = read(200, orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result}))
    assert (found.kind, found.reason) == expected


@pytest.mark.parametrize("text", ["Access denied", "Tool not found: x", "mock 403"])
def test_what_an_upstream_says_with_its_status_is_the_upstreams(text):
    """A gateway gives the words of a REST upstream's error for its own: they deny nothing, and no tool is unknown."""
    result = {"isError": True, "content": [{"type": "text", "text": text}], "structuredContent": {"status_code": 403}}
    found = read(200, orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result}))
    assert (found.kind, found.reason) == (Kind.UPSTREAM_ERROR, Reason.UPSTREAM)
