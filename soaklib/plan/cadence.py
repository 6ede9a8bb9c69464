"""What recurs: how often something happens that is due every so many seconds, and how often a run is sampled."""

from __future__ import annotations

from typing import Final

__all__ = ["occurrences", "sampling_s", "snapshot_at_s"]

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


def snapshot_at_s(number: int, every_s: float, rotate_s: float, duration_s: float) -> float:
    """Give the soak second of a snapshot: between two rotations of tokens, so that neither is taken for the other.

    The first is taken at the start. The others come half of the time between two rotations after their round time, or
    half of what is left of the run where that is less: changes, probes and rotations all keep to round times.

    Parameters
    ----------
    number
        0-based.
    every_s, rotate_s
        Soak seconds between two snapshots, and between two rotations.
    duration_s
        Of the run, soak seconds.
    """
    due_s = number * every_s
    return due_s + min(rotate_s / 2, every_s / 2, (duration_s - due_s) / 2) if number else 0.0
