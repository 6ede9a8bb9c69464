"""Two runs held against each other, as the weekly soak does: what has changed, and how sure that is.

Each tool is compared by itself, and an endpoint is as its worst tool is, chance alarms of several tools allowed for
(Holm): of all together the quantile falls where a slow tool's calls fail. The value is that over all compared calls,
exactly: a quantile is that of the calls, not a mean of the windows'. How it scatters is told by windows of soak time:
what each adds to or takes from the value, its influence, has the value for its mean when the value is added to each
(for a quantile: the share of the window's calls beyond it over the density there, Bahadur, *A note on quantiles in
large samples*, Ann. Math. Stat. 37, 1966). Windows next to each other are alike, so test and interval of the difference
are a bootstrap-t over series that an AR-sieve of each run's own windows makes
(:mod:`soaklib.analysis.statistics.sieve`), as those of :func:`soaklib.analysis.statistics.drift.drift` are. Two runs
are the ``same`` in an endpoint when the whole 90 % interval lies within the margin (two one-sided tests at 5 %,
Schuirmann 1987), ``different`` when the test rejects at 5 % and the difference itself lies beyond the margin: one that
most likely does not matter is none, however sure it is.

Runs differ from one another by more than the windows of one of them tell: of three or more runs that were kept as good
ones (``kept``) the spread from run to run is taken, and both a test and an interval by it count where they are wider.
Of five or more it is the spread around their own line: what creeps from run to run is no scatter.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
import polars as pl

from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.statistics.drift import COVERING, LEVEL
from soaklib.analysis.statistics.multiplicity import adjusted
from soaklib.analysis.statistics.sieve import fit_sieve, long_run_sd, remove_mean
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, Endpoint, generator_lag_ms, window_s
from soaklib.store.quoting import text_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.series import FloatArray

__all__ = [
    "COMPARISON_SCHEMA",
    "LEAST_WINDOWS",
    "OFFSETS",
    "MeanDifference",
    "compare",
    "compare_tools",
    "mean_difference",
    "quantile_windows",
    "value_windows",
    "with_spread",
    "worst_tools",
]

COMPARISON_SCHEMA: Final = pl.Schema(
    {
        "endpoint": pl.String(), "unit": pl.String(), "a": pl.Float64(), "b": pl.Float64(), "difference": pl.Float64(),
        "low": pl.Float64(), "high": pl.Float64(), "margin": pl.Float64(), "n_a": pl.Int64(), "n_b": pl.Int64(),
        "state": pl.String(), "tool": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`compare`."""

_VALUE_WINDOWS_SCHEMA: Final = pl.Schema({"soak_s": pl.Float64(), "value": pl.Float64()})
_RESAMPLES: Final = 999
_SEED: Final = 19_940_426
_NOTHING: Final = 1e-9
_LEAST_BEYOND: Final = 10
_REACH: Final = 1.645
_LEAST_KEPT: Final = 3
_LEAST_FOR_A_LINE: Final = 5
_LEAST_ERROR: Final = 0.1
_WORST: Final = {"different": 2, "inconclusive": 1, "same": 0}

LEAST_WINDOWS: Final = 24
"""Fewer than so many windows of a run tell no interval."""

OFFSETS: Final = 0.95 * 2.0 ** -np.arange(0, 11, 0.5)
"""How far beside a level its neighbours lie that tell the density there, as shares of the way from it to 1."""


def compare(run_a: Run, run_b: Run, *, kept: Sequence[Run] = ()) -> pl.DataFrame:
    """Compare two runs, endpoint by endpoint, outside their planned and invalid windows.

    Parameters
    ----------
    run_a, run_b
        The earlier and the later run; margins are those of the later one's thresholds.
    kept
        Good runs of the same load, in any order, `run_a` among them or not, that say how far runs differ by themselves;
        fewer than three say nothing.

    Returns
    -------
    polars.DataFrame
        ``endpoint``, ``unit``, ``a`` and ``b`` (over all compared calls of the tool), ``difference`` (b - a), ``low``
        and ``high`` (its 90 % interval), ``margin``, ``n_a`` and ``n_b`` (windows), ``state`` (``same``, ``different``,
        ``inconclusive``: among others with fewer than 24 windows, or ten calls beyond a quantile), ``tool`` (the one
        that the row is of: the worst of those that can be compared, one that got worse before one that got better).
    """
    return worst_tools(compare_tools(run_a, run_b, kept=kept))


