"""What a run could detect, asked before it is made.

A drift is judged by a slope and a shift by a difference of window means; both are linear in the points, so their
standard error under first-order noise of known spread and memory is exact (Brockwell and Davis, *Time Series*, 1991,
section 7.1). How often a test that has to estimate spread and memory itself rejects is then that of a t distribution on
the independent points that are left; a slope is also held against the few terms of its series' own slow part, which
leaves it no more degrees of freedom than those. ``tests/calibration`` holds the answers to within ten points of
simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from soaklib.analysis.statistics import blocks
from soaklib.analysis.statistics.drift import MIN_POINTS
from soaklib.analysis.statistics.intervals import TAIL_OBSERVATIONS
from soaklib.analysis.statistics.series import gridded, require
from soaklib.analysis.statistics.sieve import fit_sieve, remove_trend
from soaklib.analysis.statistics.wander import COSINES
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["Power", "power"]

LEVEL = 0.05

_WARM_UP = 0.05
_PAIRS_EFFICIENCY = 0.955  # of Theil-Sen and Mann-Kendall against least squares for normal noise: 3 / pi
_TERMS_LOST = 2
_WINDOW_SHARE = 12
_PILOT_SERIES = 99
_MAX_POINTS = 1440
_SAME_DISTANCE = 0.01
_NOTHING = 1e-9
_SEED = 19_910_701


@dataclass(frozen=True)
class Power:
    """What :func:`power` found.

    Attributes
    ----------
    power
        Chance that a run detects the change at 5 %.
    detectable
        Smallest change that a run detects with the wanted chance, in value units.
    sd, phi
        Spread of one point and correlation of neighbours that the answer rests on.
    points
        Points of a run.
    detail
        One sentence.
    """

    power: float
    detectable: float
    sd: float
    phi: float
    points: int
    detail: str


def power(
    change: float,
    *,
    hours: float,
    kind: Literal["drift", "shift"] = "drift",
    every_s: float = 600.0,
    sd: float | None = None,
    phi: float | None = None,
    pilot: pl.DataFrame | None = None,
    rate: float | None = None,
    latencies: npt.ArrayLike | None = None,
    q: float = 0.99,
    rps: float | None = None,
    design_effect: float | pl.DataFrame = 1.0,
    wanted: float = 0.8,
) -> Power:
    """Answer whether a run of some hours would detect a change.

    The noise of one point comes from exactly one of: ``sd``; a ``pilot`` series; a success ``rate`` counted ``rps``
    times a second; or single ``latencies`` of which the quantile ``q`` is taken in every point, ``rps`` calls a second.

    Parameters
    ----------
    change
        Value units: over the whole run for a drift, from one level to another for a shift. Memory that grows 1 MB an
        hour changes by 24 MB over 24 hours.
    hours
        Length of the run in hours of ``at``.
    kind
        ``drift``: :func:`soaklib.analysis.statistics.drift.drift` finds it; ``shift``:
        :func:`soaklib.analysis.statistics.effect.effect` does, for an event in the run's middle and with its own
        window.
    every_s
        Seconds from point to point.
    sd, phi
        Spread of a point and correlation of neighbours, below 1 in size; ``phi`` is 0 where nothing says otherwise.
    pilot
        ``at``, ``value`` of a quiet run, ``every_s`` from point to point: gives both.
    rate
        Share that succeeds, between 0 and 1.
    latencies
        Single calls of a quiet run, in the unit of ``change``.
    q
        Quantile of them.
    rps
        Calls a second.
    design_effect
        Of the rate or quantile within a point, for bursts: a number, or what it is measured from, the ``successes`` and
        ``n`` of a pilot's minutes as ``soaklib.success_rate(run)`` gives them; see
        :func:`soaklib.analysis.statistics.blocks.design_effect`. A pilot with too few failures to measure it leaves 1,
        and the detail says so.
    wanted
        Chance of detection that ``detectable`` is for.

    Raises
    ------
    SettingsError
        When not exactly one source of noise is given, one needs ``rps`` and has none, a number is out of range, the
        pilot's points lie at another distance, or the pilot or the latencies do not vary.

    Examples
    --------
    >>> power(0.001, hours=24, rate=0.995, rps=10).power > 0.7
    True
    """
    bursts, bursts_said = _design_effect(design_effect)
    _check_numbers(change=change, hours=hours, every_s=every_s, design_effect=bursts, wanted=wanted, phi=phi)
    points = int(hours * 3600 / every_s + 1e-9)
    if not MIN_POINTS <= points <= _MAX_POINTS:
        message = (
            f"{hours:g} h at {every_s:g} s a point are {points} points; pass every_s for {MIN_POINTS} to {_MAX_POINTS}"
        )
        raise SettingsError(message)
    if sum(source is not None for source in (sd, pilot, rate, latencies)) != 1:
        message = "the noise has no source or several; pass exactly one of sd, pilot, rate, latencies"
        raise SettingsError(message)
    calls = _calls(rps, every_s) if rate is not None or latencies is not None else math.inf
    if pilot is not None:
        spread, memory = _of_pilot(pilot, every_s)
    elif rate is not None:
        spread, memory = _of_rate(rate, calls / bursts), 0.0
    elif latencies is not None:
        spread, memory = _of_quantile(latencies, q, calls / bursts), 0.0
    else:
        spread, memory = _positive(sd), 0.0
    memory = memory if phi is None else phi
    error, freedom = _error(kind, points, memory)
    error *= spread
    chance = _chance(abs(change) / error if error else math.inf, freedom)
    detectable = error * _needed(wanted, freedom)
    detail = (
        f"A {kind} of {change:.4g} in {hours:g} h ({points} points, sd {spread:.4g}, phi {memory:.2f}) is detected "
        f"with {chance:.0%} power; {wanted:.0%} needs {detectable:.4g}.{bursts_said}"
    )
    return Power(chance, detectable, spread, memory, points, detail)


def _design_effect(given: float | pl.DataFrame) -> tuple[float, str]:
    """Give the design effect, measured where a pilot's minutes are given, and what is to be said of it."""
    if isinstance(given, int | float):
        return float(given), ""
    for column in ("successes", "n"):
        require(given, column, "pilot's minutes")
    successes, n = (given[column].to_numpy().astype(np.float64) for column in ("successes", "n"))
    measured = blocks.design_effect(successes, n)
    if measured is None:
        return 1.0, " The pilot's failures are too few to measure bursts: calls are taken as independent."
    return max(measured.factor, 1.0), f" Bursts as in the pilot: design effect {max(measured.factor, 1.0):.3g}."


