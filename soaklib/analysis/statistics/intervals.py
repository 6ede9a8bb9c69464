"""Intervals for shares and quantiles of calls that are not independent.

Failures come in bursts, so a thousand calls say less than a thousand coin tosses. A 95 % Wilson interval covers the
true rate of bursty failures in 40 to 55 % of runs; the ones here, at least 90 % where a run has three bursts or more
(``tests/calibration``). Of fewer, nobody can tell from the run alone how often they come, and it is 40 to 87 %: whoever
shows such an interval says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from soaklib.analysis.statistics.blocks import block_weights, design_effect
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from soaklib.analysis.statistics.blocks import Alikeness, DesignEffect
    from soaklib.analysis.statistics.series import BoolArray, FloatArray

__all__ = ["QuantileInterval", "RateInterval", "order_shares", "quantile_interval", "rate_interval"]

CONFIDENCE = 0.95
"""Nominal coverage of every interval of a rate or a quantile, unless the caller says otherwise."""

TAIL_OBSERVATIONS = 10
"""A quantile with fewer observations than this beyond it is not reported with an interval."""

_RESAMPLES = 999
_SEED = 19_520_101
_CANDIDATES = 512
_BOOTSTRAP_BLOCKS = 24


@dataclass(frozen=True)
class RateInterval:
    """A share of successes and its interval; ratios from 0 to 1.

    Attributes
    ----------
    rate
        successes / n; None for n = 0.
    low, high
        Bounds; None for n = 0.
    n, successes
        Trials and successes.
    design_effect
        Variance over that of independent trials; 1 where it was not measured, see ``method``.
    n_effective
        ``n / design_effect``.
    method
        ``blocks``: Korn-Graubard, design effect measured from blocks. ``independent``: Clopper-Pearson, because there
        were too few windows to measure it. ``one-sided``: all trials alike, one bound is 0 or 1 itself and the other
        the one-sided Clopper-Pearson bound (at 95 %: the rule of three, 3 / n); it takes trials as independent where
        nothing is known of others, since bursts that never happened cannot be measured. ``none``: no trial.
    confidence
        Nominal coverage.
    """

    rate: float | None
    low: float | None
    high: float | None
    n: int
    successes: int
    design_effect: float
    n_effective: float
    method: Literal["blocks", "independent", "one-sided", "none"]
    confidence: float


@dataclass(frozen=True)
class QuantileInterval:
    """A quantile and its interval, in the values' unit.

    Attributes
    ----------
    value
        The quantile; None without observations. A lower bound where ``at_least``.
    low, high
        Bounds; ``high`` is infinite where the upper bound lies among the censored; None where ``state`` is not ``ok``.
    at_least
        Whether the quantile lies among the censored observations, so that only a lower bound is known.
    n
        Observations, censored ones included.
    tail
        Observations beyond the quantile: ``n * min(q, 1 - q)``.
    design_effect
        Variance of the share below the quantile over that of independent observations.
    state
        ``ok``, or ``insufficient`` with fewer than ten observations in the tail.
    confidence
        Nominal coverage.
    """

    value: float | None
    low: float | None
    high: float | None
    at_least: bool
    n: int
    tail: float
    design_effect: float
    state: Literal["ok", "insufficient"]
    confidence: float


def rate_interval(
    successes: npt.ArrayLike,
    n: npt.ArrayLike,
    blocks: int | None = None,
    *,
    alike: Alikeness | None = None,
    confidence: float = CONFIDENCE,
) -> RateInterval:
    """Give a share with an interval that knows of bursts.

    Clopper-Pearson on the effective number of trials (Korn and Graubard, *Confidence intervals for proportions with
    small expected number of positive counts*, Survey Methodology 24, 1998), which is n over the design effect, less a t
    factor for the number of blocks.

    Parameters
    ----------
    successes, n
        Counts in consecutive windows of time, such as minutes, in order; or two numbers, which leaves dependence
        unmeasured and is said in ``method``. Windows with n = 0 are gaps.
    blocks
        How many blocks to join the windows to; each has to be longer than a burst. None to choose from the data.
    alike
        How alike such trials are elsewhere, which counts where it makes a larger design effect than these counts show;
        see :func:`soaklib.analysis.statistics.blocks.alikeness`.
    confidence
        Nominal coverage, between 0 and 1.

    Raises
    ------
    SettingsError
        When counts are negative, no whole numbers, more successes than trials, or of different shapes, or ``blocks`` is
        below 2, or ``confidence`` out of range.
    """
    _check_confidence(confidence)
    won, tried = _counts(successes, n)
    _check_blocks(blocks)
    total, total_won = int(tried.sum()), int(won.sum())
    if not total:
        return RateInterval(None, None, None, 0, 0, 1.0, 0.0, "none", confidence)
    rate = total_won / total
    if total_won in {0, total}:
        burst = None if alike is None else alike.of(total)
        factor, sure = (1.0, 1.0) if burst is None else (burst.factor, _t_factor(burst.blocks, confidence))
        edge = 1 - (1 - confidence) ** (factor / (total * sure))
        low, high = (0.0, edge) if not total_won else (1 - edge, 1.0)
        return RateInterval(rate, low, high, total, total_won, factor, total / factor, "one-sided", confidence)
    effect = design_effect(won, tried, blocks)
    if alike is not None and (effect is None or alike.of(total).factor > effect.factor):
        effect = alike.of(total)
    if effect is None:
        low, high = _clopper_pearson(rate, float(total), confidence)
        return RateInterval(rate, low, high, total, total_won, 1.0, float(total), "independent", confidence)
    effective = total / effect.factor
    low, high = _clopper_pearson(rate, effective * _t_factor(effect.blocks, confidence), confidence)
    return RateInterval(rate, low, high, total, total_won, effect.factor, effective, "blocks", confidence)


def quantile_interval(
    values: npt.ArrayLike,
    q: float,
    *,
    counts: npt.ArrayLike | None = None,
    censored: npt.ArrayLike | None = None,
    blocks: int | None = None,
    method: Literal["order", "bootstrap"] = "order",
    confidence: float = CONFIDENCE,
) -> QuantileInterval:
    """Give a quantile of all observations with an interval.

    ``order`` takes two order statistics: those at the ranks of the Korn-Graubard interval of the share below the
    quantile (Woodruff, *Confidence intervals for medians and other position measures*, JASA 47, 1952), the design
    effect of which is measured from blocks in time. ``bootstrap`` resamples the blocks and takes percentiles.

    A censored observation is known to be larger than its value. It is never left out: a lower bound uses its value, an
    upper bound takes it as infinite.

    Parameters
    ----------
    values
        Shape (observations,): in order of time where blocks are wanted. NaN is refused.
    q
        Between 0 and 1.
    counts
        Shape (observations,): how often each value was seen. Such values have no order in time, so they are taken as
        independent and cannot be blocked.
    censored
        Shape (observations,), true where the value is only a lower bound; None for none.
    blocks
        How many blocks of consecutive observations to form; None to choose from the data (``bootstrap``: 24).
    method
        ``order`` or ``bootstrap``.
    confidence
        Nominal coverage.

    Raises
    ------
    SettingsError
        When an argument is out of range, shapes differ, a value is NaN, or counts come with blocks or bootstrap.
    """
    _check_confidence(confidence)
    _check_blocks(blocks)
    if not 0 < q < 1:
        message = f"q is {q:g}; pass a quantile between 0 and 1, such as 0.99"
        raise SettingsError(message)
    if counts is not None and (blocks is not None or method == "bootstrap"):
        message = "counted values have no order in time; pass the single values, or neither blocks nor bootstrap"
        raise SettingsError(message)
    value, weight, unknown = _observations(values, counts, censored)
    n = int(weight.sum())
    tail = n * min(q, 1 - q)
    if not n:
        return QuantileInterval(None, None, None, False, 0, 0.0, 1.0, "insufficient", confidence)
    lower, upper = _Ranked(value, weight), _Ranked(np.where(unknown, np.inf, value), weight)
    found, ceiling = lower.at(q), upper.at(q)
    at_least = math.isinf(ceiling)
    middle = found if at_least else ceiling
    if round(tail, 9) < TAIL_OBSERVATIONS:
        return QuantileInterval(middle, None, None, at_least, n, tail, 1.0, "insufficient", confidence)
    below = (value <= found) & ~unknown if not at_least else value < found
    effect = None if counts is not None else design_effect(below.astype(np.float64), weight, blocks)
    factor = 1.0 if effect is None else effect.factor
    if method == "bootstrap":
        low, high = _bootstrap(value, unknown, q, blocks or _BOOTSTRAP_BLOCKS, confidence)
    else:
        low_share, high_share = order_shares(q, n, effect, confidence=confidence)
        low, high = lower.at(low_share), upper.at(high_share)
    return QuantileInterval(middle, low, high, at_least, n, tail, factor, "ok", confidence)


def order_shares(
    q: float, n: int, effect: DesignEffect | None, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Give the shares of all observations at whose order statistics the interval of a quantile ends.

    Parameters
    ----------
    q, confidence
        As for :func:`quantile_interval`.
    n
        Observations.
    effect
        Design effect of the share below the quantile; None where it could not be measured.
    """
    independent = n if effect is None else n / effect.factor * _t_factor(effect.blocks, confidence)
    return _clopper_pearson(q, independent, confidence)


