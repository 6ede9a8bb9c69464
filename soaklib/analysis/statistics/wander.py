"""Noise that wanders: what a trend has to exceed before it is one.

An AR-sieve of a day's points knows memory of an hour, not that of half a day. Two checks of another kind stand beside
it, and whoever rejects by the sieve alone has shown nothing:

- Against a random walk. The trend's change, over the range that the points span around it, is held against the same
  ratio of simulated random walks, the least favourable noise there is; no scale and no memory has to be estimated. Of
  few points this is the only test (:func:`against_a_walk`); of many it is asked where averages of four points still
  hang together (von Neumann's ratio below 1.2, where independent ones give 2).
- Against the series' own slow part: the slope over its standard error from four slow cosines that the trend
  leaves (equal-weighted cosine estimate with fixed-b t quantiles: Lazarus, Lewis, Stock, Watson, *HAR inference*, JBES
  36, 2018).

A third says what a trend may be instead: one cycle of a day, where that fits far better than a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soaklib.analysis.statistics.series import ranks
from soaklib.analysis.statistics.slopes import theil_sen

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import FloatArray

__all__ = [
    "A_DAY",
    "COSINES",
    "LEAST_POINTS",
    "Walked",
    "against_a_walk",
    "doubt",
    "is_daily",
    "step_doubt",
    "walk_p_value",
]

LEAST_POINTS: Final = 8
"""Fewer points are not held against anything."""

_LEVEL: Final = 0.05
_CONFIDENCE: Final = 0.90
_POWER: Final = 0.80
_WALKS: Final = 999
_SEED: Final = 19_050_727
_NOTHING: Final = 1e-9
_GROUP: Final = 4
_FREQUENCIES: Final = 16
_OF_LONG_MEMORY: Final = 0.4  # a fixed-b test at 2 % errs in 6 or 7 % of series with a memory of 0.4
_HANGS_TOGETHER: Final = 1.2
_STEP_LEVEL: Final = 0.01  # the step is the best of all
_STEP_HANGS_TOGETHER: Final = 1.45  # the best step of noise takes more of its memory along than a line does
COSINES: Final = 4
"""Terms of a series' slow part, and so the degrees of freedom of what a slope is held against."""
A_DAY: Final = "one cycle of a day fits far better than a line: a longer run, or a reference run, can tell"
_DAY_H: Final = 24.0
_LEAST_OF_A_DAY: Final = 0.75
_CYCLE_FITS_BETTER: Final = 0.8


class Walked(NamedTuple):
    """A slope held against random walks.

    Attributes
    ----------
    slope
        Theil-Sen's, value units per unit of time.
    low, high
        90 % interval that holds though the noise be a random walk.
    p_value
        Share of random walks whose slope is as large beside their range.
    detectable
        Smallest slope that such a test finds in such noise four times of five, if the noise is a random walk.
    """

    slope: float
    low: float
    high: float
    p_value: float
    detectable: float


def against_a_walk(value: FloatArray, time: FloatArray) -> Walked:
    """Hold the slope of a series against random walks at the same times.

    Parameters
    ----------
    value, time
        Shape (points,), at least two, ascending times, no gaps.
    """
    slope = theil_sen(value[None, :], time).item()
    around = float(np.ptp(value - slope * time))
    if around <= _NOTHING * max(np.ptp(value), np.abs(value).max()):
        moved = np.ptp(value) > _NOTHING * np.abs(value).max()
        slope = slope if moved else 0.0
        return Walked(slope, slope, slope, 1 / (_WALKS + 1) if moved else 1.0, 0.0)
    rng = np.random.default_rng(_SEED)
    steps = rng.standard_normal((_WALKS, len(time) - 1)) * np.sqrt(np.diff(time))
    walks = np.concatenate([np.zeros((_WALKS, 1)), np.cumsum(steps, axis=1)], axis=1)
    slopes = theil_sen(walks, time)
    ranges = np.ptp(walks - slopes[:, None] * time, axis=1)
    pivots = np.abs(slopes) / ranges
    half, critical = (float(np.quantile(pivots, share)) for share in (_CONFIDENCE, 1 - _LEVEL))
    p_value = float((1 + np.count_nonzero(pivots >= abs(slope) / around)) / (_WALKS + 1))
    detectable = float(np.quantile(critical - slopes / ranges, _POWER)) * around
    return Walked(slope, slope - half * around, slope + half * around, p_value, detectable)


