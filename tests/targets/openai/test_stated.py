"""What a gateway states beside its answer: retries, fallbacks, what its limits still let through."""

import pytest
from multidict import CIMultiDict

from soaklib.plan.model import Step
from soaklib.plan.workload import Call
from soaklib.records import Expected
from soaklib.runner.rows import Planned, outcome_of
from soaklib.targets.openai import OpenAITarget

WHOLE = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}'


def reading_of(headers):
    target = OpenAITarget()
    step = Step(tool="fast", action="chat", params={"messages": []})
    reader = target.reader(target.compile(step, "asker"))
    reader.head(200, CIMultiDict({"Content-Type": "application/json"} | headers))
    assert reader.feed(WHOLE, 7)
    return reader.end()


@pytest.mark.parametrize(
    ("headers", "stated"),
    [
        ({"x-litellm-attempted-retries": "2", "x-litellm-attempted-fallbacks": "1"}, (2, 1, None)),
        ({"x-ratelimit-api_key-remaining-requests": "7", "x-ratelimit-team-remaining-requests": "3"}, (None, None, 3)),
        ({"x-ratelimit-remaining-requests": "9"}, (None, None, None)),  # its upstream's
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
