import pytest

from soaklib.gateway.policy_spec import ResponseFilters
from soaklib.gateway.response_filters import BLOCKED, apply_filters
from soaklib.gateway.tools import Tools, UpstreamError


@pytest.fixture
def tools(fake_time):
    """Return the mocks."""
    return Tools(seed=1, clock=fake_time.clock())


def test_what_each_mock_answers(tools):
    """The documented shape of each tool's data."""
    search = tools.call("serpapi", "search", {"query": "x", "q": "y", "num": 2})
    assert (search["source"], search["query"], search["ts"]) == ("serpapi-mock", "y", "2026-11-18T11:06:40.000Z")
    assert search["results"] == [
        {"title": "Result 1 for y", "url": "https://example.com/1"},
        {"title": "Result 2 for y", "url": "https://example.com/2"},
    ]
    page = tools.call("http_fetch", "get", {"url": "https://a.b"})
    assert (page["status"], page["bytes"]) == (200, len(page["body"]))
    assert tools.call("http_fetch", "head", {"url": "https://a.b"})["bytes"] == 0
    chat = tools.call("openai", "chat", {"model": "m", "input": "12345"})
    assert chat == {"model": "m", "output": "SUMMARY: 12345", "tokens_est": 2}
    mail = tools.call("gmail_send", "send", {"to": "a@b.c", "subject": "ab", "body": "c", "text": "text"})
    assert mail.pop("id").startswith("mock_")
    assert mail == {"to": "a@b.c", "status": "queued", "subject_len": 2, "body_len": 4}


def test_a_chat_without_input_fails_in_the_mock(tools):
    """The validator lets it through, the mock does not, and nothing in the message asks for a retry."""
    with pytest.raises(UpstreamError, match=r"Cannot read properties of undefined \(reading 'slice'\)"):
        tools.call("openai", "chat", {"messages": []})


def test_so_many_percent_fail(fake_time):
    """At 20 % about a fifth of the attempts fail with a retryable message."""
    tools = Tools(seed=1, clock=fake_time.clock(), fail_pct=20.0)
    messages = []
    for _ in range(2_000):
        try:
            tools.call("serpapi", "search", {"query": "x"})
        except UpstreamError as problem:
            messages.append(str(problem))
    assert set(messages) == {"mock 503"}
    assert abs(len(messages) - 400) < 4 * 17.9


def test_filters_redact_truncate_and_block():
    """Redaction and truncation touch top-level fields; a block pattern that is left afterwards empties the answer."""
    data = {"key": "secret", "text": "abcdef", "number": 7}
    filters = ResponseFilters.model_validate(
        {"redactFields": ["key", "absent"], "truncateFields": [{"field": "text", "maxLength": 3}]}
    )
    filtered = apply_filters(filters, data)
    assert filtered == {"key": "[REDACTED]", "text": "abc...", "number": 7}
    assert data["key"] == "secret"
    blocking = filters.model_copy(update={"block_patterns": ["def"]})
    assert apply_filters(blocking, data) == filtered
    assert apply_filters(blocking, data | {"other": "def"}) == BLOCKED
    assert apply_filters(ResponseFilters(), data) == data
