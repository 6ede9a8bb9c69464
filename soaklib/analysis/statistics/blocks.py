"""Dependent data resampled in blocks, and what dependence costs: the design effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import FloatArray

__all__ = [
    "Alikeness",
    "DesignEffect",
    "alikeness",
    "block_weights",
    "design_effect",
    "stationary_block_length",
    "stationary_indices",
]

MIN_BLOCKS = 10


def stationary_block_length(values: FloatArray) -> float:
    """Choose the mean block length for the stationary bootstrap, in points, at least 1.

    Politis and White, *Automatic block-length selection for the dependent bootstrap*, Econometric Reviews 23, 2004, as
    corrected by Patton, Politis and White (28, 2009): the flat-top lag window ends where autocorrelation does.

    Parameters
    ----------
    values
        Shape (times,), in order, no gaps. Ten or fewer, or all equal: 1.
    """
    if len(values) <= MIN_BLOCKS or not np.ptp(values):
        return 1.0
    n, least_run = len(values), max(5, int(np.log10(len(values))))
    most = int(np.ceil(n**0.5)) + least_run
    centred = values - values.mean()
    covariance, correlation = np.empty(most + 1), np.empty(most + 1)
    for lag in range(most + 1):
        product = float(centred[lag:] @ centred[: n - lag])
        scale = float((centred[lag + 1 :] @ centred[lag + 1 :]) * (centred[: n - lag - 1] @ centred[: n - lag - 1]))
        covariance[lag] = product / n
        correlation[lag] = abs(product) / scale**0.5 if scale > 0 else np.inf
    quiet = correlation < 2 * (np.log10(n) / n) ** 0.5
    ends = [lag for lag in range(most - least_run + 1) if quiet[lag : lag + least_run].all()]
    width = min(2 * max(ends[0], 1), most) if ends else most
    lags = np.arange(1, width + 1)
    weights = 2 * np.minimum(1.0, 2 * (1 - lags / width)) * covariance[1 : width + 1]
    long_run = float(covariance[0] + weights.sum())
    if not long_run:
        return 1.0
    length = (float((weights * lags).sum()) / long_run) ** 2
    return float(np.clip((length * n) ** (1 / 3), 1.0, np.ceil(min(3 * n**0.5, n / 3))))


def stationary_indices(
    data: int, block_length: float, shape: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw positions for the stationary bootstrap (Politis and Romano, JASA 89, 1994).

    Blocks have geometric lengths of the given mean and run around the end of the data.

    Parameters
    ----------
    data
        How many points there are to draw from.
    block_length
        Mean length of a block in points, at least 1.
    shape
        How many resamples, and how many points each.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Of that shape: ``points[indices]`` is the resamples.
    """
    fresh = rng.random(shape) < 1 / block_length
    start = rng.integers(data, size=shape)
    column = np.arange(shape[1])
    opened = np.maximum.accumulate(np.where(fresh, column, 0), axis=1)
    return np.asarray((np.take_along_axis(start, opened, axis=1) + column - opened) % data)


