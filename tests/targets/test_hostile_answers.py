"""A reader takes any bytes and raises nothing; what it cannot read is no success."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.answers import MOST_BODY_BYTES
from soaklib.targets.mcp import McpTarget
from soaklib.targets.openai import OpenAITarget

STEPS = [
    (OpenAITarget(), Step(tool="m", action="chat", params={"messages": []})),
    (OpenAITarget(), Step(tool="m", action="stream", params={"messages": []})),
    (OpenAITarget(), Step(tool="m", action="embed", params={"input": ""})),
    (OpenAITarget(), Step(tool="m", action="responses", params={"input": ""})),
    (OpenAITarget(), Step(tool="m", action="responses", params={"input": "", "stream": True})),
    (McpTarget(), Step(tool="m", action="call", params={})),
    (McpTarget(), Step(tool="m", action="list", params={})),
]
READERS = st.sampled_from(STEPS)
NAMES = st.sampled_from(
    ["error", "result", "content", "choices", "delta", "usage", "data", "status", "output", "message", "code", "type",
     "isError", "text", "response", "prompt_tokens", "structuredContent"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["response.completed", "completed", "Access denied"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
TYPES = st.sampled_from(["application/json", "text/event-stream", "text/html", "", ";", "TEXT/EVENT-STREAM; charset=x"])
ENDS = st.sampled_from(
    [
        None,
        (Kind.TRANSPORT_ERROR, Reason.RESET),
        (Kind.TIMEOUT, Reason.READ_TIMEOUT),
        (Kind.TIMEOUT, Reason.STREAM_STALLED),
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-litellm-overhead-duration-ms", "x-litellm-call-id", "x-correlation-id", "rate_limit_type"]),
    st.text(max_size=10),
)


def read(made, status, headers, pieces, end=None):
    target, step = made
    reader = target.reader(target.compile(step, "agent"))
    reader.head(status, CIMultiDict(headers))
    for piece in pieces:
        reader.feed(piece, 1)
    return reader.end() if end is None else reader.broken_off(*end)


@given(READERS, st.integers(0, 999), TYPES, HEADERS, st.lists(st.binary(max_size=40), max_size=4), ENDS)
def test_any_bytes_are_read(  # noqa: PLR0917 - hypothesis gives them by place
    made, status, content_type, headers, pieces, end
):
    """Bytes that mean nothing are never a success, and nothing is raised."""
    reading = read(made, status, headers | {"Content-Type": content_type}, pieces, end)
    assert reading.kind is not Kind.OK
    assert isinstance(reading.reason, Reason)


@given(READERS, st.integers(100, 599), TYPES, st.lists(VALUES, max_size=4), ENDS)
def test_any_json_is_read(made, status, content_type, values, end):
    """JSON of any shape is read; a broken body or an error's status is never a success; counts can be stored."""
    texts = [orjson.dumps(value) for value in values if not _is_too_large(value)]
    is_stream = content_type.lower().startswith("text/event-stream")
    pieces = [b"data: " + text + b"\n\n" for text in texts] if is_stream else [b"".join(texts[:1])]
    reading = read(made, status, {"Content-Type": content_type}, pieces, end)
    assert (reading.reason is None) == (reading.kind is Kind.OK)
    if (end is not None and not is_stream) or not 200 <= status < 300:
        assert reading.kind is not Kind.OK
    for count in (reading.input_tokens, reading.output_tokens):
        assert count is None or 0 <= count < 2**31


def _is_too_large(value):
    """Say whether orjson could not write it."""
    if isinstance(value, dict):
        return any(map(_is_too_large, value.values()))
    if isinstance(value, list):
        return any(map(_is_too_large, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("made", STEPS[1::4], ids=["stream", "call"])
def test_an_answer_without_end_is_refused(made, content_type):
    """A body, or one event, that is larger than it may be wants no more, and is told whichever way it is ended."""
    target, step = made
    reader = target.reader(target.compile(step, "agent"))
    reader.head(200, CIMultiDict({"Content-Type": content_type}))
    assert not reader.feed(b"data: " + b"x" * MOST_BODY_BYTES, 1)
    for reading in (reader.end(), reader.broken_off(Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)):
        assert (reading.kind, reading.reason) == (Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)


@pytest.mark.parametrize("made", [STEPS[1], STEPS[5]], ids=["chat", "tool"])
def test_how_a_stream_is_broken_off(made):
    """A cut stream is truncated, one that stood still has stalled, unless it has said its last word."""
    ends = {
        (Kind.TRANSPORT_ERROR, Reason.RESET): (Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED),
        (Kind.INVALID_RESPONSE, Reason.BODY_INVALID): (Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED),
        (Kind.TIMEOUT, Reason.STREAM_STALLED): (Kind.TIMEOUT, Reason.STREAM_STALLED),
        (Kind.TIMEOUT, Reason.READ_TIMEOUT): (Kind.TIMEOUT, Reason.READ_TIMEOUT),
        (Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE): (Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE),
    }
    begun = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    whole = b'data: {"choices":[{"delta":{"content":"x"}}],"result":{"content":[]}}\n\ndata: [DONE]\n\n'
    for end, expected in ends.items():
        for body in (b"dat", begun):
            reading = read(made, 200, {"Content-Type": "text/event-stream"}, [body], end)
            assert (reading.kind, reading.reason) == expected
        reading = read(made, 200, {"Content-Type": "text/event-stream"}, [whole], end)
        assert (reading.kind, reading.reason) == (Kind.OK, None)
    for end in ends:
        if end[0] is not Kind.INVALID_RESPONSE:
            reading = read(made, 200, {"Content-Type": "application/json"}, [b"{"], end)
            assert (reading.kind, reading.reason) == end


def test_an_error_counts_before_the_break():
    """A stream that said itself what is wrong, and was then cut or stood still, is what it said."""
    error = b'data: {"error":{"message":"litellm.Timeout: x","code":"408"}}\n\n'
    for end in ((Kind.TRANSPORT_ERROR, Reason.RESET), (Kind.TIMEOUT, Reason.STREAM_STALLED)):
        reading = read(STEPS[1], 200, {"Content-Type": "text/event-stream"}, [error], end)
        assert (reading.kind, reading.reason) == (Kind.UPSTREAM_ERROR, Reason.UPSTREAM)


@pytest.mark.parametrize("value", [[], {}, [1], None, 1e300, "x" * 10_000], ids=lambda value: str(value)[:10])
@pytest.mark.parametrize(
    "name", ["status", "type", "code", "message", "choices", "data", "output", "result", "content"]
)
def test_a_member_of_any_type_is_read(name, value):
    """Where a text is looked for there may be anything: an answer, an event and an error with it are read."""
    shapes = [{name: value}, {"error": {name: value}}, {"result": {name: value}}, {"type": "error", name: value}]
    for made in STEPS:
        for shape in shapes:
            for status in (200, 400, 429, 500):
                text = orjson.dumps(shape)
                read(made, status, {"Content-Type": "application/json"}, [text])
                read(made, status, {"Content-Type": "text/event-stream"}, [b"data: " + text + b"\n\n"])
