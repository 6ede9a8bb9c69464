"""A share over strata: windows that the plan makes and the rest are no sample of one another.

Whether a window of chaos falls into a run is the plan's doing and no chance, so the difference between it and the rest
has no part in the interval of the whole. Each stratum has an interval of its own; the distances to their bounds are
joined as standard errors are (MOVER: Zou and Donner, *Construction of confidence intervals about effect measures*,
Stat. Med. 27, 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from soaklib.analysis.statistics.intervals import CONFIDENCE, rate_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["StratifiedRate", "bursts", "stratified_rate"]


class StratifiedRate(NamedTuple):
    """A share over all strata and its interval; ratios from 0 to 1.

    Attributes
    ----------
    rate, low, high
        None without trials.
    n, successes
        Over all strata.
    bursts
        Stretches of consecutive windows with failures: of fewer than three the interval covers less than it says.
    """

    rate: float | None
    low: float | None
    high: float | None
    n: int
    successes: int
    bursts: int


def stratified_rate(
    strata: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], *, confidence: float = CONFIDENCE
) -> StratifiedRate:
    """Give a share over strata.

    Parameters
    ----------
    strata
        Of each stratum the successes and the trials in consecutive windows of time, as
        :func:`soaklib.analysis.statistics.intervals.rate_interval` takes them.
    confidence
        Nominal coverage of the interval.
    """
    found = [rate_interval(successes, n, confidence=confidence) for successes, n in strata]
    failures = sum(bursts(np.asarray(n) - np.asarray(successes)) for successes, n in strata)
    total, won = sum(one.n for one in found), sum(one.successes for one in found)
    if not total:
        return StratifiedRate(None, None, None, 0, 0, 0)
    below = above = 0.0
    for one in found:
        if one.rate is not None and one.low is not None and one.high is not None:
            below += ((one.rate - one.low) * one.n / total) ** 2
            above += ((one.high - one.rate) * one.n / total) ** 2
    rate = won / total
    return StratifiedRate(rate, max(rate - below**0.5, 0.0), min(rate + above**0.5, 1.0), total, won, failures)


def bursts(failures: npt.ArrayLike) -> int:
    """Count the stretches of consecutive windows with failures."""
    has = np.asarray(failures) > 0
    return int(np.count_nonzero(has[1:] & ~has[:-1]) + (has[:1].sum()))