def block_weights(blocks: int, series: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw how often each of some equal blocks is taken when as many are drawn with replacement.

    Parameters
    ----------
    blocks
        Number of blocks.
    series
        How many resamples.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Shape (series, blocks); every row sums to ``blocks``.
    """
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=series)


class DesignEffect(NamedTuple):
    """How many times more a share scatters than independent trials would let it.

    Attributes
    ----------
    factor
        Variance of the share over that of independent trials; at least 1.
    blocks
        How many blocks it was measured from.
    """

    factor: float
    blocks: int


def design_effect(successes: FloatArray, n: FloatArray, blocks: int | None = None) -> DesignEffect | None:
    """Measure the design effect of a share from blocks of consecutive windows.

    The share is a ratio of block sums; its variance is the linearised one (Cochran, *Sampling Techniques*, 1977,
    section 6). Blocks have to be longer than the bursts; without ``blocks``, lengths are doubled from one window to a
    tenth of the data and the largest effect counts, which is the one of the blocks that hold whole bursts.

    Parameters
    ----------
    successes, n
        Shape (windows,): counts in consecutive windows of time; n may be 0.
    blocks
        How many blocks to form, at least 2; None to choose.

    Returns
    -------
    DesignEffect or None
        None where it cannot be measured: fewer than ten windows with trials (two where ``blocks`` is given), or all
        trials alike.
    """
    filled = n > 0
    successes, n = successes[filled], n[filled]
    share = float(successes.sum() / n.sum()) if len(n) else 0.0
    if len(n) < (MIN_BLOCKS if blocks is None else 2) or share in {0.0, 1.0}:
        return None
    if blocks is not None:
        return _of_blocks(successes, n, share, min(blocks, len(n)))
    counts = [len(n) >> doubling for doubling in range(len(n).bit_length()) if len(n) >> doubling >= MIN_BLOCKS]
    return max((_of_blocks(successes, n, share, count) for count in counts), key=lambda effect: effect.factor)


def _of_blocks(successes: FloatArray, n: FloatArray, share: float, blocks: int) -> DesignEffect:
    edges = np.linspace(0, len(n), blocks + 1).astype(int)[:-1]
    residual = np.add.reduceat(successes, edges) - share * np.add.reduceat(n, edges)
    variance = float((residual**2).sum()) * blocks / (blocks - 1)
    return DesignEffect(max(variance / (share * (1 - share) * float(n.sum())), 1.0), blocks)


class Alikeness(NamedTuple):
    """How alike trials of one window are, measured over many windows together.

    Attributes
    ----------
    correlation
        Of two trials of a window, 0 to 1.
    blocks
        How many blocks it was measured from, less what the windows' own shares took.
    """

    correlation: float
    blocks: int

    def of(self, n: float) -> DesignEffect:
        """Give the design effect of a window of so many trials (Kish, *Survey Sampling*, 1965, section 5.4)."""
        return DesignEffect(1 + max(n - 1, 0.0) * self.correlation, self.blocks)


def alikeness(successes: FloatArray, n: FloatArray) -> Alikeness | None:
    """Measure how alike the trials of a window are from the parts of many windows.

    A window that no burst fell into cannot know of bursts; the others can. Each window's parts are joined to ever fewer
    blocks, the last time to two; how far blocks lie from their own window's share, over what independent trials would
    let them, is pooled over the windows, and the largest counts, as for :func:`design_effect`. What differs from window
    to window is not taken for a burst: a burst longer than a window is that window's share.

    Parameters
    ----------
    successes, n
        Shape (windows, parts), parts a power of two: counts in consecutive parts of each window; n may be 0.

    Returns
    -------
    Alikeness or None
        None where fewer than ten blocks with trials, beyond one for each window, can be compared.
    """
    totals, won = n.sum(axis=1), successes.sum(axis=1)
    mixed = (won > 0) & (won < totals)
    successes, n, totals, won = successes[mixed], n[mixed], totals[mixed], won[mixed]
    share = won / totals
    found: Alikeness | None = None
    while n.size and n.shape[1] > 1:
        filled = (n > 0).sum(axis=1)
        told = filled > 1
        freedom = int((filled - 1)[told].sum())
        if freedom >= MIN_BLOCKS:
            apart = ((successes - share[:, None] * n) ** 2).sum(axis=1)[told] * filled[told] / (filled[told] - 1)
            scatter = (share * (1 - share) * totals)[told]
            size = float((scatter * totals[told]).sum() / scatter.sum())
            factor = float(apart.sum() / scatter.sum())
            correlation = min(max((factor - 1) / max(size - 1, 1.0), 0.0), 1.0)
            if found is None or correlation > found.correlation:
                found = Alikeness(correlation, freedom + 1)
        successes, n = (counts.reshape(len(counts), -1, 2).sum(axis=2) for counts in (successes, n))
    return found
