"""The tools in mock mode: parameters that satisfy validator and mock, and the data that comes back."""

import pytest


def data_of(gateway, token, scope, params=None):
    """Return the data of a call that has to succeed."""
    answer = gateway.call(token, scope, params)
    assert answer.status == 200, answer.text
    return answer.json["data"]


def test_serpapi_search(gateway, caller):
    """serpapi/search {query,q,num,engine}: source, query, results with title and url, ts."""
    data = data_of(gateway, caller(), "serpapi:search")
    assert (data["source"], data["query"], set(data)) == ("serpapi-mock", "soak", {"source", "query", "results", "ts"})
    assert data["results"]
    assert all({"title", "url"} <= set(result) for result in data["results"])


@pytest.mark.parametrize("action", ["get", "head"])
def test_http_fetch(gateway, caller, action):
    """http_fetch/get and head {url}: url, status, headers, body, bytes."""
    data = data_of(gateway, caller(), f"http_fetch:{action}")
    assert set(data) >= {"url", "status", "headers", "body", "bytes"}
    assert (data["url"], data["status"]) == ("https://example.com/a", 200)


def test_openai_chat(gateway, caller):
    """openai/chat {model,messages,input}: model, output that starts with SUMMARY, tokens_est."""
    data = data_of(gateway, caller(), "openai:chat")
    assert data["model"] == "gpt"
    assert data["output"].startswith("SUMMARY: ")
    assert data["tokens_est"] >= 1


def test_gmail_send(gateway, caller):
    """gmail_send/send {to,subject,body,text}: a mock id, to, queued, lengths of subject and body."""
    data = data_of(gateway, caller(), "gmail_send:send")
    assert data["id"].startswith("mock_")
    assert (data["to"], data["status"]) == ("a@example.com", "queued")
    assert (data["subject_len"], data["body_len"]) == (1, 1)


def test_a_cache_hit_is_counted(gateway, caller):
    """A cache hit counts in requests_total and cache_hits_total; a gateway without a cache counts no hit."""
    token = caller()
    params = {"query": "contract cache", "q": "contract cache", "num": 3, "engine": "google"}
    counters = ("gateway_cache_hits", "gateway_requests")
    first = data_of(gateway, token, "serpapi:search", params)
    hits, requests = (gateway.counted(name) for name in counters)
    second = data_of(gateway, token, "serpapi:search", params)
    more_hits, more_requests = (gateway.counted(name) for name in counters)
    if gateway.warts:
        assert (more_hits - hits, more_requests - requests) == (0.0, 2.0)
    else:
        assert (more_hits - hits, more_requests - requests) == (1.0, 1.0)
        assert first == second
