import random

import pytest

from soaklib.gateway.retry import RetryPolicy


def generator(seed=1):
    return random.Random(seed)  # noqa: S311 - repeatable on purpose


@pytest.mark.parametrize("message", ["timeout", "502", "503", "504", "429", "ECONNRESET"])
@pytest.mark.parametrize("tool", ["serpapi", "openai", "http_fetch"])
def test_what_is_tried_again(tool, message):
    """A retryable tool gets another attempt when the message has a mark."""
    assert RetryPolicy().delay_s(tool, 1, f"mock {message}", generator()) is not None


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("gmail_send", "mock 503"),
        ("serpapi", "Chaos: Simulated 500 error"),
        ("openai", "Cannot read properties of undefined (reading 'slice')"),
    ],
)
def test_what_is_not(tool, message):
    """A mail is never sent twice, and a message without a mark ends the call."""
    assert RetryPolicy().delay_s(tool, 1, message, generator()) is None


@pytest.mark.parametrize(("failed", "base_s"), [(1, 0.25), (2, 0.5)])
def test_the_delay_doubles_within_ten_percent(failed, base_s):
    """250 ms, then 500 ms, each spread over 10 % on either side."""
    draws = generator(7)
    delays = [RetryPolicy().delay_s("serpapi", failed, "503", draws) for _ in range(2_000)]
    assert base_s * 0.9 <= min(delays) < base_s * 0.905
    assert base_s * 1.095 < max(delays) <= base_s * 1.1


def test_three_attempts_in_all():
    """After the third failed attempt there is no further one."""
    assert RetryPolicy().delay_s("serpapi", 3, "503", generator()) is None
