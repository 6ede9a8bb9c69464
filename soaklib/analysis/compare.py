"""Two runs held against each other, as the weekly soak does: what has changed, and how sure that is.

Of each endpoint the means over windows of soak time are compared. Windows next to each other are alike, so the interval
of the difference comes from a stationary bootstrap of both series (Politis and Romano, JASA 89, 1994), with block
lengths chosen from the data. Two runs are the ``same`` in an endpoint when the whole interval lies within the margin
(two one-sided tests at 5 %, Schuirmann 1987), ``different`` when it excludes zero and is not within the margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from soaklib.analysis.endpoints import ENDPOINTS, Endpoint, endpoint_series
from soaklib.analysis.resampling import stationary_block_length, stationary_indices
from soaklib.analysis.timeline import planned_windows

if TYPE_CHECKING:
    import numpy.typing as npt

    from soaklib.analysis.load import Run

__all__ = ["COMPARISON_SCHEMA", "compare"]

COMPARISON_SCHEMA: Final = pl.Schema(
    {
        "endpoint": pl.String(), "unit": pl.String(), "a": pl.Float64(), "b": pl.Float64(), "difference": pl.Float64(),
        "low": pl.Float64(), "high": pl.Float64(), "margin": pl.Float64(), "n_a": pl.Int64(), "n_b": pl.Int64(),
        "state": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`compare`."""

_RESAMPLES: Final = 1999
_SEED: Final = 19_940_426
_TAILS: Final = (0.05, 0.95)
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


def _values(run: Run, endpoint: Endpoint) -> npt.NDArray[np.float64]:
    series = endpoint_series(run, endpoint).drop_nulls("value")
    for start_s, end_s in planned_windows(run).iter_rows():
        series = series.filter(~pl.col("soak_s").is_between(start_s - 600, end_s))
    return series["value"].to_numpy()


def _difference(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], margin: float
) -> tuple[float | None, float | None, float | None, float | None, float | None, float, int, int, str]:
    mean_a, mean_b = (float(values.mean()) if values.size else None for values in (a, b))
    if mean_a is None or mean_b is None or min(a.size, b.size) < _LEAST_WINDOWS:
        return mean_a, mean_b, None, None, None, margin, a.size, b.size, "inconclusive"
    rng = np.random.default_rng(_SEED)
    means = [
        values[stationary_indices(values.size, stationary_block_length(values), (_RESAMPLES, values.size), rng)].mean(
            axis=1
        )
        for values in (a, b)
    ]
    low, high = (float(bound) for bound in np.quantile(means[1] - means[0], _TAILS))
    beyond = "different" if low > 0 or high < 0 else "inconclusive"
    state = "same" if -margin <= low and high <= margin else beyond
    return mean_a, mean_b, mean_b - mean_a, low, high, margin, a.size, b.size, state
