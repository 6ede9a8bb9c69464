"""The AR-sieve: noise that remembers, fitted to one series and made anew.

A test on a time series needs to know how the statistic scatters when nothing happens. The sieve bootstrap fits an
autoregression of data-chosen order to the residuals and drives it with resampled innovations (Buehlmann, *Sieve
bootstrap for time series*, Bernoulli 3, 1997; for trends: Noguchi, Gel, Duguay, *Bootstrap-based tests for trends in
hydrological time series*, J. Hydrology 410, 2011). Least squares makes memory look shorter than it is, the more so
after a trend was taken out; the coefficients are corrected for that by a first round of simulation (Kilian,
*Small-sample confidence intervals for impulse response functions*, Rev. Econ. Stat. 80, 1998).

Arrays of many series are (series, times); gaps are NaN in the one series observed and never simulated: the caller
applies the same mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.analysis.statistics.series import BoolArray, FloatArray

__all__ = ["Sieve", "fit_sieve", "long_run_sd", "remove_mean", "remove_trend"]

_MAX_ORDER = 4
_POINTS_PER_ORDER = 34
_BIAS_ROUNDS = 199
_MAX_ROOT = 0.985
_MAX_PERSISTENCE = 0.97
_MAX_BURN_IN = 300


@dataclass(frozen=True)
class Sieve:
    """An autoregression with an empirical distribution of innovations.

    Attributes
    ----------
    coefficients
        Shape (order,): lag 1 first; stationary.
    innovations
        Shape (any,): centred; what a step may add.
    """

    coefficients: FloatArray
    innovations: FloatArray

    @property
    def persistence(self) -> float:
        """Sum of the coefficients: 0 for no memory, towards 1 for a random walk."""
        return float(self.coefficients.sum())

    @property
    def long_run_sd(self) -> float:
        """Standard deviation of the mean of n steps, times the root of n, for large n."""
        return float(self.innovations.std() / (1 - self.persistence))

    def inflation(self, made: FloatArray) -> float:
        """Give how many points of this noise say as much about a level as one independent one: at least 0.01.

        Parameters
        ----------
        made
            Series that :meth:`simulate` made, for the noise's own variance.
        """
        variance = float(made.var())
        return max(self.long_run_sd**2 / variance, 0.01) if variance else 1.0

    def simulate(self, series: int, times: int, rng: np.random.Generator, *, replace: bool = False) -> FloatArray:
        """Draw series of this noise.

        Parameters
        ----------
        series, times
            Shape of the result.
        rng
            Source of randomness; the same state gives the same series.
        replace
            Whether innovations are drawn with replacement, so that series differ in their mean. Without, all of them
            are used in each, which medians of pairs of points need (see :func:`_shuffled`).
        """
        order = len(self.coefficients)
        burn_in = min(int(np.log(1e-3) / np.log(_largest_root(self.coefficients))) + 10, _MAX_BURN_IN) if order else 0
        if replace:
            noise = rng.choice(self.innovations, (burn_in + times, series))
        else:
            noise = _shuffled(self.innovations, burn_in, times, series, rng)
        for step in range(1, len(noise)):
            for lag in range(1, min(order, step) + 1):
                noise[step] += self.coefficients[lag - 1] * noise[step - lag]
        return np.ascontiguousarray(noise[burn_in:].T)


def remove_mean(series: FloatArray, seen: BoolArray) -> FloatArray:
    """Take each row's mean over the seen times off it; 0 at the others.

    Parameters
    ----------
    series
        Shape (series, times).
    seen
        Shape (times,).
    """
    kept = np.where(seen, series, 0.0)
    return np.where(seen, kept - kept.sum(axis=1, keepdims=True) / seen.sum(), 0.0)


def remove_trend(series: FloatArray, seen: BoolArray, time: FloatArray) -> FloatArray:
    """Take each row's least-squares line over the seen times off it; 0 at the others.

    Parameters
    ----------
    series
        Shape (series, times).
    seen, time
        Shape (times,).
    """
    centred = np.where(seen, time - time[seen].mean(), 0.0)
    level = remove_mean(series, seen)
    slope = level @ centred / (centred @ centred)
    return np.asarray(level - slope[:, None] * centred)


def fit_sieve(
    residuals: FloatArray,
    remove: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
    *,
    least_order: int = 0,
) -> Sieve:
    """Fit a sieve to the residuals of one series.

    The order is the one of least AICc, up to 4 and to one for every 34 points, by Yule-Walker on the pairs that are
    there.

    Parameters
    ----------
    residuals
        Shape (times,): what is left after the level, trend or shift under study is taken out; NaN for gaps.
    remove
        Takes the same thing out of simulated rows of shape (series, times), 0 at the gaps, so that the bias it brings
        is measured and undone.
    rng
        Source of randomness for that measurement.
    least_order
        Lowest order to take, 0 or 1: of few points AICc takes mild memory for none.
    """
    seen = np.isfinite(residuals)
    row = remove_mean(np.nan_to_num(residuals)[None, :], seen)
    covariance = _autocovariance(row, seen, min(_MAX_ORDER, int(seen.sum()) // _POINTS_PER_ORDER))
    order = max(_best_order(covariance, int(seen.sum())), least_order)
    coefficients, variance = _yule_walker(covariance, order)
    raw = Sieve(_stationary(coefficients[0]), _innovations(row[0], seen, coefficients[0]))
    again = _autocovariance(remove(raw.simulate(_BIAS_ROUNDS, len(residuals), rng)), seen, order)
    again_coefficients, again_variance = _yule_walker(again, order)
    corrected = _stationary(2 * raw.coefficients - again_coefficients.mean(axis=0))
    spread = float(variance[0]) / max(float(again_variance.mean()), np.finfo(float).tiny)
    return Sieve(corrected, raw.innovations * np.sqrt(np.clip(spread, 1.0, 2.0)))


def long_run_sd(rows: FloatArray, seen: BoolArray, order: int) -> FloatArray:
    """Estimate each row's :attr:`Sieve.long_run_sd` without any correction.

    As the scale of a studentised statistic it has to err in a simulated series as it does in the observed one.

    Parameters
    ----------
    rows
        Shape (series, times): residuals, 0 at the gaps.
    seen
        Shape (times,).
    order
        Order of the autoregression.

    Returns
    -------
    FloatArray
        Shape (series,); above 0.
    """
    coefficients, variance = _yule_walker(_autocovariance(rows, seen, order), order)
    error = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    return np.asarray(error / (1 - np.minimum(coefficients.sum(axis=1), _MAX_PERSISTENCE)))


def _autocovariance(rows: FloatArray, seen: BoolArray, lags: int) -> FloatArray:
    """Give shape (series, lags + 1); Parzen's estimate for gaps, tapered as the biased estimate is."""
    times = rows.shape[1]
    columns = []
    for lag in range(lags + 1):
        pairs = max(int((seen[lag:] & seen[: times - lag]).sum()), 1)
        columns.append(np.einsum("ij,ij->i", rows[:, lag:], rows[:, : times - lag]) / pairs * (1 - lag / times))
    return np.stack(columns, axis=1)


