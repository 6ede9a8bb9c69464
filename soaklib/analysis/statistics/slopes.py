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
    points = len(time)
    lags = [
        (lag, slice(end - (points - lag), end))
        for lag, end in enumerate(np.cumsum(np.arange(points - 1, 0, -1)).tolist(), start=1)
    ]
    pairs = points * (points - 1) // 2
    distance = np.empty(pairs)
    for lag, where in lags:
        np.subtract(time[lag:], time[:-lag], out=distance[where])
    upper = pairs // 2
    out = np.empty(len(rows))
    step = max(_CHUNK_VALUES // pairs, 1)
    slopes = np.empty((min(step, len(rows)), pairs))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        some = slopes[: len(chunk)]
        for lag, where in lags:  # a lag's pairs lie side by side: far faster than to pick each pair's two points
            np.subtract(chunk[:, lag:], chunk[:, :-lag], out=some[:, where])
        some /= distance
        some.partition(upper, axis=1)  # of one place: of two it takes four times as long
        below = some[:, upper] if pairs % 2 else some[:, :upper].max(axis=1)
        out[start : start + step] = (below + some[:, upper]) / 2
    return out


def least_squares(rows: FloatArray, time: FloatArray) -> FloatArray:
    """Give the least-squares slope of each row; parameters and result as for :func:`theil_sen`."""
    centred = time - time.mean()
    return np.asarray(rows @ centred / (centred @ centred))
