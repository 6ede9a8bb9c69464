"""Whatever the mock upstream does is read as what it is, through the templates and readers of both wires."""

import pytest
from upstream_driver import against_upstream
from virtual_time import run_virtually

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.base import Identity, Limit
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.options import Era, MCPOptions
from soaklib.targets.openai import OpenAITarget
from soaklib.upstream.behaviour import Behaviour
from soaklib.upstream.conduct import Conduct, Upstream
from soaklib.upstream.settings import parse_settings

OK = (Kind.OK, None)
TRUNCATED = (Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED)
INVALID = (Kind.INVALID_RESPONSE, Reason.BODY_INVALID)
PAGE = (Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE)
INTERNAL = (Kind.UPSTREAM_ERROR, Reason.INTERNAL)
UPSTREAM = (Kind.UPSTREAM_ERROR, Reason.UPSTREAM)
RESET = (Kind.TRANSPORT_ERROR, Reason.RESET)
TIMEOUT = (Kind.TIMEOUT, Reason.READ_TIMEOUT)
SECOND = {
    "500": INTERNAL,
    "503": UPSTREAM,
    "400": (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    "reset": RESET,
    "hang": TIMEOUT,
    "html": PAGE,
    "bad-json": INVALID,
    "empty": INVALID,
    "shape": INVALID,
}
"""What befalls answers of every wire alike."""

STREAM = {
    "none": OK, "truncate": TRUNCATED, "cut": TRUNCATED, "stall": TIMEOUT, "error-frame": INTERNAL,
    "junk-frame": INVALID, "no-end": TRUNCATED,
    **SECOND, "bad-json": INVALID, "empty": INVALID, "shape": (Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE),
}  # fmt: skip
CHAT = {"none": OK, "truncate": INVALID, "cut": INVALID, "stall": TIMEOUT, "error-frame": INTERNAL, **SECOND}
MCP = {
    "none": OK, "truncate": INVALID, "cut": INVALID, "error-frame": INTERNAL,
    "tool-error": (Kind.UPSTREAM_ERROR, Reason.TOOL_ERROR),
    "forget-session": (Kind.UNAUTHORIZED, Reason.SESSION_LOST),
    **SECOND,
}  # fmt: skip
MCP_STREAM = {"none": OK, "truncate": TRUNCATED, "cut": TRUNCATED, "stall": TIMEOUT, "no-end": TRUNCATED}


def outcome(reading):
    return reading.kind, reading.reason


def timeout_of(mode):
    return 0.3 if mode in {"hang", "stall"} else 5.0


@pytest.mark.parametrize(("mode", "expected"), STREAM.items(), ids=STREAM)
def test_a_stream(drive, mode, expected):
    """A stream that misbehaves is no success, and what was seen of it stays."""

    async def scenario(driver):
        await driver.control(mode=mode, frames=6)
        return await driver.call(OpenAITarget(), "small", "stream", timeout_s=timeout_of(mode))

    reading = drive(scenario)
    assert outcome(reading) == expected
    middle = {"truncate": 3, "cut": 3, "stall": 3, "error-frame": 3, "junk-frame": 3, "no-end": 6, "none": 6}
    assert reading.chunks == middle.get(mode)
    if mode == "none":
        assert (reading.input_tokens, reading.output_tokens) == (9, 6)
        assert reading.first_byte_at_us <= reading.first_token_at_us


@pytest.mark.parametrize("action", ["chat", "embed", "responses"])
@pytest.mark.parametrize(("mode", "expected"), CHAT.items(), ids=CHAT)
def test_an_answer_in_one_piece(drive, action, mode, expected):
    """An answer in one piece is read as what it is, whatever was asked for."""
    params = {"messages": []} if action == "chat" else {"input": "x {n}"}

    async def scenario(driver):
        await driver.control(mode=mode, frames=4)
        return await driver.call(OpenAITarget(), "small", action, params, timeout_s=timeout_of(mode))

    reading = drive(scenario)
    assert outcome(reading) == expected
    if mode == "none":
        assert (reading.input_tokens, reading.output_tokens) == (9, 0 if action == "embed" else 4)
        assert reading.chunks is None


def test_embeddings_have_no_output(drive):
    """However many tokens answers are said to be: those of an embedding are its input's alone, stated and counted."""

    async def scenario(driver):
        await driver.control(output_tokens=50)
        async with driver.session.post(driver.url + "/v1/embeddings", json=BODIES["/v1/embeddings"]) as answer:
            usage = (await answer.json())["usage"]
        chat = await driver.call(OpenAITarget(), "small", "chat")
        return usage, chat.output_tokens, (await driver.get("/control/counts"))["each"]["m"]

    usage, chat, counted = drive(scenario)
    assert usage == {"prompt_tokens": 9, "total_tokens": 9}
    assert (counted["in"], counted["out"], chat) == (9, 0, 50)


def test_a_response_that_failed(drive):
    """A response whose status is failed is an error inside a 200, in one piece and as a stream."""

    async def scenario(driver):
        await driver.control(mode="tool-error")
        one = await driver.call(OpenAITarget(), "small", "responses", {"input": "x"})
        stream = await driver.call(OpenAITarget(), "small", "responses", {"input": "x", "stream": True})
        await driver.control(mode="none", frames=5)
        whole = await driver.call(OpenAITarget(), "small", "responses", {"input": "x", "stream": True})
        await driver.control(mode="no-end", frames=5)
        return one, stream, whole, await driver.call(OpenAITarget(), "s", "responses", {"input": "x", "stream": True})

    one, stream, whole, endless = drive(scenario)
    assert outcome(one) == outcome(stream) == INTERNAL
    assert (outcome(whole), whole.chunks, whole.output_tokens) == (OK, 5, 5)
    assert (outcome(endless), endless.chunks) == (TRUNCATED, 5)


@pytest.mark.parametrize(("mode", "expected"), MCP.items(), ids=MCP)
def test_a_tool(drive, mode, expected):
    """A tool's answer as JSON is read as what it is."""

    async def scenario(driver):
        session = await open_session(driver)
        await driver.control(mode=mode)
        return await driver.call(
            McpTarget(), "echo", "call", {"text": "{n}"}, session=session, timeout_s=timeout_of(mode)
        )

    reading = drive(scenario)
    assert outcome(reading) == expected
    assert reading.lost_identity == (mode == "forget-session")


@pytest.mark.parametrize(("mode", "expected"), MCP_STREAM.items(), ids=MCP_STREAM)
def test_a_tool_whose_answer_is_a_stream(drive, mode, expected):
    """A tool's answer as events is whole when its result has come, and no sooner."""

    async def scenario(driver):
        session = await open_session(driver)
        await driver.control(mode=mode, sse=True, frames=4)
        return await driver.call(
            McpTarget(), "echo", "call", {"text": "{n}"}, session=session, timeout_s=timeout_of(mode)
        )

    reading = drive(scenario)
    assert outcome(reading) == expected
    assert reading.chunks == (mode == "none")  # what is told before the result is none of it


@pytest.mark.parametrize("era", [Era.STATELESS, Era.RPC])
def test_tools_without_sessions(drive, era):
    """The stateless era and bare JSON-RPC need no session; an unknown tool is told in both."""
    target = McpTarget(MCPOptions(era=era, path="/rpc" if era is Era.RPC else "/mcp"))

    async def scenario(driver):
        return [await driver.call(target, tool, "call", {"text": "x"}) for tool in ("echo", "nosuch")] + [
            await driver.call(target, "server", action, {"_": 0}) for action in ("list", "ping")
        ]

    assert [outcome(reading) for reading in drive(scenario)] == [
        OK, (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR), OK, OK,
    ]  # fmt: skip


def test_its_tools_are_those_it_is_told():
    """Tools of other names: those are listed and answered, and the usual ones are unknown."""
    settings = parse_settings(["--tools", "upstream-echo,rest-post"])
    target = McpTarget(MCPOptions(era=Era.RPC, path="/rpc"))

    async def scenario(driver):
        return [await driver.call(target, tool, "call", {"text": "x"}) for tool in ("rest-post", "echo")]

    assert [outcome(reading) for reading in against_upstream(scenario, tools=settings.tools)] == [
        OK, (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    ]  # fmt: skip


def test_without_a_session_it_is_lost(drive):
    """A call of the session era without a session, or with one that was deleted, says that it is lost."""

    async def scenario(driver):
        session = await open_session(driver)
        before = await driver.call(McpTarget(), "echo", "call", {"text": "x"}, session=session)
        async with driver.session.delete(driver.url + "/mcp", headers={"Mcp-Session-Id": session}) as answer:
            assert answer.status == 200
        after = [await driver.call(McpTarget(), "echo", "call", {"text": "x"}, session=id_) for id_ in (session, None)]
        return before, after, (await driver.get("/control/counts"))["sessions"]

    before, after, sessions = drive(scenario)
    assert outcome(before) == OK
    assert [outcome(reading) for reading in after] == [(Kind.UNAUTHORIZED, Reason.SESSION_LOST)] * 2
    assert sessions == {"opened": 1, "closed": 1, "open": 0}


def test_its_limit(drive):
    """A limit lets through what it says and denies the rest, on both wires, each told as a limit of requests."""

    async def scenario(driver):
        session = await open_session(driver)
        await driver.control(rate_limit=3, window_s=60)
        chats = [await driver.call(OpenAITarget(), "small", "chat") for _ in range(4)]
        call = await driver.call(McpTarget(), "echo", "call", {"text": "x"}, session=session)
        return [*chats, call]

    readings = drive(scenario)
    assert [outcome(reading) for reading in readings] == [OK] * 3 + [(Kind.RATE_LIMITED, Reason.RATE_LIMIT)] * 2
    assert [reading.limit for reading in readings] == [None] * 3 + [Limit.REQUESTS] * 2


@pytest.mark.parametrize(("window_s", "expected"), [(60, {59, 60}), (0.5, {1})])
def test_a_caller_over_its_limit_is_told_when_it_may_come_again(drive, window_s, expected):
    """When its window ends, and not so soon that it is refused once more."""

    async def scenario(driver):
        await driver.control(rate_limit=0, window_s=window_s)
        url = driver.url + "/v1/chat/completions"
        async with driver.session.post(url, json=BODIES["/v1/chat/completions"]) as answer:
            return answer.status, int(answer.headers["Retry-After"])

    status, retry_after_s = drive(scenario)
    assert (status, retry_after_s in expected) == (429, True)


@pytest.mark.parametrize("version", [[], None, "1999-01-01", "2025-06-18"], ids=str)
def test_any_version_may_be_asked_for(drive, version):
    """A version that it does not speak, or that is none, is answered with the newest of the sessions' era."""

    async def scenario(driver):
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": version}}
        async with driver.session.post(driver.url + "/mcp", json=message) as answer:
            return (await answer.json())["result"]["protocolVersion"]

    assert drive(scenario) == (version if version == "2025-06-18" else "2025-11-25")


async def open_session(driver):
    """Open a session by hand."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    async with driver.session.post(driver.url + "/mcp", json=message) as answer:
        return answer.headers["Mcp-Session-Id"]


def test_a_secret_is_shown_to_nobody_else():
    """The key goes into one header, and an identity without one sends none."""
    template = OpenAITarget().compile(Step(tool="small", action="chat", params={"messages": []}), "agent")
    with_key = template.request(Identity("a", "agent", "sk-x"), 1)
    without = template.request(Identity("a", "agent", ""), 1)
    assert with_key.headers["Authorization"] == "Bearer sk-x"
    assert "Authorization" not in without.headers
    assert b"sk-x" not in with_key.body


@pytest.mark.parametrize(
    ("behaviour", "status", "outcome_"),
    [
        ({}, 200, "ok"),
        ({"mode": "503"}, 503, "503"),
        ({"rate_limit": 0}, 429, "limited"),
        ({"mode": "html"}, 200, "html"),
    ],
    ids=str,
)
def test_a_tool_over_plain_http(drive, behaviour, status, outcome_):
    """What a gateway makes a tool of says its arguments again, or misbehaves as others do, and is counted by name."""

    async def scenario(driver):
        await driver.control(**behaviour)
        async with driver.session.post(f"{driver.url}/rest/post", json={"text": "hi"}) as answer:
            said = await answer.json() if answer.content_type == "application/json" else None
            return answer.status, said, await driver.get("/control/counts")

    got, said, counts = drive(scenario)
    assert got == status
    assert said == {200: {"tool": "post", "arguments": {"text": "hi"}}, 503: {"error": "mock 503"}, 429: {
        "error": "Rate limit exceeded"}}[status] or (outcome_ == "html" and said is None)  # fmt: skip
    assert (counts["by_outcome"], counts["by_name"]) == ({outcome_: 1}, {"post": 1})


def test_a_tool_over_plain_http_wants_json(drive):
    """A body that is none is refused, and counted as such."""

    async def scenario(driver):
        async with driver.session.post(f"{driver.url}/rest/post", data=b"{") as answer:
            return answer.status, (await driver.get("/control/counts"))["by_outcome"]

    assert drive(scenario) == (400, {"refused": 1})


BODIES = {
    "/v1/chat/completions": {"model": "m", "messages": []},
    "/v1/embeddings": {"model": "m", "input": "x", "stream": True},
    "/v1/responses": {"model": "m", "input": "x"},
    "/rest/m": {"text": "x"},
}


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (path, mode)
        for path in BODIES
        for mode in ("tool-error", "forget-session", "no-end", "junk-frame")
        if (path, mode) != ("/v1/responses", "tool-error")
    ],
)
def test_a_misbehaviour_that_has_no_part_in_an_answer(drive, path, mode):
    """The answer is whole, and so it is counted: else it would be said to have come from elsewhere."""

    async def scenario(driver):
        await driver.control(mode=mode)
        async with driver.session.post(driver.url + path, json=BODIES[path]) as answer:
            assert answer.status == 200
            assert "error" not in await answer.json() or path == "/v1/responses"
        return await driver.get("/control/counts")

    counts = drive(scenario)
    assert (counts["by_outcome"], counts["each"]["m"]["answers"]) == ({"ok": 1}, 1)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/rest/m"])
def test_an_error_inside_a_200_is_of_every_answer_in_one_piece(drive, path):
    """Also of those that are no stream whatever they are asked for, and of tools over plain HTTP."""

    async def scenario(driver):
        await driver.control(mode="error-frame")
        async with driver.session.post(driver.url + path, json=BODIES[path]) as answer:
            return answer.status, list(await answer.json()), (await driver.get("/control/counts"))["each"]["m"]

    status, keys, counted = drive(scenario)
    assert (status, keys, counted["answers"]) == (200, ["error"], 0)


def test_what_there_is_can_be_asked_while_calls_fail(drive):
    """A list of tools is given, and counted as given, whatever befalls calls."""
    target = McpTarget(MCPOptions(era=Era.RPC, path="/rpc"))

    async def scenario(driver):
        await driver.control(mode="503")
        reading = await driver.call(target, "server", "list", {"_": 0})
        return outcome(reading), (await driver.get("/control/counts"))["by_outcome"]

    assert drive(scenario) == (OK, {"ok": 1})


@pytest.mark.parametrize("action", ["stream", "chat"])
def test_an_answer_that_stood_still_and_went_on(drive, action):
    """It is whole, and counted with its tokens, beside being counted as one that stalled."""

    async def scenario(driver):
        await driver.control(mode="stall", stall_ms=50, frames=6)
        reading = await driver.call(OpenAITarget(), "small", action)
        return outcome(reading), await driver.get("/control/counts")

    said, counts = drive(scenario)
    assert (said, counts["by_outcome"]) == (OK, {"stall": 1})
    assert counts["each"]["small"] == {"calls": 1, "answers": 1, "in": 9, "out": 6}


@pytest.mark.parametrize("late_s", [0.0, 2.0])
def test_a_stall_is_no_lateness_of_the_upstream(late_s):
    """What comes after it is meant to come later, and a frame that is late by itself is told all the same."""

    async def scenario(loop):
        upstream = Upstream(Behaviour(latency_spread=0, mode="stall", stall_ms=60_000), 0)
        conduct = Conduct(upstream, None, "openai", "small")
        await conduct.wait()
        await conduct.stall()
        loop.advance(late_s)
        await conduct.until(0.005)
        return loop.time(), upstream.book.counts()["late"]

    now_s, late = run_virtually(scenario)
    assert now_s == pytest.approx(60.010 if not late_s else 62.005)
    assert late == ({"count": 1, "max_ms": pytest.approx(1_995)} if late_s else {"count": 0, "max_ms": 0.0})