def compare_tools(run_a: Run, run_b: Run, *, kept: Sequence[Run] = ()) -> pl.DataFrame:
    """Compare two runs as :func:`compare` does, with a row for each tool of an endpoint.

    Which tool is the worst may be another each time, by chance: a series over several runs is one of a tool.

    Parameters
    ----------
    run_a, run_b, kept
        As for :func:`compare`.

    Returns
    -------
    polars.DataFrame
        Columns of :func:`compare`, by endpoint and tool; ``state`` allows for the number of an endpoint's tools (Holm).
    """
    rows = [row for endpoint in ENDPOINTS for row in _by_tool(run_a, run_b, endpoint, kept)]
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA, orient="row")


def worst_tools(found: pl.DataFrame) -> pl.DataFrame:
    """Give, of what :func:`compare_tools` found, the row of each endpoint's worst tool, as :func:`compare` does."""
    rows = groupby(map(_Row._make, found.iter_rows()), key=lambda row: row.endpoint)
    return pl.DataFrame([_worst(list(of_it)) for _, of_it in rows], schema=COMPARISON_SCHEMA, orient="row")


class _Row(NamedTuple):
    """A row of :func:`compare`."""

    endpoint: str
    unit: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    margin: float
    n_a: int
    n_b: int
    state: str
    tool: str | None


def _worst(rows: Sequence[_Row]) -> _Row:
    """Give the row of the worst tool; one that has too few calls says nothing where another has enough."""
    told = [row for row in rows if row.difference is not None] or rows
    return max(told, key=_badness)


def _badness(row: _Row) -> tuple[bool, int, float]:
    """Rank a row: no gain of one tool, however large, hides what another lost. Of every endpoint, more is worse."""
    difference = row.difference or 0.0
    return row.state == "different" and difference > 0, _WORST[row.state], difference / row.margin


def _by_tool(run_a: Run, run_b: Run, endpoint: Endpoint, kept: Sequence[Run]) -> list[_Row]:
    tools = sorted({*_tools(run_a), *_tools(run_b)}) or [""]
    kept = kept if len(kept) >= _LEAST_KEPT else ()
    rows, p_values = [], []
    lag_ms = max(generator_lag_ms(run_a, endpoint), generator_lag_ms(run_b, endpoint))
    for tool in tools:
        a, b = _windows(run_a, endpoint, tool), _windows(run_b, endpoint, tool)
        means = [float(values.mean()) if values.size else None for values in (a, b)]
        margin = endpoint.margin(run_b.thresholds, means[0] if means[0] is not None else means[1], lag_ms)
        row = _Row(
            endpoint.name, endpoint.unit, means[0], means[1], None, None, None, margin, a.size, b.size, "inconclusive",
            tool or None,
        )  # fmt: skip
        if min(a.size, b.size) >= LEAST_WINDOWS:
            found = with_spread(mean_difference(a, b), *_kept_means(kept, endpoint, tool))
            row = row._replace(difference=found.difference, low=found.low, high=found.high)
            p_values.append(found.p_value)
        else:
            p_values.append(math.nan)
        rows.append(row)
    return [_judged(row, p_value) for row, p_value in zip(rows, adjusted(p_values).tolist(), strict=True)]


def _judged(row: _Row, p_value: float) -> _Row:
    if row.difference is None or row.low is None or row.high is None:
        return row
    if -row.margin <= row.low and row.high <= row.margin:
        return row._replace(state="same")
    is_different = p_value <= LEVEL and abs(row.difference) > row.margin
    return row._replace(state="different" if is_different else "inconclusive")


def _tools(run: Run) -> list[str]:
    return run.asked("select distinct tool from valid_calls where purpose = 'load' order by tool")["tool"].to_list()


def _kept_means(kept: Sequence[Run], endpoint: Endpoint, tool: str) -> tuple[FloatArray, FloatArray]:
    """Give the endpoint's value in each of the kept runs that have it, and when each began, in seconds."""
    windows = [(_windows(run, endpoint, tool), run.info.started_utc.timestamp()) for run in kept]
    told = [(values.mean(), at_s) for values, at_s in windows if values.size >= LEAST_WINDOWS]
    means, at = np.array(told, dtype=np.float64).reshape(-1, 2).T
    return means, at


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


def _windows(run: Run, endpoint: Endpoint, tool: str) -> FloatArray:
    """Give a tool's windows of an endpoint outside the planned ones: their mean is its value over all their calls."""
    found = value_windows(run, f"tool = {text_sql(tool)} and {endpoint.calls}", endpoint.quantile)
    return found["value"].to_numpy()


