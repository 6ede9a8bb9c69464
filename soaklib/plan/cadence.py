"""What recurs: how often something happens that is due every so many seconds, and how often a run is sampled."""

from __future__ import annotations

from typing import Final

__all__ = ["occurrences", "sampling_s"]

_LEAST_SAMPLES: Final = 300
"""What tells a leak from noise in a run of any length."""


def occurrences(duration_s: float, every_s: float) -> int:
    """Give how many of the times 0, every_s, 2 every_s, ... fall before the end."""
    return int(-(-duration_s // every_s))


def sampling_s(every_s: float, duration_s: float, speed: float) -> float:
    """Give the soak seconds from one sample of the gateway to the next.

    As the plan says, but often enough for some 300 samples of a short run, and at most once a wall second.

    Parameters
    ----------
    every_s
        What the plan says, soak seconds.
    duration_s
        Of the run, soak seconds.
    speed
        Soak seconds in a wall second.
    """
    return max(min(every_s, duration_s / _LEAST_SAMPLES), speed)
