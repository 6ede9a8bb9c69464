"""What recurs: how often something happens that is due every so many seconds."""

from __future__ import annotations

__all__ = ["occurrences"]


def occurrences(duration_s: float, every_s: float) -> int:
    """Give how many of the times 0, every_s, 2 every_s, ... fall before the end."""
    return int(-(-duration_s // every_s))
