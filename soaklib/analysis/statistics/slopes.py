"""Slopes of many series at once: the median of pairs, and least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["least_squares", "theil_sen"]

_CHUNK_VALUES: Final = 1 << 18
"""So many slopes stay in the processor's cache."""


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
    pairs, lags = points * (points - 1) // 2, points // 2
    distance = (_around(time[None, :], lags)[0] - time).ravel()[:pairs]
    out = np.empty(len(rows))
    step = max(_CHUNK_VALUES // pairs, 1)
    slopes = np.empty((min(step, len(rows)), lags, points))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        lagged = slopes[: len(chunk)]
        np.subtract(_around(chunk, lags), chunk[:, None, :], out=lagged)
        lagged.reshape(len(chunk), -1)[:, :pairs] /= distance
        some = pl.Series(lagged.reshape(-1))
        out[start : start + step] = [_median(some.slice(row * lags * points, pairs)) for row in range(len(chunk))]
    return out


def _around(rows: FloatArray, lags: int) -> FloatArray:
    """Give a view of shape (series, lags, times): the point so far after each one, in a ring.

    In a ring each lag has as many pairs as there are points, and half of the lags have every pair once (the last lag of
    an even number twice, in its second half). A pair that is met from its end has both differences the other way round,
    and so the same slope.
    """
    ring = np.concatenate([rows, rows], axis=1)
    return sliding_window_view(ring, rows.shape[1], axis=1)[:, 1 : lags + 1]


def _median(values: pl.Series) -> float:
    """Give what ``numpy.median`` does. Where numpy sorts by AVX-512, some processors take five times as long for it."""
    middle = cast("float", values.quantile(0.5, "midpoint"))
    return middle + 0.0  # a slope of nothing that was met from its end is -0.0


def least_squares(rows: FloatArray, time: FloatArray) -> FloatArray:
    """Give the least-squares slope of each row; parameters and result as for :func:`theil_sen`."""
    centred = time - time.mean()
    return np.asarray(rows @ centred / (centred @ centred))