class _Ranked:
    """Order statistics of weighted values."""

    def __init__(self, value: FloatArray, weight: FloatArray) -> None:
        order = np.argsort(value, kind="stable")
        self._value, self._reached = value[order], np.cumsum(weight[order])

    def at(self, share: float) -> float:
        """Give the smallest value that at least this share of the observations does not exceed."""
        # The rank is rounded first: 0.99 * 1000 has to be 990, not a hair more.
        rank = math.ceil(round(share * float(self._reached[-1]), 6))
        position = int(np.searchsorted(self._reached, max(rank, 1)))
        return float(self._value[min(position, len(self._value) - 1)])


def _bootstrap(value: FloatArray, unknown: BoolArray, q: float, blocks: int, confidence: float) -> tuple[float, float]:
    """Percentiles of the quantile over resampled blocks.

    Each block is counted up to each of some candidate values once; a resample is a weighted sum of those counts.
    """
    order = np.sort(value)
    ranks = np.unique(np.linspace(0, len(order) - 1, _CANDIDATES).astype(int))
    near = np.arange(int(q * len(order)) - _CANDIDATES, int(q * len(order)) + _CANDIDATES)
    candidates = np.unique(order[np.concatenate([ranks, near.clip(0, len(order) - 1)])])
    parts = np.array_split(np.arange(len(value)), min(blocks, len(value)))
    weights = block_weights(len(parts), _RESAMPLES, np.random.default_rng(_SEED))
    size = weights @ np.array([len(part) for part in parts])

    def quantiles(of: FloatArray) -> FloatArray:
        counted = np.stack([np.searchsorted(np.sort(of[part]), candidates, side="right") for part in parts])
        reached = (weights @ counted) >= q * size[:, None]
        return np.where(reached.any(axis=1), candidates[reached.argmax(axis=1)], np.inf)

    aside = _expanded(len(parts), confidence)
    least = quantiles(value)
    most = quantiles(np.where(unknown, np.inf, value)) if unknown.any() else least
    return float(np.quantile(least, aside, method="lower")), float(np.quantile(most, 1 - aside, method="higher"))


