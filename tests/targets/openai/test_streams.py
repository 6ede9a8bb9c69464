"""Streams of OpenAI's wire as servers other than the captured ones make them, and errors inside a 200."""

import orjson
import pytest
from multidict import CIMultiDict

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.base import Limit
from soaklib.targets.openai import OpenAITarget

OK = (Kind.OK, None, None)
INVALID = (Kind.INVALID_RESPONSE, Reason.BODY_INVALID, None)
INTERNAL = (Kind.UPSTREAM_ERROR, Reason.INTERNAL, None)
UPSTREAM = (Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None)
WORD = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
EVENTS = "text/event-stream"


def frames(*objects, done=True):
    """Give objects as a stream; bytes are lines as they are."""
    sent = [one if isinstance(one, bytes) else b"data: " + orjson.dumps(one) for one in objects]
    return b"".join(one + b"\n\n" for one in (*sent, *([b"data: [DONE]"] if done else [])))


def finish(reason, **usage):
    """Give the last chunk of a chat, and its usage if it states any."""
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return (last, {"choices": [], "usage": usage}) if usage else (last,)


def read(body, *, status=200, content_type=EVENTS, action="stream"):
    target = OpenAITarget()
    params = {"input": "x", "stream": content_type == EVENTS} if action == "responses" else {"messages": []}
    reader = target.reader(target.compile(Step(tool="m", action=action, params=params), "agent"))
    reader.head(status, CIMultiDict({"Content-Type": content_type}))
    reader.feed(body, 1)
    return reader.end()


def said(reading):
    return reading.kind, reading.reason, reading.limit


@pytest.mark.parametrize(
    "beside",
    [
        b'event: ping\ndata: {"type":"ping"}',
        b"event: heartbeat\ndata: alive",
        b'data: {"object":"chat.completion.chunk","usage":null}',
        b'data: {"id":"x","prompt_filter_results":[]}',
        b": a comment",
    ],
)
def test_what_is_no_part_of_the_answer_is_passed_over(beside):
    """A sign of life, an object without choices: the stream is whole, and its usage is counted."""
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    reading = read(frames(beside, WORD, beside, *finish("stop"), usage))
    assert (said(reading), reading.chunks, reading.output_tokens) == (OK, 1, 1)


