"""Retries with backoff and jitter: which failures deserve another attempt, and when.

The delay before attempt ``n + 1`` is ``base_s * 2**(n - 1)``, spread by +-``jitter_ratio``, in soak seconds.
"""

import random
from dataclasses import dataclass

RETRYABLE_TOOLS = frozenset({"serpapi", "openai", "http_fetch"})
"""Tools whose calls can be repeated without harm; a mail is never sent twice."""

RETRYABLE_MARKS = ("timeout", "502", "503", "504", "429", "ECONNRESET")
"""A failure is worth another attempt when its message contains one of these."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long apart.

    Parameters
    ----------
    attempts
        Attempts in all, the first one included.
    base_s
        Soak seconds before the second attempt; it doubles with each further one.
    jitter_ratio
        Spread of the delay on either side, as a share of it.
    """

    attempts: int = 3
    base_s: float = 0.25
    jitter_ratio: float = 0.1

    def delay_s(self, tool: str, failed_attempts: int, message: str, generator: random.Random) -> float | None:
        """Return the soak seconds to wait before the next attempt, or None when there is none."""
        if failed_attempts >= self.attempts or tool not in RETRYABLE_TOOLS:
            return None
        if not any(mark in message for mark in RETRYABLE_MARKS):
            return None
        backoff_s = self.base_s * 2.0 ** (failed_attempts - 1)
        return backoff_s * (1.0 + self.jitter_ratio * (2.0 * generator.random() - 1.0))