def _of_pilot(pilot: pl.DataFrame, every_s: float) -> tuple[float, float]:
    """Spread around a line, and the memory of first order that has the same long-run variance."""
    grid = gridded(pilot, max_cells=_MAX_POINTS)
    seen = grid.seen
    if int(seen.sum()) < MIN_POINTS:
        message = f"the pilot has {int(seen.sum())} points with a value; pass at least {MIN_POINTS}"
        raise SettingsError(message)
    pilot_s = grid.cell_h * 3600
    if not math.isclose(pilot_s, every_s, rel_tol=_SAME_DISTANCE):
        message = (
            f"the pilot's points lie {pilot_s:g} s apart and those asked about {every_s:g} s; "
            "pass the pilot's mean over every_s, or its distance as every_s"
        )
        raise SettingsError(message)
    rest = remove_trend(np.nan_to_num(grid.value)[None, :], seen, grid.time_h)[0]
    if float(rest[seen].std()) <= _NOTHING * float(np.abs(grid.value[seen]).max()):
        message = "the pilot's values lie on a line and show no noise; pass a pilot that varies, or sd"
        raise SettingsError(message)
    rng = np.random.default_rng(_SEED)
    sieve = fit_sieve(np.where(seen, rest, np.nan), partial(remove_trend, seen=seen, time=grid.time_h), rng)
    inflation = sieve.inflation(sieve.simulate(_PILOT_SERIES, len(rest), rng))
    return float(rest[seen].std(ddof=2)), (inflation - 1) / (inflation + 1)


def _of_rate(rate: float, calls: float) -> float:
    if not 0 < rate < 1:
        message = f"rate is {rate:g}; pass the share that succeeds, above 0 and below 1"
        raise SettingsError(message)
    return math.sqrt(rate * (1 - rate) / calls)


def _of_quantile(latencies: npt.ArrayLike, q: float, calls: float) -> float:
    """Half the distance of the quantiles one binomial standard deviation of rank to either side."""
    value = np.asarray(latencies, np.float64)
    if not 0 < q < 1 or value.ndim != 1 or not len(value) * min(q, 1 - q) >= TAIL_OBSERVATIONS:
        message = f"{value.size} latencies do not show the quantile {q:g}; pass at least {TAIL_OBSERVATIONS} beyond it"
        raise SettingsError(message)
    if not np.isfinite(value).all():
        message = "latencies hold NaN or infinite values; pass the calls that were answered"
        raise SettingsError(message)
    step = math.sqrt(q * (1 - q) / calls)
    low, high = np.quantile(value, [max(q - step, 0.0), min(q + step, 1.0)])
    if high <= low:
        message = (
            f"the latencies around their quantile {q:g} are all alike and show no noise; pass finer or more of them"
        )
        raise SettingsError(message)
    return float(high - low) / 2


