"""Errors by their own words, where no real answer was caught: what a database makes, OpenAI's own, the header alone."""

import pytest
from multidict import CIMultiDict

from soaklib.plan.model import Step
from soaklib.records import Kind, Reason
from soaklib.targets.base import Limit
from soaklib.targets.openai import OpenAITarget
from soaklib.targets.openai.denials import finding_of
from soaklib.targets.openai.options import OpenAIOptions

LIMITED = (Kind.RATE_LIMITED, Reason.RATE_LIMIT)
UPSTREAM = (Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None)
CASES = {
    "header alone": (429, {}, {"rate_limit_type": "tokens"}, (*LIMITED, Limit.TOKENS)),
    "header of parallel": (429, {}, {"rate_limit_type": "max_parallel_requests"}, (*LIMITED, Limit.PARALLEL)),
    "openai requests": (429, {"type": "requests", "code": "rate_limit_exceeded"}, {}, (*LIMITED, Limit.REQUESTS)),
    "openai tokens": (429, {"type": "tokens", "code": "rate_limit_exceeded"}, {}, (*LIMITED, Limit.TOKENS)),
    "nothing said": (429, {}, {}, (*LIMITED, None)),
    "deployment tpm": (
        429, {"message": "litellm.RateLimitError: Model rate limit exceeded. TPM limit=2, current usage=3"}, {},
        (*LIMITED, Limit.TOKENS),
    ),
    "a model's name with a dot": (
        429, {"message": "Rate limit exceeded for model_per_key: 9:gpt-4.1. Limit type: tokens. Current limit: 2"}, {},
        (*LIMITED, Limit.TOKENS),
    ),
    "a user's address": (
        429, {"message": "Rate limit exceeded for user: A. B <b@c.org>. Limit type: requests. Current limit: 2"}, {},
        (*LIMITED, Limit.REQUESTS),
    ),
    "azure's calls": (
        429, {"message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 "
              "have exceeded call rate limit of your current OpenAI S0 pricing tier.", "code": "429"}, {},
        (*LIMITED, Limit.REQUESTS),
    ),
    "azure's tokens": (
        429, {"message": "Your requests to gpt-4.1 for gpt-4.1 in East US have exceeded token rate limit for your ..",
              "code": "too_many_requests"}, {}, (*LIMITED, Limit.TOKENS),
    ),
    "cooldown of before": (
        429, {"message": "No deployments available for selected model, Try again in 60 seconds. Passed model=fast.",
              "type": "None", "code": "429"}, {}, (Kind.FAST_FAIL, Reason.BREAKER_OPEN, None),
    ),
    "vllm's model": (
        404, {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}, {},
        (Kind.INVALID_REQUEST, Reason.MODEL, None),
    ),
    "a guardrail": (
        400, {"message": {"error": "Violated guardrail policy", "aporia_ai_response": {}}, "code": "400"}, {},
        (Kind.DENIED, Reason.POLICY_OTHER, None),
    ),
    "a guardrail in words": (
        400, {"message": "{'error': 'Violated guardrail policy', 'guardrail_name': 'x'}", "code": "400"}, {},
        (Kind.DENIED, Reason.POLICY_OTHER, None),
    ),
    "a quoted guardrail": (
        400, {"message": "You said: Violated guardrail policy"}, {}, (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR, None),
    ),
    "openai quota": (
        429, {"type": "insufficient_quota", "code": "insufficient_quota"}, {},
        (Kind.DENIED, Reason.BUDGET, Limit.BUDGET),
    ),
    "budget as 400": (400, {"type": "budget_exceeded"}, {}, (Kind.DENIED, Reason.BUDGET, Limit.BUDGET)),
    "blocked": (
        401, {"message": "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin"}, {},
        (Kind.UNAUTHORIZED, Reason.TOKEN_REVOKED, None),
    ),
    "team's model": (403, {"type": "team_model_access_denied"}, {}, (Kind.DENIED, Reason.MODEL, None)),
    "openai key": (401, {"code": "invalid_api_key"}, {}, (Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, None)),
    "openai model": (404, {"code": "model_not_found"}, {}, (Kind.INVALID_REQUEST, Reason.MODEL, None)),
    "azure's 429": (
        429, {"message": "litellm.RateLimitError: AzureException RateLimitError - Requests to ..", "code": "429"}, {},
        UPSTREAM,
    ),
    "bedrock's 429": (
        429, {"message": "litellm.RateLimitError: BedrockException: Rate Limit Error - {}", "type": "throttling_error"},
        {}, UPSTREAM,
    ),
    "azure's key": (
        401, {"message": "litellm.AuthenticationError: AzureException AuthenticationError - no"}, {}, UPSTREAM,
    ),
    "bedrock's denial": (
        403, {"message": "litellm.PermissionDeniedError: BedrockException PermissionDeniedError - {}"}, {}, UPSTREAM,
    ),
    "vertex's 400": (
        400, {"message": "litellm.BadRequestError: Vertex_aiException BadRequestError - b'{}'",
              "type": "invalid_request_error"}, {}, (Kind.INVALID_REQUEST, Reason.UPSTREAM, None),
    ),
    "vertex's 429": (
        429, {"message": "litellm.RateLimitError: litellm.RateLimitError: vertex_aiException - {}"}, {}, UPSTREAM,
    ),
    "anthropic overloaded": (
        500, {"message": "litellm.InternalServerError: AnthropicError - {}"}, {}, UPSTREAM,
    ),
    "ollama's name": (503, {"message": "litellm.ServiceUnavailableError: OllamaException: x"}, {}, UPSTREAM),
    "raised again": (
        500, {"message": "litellm.MidStreamFallbackError: litellm.APIError: OpenAIException - x"}, {}, UPSTREAM,
    ),
    "no provider's name": (
        429, {"message": "litellm.RateLimitError: You said: AzureException - x"}, {}, (*LIMITED, None),
    ),
    "no provider's error": (
        401, {"message": "litellm.AuthenticationError: Authentication Error - no"}, {},
        (Kind.UNAUTHORIZED, Reason.TOKEN_INVALID, None),
    ),
    "no money": (402, {"message": "Insufficient Balance"}, {}, (Kind.DENIED, Reason.BUDGET, Limit.BUDGET)),
    "a provider's money": (402, {"message": "litellm.APIError: APIError: DeepseekException - x"}, {}, UPSTREAM),
    "a gateway that waited": (408, {"message": "upstream request timeout"}, {}, UPSTREAM),
    "a quoted limit": (
        500, {"message": "You said: Rate limit exceeded for api_key: x. Limit type: tokens."}, {},
        (Kind.UPSTREAM_ERROR, Reason.INTERNAL, None),
    ),
    "a quoted upstream": (
        400, {"message": "bad: litellm.Timeout: OpenAIException - x", "type": "invalid_request_error"}, {},
        (Kind.INVALID_REQUEST, Reason.PARAMETERS, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("status", "error", "headers", "expected"), CASES.values(), ids=CASES)
def test_an_error_by_its_words(status, error, headers, expected):
    """Which limit, which key, whose failure: by type, code, header and text, and by nothing that is quoted."""
    assert tuple(finding_of(status, error, CIMultiDict(headers))) == expected


@pytest.mark.parametrize("make_keys", [True, False])
def test_only_a_key_that_can_be_made_anew_is_lost(make_keys):
    """An expired key needs another one; where keys come from the environment, there is none."""
    target = OpenAITarget(OpenAIOptions(make_keys=make_keys))
    reader = target.reader(target.compile(Step(tool="m", action="chat", params={"messages": []}), "agent"))
    reader.head(401, CIMultiDict({"Content-Type": "application/json"}))
    reader.feed(b'{"error":{"message":"x","type":"expired_key"}}', 1)
    reading = reader.end()
    assert (reading.reason, reading.lost_identity) == (Reason.TOKEN_EXPIRED, make_keys)


def test_an_error_of_a_stream_may_bear_the_type_of_one():
    """A status that is no success is read as an error, though its type is that of a stream."""
    target = OpenAITarget()
    reader = target.reader(target.compile(Step(tool="m", action="stream", params={"messages": []}), "agent"))
    reader.head(429, CIMultiDict({"Content-Type": "text/event-stream"}))
    reader.feed(b'{"error":{"type":"requests"}}', 1)
    reading = reader.end()
    assert (reading.kind, reading.limit, reading.chunks) == (Kind.RATE_LIMITED, Limit.REQUESTS, None)


def read(status, content_type, body, action="chat", **params):
    target = OpenAITarget()
    step = Step(tool="m", action=action, params={"messages": [], "input": ""} | params)
    reader = target.reader(target.compile(step, "agent"))
    reader.head(status, CIMultiDict({"Content-Type": content_type}))
    reader.feed(body, 1)
    return reader.end()


def test_a_whole_body_may_be_an_error():
    """That of vLLM and of SGLang is, and an event may be: no key of it is called error."""
    missing = b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}'
    for status in (404, 200):
        found = read(status, "application/json", missing)
        assert (found.kind, found.reason) == (Kind.INVALID_REQUEST, Reason.MODEL)
    event = b'data: {"object":"error","message":"x","type":"rate_limit_error","code":429}\n\n'
    assert read(200, "text/event-stream", event, "stream").kind is Kind.RATE_LIMITED


def test_azure_says_within_a_stream_that_there_are_too_many_requests():
    """It has answered with a 200 by then."""
    error = (
        b'event: error\ndata: {"type":"error","sequence_number":2,"error":{"type":"too_many_requests","code":'
        b'"too_many_requests","message":"Your requests to x for x in y have exceeded token rate limit for z."}}\n\n'
    )
    found = read(200, "text/event-stream", error, "responses", stream=True)
    assert (found.kind, found.limit) == (Kind.RATE_LIMITED, Limit.TOKENS)
