"""What an HTTP answer of the gateway was: its kind and reason, from its status and its own words.

The client classifies what it received with this, and the loader of the gateway's request log what the gateway wrote
down, so that both speak of one thing in one vocabulary. Answers that never came (time limits, refused connections) and
bodies that are not what they say are the client's to classify: nothing here can see them.

===================== =========================================== ======================================================
status                the gateway's words                         kind, reason
===================== =========================================== ======================================================
2xx                   any                                         ok, none
3xx                   any                                         invalid_response, redirect
400                   ``Invalid token format``                    unauthorized, token_invalid
400                   ``Parameter validation failed``             invalid_request, parameters
401                   any; the token's and agent's texts as 403   unauthorized, by the text, or unauthorized_other
403                   ``Policy denied``                           denied, by its reason's text, or policy_other
403                   ``Token expired``                           unauthorized, token_expired
403                   ``Token has been revoked``                  unauthorized, token_revoked
403                   ``Invalid token``, ``Token not found``, ... unauthorized, token_invalid
403                   ``Agent not found``                         unauthorized, agent_not_found
403                   ``Agent is not active``                     unauthorized, agent_inactive
403                   anything else                               unauthorized, unauthorized_other
429                   any                                         rate_limited, rate_limit
other 4xx             any                                         invalid_request, client_error
5xx                   ``Circuit breaker is OPEN``                 fast_fail, breaker_open
5xx                   ``Chaos:``                                  upstream_error, chaos
502, 503, 504, 520    anything else                               upstream_error, upstream
to 524, 529
other 5xx             anything else                               upstream_error, internal
below 200, above 599  any                                         invalid_response, protocol
===================== =========================================== ======================================================

Every text is matched at its beginning and nowhere else, so that a quoted query, domain or message inside an answer
cannot pose as another answer.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from soaklib.records import Kind, Reason

__all__ = ["classify_answer"]

_POLICY_DENIED: Final = re.compile(r"Policy denied(?::\s*|$)")

_DENIALS: Final = (
    (re.compile(r"Scope '"), Reason.SCOPE),
    (re.compile(r"Intent mismatch\b"), Reason.INTENT),
    (re.compile(r"Request size \d"), Reason.SIZE),
    (re.compile(r"Domain \S* (?:is blocked|not in allowed list)"), Reason.DOMAIN),
    (re.compile(r"Request time \d\S* (?:before|after) allowed "), Reason.TIME_WINDOW),
    (re.compile(r"Day \d+ not in allowed days"), Reason.DAY),
    (re.compile(r"Current hour \d+ (?:before|after) allowed "), Reason.HOUR),
    (re.compile(r"Quota exceeded for "), Reason.QUOTA),
)
"""How the policy engine words each denial."""

_UNAUTHORIZED: Final = (
    ("Token expired", Reason.TOKEN_EXPIRED),
    ("Token has been revoked", Reason.TOKEN_REVOKED),
    ("Token not found in registry", Reason.TOKEN_INVALID),
    ("Token proof verification failed", Reason.TOKEN_INVALID),
    ("Token decoding failed", Reason.TOKEN_INVALID),
    ("Invalid token", Reason.TOKEN_INVALID),
    ("Agent not found", Reason.AGENT_NOT_FOUND),
    ("Agent is not active", Reason.AGENT_INACTIVE),
)
"""How the gateway words what is wrong with a token or its agent."""

_FROM_UPSTREAM: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, *range(520, 525), 529},
)
"""Server errors that say "not me, what is behind me"; any other is the gateway's own.

520 to 524 are a content network's in front of an origin that fails it, 529 a model's API that is overloaded.
"""


def classify_answer(status: int, error: str | None, detail: str | None) -> tuple[Kind, Reason | None]:
    """Classify one whole answer of the gateway; a pure function that takes any text.

    Parameters
    ----------
    status
        HTTP status of the answer.
    error
        The body's ``error`` (or ``message``) string; None when it had none. The request log's ``errorMessage``, which
        is one text (``Policy denied: Scope ...``, ``Circuit breaker is OPEN ...``), goes here too.
    detail
        The body's ``reason`` (denials) or ``details`` when that is a string; None when it had none.

    Returns
    -------
    tuple of Kind and Reason
        The reason is None exactly when the kind is ok.
    """
    error = error or ""
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of HTTP status are their own names
        return Kind.OK, None
    if 300 <= status < 400:  # noqa: PLR2004 - a class of HTTP status
        return Kind.INVALID_RESPONSE, Reason.REDIRECT
    if 400 <= status < 500:  # noqa: PLR2004 - a class of HTTP status
        return _refusal(status, error, detail)
    if 500 <= status < 600:  # noqa: PLR2004 - a class of HTTP status
        return _server_error(status, detail or error)
    return Kind.INVALID_RESPONSE, Reason.PROTOCOL


def _refusal(status: int, error: str, detail: str | None) -> tuple[Kind, Reason]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Kind.RATE_LIMITED, Reason.RATE_LIMIT
    if status == HTTPStatus.FORBIDDEN and (denied := _POLICY_DENIED.match(error)):
        return Kind.DENIED, _denial(detail or error[denied.end() :])
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Kind.UNAUTHORIZED, _unauthorized(error)
    if status == HTTPStatus.BAD_REQUEST and error.startswith("Invalid token format"):
        return Kind.UNAUTHORIZED, Reason.TOKEN_INVALID
    if status == HTTPStatus.BAD_REQUEST and error.startswith("Parameter validation failed"):
        return Kind.INVALID_REQUEST, Reason.PARAMETERS
    return Kind.INVALID_REQUEST, Reason.CLIENT_ERROR


def _denial(text: str) -> Reason:
    return next((reason for pattern, reason in _DENIALS if pattern.match(text)), Reason.POLICY_OTHER)


def _unauthorized(text: str) -> Reason:
    return next((reason for start, reason in _UNAUTHORIZED if text.startswith(start)), Reason.UNAUTHORIZED_OTHER)


def _server_error(status: int, text: str) -> tuple[Kind, Reason]:
    if text.startswith("Circuit breaker is OPEN"):
        return Kind.FAST_FAIL, Reason.BREAKER_OPEN
    if text.startswith("Chaos:"):
        return Kind.UPSTREAM_ERROR, Reason.CHAOS
    return Kind.UPSTREAM_ERROR, Reason.UPSTREAM if status in _FROM_UPSTREAM else Reason.INTERNAL
