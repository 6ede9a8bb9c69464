"""Slopes of many series at once: the median of pairs, and least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["least_squares", "theil_sen"]

_CHUNK_VALUES = 1 << 20


def theil_sen(rows: FloatArray, time: FloatArray) -> FloatArray:
    """Give the median slope over all pairs of points, for each row.

    Parameters
    ----------
    rows
        Shape (series, times), no gaps.
    time
        Shape (times,), all different, at least two.

    Returns
    -------
    FloatArray
        Shape (series,): value units per unit of ``time``.
    """
    first, second = np.triu_indices(len(time), 1)
    distance = time[second] - time[first]
    pairs = len(distance)
    middle = (pairs - 1) // 2, pairs // 2
    out = np.empty(len(rows))
    step = max(_CHUNK_VALUES // pairs, 1)
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        slopes = (chunk[:, second] - chunk[:, first]) / distance
        slopes.partition(middle, axis=1)
        out[start : start + step] = (slopes[:, middle[0]] + slopes[:, middle[1]]) / 2
    return out


def least_squares(rows: FloatArray, time: FloatArray) -> FloatArray:
    """Give the least-squares slope of each row; parameters and result as for :func:`theil_sen`."""
    centred = time - time.mean()
    return np.asarray(rows @ centred / (centred @ centred))
