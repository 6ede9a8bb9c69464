"""Time as the gateway sees it: wall, monotonic, and soak seconds.

A soak runs ``speed`` times faster than the wall. Durations that belong to the gateway's own mechanisms
(breaker, retry, quota window, limiter, cache, chaos) are given in soak seconds and divided by the speed;
timestamps on the wire, token expiry and policy hours are wall time and never rescaled.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """The sources of time, injected so that a test never waits.

    Parameters
    ----------
    speed
        Soak seconds in a wall second.
    monotonic
        Seconds that never go back; durations are measured with it.
    wall
        Seconds since the Unix epoch.
    sleep
        Waits for wall seconds.
    """

    speed: float = 1.0
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wall_s(self, soak_s: float) -> float:
        """Return how many wall seconds ``soak_s`` soak seconds take."""
        return soak_s / self.speed


def iso_utc(epoch_s: float) -> str:
    """Format seconds since the epoch as the wire does: ISO 8601, UTC, milliseconds, ``Z``."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_iso(text: str) -> float:
    """Return the seconds since the epoch of an ISO 8601 text; without an offset it is UTC.

    Raises
    ------
    ValueError
        If the text is no ISO 8601 date, or one that no UTC date stands for.
    """
    if not text.isprintable():  # fromisoformat takes any character between date and time, a line break too
        message = "a date has no control characters"
        raise ValueError(message)
    moment = datetime.fromisoformat(text)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except OverflowError as problem:
        message = f"{text} is out of range"
        raise ValueError(message) from problem
