"""Two runs held against each other, as the weekly soak does: what has changed, and how sure that is.

Of each endpoint the value over all compared calls of all tools together is compared, exactly: a quantile is that of the
calls, not a mean of the windows'. How it scatters is told by windows of soak time: what each adds to or takes from the
value, its influence, has the value for its mean when the value is added to each (for a quantile: the share of the
window's calls beyond it over the density there, Bahadur, *A note on quantiles in large samples*, Ann. Math. Stat. 37,
1966). Windows next to each other are alike, so test and interval of the difference are a bootstrap-t over series that
an AR-sieve of each run's own windows makes (:mod:`soaklib.analysis.statistics.sieve`), as those of
:func:`soaklib.analysis.statistics.drift.drift` are. Two runs are the ``same`` in an endpoint when the whole 90 %
interval lies within the margin (two one-sided tests at 5 %, Schuirmann 1987), ``different`` when the test rejects at 5
% and the interval is not within the margin.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
import polars as pl

from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.statistics.drift import COVERING, LEVEL
from soaklib.analysis.statistics.sieve import fit_sieve, long_run_sd, remove_mean
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, Endpoint, window_s

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["COMPARISON_SCHEMA", "OFFSETS", "MeanDifference", "compare", "mean_difference", "quantile_windows"]

COMPARISON_SCHEMA: Final = pl.Schema(
    {
        "endpoint": pl.String(), "unit": pl.String(), "a": pl.Float64(), "b": pl.Float64(), "difference": pl.Float64(),
        "low": pl.Float64(), "high": pl.Float64(), "margin": pl.Float64(), "n_a": pl.Int64(), "n_b": pl.Int64(),
        "state": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`compare`."""

_RESAMPLES: Final = 999
_SEED: Final = 19_940_426
_NOTHING: Final = 1e-9
_LEAST_WINDOWS: Final = 24
_LEAST_BEYOND: Final = 10
_REACH: Final = 1.645

OFFSETS: Final = 0.95 * 2.0 ** -np.arange(0, 11, 0.5)
"""How far beside a level its neighbours lie that tell the density there, as shares of the way from it to 1."""


def compare(run_a: Run, run_b: Run) -> pl.DataFrame:
    """Compare two runs, endpoint by endpoint, outside their planned and invalid windows.

    Parameters
    ----------
    run_a, run_b
        The earlier and the later run; margins are those of the later one's thresholds.

    Returns
    -------
    polars.DataFrame
        ``endpoint``, ``unit``, ``a`` and ``b`` (over all compared calls), ``difference`` (b - a), ``low`` and
        ``high`` (its 90 % interval), ``margin``, ``n_a`` and ``n_b`` (windows), ``state`` (``same``, ``different``,
        ``inconclusive``: among others with fewer than 24 windows, or ten calls beyond a quantile).
    """
    rows = []
    for endpoint in ENDPOINTS:
        a, b = _windows(run_a, endpoint), _windows(run_b, endpoint)
        margin = float(getattr(run_b.thresholds, endpoint.threshold))
        rows.append((endpoint.name, endpoint.unit, *_difference(a, b, margin)))
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA, orient="row")


def quantile_windows(
    level: float, neighbours: FloatArray, quantiles: FloatArray, beyond: FloatArray, calls: FloatArray
) -> FloatArray:
    """Give each window's value of a quantile of all calls: the quantile and the window's influence on it.

    Parameters
    ----------
    level
        Of the quantile.
    neighbours, quantiles
        Shape (levels,): ascending levels around ``level``, itself among them, and the quantiles of all calls there.
    beyond, calls
        Shape (windows,): calls above the quantile, and all calls, of each window.

    Returns
    -------
    FloatArray
        Shape (windows,), in the quantiles' unit; its mean is the quantile.
    """
    excess = (beyond - beyond.sum() / calls.sum() * calls) / calls.mean()
    # The density is that of the calls as far as the quantile's own uncertainty reaches.
    error = _Scatter.of(excess, np.random.default_rng(_SEED)).error
    reach = float(np.clip(_REACH * error, *((1 - level) * OFFSETS[[-1, 0]])))
    low, high = np.interp([level - reach, level + reach], neighbours, quantiles)
    return np.asarray(np.interp(level, neighbours, quantiles) + excess * (high - low) / (2 * reach))