def _yule_walker(covariance: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Give coefficients, shape (series, order), and innovation variance, shape (series,), by Levinson's recursion.

    Gaps can make covariances that no series has; the variance of an innovation is then nothing or less, and whatever
    is divided by it without bound. So no partial correlation counts as larger than the limit of the roots.
    """
    coefficients = np.zeros((len(covariance), order))
    variance = covariance[:, 0].copy()
    for lag in range(1, order + 1):
        known = coefficients[:, : lag - 1].copy()
        left = covariance[:, lag] - (known * covariance[:, lag - 1 : 0 : -1]).sum(axis=1)
        partial = np.clip(left / np.where(variance > 0, variance, 1.0), -_MAX_ROOT, _MAX_ROOT)
        coefficients[:, : lag - 1] = known - partial[:, None] * known[:, ::-1]
        coefficients[:, lag - 1] = partial
        variance *= 1 - partial**2
    return coefficients, variance


def _best_order(covariance: FloatArray, n: int) -> int:
    """Give the order of least AICc for one row of covariances."""
    best, best_score = 0, np.inf
    for order in range(min(covariance.shape[1], n - 2)):  # of fewer points, AICc says nothing
        coefficients, variances = _yule_walker(covariance, order)
        variance = float(variances[0])
        # Nothing is left to explain, or gaps make it impossible: longer memory cannot be told.
        if variance <= 0 or (order > 1 and abs(coefficients[0, -1]) >= _MAX_ROOT):
            break
        score = n * np.log(variance) + 2 * (order + 1) * n / (n - order - 2)
        if score < best_score:
            best, best_score = order, score
    return best


def _innovations(row: FloatArray, seen: BoolArray, coefficients: FloatArray) -> FloatArray:
    order = len(coefficients)
    complete = seen[order:].copy()
    step = row[order:].copy()
    for lag in range(1, order + 1):
        step -= coefficients[lag - 1] * row[order - lag : len(row) - lag]
        complete &= seen[order - lag : len(row) - lag]
    kept = step[complete] if complete.any() else row[seen]
    return np.asarray(kept - kept.mean())


def _shuffled(innovations: FloatArray, burn_in: int, times: int, series: int, rng: np.random.Generator) -> FloatArray:
    """Draw shape (burn_in + times, series): a burn-in of any innovations, then every innovation as often as the others.

    Drawing with replacement takes the same innovation twice in one series; such ties pull medians of pairs
    towards nothing, and a 90 % interval of the Theil-Sen slope then covers 86 %. So each column is one permutation of
    all its times. Permuting piece by piece, where gaps leave fewer innovations than times, would let no piece be
    higher than another, and slopes scatter too little.
    """
    whole, rest = divmod(times, len(innovations))
    further = rng.permuted(np.tile(innovations, (series, 1)), axis=1)[:, :rest]
    deck = rng.permuted(np.concatenate([np.tile(innovations, (series, whole)), further], axis=1), axis=1)
    before = rng.choice(innovations, (series, burn_in))
    return np.ascontiguousarray(np.concatenate([before, deck], axis=1).T)


def _largest_root(coefficients: FloatArray) -> float:
    """Modulus that governs how slowly a shock dies."""
    moduli = np.abs(np.roots(np.concatenate([[1.0], -coefficients])))
    return float(max(moduli.max(initial=0.0), 1e-6))


def _stationary(coefficients: FloatArray) -> FloatArray:
    """Pull roots beyond the limit back: coefficient k times f**k multiplies every root by f."""
    if not len(coefficients):
        return coefficients
    pull = min(1.0, _MAX_ROOT / _largest_root(coefficients))
    return np.asarray(coefficients * pull ** np.arange(1, len(coefficients) + 1))