def value_windows(
    run: Run, calls: str, quantile: float | None, *, of: str = "service_us", length_s: float | None = None
) -> pl.DataFrame:
    """Give windows outside the planned ones whose mean is a value over all their calls.

    Parameters
    ----------
    run
        The run.
    calls
        SQL that says of which of ``valid_calls`` of the load.
    quantile
        Which quantile; None for the share that failed.
    of
        SQL of what it is a quantile of, whole microseconds of a call.
    length_s
        Length of a window, soak seconds; None for that of :func:`compare`.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` (start of the window) and ``value`` (milliseconds or percent: the value and what the window adds to
        or takes from it), in order; one row that tells the quantile alone where fewer than ten calls lie beyond it, and
        none without calls.
    """
    length = window_s(run) if length_s is None else length_s
    start_s = f"floor(soak_s / {length!r}) * {length!r}"
    planned = " or ".join(
        f"({start_s} < {end_s!r} and {start_s} + {length!r} > {from_s!r})"
        for from_s, end_s in planned_windows(run).select("start_s", "end_s").iter_rows()
    )
    rows = f"from valid_calls where purpose = 'load' and {calls} and not ({planned or 'false'})"
    if quantile is None:
        counts = run.asked(
            f"select {start_s} as soak_s, count(*) as n, count(*) filter (not succeeded) as failed {rows}"
            " group by all order by all"
        )
        failed, n = (counts[column].to_numpy().astype(np.float64) for column in ("failed", "n"))
        share = failed.sum() / max(n.sum(), 1)
        return counts.select(
            "soak_s", value=pl.Series(100 * (share + (failed - share * n) / (n.mean() if n.size else 1)))
        )
    offsets = (1 - quantile) * OFFSETS
    levels = np.concatenate([quantile - offsets, [quantile], quantile + offsets[::-1]])
    quantiles = run.asked(f"select quantile_disc({of}, {levels.tolist()}) {rows}").item()
    if quantiles is None:
        return pl.DataFrame(schema=_VALUE_WINDOWS_SCHEMA)
    at = np.asarray(quantiles, dtype=np.float64) / 1000
    middle_us = int(quantiles[len(offsets)])  # whole: a hair less would count those that are equal as beyond it
    counts = run.asked(
        f"select {start_s} as soak_s, count(*) as n, count(*) filter ({of} > {middle_us!r}) as beyond {rows}"
        " group by all order by all"
    )
    beyond, n = (counts[column].to_numpy().astype(np.float64) for column in ("beyond", "n"))
    if n.sum() * (1 - quantile) < _LEAST_BEYOND:
        return counts.select("soak_s", value=pl.lit(middle_us / 1000)).head(1)
    return counts.select("soak_s", value=pl.Series(quantile_windows(quantile, levels, at, beyond, n)))


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
        # Where all values but a few are alike, a resample may hold none of the few: it is not infinitely certain.
        errors = np.maximum(long_run_sd(remove(made), seen, order), _LEAST_ERROR * error)
        return cls(made.mean(axis=1), errors / root, error / root)


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


def with_spread(found: MeanDifference, kept: FloatArray, at: FloatArray | None = None) -> MeanDifference:
    """Widen a difference of two runs to what runs differ by themselves.

    Parameters
    ----------
    found
        As the windows of both tell it.
    kept
        Shape (runs,): the same value in runs that nobody changed anything between; fewer than three change nothing.
    at
        Shape (runs,): when each of them was, in any unit; None for one after the other, equally far apart.
    """
    if len(kept) < _LEAST_KEPT:
        return found
    from scipy.special import stdtr, stdtrit  # noqa: PLC0415 - scipy is not for `import soaklib`

    spread, freedom = _spread(kept, np.arange(len(kept), dtype=np.float64) if at is None else at)
    error = spread * math.sqrt(2)
    if not error:
        return found
    half = max(float(stdtrit(freedom, 1 - LEVEL)) * error, (found.high - found.low) / 2)
    p_value = max(float(2 * stdtr(freedom, -abs(found.difference) / error)), found.p_value)
    return MeanDifference(found.difference, found.difference - half, found.difference + half, p_value)


def _spread(kept: FloatArray, at: FloatArray) -> tuple[float, int]:
    """Give how far runs scatter, and of how many degrees of freedom: around their line where there are enough of them.

    Runs that get worse by a little each week would else be taken for runs that differ by as much.
    """
    if len(kept) < _LEAST_FOR_A_LINE or not np.ptp(at):
        return float(kept.std(ddof=1)), len(kept) - 1
    apart = at - at.mean()
    left = kept - kept.mean() - apart * (float(apart @ kept) / float(apart @ apart))
    freedom = len(kept) - 2
    return math.sqrt(float(left @ left) / freedom), freedom
