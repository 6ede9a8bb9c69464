"""Many tests at once: p-values corrected for their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["Correction", "adjusted"]

Correction: TypeAlias = Literal["holm", "bh"]


def adjusted(p_values: npt.ArrayLike, correction: Correction = "holm") -> FloatArray:
    """Correct p-values so that each may be compared with the level of the whole family.

    Parameters
    ----------
    p_values
        Shape (tests,): in [0, 1]; NaN for a test that could not be made, which stays NaN and is not counted.
    correction
        ``holm`` bounds the chance of any false alarm (Holm, Scand. J. Stat. 6, 1979); ``bh`` the expected share of
        false ones among the alarms (Benjamini and Hochberg, JRSS B 57, 1995).

    Raises
    ------
    SettingsError
        When a p-value is outside [0, 1] or the correction has another name.
    """
    if correction not in get_args(Correction):
        message = f"correction is {correction!r}; pass 'holm' or 'bh'"
        raise SettingsError(message)
    p = np.asarray(p_values, np.float64)
    made = ~np.isnan(p)
    if ((p[made] < 0) | (p[made] > 1)).any():
        message = "a p-value is outside 0 to 1; pass NaN for a test that could not be made"
        raise SettingsError(message)
    order = np.argsort(p[made])
    rank = np.arange(1, len(order) + 1)
    ascending = p[made][order]
    if correction == "holm":
        ascending = np.maximum.accumulate(ascending * (len(order) - rank + 1))
    else:
        ascending = np.minimum.accumulate((ascending * len(order) / rank)[::-1])[::-1]
    out = np.full(p.shape, np.nan)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(ascending, 1.0)
    out[made] = corrected
    return out
