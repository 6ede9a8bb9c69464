"""What an error of OpenAI's wire says: whose failure it is, and which limit, key or model denied the call.

The words are LiteLLM's and OpenAI's own; texts are matched at their beginning, so that nothing quoted can pose.

============== ============================================================ ========================================
status         what tells it                                                kind, reason, limit
============== ============================================================ ========================================
any            type ``budget_exceeded``, code ``insufficient_quota``        denied, budget, budget
any            type ``*_model_access_denied``                               denied, model
400            ``Violated guardrail policy``                                denied, policy_other
any            ``litellm.<Class>: .. <Provider>Exception .. - ..``          upstream_error, upstream (400, 422:
                                                                            invalid_request, upstream)
408            ``litellm.Timeout``: the upstream was too slow               upstream_error, upstream
402            any other: the money is spent                                denied, budget, budget
401            type ``expired_key``                                         unauthorized, token_expired
401, 403       ``Key is blocked``                                           unauthorized, token_revoked
401, 400       any other; ``no_db_connection`` is an unknown key as well    unauthorized, token_invalid
429            type ``all_deployments_in_cooldown``, ``No deployments       fast_fail, breaker_open
               available for selected model``
429            ``rate_limit_type`` header; ``Limit type: ..``; type         rate_limited, rate_limit, that limit
               ``requests``, ``tokens``; ``Model rate limit exceeded``;
               Azure's ``.. have exceeded call rate limit``
503            type ``overloaded_error``                                    upstream_error, overloaded
400, 404       ``Invalid model name``, code ``model_not_found``,            invalid_request, model
               ``The model `x` does not exist``
400, 422       type ``invalid_request_error``                               invalid_request, parameters
the rest       the status alone
============== ============================================================ ========================================

An error inside a 200 has the status that its ``code`` says, or its type where that is of a limit (429); else it is 500.
The last words of a model that is not there are vLLM's and SGLang's, whose errors may be the whole body.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.records import Kind, Reason
from soaklib.targets.answers import Finding, of_status
from soaklib.targets.base import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["finding_of", "status_of_code"]

_FROM_UPSTREAM: Final = re.compile(
    r"litellm\.Timeout: |"
    r"litellm\.\w{1,60}: (?:(?:litellm\.)?\w{1,60}(?: Error)?: ){0,3}"  # once more, as it is raised again and again
    r"[\w.-]{1,60}(?: ?Exception(?:: |[\w ]{0,60} - )|Error - )"
)
"""How LiteLLM names the provider: ``OpenAIException - ``, ``AnthropicError - ``, ``AzureException RateLimitError - ``,
``BedrockException: Rate Limit Error - ``, ``OllamaException: ``."""
_BLOCKED: Final = re.compile(r"(?:Authentication Error,? ?-? ?)?(?:Key|Team)\b[^.]{0,80}\bis blocked\b")
_UNKNOWN_MODEL: Final = re.compile(
    r"(?:/[\w/]+: )?Invalid model name passed in |The model [`'\"][^`'\"]{1,200}[`'\"] does not exist\b"
)
_LIMIT_TYPE: Final = re.compile(r"Rate limit exceeded for .{1,300}?\. Limit type: (\w+)\.")
"""The id before its end may have dots: the name of a model, a user's address."""
_MODEL_LIMIT: Final = re.compile(r"(?:litellm\.RateLimitError: )?Model rate limit exceeded\. (RPM|TPM) limit")
_AZURES_LIMIT: Final = re.compile(r"(?:Your r|R)equests to .{1,300}? have exceeded (call|token) rate limit\b")
_GUARDRAIL: Final = re.compile(r"(?:\{'error': ')?Violated guardrail policy\b")
_COOLDOWN: Final = re.compile(r"(?:litellm\.RateLimitError: )?No deployments available for selected model\b")
"""How LiteLLM says so whose errors have no type yet for it."""
_LIMITS: Final = {
    "requests": Limit.REQUESTS,
    "RPM": Limit.REQUESTS,
    "call": Limit.REQUESTS,
    "tokens": Limit.TOKENS,
    "TPM": Limit.TOKENS,
    "token": Limit.TOKENS,
    "max_parallel_requests": Limit.PARALLEL,
    "concurrent_requests": Limit.PARALLEL,
}
_LIMITED: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
_UNPROCESSABLE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_UPSTREAM: Final = Finding(Kind.UPSTREAM_ERROR, Reason.UPSTREAM)
_TOKEN_INVALID: Final = Finding(Kind.UNAUTHORIZED, Reason.TOKEN_INVALID)
_NO_SUCH_MODEL: Final = Finding(Kind.INVALID_REQUEST, Reason.MODEL)
_IN_COOLDOWN: Final = Finding(Kind.FAST_FAIL, Reason.BREAKER_OPEN)
_BUDGET: Final = Finding(Kind.DENIED, Reason.BUDGET, Limit.BUDGET)
_BY_TYPE: Final = {
    "budget_exceeded": _BUDGET,
    "insufficient_quota": _BUDGET,
    "all_deployments_in_cooldown": _IN_COOLDOWN,
    "overloaded_error": Finding(Kind.UPSTREAM_ERROR, Reason.OVERLOADED),
    "expired_key": Finding(Kind.UNAUTHORIZED, Reason.TOKEN_EXPIRED),
    "no_db_connection": _TOKEN_INVALID,
    "model_not_found": _NO_SUCH_MODEL,
}
"""By the error's type, or its code."""