def walk_p_value(value: FloatArray, time: FloatArray) -> float:
    """Give the share of random walks that come as far: of averages of four points, of few points as they are.

    Parameters
    ----------
    value, time
        As for :func:`against_a_walk`.
    """
    if len(value) < LEAST_POINTS * _GROUP:
        return against_a_walk(value, time).p_value
    return against_a_walk(_grouped(value), _grouped(time)).p_value


def doubt(value: FloatArray, time_h: FloatArray) -> str | None:
    """Say why a slope that a sieve calls significant may be none; None where the other checks agree.

    Parameters
    ----------
    value, time_h
        Shape (points,): no gaps, ascending hours, some dozens at least.
    """
    if is_daily(value, time_h):
        return A_DAY
    means, times = _grouped(value), _grouped(time_h)
    if len(means) >= LEAST_POINTS and _ratio(means, times) < _HANGS_TOGETHER:
        walked = against_a_walk(means, times)
        if walked.p_value > _LEVEL:
            return f"it wanders slowly, and a random walk comes as far in {walked.p_value:.0%} of cases"
    return _slow_doubt(value, time_h, _LEVEL)


def step_doubt(value: FloatArray, time_h: FloatArray, edge: int) -> str | None:
    """Say why a step that a sieve calls significant may be none; None where nothing speaks against it.

    Parameters
    ----------
    value, time_h
        Shape (points,): no gaps, ascending hours.
    edge
        The first point of the new level.
    """
    rank = ranks(value)
    left = np.concatenate([rank[:edge] - rank[:edge].mean(), rank[edge:] - rank[edge:].mean()])
    if _spans_a_day(time_h) and _after_cycle(rank, time_h) < _CYCLE_FITS_BETTER * float(left @ left):
        return "one cycle of a day fits far better than a step: a longer run, or a reference run, can tell"
    if (reason := _slow_doubt(rank, (np.arange(len(value)) >= edge).astype(np.float64), _STEP_LEVEL)) is not None:
        return reason
    means = _grouped(left)
    if len(means) < LEAST_POINTS or _von_neumann(means) >= _STEP_HANGS_TOGETHER:
        return None
    walks = np.cumsum(np.random.default_rng(_SEED).standard_normal((_WALKS, len(value))), axis=1)
    reached = float((1 + np.count_nonzero(_step_reach(walks) >= _step_reach(value[None, :]).item())) / (_WALKS + 1))
    return None if reached <= _LEVEL else f"it wanders slowly, and a random walk comes as far in {reached:.0%} of cases"


def _step_reach(rows: FloatArray) -> FloatArray:
    """Give the size of each row's best step over the range of what it leaves."""
    left = _without_step(rows)
    return np.asarray(np.ptp(rows - left, axis=1) / np.maximum(np.ptp(left, axis=1), np.finfo(float).tiny))


def _grouped(value: FloatArray) -> FloatArray:
    """Average consecutive points; the rest that fills no group is left off at the start."""
    return np.asarray(value[len(value) % _GROUP :].reshape(-1, _GROUP).mean(axis=1))


def _ratio(value: FloatArray, time: FloatArray) -> float:
    """Give von Neumann's ratio of what a line or a step leaves: 2 of independent points, towards 0 of a random walk."""
    left = _left(value, time)
    return 2.0 if np.abs(left).max() <= _NOTHING * np.abs(value).max() else _von_neumann(left)


def _left(value: FloatArray, time: FloatArray) -> FloatArray:
    """Give what a line or a step leaves, whichever leaves less."""
    return min(
        (value - np.polynomial.Polynomial.fit(time, value, 1)(time), _without_step(value[None, :])[0]),
        key=lambda rest: float(rest @ rest),
    )