@pytest.mark.parametrize("junk", [b"data: {", b"event: message\ndata: alive", b"data: [1]"])
def test_what_cannot_be_read_where_the_answer_should_be_is_wrong(junk):
    """Without a name, or with that of a message."""
    assert said(read(frames(WORD, junk, *finish("stop")))) == INVALID


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b"event: error\ndata: it broke", INTERNAL),
        (b'event: error\ndata: {"message":"x","code":"503"}', UPSTREAM),
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}',
         (Kind.UPSTREAM_ERROR, Reason.OVERLOADED, None)),
        (b'data: {"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}',
         (Kind.RATE_LIMITED, Reason.RATE_LIMIT, Limit.TOKENS)),
        (b'data: {"error":{"type":"rate_limit_error"}}', (Kind.RATE_LIMITED, Reason.RATE_LIMIT, None)),
        (b'data: {"error":{"message":"litellm.RateLimitError: AzureException RateLimitError - x","code":"429"}}',
         UPSTREAM),
        (b'data: {"error":true,"code":502}', UPSTREAM),
        (b'data: {"choices":[{"delta":{"content":""},"finish_reason":"error","error":{"code":502}}]}', UPSTREAM),
        (b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}', INTERNAL),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_is_told(error, expected):
    """By its name, in the place of a choice, and of a limit by its words; an end that follows it makes it no better."""
    assert said(read(frames(WORD, error))) == expected
    assert said(read(frames(error, done=False))) == expected


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (finish("length"), OK),
        (finish("content_filter"), OK),
        (finish("stop", prompt_tokens=9, completion_tokens=16), OK),
        (finish("stop", prompt_tokens=9, completion_tokens=0), INVALID),
        (finish("stop"), INVALID),
        (({"choices": []},), INVALID),
        ((), INVALID),
    ],
)
def test_a_stream_without_content_is_an_answer_where_it_says_why(last, expected):
    """A model that thought away all that it might; one that stopped and states nothing was none."""
    reading = read(frames({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, *last))
    assert (said(reading), reading.chunks) == (expected, 0)


@pytest.mark.parametrize("name", ["content", "reasoning_content", "images"])
def test_what_a_delta_bears_is_content(name):
    """Words, thoughts and pictures: the first of them is the first token."""
    reading = read(frames({"choices": [{"delta": {name: ["x"]}}]}, *finish("stop")))
    assert (said(reading), reading.chunks, reading.first_token_at_us is None) == (OK, 1, False)


@pytest.mark.parametrize(
    ("type_", "response", "expected"),
    [
        ("response.incomplete", {"output": []}, OK),
        ("response.completed", {"output": [{"type": "message"}]}, OK),
        ("response.completed", {"output": [], "usage": {"output_tokens": 16}}, OK),
        ("response.completed", {"output": []}, INVALID),
    ],
)
def test_a_response_without_content_is_an_answer_where_it_says_why(type_, response, expected):
    """As a chat is."""
    assert said(read(frames({"type": type_, "response": response}, done=False), action="responses")) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"choices": [{"error": {"code": 502, "message": "x"}, "message": {"content": ""}}]}, UPSTREAM),
        ({"choices": [{"finish_reason": "error", "message": {"content": ""}}]}, INTERNAL),
        ({"error": True, "message": "x"}, INTERNAL),
        ({"choices": [{"finish_reason": "stop", "message": {"content": ""}, "error": None}]}, OK),
        ({"choices": [{"finish_reason": "stop", "message": None}]}, INVALID),
    ],
)
def test_an_error_inside_a_success_is_none(body, expected):
    """Where a choice should be, or in place of the whole."""
    assert said(read(orjson.dumps(body), content_type="application/json", action="chat")) == expected


def test_the_words_of_an_error_that_comes_as_an_event_are_read():
    """Of a status that is no success: a gateway had begun a stream in its mind."""
    body = b': x\n\ndata: {"error":{"type":"budget_exceeded"}}\n\ndata: [DONE]\n\n'
    assert read(body, status=400).reason is Reason.BUDGET
    assert read(body.removesuffix(b"\n\ndata: [DONE]\n\n") + b"\n", status=400).reason is Reason.BUDGET
    assert read(body, status=400, content_type="text/plain").reason is Reason.CLIENT_ERROR


def test_numbers_that_json_has_no_word_for_spoil_no_answer():
    """Others read them: an embedding of NaN, half a surrogate pair in a word."""
    body = b'{"data":[{"embedding":[NaN]}],"usage":{"prompt_tokens":3}}'
    target = OpenAITarget()
    reader = target.reader(target.compile(Step(tool="m", action="embed", params={"input": ""}), "agent"))
    reader.head(200, CIMultiDict({"Content-Type": "application/json"}))
    reader.feed(body, 1)
    assert (said(reader.end()), reader.input_tokens) == (OK, 3)
    half = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}'
    assert said(read(frames(half, *finish("stop")))) == OK


def test_an_answer_of_some_megabytes_is_read():
    """Sixteen embeddings of 3,072 numbers, and a stream with a picture."""
    body = orjson.dumps({"data": [{"embedding": [0.123456789012345] * 3072}] * 64})
    assert len(body) > 3 << 20
    target = OpenAITarget()
    reader = target.reader(target.compile(Step(tool="m", action="embed", params={"input": ""}), "agent"))
    reader.head(200, CIMultiDict({"Content-Type": "application/json"}))
    assert reader.feed(body, 1)
    assert said(reader.end()) == OK
    picture = {"choices": [{"delta": {"content": "x" * (3 << 20)}}]}
    assert said(read(frames(picture, *finish("stop")))) == OK
