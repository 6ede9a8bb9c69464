"""What LiteLLM, ContextForge and FastMCP really answered, read by the readers of their wires."""

import itertools

import pytest
from captured import answers, readings

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.openai import OpenAITarget

ROWS = readings()
ANSWERS = {gateway: answers(gateway) for gateway in ("litellm", "contextforge", "fastmcp")}
IDS = [f"{row['gateway']}-{row['case']}" for row in ROWS]
STREAMS = [row for row in ROWS if ANSWERS[row["gateway"]][row["case"]].is_stream]
FIELDS = ("chunks", "input_tokens", "output_tokens", "gateway_us")


def reader_of(row):
    if row["gateway"] == "litellm":
        target, action = OpenAITarget(), "stream" if "stream" in row["case"] else "chat"
        step = Step(tool="fast", action=action, params={"messages": []})
    else:
        target = McpTarget(MCPOptions(is_contextforge=row["gateway"] == "contextforge"))
        step = Step(tool="echo", action="call", params={})
    return target.reader(target.compile(step, "agent"))


def read(row, answer, cuts=()):
    reader = reader_of(row)
    reader.head(answer.status, answer.headers)
    edges = [0, *cuts, len(answer.body)]
    for start, end in itertools.pairwise(edges):
        if not reader.feed(answer.body[start:end], 7):  # it has said its last word
            assert answer.is_stream
            break
    return reader.end()


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_each_answer_is_what_it_is(row):
    """Kind, reason, limit, counts, the gateway's own time and id are read from a real answer."""
    reading = read(row, ANSWERS[row["gateway"]][row["case"]])
    said = {name: getattr(reading, name) for name in ("kind", "reason", "limit", "correlation_id")}
    assert said == {name: row[name] for name in said}
    assert {name: getattr(reading, name) for name in FIELDS} == {
        name: None if row[name] is None else int(row[name]) for name in FIELDS
    }
    assert reading.lost_identity == (row["reason"] == "session_lost")
    assert (reading.reason is None) == (reading.kind is Kind.OK)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_where_an_answer_is_cut_is_no_matter(row):
    """In two pieces cut at any byte, and byte by byte, an answer is read as it is when it comes whole."""
    answer = ANSWERS[row["gateway"]][row["case"]]
    whole = read(row, answer)
    assert read(row, answer, range(len(answer.body))) == whole
    assert all(read(row, answer, (cut,)) == whole for cut in range(0, len(answer.body), 7))


@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row["case"])
def test_line_ends_of_a_stream_are_no_matter(row):
    """A stream with CRLF, also cut between the two, is read as the one with LF."""
    answer = ANSWERS[row["gateway"]][row["case"]]
    whole = read(row, answer)
    crlf = answer.with_crlf()
    assert all(read(row, crlf, (cut,)) == whole for cut in range(len(crlf.body)))


@pytest.mark.parametrize("row", [row for row in STREAMS if row["kind"] == "ok"], ids=lambda row: row["case"])
def test_no_part_of_a_stream_is_a_success(row):
    """A stream that ends tidily at any byte before its last word is no success, and mostly a truncated one."""
    answer = ANSWERS[row["gateway"]][row["case"]]
    end = len(answer.body.rstrip(b"\n"))
    seen = set()
    for length in range(end - 1):
        reading = read(row, answer._replace(body=answer.body[:length]))
        seen.add((reading.kind, reading.reason))
    assert seen == {(Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED)}
