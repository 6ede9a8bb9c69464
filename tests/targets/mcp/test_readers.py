"""Answers of MCP servers other than the captured ones, of which none may be taken for what it is not."""

import pytest

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.base import Identity
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.mcp.target import McpTarget

ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"x"}]}}'
PRIMING = b"id: 7\ndata: \n\n"


def read(status, body, content_type, *, session="s"):
    """Give what an answer is read as."""
    target = McpTarget(MCPOptions())
    template = target.compile(Step(tool="echo", action="call", params={}), "reader")
    template.request(Identity("a", "reader", "t", session=session), 1)
    reader = target.reader(template)
    reader.head(status, {"Content-Type": content_type})
    reader.feed(body, 1)
    return reader.end()


TERMINATED = b'{"jsonrpc":"2.0","id":"x","error":{"code":-32600,"message":"Not Found: Session has been terminated"}}'


@pytest.mark.parametrize("body", [b"", b"404 page not found", b'{"error":"unknown session"}', b"<html>", TERMINATED])
def test_a_404_to_a_request_of_a_session_is_a_lost_session(body):
    """Whatever its body is, so says the protocol; a new session mends it. Without a session it is our mistake."""
    found = read(404, body, "text/plain")
    assert (found.kind, found.reason, found.lost_identity) == (Kind.UNAUTHORIZED, Reason.SESSION_LOST, True)
    alone = read(404, body, "text/plain", session=None)
    assert (alone.kind, alone.lost_identity) == (Kind.INVALID_REQUEST, False)


@pytest.mark.parametrize("beside", [b"event: heartbeat\ndata: alive\n\n", b'event: ping\ndata: {"at":1}\n\n'])
def test_an_event_of_another_name_is_no_message(beside):
    """A server says that it lives; without a name what is no JSON is wrong."""
    stream = beside + b"event: message\ndata: " + ANSWER + b"\n\n"
    assert read(200, stream, "text/event-stream").kind is Kind.OK
    assert read(200, beside, "text/event-stream").reason is Reason.STREAM_TRUNCATED
    junk = b"data: alive\n\ndata: " + ANSWER + b"\n\n"
    assert read(200, junk, "text/event-stream").reason is Reason.BODY_INVALID


def test_an_error_that_comes_as_an_event_is_read_whatever_its_status_is():
    """A server that answers by events does so when it refuses, too."""
    error = b'data: {"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Session not found"}}\n\n'
    assert read(400, error, "text/event-stream").reason is Reason.SESSION_LOST


def test_an_event_without_data_is_no_answer():
    """A server primes each stream with an id to go on from, and says now and then that it lives."""
    stream = PRIMING + b"event: message\ndata: " + ANSWER + b"\n\n"
    assert read(200, stream, "text/event-stream").kind is Kind.OK
    assert read(200, PRIMING, "text/event-stream").reason is Reason.STREAM_TRUNCATED
    assert read(200, PRIMING + b"data:\n", "text/event-stream").reason is Reason.STREAM_TRUNCATED


TOLD = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'


@pytest.mark.parametrize("stream", [False, True], ids=["json", "events"])
@pytest.mark.parametrize("body", [b"[%b]" % ANSWER, b"[%b,%b]" % (TOLD, ANSWER), b"[7,%b]" % ANSWER])
def test_an_answer_may_come_in_an_array(body, stream):
    """Revision 2025-03-26 lets a server send its messages together, a single one too."""
    sent, type_ = (b"data: %b\n\n" % body, "text/event-stream") if stream else (body, "application/json")
    assert read(200, sent, type_).kind is Kind.OK


def test_an_array_may_bear_no_answer():
    """Notifications that come together are no answer, and what is empty is none."""
    told = b"data: [%b]\n\n" % TOLD
    assert read(200, told + b"data: " + ANSWER + b"\n\n", "text/event-stream").kind is Kind.OK
    assert read(200, told, "text/event-stream").reason is Reason.STREAM_TRUNCATED
    for body in (b"[]", b"[%b]" % TOLD, b"[[]]"):
        assert read(200, body, "application/json").reason is Reason.BODY_INVALID


def test_an_error_in_an_array_is_read():
    """A session that is lost is lost whatever its error comes in."""
    error = b'[{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Session not found"}}]'
    assert read(400, error, "application/json").reason is Reason.SESSION_LOST


def test_the_result_of_another_request_is_no_answer():
    """A gateway that mixes its callers up gives one the answer of another, and nothing else tells it."""
    other = ANSWER.replace(b'"id":1', b'"id":99')
    assert read(200, other, "application/json").reason is Reason.BODY_INVALID
    stream = b"data: " + other + b"\n\n"
    assert read(200, stream, "text/event-stream").reason is Reason.STREAM_TRUNCATED
    assert read(200, stream + b"data: " + ANSWER + b"\n\n", "text/event-stream").kind is Kind.OK


@pytest.mark.parametrize("id_", [b'"id":"1"', b'"id":1.0', b'"x":1'])
def test_an_id_may_be_written_otherwise(id_):
    """As a text or with a fraction of nothing; one that is left out names no other request."""
    assert read(200, ANSWER.replace(b'"id":1', id_), "application/json").kind is Kind.OK


@pytest.mark.parametrize("id_", [b"[]", b"{}", b"null", b'"x"'])
def test_an_id_may_be_anything(id_):
    """What is none of a request's is that of another; an error may bear none, for it may not have been read."""
    found = read(200, ANSWER.replace(b'"id":1', b'"id":' + id_), "application/json")
    assert found.reason is Reason.BODY_INVALID
    error = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32602,"message":"x"}}' % id_
    assert read(200, error, "application/json").reason is Reason.PARAMETERS


PROGRESS = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}'
LOGGED = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"half"}}'
ASKED = b'{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}'
OTHERS = ANSWER.replace(b'"id":1', b'"id":99')
REFUSED = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}'
TOOLS_ERROR = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"x"}],"isError":true}}'


@pytest.mark.parametrize("before", [PROGRESS, LOGGED, ASKED, OTHERS, b"[%b]" % PROGRESS])
@pytest.mark.parametrize(
    ("last", "first_at_us", "chunks"),
    [
        (ANSWER, 9, 1),
        (b"[%b,%b]" % (LOGGED, ANSWER), 9, 1),
        (TOOLS_ERROR, 9, 1),
        (REFUSED, None, 0),
        (b'{"jsonrpc":"2.0","id":1,"result":7}', None, 0),
    ],
)
def test_the_content_of_a_call_is_its_result(before, last, first_at_us, chunks):
    """What a server tells or asks beside it comes earlier and is none; an error bears none."""
    target = McpTarget(MCPOptions())
    template = target.compile(Step(tool="echo", action="call", params={}), "reader")
    template.request(Identity("a", "reader", "t", session="s"), 1)
    reader = target.reader(template)
    reader.head(200, {"Content-Type": "text/event-stream"})
    for at_us, data in ((5, before), (9, last), (11, LOGGED)):
        reader.feed(b"event: message\r\ndata: %b\r\n\r\n" % data, at_us)
    found = reader.end()
    assert (found.first_byte_at_us, found.first_token_at_us, found.chunks) == (5, first_at_us, chunks)
