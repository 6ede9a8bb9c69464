"""How sure each kind of interval claims to be, in one place for whoever writes about them."""

from __future__ import annotations

from soaklib.analysis.measures import alignment
from soaklib.analysis.statistics import drift, effect, intervals

__all__ = ["confidence_levels"]


def confidence_levels() -> dict[str, float]:
    """Give the nominal coverage (percent) of the intervals of rates, drift, effects, and of the placebo band."""
    return {
        "rate": 100 * intervals.CONFIDENCE,
        "drift": 100 * drift.CONFIDENCE,
        "effect": 100 * effect.CONFIDENCE,
        "placebo": 100 * alignment.CONFIDENCE,
    }