def status_of_code(error: Mapping[str, object]) -> int:
    """Give the status that an error inside a 200 would have had: its ``code``, that of a limit it names, or 500."""
    code = error.get("code")
    text = str(code) if isinstance(code, str | int) else ""
    if re.fullmatch(r"[45]\d\d", text, re.ASCII):
        return int(text)
    is_limit = text in _LIMITED or _text(error, "type") in _LIMITED
    return int(HTTPStatus.TOO_MANY_REQUESTS if is_limit else HTTPStatus.INTERNAL_SERVER_ERROR)


def finding_of(status: int, error: Mapping[str, object], headers: Mapping[str, str]) -> Finding:
    """Say what an error is, by its status, its words and its headers."""
    type_, code, text = _text(error, "type"), _text(error, "code"), _words_of(error)
    if (known := _BY_TYPE.get(type_) or _BY_TYPE.get(code)) is not None:
        return known
    if type_.endswith("model_access_denied"):
        return Finding(Kind.DENIED, Reason.MODEL)
    if _FROM_UPSTREAM.match(text):
        return Finding(Kind.INVALID_REQUEST, Reason.UPSTREAM) if status in _UNPROCESSABLE else _UPSTREAM
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        limited = Finding(Kind.RATE_LIMITED, Reason.RATE_LIMIT, _limit_of(text, type_, headers))
        return _IN_COOLDOWN if _COOLDOWN.match(text) else limited
    if _BLOCKED.match(text):
        return Finding(Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED)
    return _refusal(status, text, type_)


def _refusal(status: int, text: str, type_: str) -> Finding:
    if status == HTTPStatus.UNAUTHORIZED:
        return _TOKEN_INVALID
    if _UNKNOWN_MODEL.match(text):
        return _NO_SUCH_MODEL
    if status == HTTPStatus.BAD_REQUEST and _GUARDRAIL.match(text):
        return Finding(Kind.DENIED, Reason.POLICY_OTHER)
    if status in _UNPROCESSABLE and type_ == "invalid_request_error":
        return Finding(Kind.INVALID_REQUEST, Reason.PARAMETERS)
    return of_status(status)


def _limit_of(text: str, type_: str, headers: Mapping[str, str]) -> Limit | None:
    found = (pattern.match(text) for pattern in (_LIMIT_TYPE, _MODEL_LIMIT, _AZURES_LIMIT))
    said = [headers.get("rate_limit_type", ""), type_, *(match[1] for match in found if match)]
    return next((_LIMITS[word] for word in said if word in _LIMITS), None)


def _words_of(error: Mapping[str, object]) -> str:
    """Give the words of an error; LiteLLM may put an object in their place, with an ``error`` of its own."""
    said = error.get("message")
    return _text(said, "error") if isinstance(said, dict) else _text(error, "message")


def _text(error: Mapping[str, object], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""
