"""What a gateway states beside its answer: retries, fallbacks, what its limits still let through."""

import pytest
from captured import answers
from multidict import CIMultiDict

from soaklib.plan.model import Step
from soaklib.plan.workload import Call
from soaklib.records import Expected
from soaklib.runner.rows import Planned, outcome_of
from soaklib.targets.base import Identity
from soaklib.targets.openai import OpenAITarget
from soaklib.targets.openai.options import OpenAIOptions

WHOLE = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}'


def reading_of(headers, *pieces, action="chat", content_type="application/json", options=None, params=None):
    target = OpenAITarget(options)
    step = Step(tool="fast", action=action, params=params or {"messages": []})
    reader = target.reader(target.compile(step, "asker"))
    reader.head(200, CIMultiDict({"Content-Type": content_type} | headers))
    for piece in pieces or (WHOLE,):
        reader.feed(piece, 7)
    return reader.end()


@pytest.mark.parametrize(
    ("headers", "stated"),
    [
        ({"x-litellm-attempted-retries": "2", "x-litellm-attempted-fallbacks": "1"}, (2, 1, None)),
        ({"x-ratelimit-api_key-remaining-requests": "7", "x-ratelimit-team-remaining-requests": "3"}, (None, None, 3)),
        ({"x-ratelimit-model_per_team-remaining-requests": "2"}, (None, None, 2)),
        (
            {"x-ratelimit-organization-remaining-requests": "8", "X-Ratelimit-End_user-Remaining-Requests": "6"},
            (None, None, 6),
        ),
        ({"x-ratelimit-team_member-remaining-tokens": "1"}, (None, None, None)),  # no calls
        ({"x-ratelimit-remaining-requests": "9"}, (None, None, 9)),  # OpenAI's own, and of many that stand before it
        ({"X-RateLimit-Remaining-Requests": "0", "x-ratelimit-remaining-tokens": "5"}, (None, None, 0)),
        ({"x-ratelimit-remaining-requests": "-1"}, (None, None, None)),
        ({"x-ratelimit-remaining-requests": "9", "x-litellm-version": "1.108.0"}, (None, None, None)),
        ({"x-ratelimit-remaining-requests": "9", "X-LiteLLM-Attempted-Retries": "1"}, (1, None, None)),
        ({"x-ratelimit-remaining-requests": "9", "llm_provider-date": "today"}, (None, None, None)),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-api_key-remaining-requests": "7"}, (None, None, 7)),
        ({"llm_provider-x-ratelimit-day-remaining-requests": "9"}, (None, None, None)),
        ({"x-litellm-attempted-retries": "0"}, (0, None, None)),
        ({"x-litellm-attempted-retries": "-1", "x-litellm-attempted-fallbacks": "two"}, (None, None, None)),
        ({"x-litellm-attempted-retries": "9" * 400, "x-litellm-attempted-fallbacks": "²"}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_what_a_gateway_states_of_its_own_tries_and_limits_is_in_the_row(headers, stated):
    """The least that any limit of the identity still lets through counts; what is no count is none."""
    reading = reading_of(headers)
    assert (reading.retries, reading.fallbacks, reading.remaining) == stated
    call = Call(0, "asker", "fast", "chat", Expected.ALLOW, None)
    row = outcome_of(Planned("load", 1, (call,), 1, "baseline"), 0, 0, reading, Expected.ALLOW)
    assert (row.retries, row.fallbacks, row.remaining) == stated


@pytest.mark.parametrize("is_litellm", [False, True])
def test_what_litellm_hands_on_of_its_upstream_is_none_of_its_own(is_litellm):
    """Each of its captured answers with such a header tells by others whose it is; so does the plan."""
    options = OpenAIOptions(is_litellm=is_litellm)
    bare = {"x-ratelimit-remaining-requests": "77"}
    assert reading_of(bare, options=options).remaining == (None if is_litellm else 77)
    handed_on = [one for one in answers("litellm").values() if bare.items() <= dict(one.headers).items()]
    assert len(handed_on) > 10
    for answer in handed_on:
        named = answer.headers.get("x-ratelimit-api_key-remaining-requests")
        assert reading_of(dict(answer.headers), options=options).remaining == (None if named is None else int(named))


@pytest.mark.parametrize(
    ("headers", "cost_usd"),
    [
        ({"x-litellm-response-cost": "0.019000000000000003"}, 0.019000000000000003),
        ({"x-litellm-response-cost-original": "0.0"}, 0.0),  # of a model without a price the first is left out
        ({"x-litellm-cache-key": "e9f5"}, 0.0),
        ({"x-litellm-response-cost": "None"}, None),
        ({"x-litellm-response-cost": "nan"}, None),
        ({"x-litellm-response-cost": "-1"}, None),
        ({"x-litellm-response-cost": "1e99"}, None),
        ({}, None),
    ],
)
def test_what_an_answer_costs_is_in_the_row(headers, cost_usd):
    """By LiteLLM's header, which says nothing of what is from its cache; what is no price is none."""
    reading = reading_of(headers)
    assert reading.cost_usd == cost_usd
    call = Call(0, "asker", "fast", "chat", Expected.ALLOW, None)
    whose = Identity("asker-0", "asker", "sk-1", key_id="0123456789abcdef")
    row = outcome_of(Planned("load", 1, (call,), 1, "baseline"), 0, 0, reading, Expected.ALLOW, identity=whose)
    assert (row.cost_usd, row.key_id) == (cost_usd, "0123456789abcdef")


def test_a_stream_costs_what_its_usage_says_and_not_what_its_head_does():
    """LiteLLM sends the head of a stream before anything is known, with a cost of 0; in an answer the usage counts."""
    frames = (
        b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"cost":0.25}}\n\n',
        b"data: [DONE]\n\n",
    )
    head = {"x-litellm-response-cost-original": "0.0"}
    stream = {"action": "stream", "content_type": "text/event-stream"}
    assert reading_of(head, *frames, **stream).cost_usd == 0.25
    assert reading_of(head, frames[0], frames[2], **stream).cost_usd is None


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (b'{"prompt_tokens":8,"total_tokens":8}', (8, 0)),
        (b'{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}', (8, 0)),
        (b'{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}', (8, 3)),  # as it is said
        (b'{"total_tokens":8}', (None, None)),
        (b"null", (None, None)),
    ],
)
def test_embeddings_that_state_their_usage_state_that_they_have_no_output(usage, tokens):
    """Or each were a call of which nobody knows how much it used, and would explain what another's books lack."""
    body = b'{"data":[{"embedding":[0.1]}],"usage":%b}' % usage
    reading = reading_of({}, body, action="embed", params={"input": "x"})
    assert (reading.input_tokens, reading.output_tokens) == tokens
    chat = reading_of({}, WHOLE.replace(b'"usage":{"prompt_tokens":5,"completion_tokens":2}', b'"usage":%b' % usage))
    assert chat.output_tokens == (None if usage == b'{"prompt_tokens":8,"total_tokens":8}' else tokens[1])
