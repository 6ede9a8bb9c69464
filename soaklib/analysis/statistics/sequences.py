"""An interval for a share that may be looked at as often as one likes, and acted on at any look.

An interval of 95 % holds for one look that was planned. Who looks every minute at a run that goes on, and stops when
the interval leaves what is required, is misled far more often. A confidence sequence holds at all looks together:
the predictable plug-in empirical-Bernstein sequence of Waudby-Smith and Ramdas (*Estimating means of bounded random
variables by betting*, JRSS B 86, 2024), whose width follows the scatter that is seen.

It works on the shares of minutes, whatever calls of one minute have in common, and takes minutes as each being right on
average given those before: bursts of failures that last for many minutes make it too narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.analysis.statistics.intervals import CONFIDENCE

if TYPE_CHECKING:
    import numpy.typing as npt

    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["share_at_any_time"]

_LARGEST_BET: Final = 0.75


def share_at_any_time(
    successes: npt.ArrayLike, n: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[FloatArray, FloatArray]:
    """Give the bounds after each window, all of which hold together with the given confidence.

    Parameters
    ----------
    successes, n
        Counts in consecutive windows of time, such as minutes, in order; windows with n = 0 say nothing.
    confidence
        Nominal coverage of all looks together.

    Returns
    -------
    tuple of array
        Low and high, shape (windows,): each the tightest so far; 0 and 1 before the first call.
    """
    won, tried = np.asarray(successes, np.float64), np.asarray(n, np.float64)
    told = tried > 0
    share = won[told] / tried[told]
    number = np.arange(1, len(share) + 1)
    mean = (0.5 + np.cumsum(share)) / (number + 1)
    variance = (0.25 + np.cumsum((share - mean) ** 2)) / (number + 1)
    before, spread = np.concatenate([[0.5], mean])[:-1], np.concatenate([[0.25], variance])[:-1]
    evidence = np.log(2 / (1 - confidence))
    bet = np.minimum(np.sqrt(2 * evidence / (spread * number * np.log1p(number))), _LARGEST_BET)
    staked = np.cumsum(bet)
    middle = np.cumsum(bet * share) / staked
    cost = np.cumsum((share - before) ** 2 * (-np.log1p(-bet) - bet))
    half = (evidence + cost) / staked
    low = np.maximum.accumulate((middle - half).clip(0.0, 1.0))
    high = np.minimum.accumulate((middle + half).clip(0.0, 1.0))
    last = np.cumsum(told)
    return np.concatenate([[0.0], low])[last], np.concatenate([[1.0], high])[last]
