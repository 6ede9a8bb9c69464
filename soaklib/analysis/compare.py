"""Two runs held against each other, as the weekly soak does: what has changed, and how sure that is.

Of each endpoint the means over windows of soak time are compared. Windows next to each other are alike, so test and
interval of the difference are a bootstrap-t over series that an AR-sieve of each run's own windows makes
(:mod:`soaklib.analysis.sieve`), as those of :func:`soaklib.analysis.drift.drift` are. Two runs are the ``same`` in an
endpoint when the whole 90 % interval lies within the margin (two one-sided tests at 5 %, Schuirmann 1987),
``different`` when the test rejects at 5 % and the interval is not within the margin.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
import polars as pl

from soaklib.analysis.drift import COVERING, LEVEL
from soaklib.analysis.endpoints import ENDPOINTS, Endpoint, endpoint_series
from soaklib.analysis.sieve import fit_sieve, long_run_sd, remove_mean
from soaklib.analysis.timeline import planned_windows

if TYPE_CHECKING:
    from soaklib.analysis.load import Run
    from soaklib.analysis.series import FloatArray

__all__ = ["COMPARISON_SCHEMA", "MeanDifference", "compare", "mean_difference"]

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


def compare(run_a: Run, run_b: Run) -> pl.DataFrame:
    """Compare two runs, endpoint by endpoint, outside their planned and invalid windows.

    Parameters
    ----------
    run_a, run_b
        The earlier and the later run; margins are those of the later one's thresholds.

    Returns
    -------
    polars.DataFrame
        ``endpoint``, ``unit``, ``a`` and ``b`` (means over windows of soak time), ``difference`` (b - a), ``low`` and
        ``high`` (its 90 % interval), ``margin``, ``n_a`` and ``n_b`` (windows), ``state`` (``same``, ``different``,
        ``inconclusive``).
    """
    rows = []
    for endpoint in ENDPOINTS:
        a, b = _values(run_a, endpoint), _values(run_b, endpoint)
        margin = float(getattr(run_b.thresholds, endpoint.threshold))
        rows.append((endpoint.name, endpoint.unit, *_difference(a, b, margin)))
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA, orient="row")


def _values(run: Run, endpoint: Endpoint) -> FloatArray:
    series = endpoint_series(run, endpoint).drop_nulls("value")
    for start_s, end_s in planned_windows(run).iter_rows():
        series = series.filter(~pl.col("soak_s").is_between(start_s - 600, end_s))
    return series["value"].to_numpy()


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