def _windows(run: Run, endpoint: Endpoint) -> FloatArray:
    """Give an endpoint's windows outside the planned ones: their mean is its value over their calls, all together."""
    length = window_s(run)
    start_s = f"floor(soak_s / {length!r}) * {length!r}"
    planned = " or ".join(
        f"({start_s} < {end_s!r} and {start_s} + {length!r} > {from_s!r})"
        for from_s, end_s in planned_windows(run).select("start_s", "end_s").iter_rows()
    )
    calls = f"from valid_calls where purpose = 'load' and {endpoint.calls} and not ({planned or 'false'})"
    if endpoint.quantile is None:
        counts = run.sql(
            f"select count(*) as n, count(*) filter (not succeeded) as failed {calls} group by {start_s}"
            f" order by {start_s}"
        )
        failed, n = (counts[column].to_numpy().astype(np.float64) for column in ("failed", "n"))
        if not n.size:
            return np.empty(0)
        share = failed.sum() / n.sum()
        return np.asarray(100 * (share + (failed - share * n) / n.mean()))
    level = endpoint.quantile
    offsets = (1 - level) * OFFSETS
    levels = np.concatenate([level - offsets, [level], level + offsets[::-1]])
    quantiles = run.sql(f"select quantile_cont(service_us, {levels.tolist()}) {calls}").item()
    if quantiles is None:
        return np.empty(0)
    at = np.asarray(quantiles, dtype=np.float64) / 1000
    middle_us = float(np.interp(level, levels, at)) * 1000
    counts = run.sql(
        f"select count(*) as n, count(*) filter (service_us > {middle_us!r}) as beyond {calls} group by {start_s}"
        f" order by {start_s}"
    )
    beyond, n = (counts[column].to_numpy().astype(np.float64) for column in ("beyond", "n"))
    if n.sum() * (1 - level) < _LEAST_BEYOND:
        return np.full(1, middle_us / 1000)
    return quantile_windows(level, levels, at, beyond, n)


class _Scatter(NamedTuple):
    """How the mean of one run's windows scatters: shape (resamples,) each, and the standard error of the real one."""

    means: FloatArray
    errors: FloatArray
    error: float

    @classmethod
    def of(cls, values: FloatArray, rng: np.random.Generator) -> Self:
        seen = np.ones(len(values), dtype=bool)
        residual = values - values.mean()
        if np.abs(residual).max() <= _NOTHING * np.abs(values).max():
            return cls(np.zeros(_RESAMPLES), np.zeros(_RESAMPLES), 0.0)
        remove = partial(remove_mean, seen=seen)
        sieve = fit_sieve(residual, remove, rng)
        made = sieve.simulate(_RESAMPLES, len(values), rng, replace=True)
        order, root = len(sieve.coefficients), len(values) ** 0.5
        error = long_run_sd(residual[None, :], seen, order).item()
        return cls(made.mean(axis=1), long_run_sd(remove(made), seen, order) / root, error / root)


class MeanDifference(NamedTuple):
    """How much the means of two series differ.

    Attributes
    ----------
    difference
        Mean of the second less that of the first, in the values' unit.
    low, high
        Its 90 % interval.
    p_value
        Of no difference, two-sided.
    """

    difference: float
    low: float
    high: float
    p_value: float


def mean_difference(a: FloatArray, b: FloatArray) -> MeanDifference:
    """Compare the means of two series of windows in order, each of shape (windows,), not empty, without gaps."""
    rng = np.random.default_rng(_SEED)
    scatter_a, scatter_b = _Scatter.of(a, rng), _Scatter.of(b, rng)
    difference, error = float(b.mean() - a.mean()), math.hypot(scatter_a.error, scatter_b.error)
    if not error:
        return MeanDifference(difference, difference, difference, float(difference == 0))
    pivots = np.abs(scatter_b.means - scatter_a.means) / np.hypot(scatter_a.errors, scatter_b.errors)
    half = float(np.quantile(pivots, COVERING)) * error
    p_value = float((1 + np.count_nonzero(pivots >= abs(difference) / error)) / (_RESAMPLES + 1))
    return MeanDifference(difference, difference - half, difference + half, p_value)


def _difference(
    a: FloatArray, b: FloatArray, margin: float
) -> tuple[float | None, float | None, float | None, float | None, float | None, float, int, int, str]:
    mean_a, mean_b = (float(values.mean()) if values.size else None for values in (a, b))
    if mean_a is None or mean_b is None or min(a.size, b.size) < _LEAST_WINDOWS:
        return mean_a, mean_b, None, None, None, margin, a.size, b.size, "inconclusive"
    found = mean_difference(a, b)
    beyond = "different" if found.p_value <= LEVEL else "inconclusive"
    state = "same" if -margin <= found.low and found.high <= margin else beyond
    return mean_a, mean_b, found.difference, found.low, found.high, margin, a.size, b.size, state