def _von_neumann(left: FloatArray) -> float:
    variance = float(left @ left)
    return float((np.diff(left) ** 2).sum() / variance) if variance else 2.0


def _without_step(rows: FloatArray) -> FloatArray:
    """Take off each row the means of both sides of the step that leaves least."""
    points = rows.shape[1]
    before = np.arange(2, points - 1)
    sums = np.cumsum(rows - rows.mean(axis=1, keepdims=True), axis=1)[:, before - 1]
    edge = before[(sums**2 * points / (before * (points - before))).argmax(axis=1)][:, None]
    is_after = np.arange(points) >= edge
    after = np.where(is_after, rows, 0.0).sum(axis=1, keepdims=True) / (points - edge)
    until = np.where(is_after, 0.0, rows).sum(axis=1, keepdims=True) / edge
    return np.asarray(rows - np.where(is_after, after, until))


def _slow_doubt(value: FloatArray, shape: FloatArray, level: float) -> str | None:
    """Say that a line or a step is no more than the slow part scatters, at this level; less where memory is long."""
    is_long = _memory(_left(value, np.arange(float(len(value))))) > 0
    p_value = _slow_p_value(value, shape)
    if p_value <= level * (_OF_LONG_MEMORY if is_long else 1):
        return None
    return f"its slow part alone scatters as much (p = {p_value:.2f}{', and its memory is long' if is_long else ''})"


def _memory(left: FloatArray) -> float:
    """Estimate by how much a series' slowest frequencies outweigh the others: 0 without memory, 1 of a random walk.

    The local Whittle estimate (Robinson, *Gaussian semiparametric estimation of long range dependence*, Ann. Stat. 23,
    1995).
    """
    order = np.arange(1, _FREQUENCIES + 1)
    power = np.abs(np.fft.rfft(left)[order]) ** 2
    if not power.max():
        return 0.0
    d = np.arange(-0.5, 1.01, 0.05)
    misfit = np.log((order ** (2 * d[:, None]) * power).mean(axis=1)) - 2 * d * np.log(order).mean()
    return float(d[misfit.argmin()])


def _slow_p_value(value: FloatArray, shape: FloatArray) -> float:
    """Test how far a series follows a line or a step, given as `shape`, against its slowest cosines."""
    from scipy.special import stdtr  # noqa: PLC0415 - scipy is not for `import soaklib`

    points = len(value)
    trend = shape - shape.mean()
    slope = float(value @ trend / (trend @ trend))
    left = value - value.mean() - slope * trend
    order = np.arange(1, COSINES + 3)
    cosines = np.cos(np.pi * np.outer(order, (np.arange(points) + 0.5) / points))
    cosines -= cosines.mean(axis=1, keepdims=True)
    cosines -= np.outer(cosines @ trend / (trend @ trend), trend)
    slowest = np.linalg.svd(cosines, full_matrices=False)[2][:COSINES]
    error = float(np.sqrt(((slowest @ left) ** 2).mean() / (trend @ trend)))
    return 0.0 if error <= _NOTHING * abs(slope) else float(2 * stdtr(COSINES, -abs(slope) / error))


def is_daily(value: FloatArray, time_h: FloatArray) -> bool:
    """Say whether one cycle a day leaves far less than a line; arrays as for :func:`doubt`."""
    if not _spans_a_day(time_h):
        return False
    left = value - np.polynomial.Polynomial.fit(time_h, value, 1)(time_h)
    return _after_cycle(value, time_h) < _CYCLE_FITS_BETTER * float(left @ left)


def _spans_a_day(time_h: FloatArray) -> bool:
    return bool(time_h[-1] - time_h[0] >= _LEAST_OF_A_DAY * _DAY_H)


def _after_cycle(value: FloatArray, time_h: FloatArray) -> float:
    """Give the sum of squares that the best cycle of a day leaves."""
    angle = 2 * np.pi * time_h / _DAY_H
    cycle = np.stack([np.ones_like(angle), np.sin(angle), np.cos(angle)], axis=1)
    left = value - cycle @ np.linalg.lstsq(cycle, value)[0]
    return float(left @ left)
