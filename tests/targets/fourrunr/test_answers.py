"""The gateway's answers, text by text, and texts that try to pose as another answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from soaklib.records import Kind, Reason
from soaklib.targets.fourrunr.answers import classify_answer

DENIED = "Policy denied"
FAILED = "External API request failed"

CONTRACT = [
    # 2xx and 3xx
    (200, None, None, Kind.OK, None),
    (201, "anything", "at all", Kind.OK, None),
    (204, None, None, Kind.OK, None),
    (301, None, None, Kind.INVALID_RESPONSE, Reason.REDIRECT),
    (304, "Policy denied", "Scope 'x:y' not allowed", Kind.INVALID_RESPONSE, Reason.REDIRECT),
    # row 1
    (
        400,
        "Missing required fields: agent_token, tool, action, and params are required.",
        None,
        Kind.INVALID_REQUEST,
        Reason.CLIENT_ERROR,
    ),
    # row 2
    (
        400,
        "Token provenance validation requires proof_payload when token_id is provided.",
        None,
        Kind.INVALID_REQUEST,
        Reason.CLIENT_ERROR,
    ),
    (403, "Token not found in registry", None, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID),
    (403, "Token has been revoked", None, Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED),
    (403, "Token proof verification failed", None, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID),
    # row 3
    (
        400,
        "Invalid token format. Expected: BASE64(encrypted).SIGNATURE",
        None,
        Kind.UNAUTHORIZED,
        Reason.TOKEN_INVALID,
    ),
    (403, "Invalid token signature", None, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID),
    (403, "Token decoding failed", None, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID),
    # row 4, row 5
    (403, "Token expired", None, Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED),
    (403, "Agent not found", None, Kind.UNAUTHORIZED, Reason.AGENT_NOT_FOUND),
    (403, "Agent is not active", None, Kind.UNAUTHORIZED, Reason.AGENT_INACTIVE),
    # row 6
    (403, DENIED, "Scope 'x:y' not allowed. Allowed scopes: a, b", Kind.DENIED, Reason.SCOPE),
    (403, DENIED, "Intent mismatch. Required: X, provided: Y", Kind.DENIED, Reason.INTENT),
    (403, DENIED, "Request size 80 exceeds limit 60", Kind.DENIED, Reason.SIZE),
    (403, DENIED, "Domain d is blocked", Kind.DENIED, Reason.DOMAIN),
    (403, DENIED, "Domain d not in allowed list: a, b", Kind.DENIED, Reason.DOMAIN),
    (403, DENIED, "Request time 08:07 before allowed start time 09:07", Kind.DENIED, Reason.TIME_WINDOW),
    (403, DENIED, "Request time 18:07 after allowed end time 17:00", Kind.DENIED, Reason.TIME_WINDOW),
    (403, DENIED, "Day 2 not in allowed days: 1, 3", Kind.DENIED, Reason.DAY),
    (403, DENIED, "Current hour 8 before allowed start hour 9", Kind.DENIED, Reason.HOUR),
    (403, DENIED, "Current hour 18 after allowed end hour 17", Kind.DENIED, Reason.HOUR),
    (403, DENIED, "Quota exceeded for serpapi:search: 3/3 (resets at ISO)", Kind.DENIED, Reason.QUOTA),
    (403, DENIED, "A rule nobody has heard of", Kind.DENIED, Reason.POLICY_OTHER),
    (403, DENIED, None, Kind.DENIED, Reason.POLICY_OTHER),
    # row 7, row 8
    (400, "Parameter validation failed", None, Kind.INVALID_REQUEST, Reason.PARAMETERS),
    (429, "Rate limit exceeded", None, Kind.RATE_LIMITED, Reason.RATE_LIMIT),
    (429, None, None, Kind.RATE_LIMITED, Reason.RATE_LIMIT),
    # row 9
    (502, FAILED, "Circuit breaker is OPEN for 8000ms", Kind.FAST_FAIL, Reason.BREAKER_OPEN),
    (502, FAILED, "mock 503", Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    (502, FAILED, "Chaos: Simulated 500 error", Kind.UPSTREAM_ERROR, Reason.CHAOS),
    (502, FAILED, "Chaos: Simulated timeout", Kind.UPSTREAM_ERROR, Reason.CHAOS),
    (502, FAILED, None, Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    # row 10 and a proxy in between
    (500, "Internal server error during proxy request", None, Kind.UPSTREAM_ERROR, Reason.INTERNAL),
    (500, None, None, Kind.UPSTREAM_ERROR, Reason.INTERNAL),
    (503, None, None, Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    (504, None, None, Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    (599, None, None, Kind.UPSTREAM_ERROR, Reason.INTERNAL),
    # 401 and the framework's answers
    (401, None, None, Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    (401, "Token expired", None, Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED),
    (403, None, None, Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    (404, "Route GET:/x not found", None, Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    (413, "Request body is too large", None, Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    (415, "Unsupported Media Type", None, Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    # no class of HTTP status
    (0, None, None, Kind.INVALID_RESPONSE, Reason.PROTOCOL),
    (101, None, None, Kind.INVALID_RESPONSE, Reason.PROTOCOL),
    (600, None, None, Kind.INVALID_RESPONSE, Reason.PROTOCOL),
]

LOGGED = [
    (403, "Policy denied: Quota exceeded for http_fetch:get: 20/20 (resets at ISO)", Kind.DENIED, Reason.QUOTA),
    (403, "Policy denied: Scope 'gmail_send:send' not allowed. Allowed scopes: a", Kind.DENIED, Reason.SCOPE),
    (403, "Token expired", Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED),
    (502, "Circuit breaker is OPEN for 8000ms", Kind.FAST_FAIL, Reason.BREAKER_OPEN),
    (502, "Cannot read properties of undefined (reading 'slice')", Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
]

HOSTILE = [
    # a scope that quotes another denial, a domain that quotes another, a quota key that quotes a third
    (403, DENIED, "Scope 'Quota exceeded for x' not allowed", Kind.DENIED, Reason.SCOPE),
    (403, DENIED, "Domain Scope'x.example not in allowed list: a", Kind.DENIED, Reason.DOMAIN),
    (403, DENIED, "Quota exceeded for Domain d is blocked", Kind.DENIED, Reason.QUOTA),
    # words of a denial that are not at the beginning, or only nearly those words
    (403, DENIED, "x Scope 'x:y' not allowed", Kind.DENIED, Reason.POLICY_OTHER),
    (403, DENIED, "Day of reckoning", Kind.DENIED, Reason.POLICY_OTHER),
    (403, DENIED, "Domain  is blocked", Kind.DENIED, Reason.DOMAIN),
    (403, DENIED, "Domain d", Kind.DENIED, Reason.POLICY_OTHER),
    (403, DENIED, "Scopes changed", Kind.DENIED, Reason.POLICY_OTHER),
    # a 403 that is no policy denial must never look like one
    (403, "Forbidden: Policy denied", "Scope 'x:y' not allowed", Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    (403, "Policy deniedish", "Scope 'x:y' not allowed", Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    (403, "<html>Access denied</html>", None, Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    # the breaker's words belong to a server error, at the beginning of its detail
    (400, FAILED, "Circuit breaker is OPEN", Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    (502, FAILED, "upstream said: Circuit breaker is OPEN", Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    (502, FAILED, "circuit breaker is open", Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    # a policy's words in the wrong status
    (400, DENIED, "Scope 'x:y' not allowed", Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    (502, DENIED, "Scope 'x:y' not allowed", Kind.UPSTREAM_ERROR, Reason.UPSTREAM),
    (403, "Invalid token format. Expected: BASE64(encrypted).SIGNATURE", None, Kind.UNAUTHORIZED, Reason.TOKEN_INVALID),
    (404, "Agent not found.", None, Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
]


@pytest.mark.parametrize(("status", "error", "detail", "kind", "reason"), CONTRACT)
def test_contract(status, error, detail, kind, reason):
    """Every answer of the gateway's contract has the kind and reason the contract gives it."""
    assert classify_answer(status, error, detail) == (kind, reason)


@pytest.mark.parametrize(("status", "message", "kind", "reason"), LOGGED)
def test_request_log(status, message, kind, reason):
    """The request log's one text is classified as the answer was."""
    assert classify_answer(status, message, None) == (kind, reason)


@pytest.mark.parametrize(("status", "error", "detail", "kind", "reason"), HOSTILE)
def test_hostile(status, error, detail, kind, reason):
    """Text that quotes or resembles another answer is not taken for it."""
    assert classify_answer(status, error, detail) == (kind, reason)


@settings(deadline=None, derandomize=True, max_examples=examples(100))
@given(st.integers(-1, 700), st.none() | st.text(), st.none() | st.text())
def test_any_text(status, error, detail):
    """Any status with any text gets a kind, and a reason exactly when it was not ok."""
    kind, reason = classify_answer(status, error, detail)
    assert (kind is Kind.OK) == (reason is None) == (200 <= status < 300)