def _clopper_pearson(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Exact interval for a binomial share, with n allowed to be no whole number."""
    from scipy.special import betaincinv  # noqa: PLC0415 - scipy is not for `import soaklib`

    aside = (1 - confidence) / 2
    won, lost = rate * n, (1 - rate) * n
    return float(betaincinv(won, lost + 1, aside)), float(betaincinv(won + 1, lost, 1 - aside))


def _expanded(blocks: int, confidence: float) -> float:
    """Give the share to cut off each side of few blocks' percentiles (Hesterberg, Am. Statistician 69, 2015)."""
    from scipy.special import ndtr, stdtrit  # noqa: PLC0415 - scipy is not for `import soaklib`

    return float(ndtr(-stdtrit(blocks - 1, (1 + confidence) / 2) * math.sqrt(blocks / (blocks - 1))))


def _t_factor(blocks: int, confidence: float) -> float:
    """Loss of effective trials because the design effect itself is an estimate: (z / t) squared, below 1."""
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415 - scipy is not for `import soaklib`

    upper = (1 + confidence) / 2
    return float((ndtri(upper) / stdtrit(blocks - 1, upper)) ** 2)


def _check_blocks(blocks: int | None) -> None:
    if blocks is not None and blocks < 2:  # noqa: PLR2004 - a variance needs two
        message = f"blocks is {blocks}; pass at least 2, or None to choose from the data"
        raise SettingsError(message)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        message = f"confidence is {confidence:g}; pass a share between 0 and 1, such as 0.95"
        raise SettingsError(message)


def _counts(successes: npt.ArrayLike, n: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    won, tried = np.atleast_1d(np.asarray(successes, np.float64)), np.atleast_1d(np.asarray(n, np.float64))
    if won.shape != tried.shape or won.ndim != 1:
        message = f"successes has shape {won.shape} and n {tried.shape}; pass one of each per window"
        raise SettingsError(message)
    whole = np.isfinite(won) & np.isfinite(tried) & (won == np.rint(won)) & (tried == np.rint(tried))
    if not (whole & (won >= 0) & (won <= tried)).all():
        message = (
            "a window has a count that is negative, missing, no whole number, or more successes than n; "
            "pass 0 <= successes <= n"
        )
        raise SettingsError(message)
    return won, tried


def _observations(
    values: npt.ArrayLike, counts: npt.ArrayLike | None, censored: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    value = np.asarray(values, np.float64)
    weight = np.ones(value.shape) if counts is None else np.asarray(counts, np.float64)
    unknown = np.zeros(value.shape, bool) if censored is None else np.asarray(censored, np.bool_)
    if value.ndim != 1 or not value.shape == weight.shape == unknown.shape:
        message = (
            f"values, counts and censored have shapes {value.shape}, {weight.shape}, {unknown.shape}; pass one each"
        )
        raise SettingsError(message)
    if np.isnan(value).any() or not (np.isfinite(weight) & (weight >= 0)).all():
        message = (
            "a value is NaN or a count negative; leave out what was never observed, pass what was censored as such"
        )
        raise SettingsError(message)
    kept = weight > 0
    return value[kept], weight[kept], unknown[kept]