def _calls(rps: float | None, every_s: float) -> float:
    if rps is None or not (math.isfinite(rps) and rps > 0):
        message = f"rps is {rps}; a rate or latencies need the calls a second, above 0"
        raise SettingsError(message)
    return rps * every_s


def _positive(sd: float | None) -> float:
    if sd is None or not (math.isfinite(sd) and sd > 0):
        message = f"sd is {sd}; pass the spread of one point, above 0"
        raise SettingsError(message)
    return sd


def _check_numbers(
    *, change: float, hours: float, every_s: float, design_effect: float, wanted: float, phi: float | None
) -> None:
    limits = {
        "hours above 0": math.isfinite(hours) and hours > 0,
        "every_s above 0": math.isfinite(every_s) and every_s > 0,
        "a finite change": math.isfinite(change),
        "a design_effect of at least 1": math.isfinite(design_effect) and design_effect >= 1,
        "wanted above 0.05 and below 1": LEVEL < wanted < 1,
        "phi between -1 and 1": phi is None or -1 < phi < 1,
    }
    for limit, kept in limits.items():
        if not kept:
            message = f"power cannot be computed from these numbers; pass {limit}"
            raise SettingsError(message)


def _error(kind: str, points: int, phi: float) -> tuple[float, float]:
    """Give the estimate's standard error for noise of spread 1, and the degrees of freedom behind that error."""
    if kind == "drift":
        kept = points - math.ceil(_WARM_UP * (points - 1))
        time = np.arange(kept) - (kept - 1) / 2
        weights = time / (time @ time) * (points - 1)
        independent = kept * (1 - phi) / (1 + phi)
        # a slope is held against its series' own slow part, too, of which there are so few terms
        return _spread(weights, phi) / math.sqrt(_PAIRS_EFFICIENCY), min(max(independent - _TERMS_LOST, 1.0), COSINES)
    if kind == "shift":
        window = max(round(points / _WINDOW_SHARE), 2)
        settling = max(window // 4, 1)
        weights = np.zeros(2 * window + settling)
        weights[:window], weights[-window:] = -1 / window, 1 / window
        # Windows that fit beside the event without overlap: what the spread of the placebos is estimated from.
        return _spread(weights, phi), max((points - 2 * len(weights)) / window, 1.0)
    message = f"kind is {kind!r}; pass 'drift' or 'shift'"
    raise SettingsError(message)


def _spread(weights: FloatArray, phi: float) -> float:
    """Give the standard deviation of a weighted sum of first-order noise of spread 1.

    The double sum over all pairs of points folds into one over the weights' own correlation at each lag.
    """
    lags = np.correlate(weights, weights, mode="full")[len(weights) - 1 :]
    return math.sqrt(lags[0] + 2 * float(lags[1:] @ phi ** np.arange(1, len(lags))))


def _chance(effect: float, freedom: float) -> float:
    """Give the power of a two-sided t test at 5 %, effect in standard errors; its wrong side is left out.

    The noncentral t distribution by its normal approximation (Abramowitz and Stegun, 1964, 26.7.10), which has no gaps.
    """
    from scipy.special import ndtr  # noqa: PLC0415 - scipy is not for `import soaklib`

    bound, scatter = _bound(freedom)
    return float(ndtr((effect - bound) / scatter))


def _needed(wanted: float, freedom: float) -> float:
    """Give the effect in standard errors at which the power is the wanted one."""
    from scipy.special import ndtri  # noqa: PLC0415 - scipy is not for `import soaklib`

    bound, scatter = _bound(freedom)
    return max(float(bound + scatter * ndtri(wanted)), 0.0)


def _bound(freedom: float) -> tuple[float, float]:
    """Give the effect that is detected half the time, and how far detection scatters about it."""
    from scipy.special import stdtrit  # noqa: PLC0415 - scipy is not for `import soaklib`

    critical = float(stdtrit(freedom, 1 - LEVEL / 2))
    return critical * (1 - 1 / (4 * freedom)), math.sqrt(1 + critical**2 / (2 * freedom))
