"""Whether a series drifts over the run, and by how much an hour.

The slope is Theil-Sen's: the median of the slopes between all pairs of points, which a tenth of wild values does not
move (Sen, *Estimates of the regression coefficient based on Kendall's tau*, JASA 63, 1968). How far it scatters when
nothing drifts is measured, not assumed: test and interval are a bootstrap-t (Hall, *Theoretical comparison of bootstrap
confidence intervals*, Ann. Stat. 16, 1988) over 999 series that an AR-sieve of the series' own residuals makes
(:mod:`soaklib.analysis.statistics.sieve`), each with its own slope over its own rough standard error.
Textbook Mann-Kendall takes points for independent and raises false alarms in 29 % of quiet 24-hour series at a lag-one
correlation of 0.6; here it is 4 to 7 % (``tests/calibration``, ``scripts/bench/calibration.py``).

What the sieve rejects is a drift only where two checks of another kind agree
(:mod:`soaklib.analysis.statistics.wander`): noise that wanders slowly, or one cycle of a day, is inconclusive. Of fewer
than 36 points no memory can be fitted: there a slope is held against random walks, which what is obvious exceeds.

Where more than a tenth of the pairs are of equal values (an error ratio that is mostly 0, a number of files) the median
of slopes sticks at 0 whatever the rest does; there the slope is that of least squares, judged in the same way.

Every answer is a function of the series alone: the simulation is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from soaklib.analysis.statistics.daily import without_day_of
from soaklib.analysis.statistics.floors import FINE_CELLS, Judged, judged_points
from soaklib.analysis.statistics.series import FloatArray, Grid, gridded
from soaklib.analysis.statistics.sieve import fit_sieve, long_run_sd, remove_trend
from soaklib.analysis.statistics.slopes import least_squares, theil_sen
from soaklib.analysis.statistics.wander import A_DAY, LEAST_POINTS, against_a_walk, doubt, is_daily
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl


__all__ = ["Drift", "drift"]

CONFIDENCE = 0.90
LEVEL = 0.05
MIN_POINTS = 36

# The sieve is itself an estimate, which costs a 90 % interval one to two points of coverage: they are put back here.
COVERING = 0.93
# Of few points its memory is known so badly that even that is too little: there the pivots are widened, too.
_FEW_POINTS = 102
_WIDENED = 1.1
_LEAST_RESAMPLES = 99
_SEED = 20_110_905
_NOTHING = 1e-9
_POWER = 0.80
_TIED_SHARE = 0.1


@dataclass(frozen=True)
class Drift:
    """What :func:`drift` found.

    Attributes
    ----------
    state
        ``drift``, ``stable`` or ``inconclusive``.
    slope_per_hour
        Slope in value units per hour of ``at``, Theil-Sen's or, with many equal values, that of least squares; None
        with fewer than two times.
    interval
        ``confidence`` interval of the slope, same units; None when too short to tell.
    p_value
        Of no drift, two-sided; None when too short to tell.
    n
        Points judged: cells of the grid, or floors, with a value.
    n_effective
        Independent points that would say as much about a level; at most ``n``.
    power_at_margin
        Chance of rejecting "no drift" at 5 % if the series did drift by the margin; None without a margin.
    detail
        One sentence.
    detectable
        Smallest change over the series that the test would have found four times of five; None when too short to tell.
    level
        Middle of the values judged; None without any.
    on_floors
        Whether the floors of a sawtooth were judged.
    confidence
        Nominal coverage of ``interval``: 0.90, the two one-sided 5 % tests of equivalence (Schuirmann, 1987).
    """

    state: Literal["drift", "stable", "inconclusive"]
    slope_per_hour: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    n: int
    n_effective: float
    power_at_margin: float | None
    detail: str
    confidence: float = CONFIDENCE
    detectable: float | None = None
    level: float | None = None
    on_floors: bool = False


def drift(
    series: pl.DataFrame,
    *,
    margin: float | None = None,
    mask: pl.DataFrame | None = None,
    warm_up: float = 0.05,
    floor: bool = False,
    resamples: int = 999,
    reference: pl.DataFrame | None = None,
) -> Drift:
    """Judge whether a series drifts.

    Without a margin: ``drift`` if the test rejects at 5 %, else ``inconclusive`` (no evidence is not evidence of none).
    With one: ``stable`` if the 90 % interval of the change lies inside the margin, ``drift`` if the test rejects and
    the change itself lies outside, else ``inconclusive``. Of fewer than 102 points the test is stricter and the
    interval wider by a tenth, since their memory is known badly; of fewer than 36 they are those against a random walk,
    and it takes an interval wholly outside the margin to make a drift; fewer than 8 are always ``inconclusive``.

    More than 144 points are averaged into at most 144 equal cells: a drift over the run loses nothing by that.

    What comes and goes once in a series is not told from a trend: where one cycle of 24 hours fits far better than a
    line, the answer is ``inconclusive`` and says so. Such a pattern needs several days, or a reference.

    Parameters
    ----------
    series
        ``at`` (Datetime with a time zone), ``value`` (number; null and NaN are gaps); see
        :mod:`soaklib.analysis.statistics.series`.
    margin
        Largest change over the whole series, in value units, that does not matter; above 0.
    mask
        ``start``, ``end`` of windows to leave out: interventions, invalid measurement.
    warm_up
        Share of the series' span left out at its start, besides the mask.
    floor
        Judge what a sawtooth falls back to (memory, files), not what it climbs to. A series without teeth, or with
        fewer than 8 floors, is judged whole; see :func:`soaklib.analysis.statistics.floors.floors` for what a tooth
        is.
    resamples
        Series to simulate, at least 99; fewer are faster and coarser.
    reference
        ``at``, ``value`` of a run that is known to be good, over the same hours of the day: what it shows at each time
        of day is taken out, and judged is what this series does beyond it. Both in UTC, or both in soak time of runs
        that began at the same hour.

    Raises
    ------
    SettingsError
        When the margin is not above 0, ``resamples`` below 99, or series, mask, ``warm_up`` or reference are not as
        described.

    Examples
    --------
    >>> import datetime as dt, polars as pl
    >>> at = pl.datetime_range(dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2), "10m", time_zone="UTC", eager=True)
    >>> memory = pl.DataFrame({"at": at, "value": [100.0 + 2 * (i // 6) + i % 2 for i in range(len(at))]})
    >>> drift(memory, margin=10).state
    'drift'
    """
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        message = f"margin is {margin:g}; pass the largest change that does not matter, above 0, in the value's unit"
        raise SettingsError(message)
    if resamples < _LEAST_RESAMPLES:
        message = f"resamples is {resamples}; pass at least {_LEAST_RESAMPLES}"
        raise SettingsError(message)
    fine = gridded(series, mask=mask, warm_up=warm_up, max_cells=FINE_CELLS)
    if reference is not None:
        fine = without_day_of(fine, reference)
    judged = judged_points(fine, floor=floor)
    grid, on_floors = judged.grid, judged.on_floors
    n = int(grid.seen.sum())
    what = f"{n} points"
    if floor:
        what += _of_floors(judged)
    if reference is not None:
        what += ", beyond what the reference does at the same time of day"
    level = float(np.median(grid.value[grid.seen])) if n else None
    if n < LEAST_POINTS:
        slope = theil_sen(grid.value[None, grid.seen], grid.time_h[grid.seen]).item() if n > 1 else None
        detail = f"Too short to tell: {what}, at least {LEAST_POINTS} are needed."
        return Drift("inconclusive", slope, None, None, n, float(n), None, detail, level=level)
    if n < MIN_POINTS:
        return replace(_of_few(grid, margin, fine.span_h, what), on_floors=on_floors)
    estimate = _estimate(grid, margin / fine.span_h if margin is not None else None, resamples)
    detectable = None if estimate.detectable is None else estimate.detectable * fine.span_h
    estimate = replace(estimate, detail=what + estimate.detail, detectable=detectable, level=level, on_floors=on_floors)
    return _doubted(_judged(estimate, margin, fine.span_h), grid.value[grid.seen], grid.time_h[grid.seen])


def _of_floors(judged: Judged) -> str:
    """Say what became of the wish to judge floors."""
    if judged.on_floors:
        return ", the floors of a sawtooth"
    if judged.teeth is not None:
        return f", whole since {judged.teeth} teeth have too few floors"
    return ", no sawtooth seen"


def _doubted(found: Drift, value: FloatArray, time_h: FloatArray) -> Drift:
    """Hold a drift against the checks of another kind; of what is not told, say so where a day's cycle is why."""
    if found.state == "drift" and (reason := doubt(value, time_h)) is not None:
        return replace(found, state="inconclusive", detail=f"No drift for certain, {reason}: {found.detail}")
    if found.state == "inconclusive" and is_daily(value, time_h):
        return replace(found, detail=f"{found.detail} {A_DAY[0].upper()}{A_DAY[1:]}.")
    return found


def _of_few(grid: Grid, margin: float | None, span_h: float, what: str) -> Drift:
    """Judge fewer points than memory can be fitted to: they may be a random walk, and what is not is obvious."""
    seen = grid.seen
    walked = against_a_walk(grid.value[seen], grid.time_h[seen])
    low, high = walked.low * span_h, walked.high * span_h
    n, detectable = int(seen.sum()), walked.detectable * span_h
    change = (
        f"{walked.slope * span_h:+.4g} over the series (90 % interval {low:.4g} to {high:.4g}, though it be a walk)"
    )
    tail = f"p = {walked.p_value:.3f}, {what}"
    state: Literal["drift", "stable", "inconclusive"] = "inconclusive"
    if margin is not None and max(abs(low), abs(high)) < margin:
        state, words = "stable", f"Stable within the margin {margin:.4g}: {change}, {tail}."
    elif walked.p_value <= LEVEL and (margin is None or min(abs(low), abs(high)) > margin):
        beyond = "" if margin is None else f", beyond the margin {margin:.4g} and all noise"
        state, words = "drift", f"Drifts by {change}{beyond}, {tail}."
    else:
        found = f"the smallest change found so is {detectable:.4g}"
        words = f"Too few points to tell what is not obvious: {change}, {tail}; {found}."
    return Drift(
        state, walked.slope, (walked.low, walked.high), walked.p_value, n, float(n), None, words,
        detectable=detectable, level=float(np.median(grid.value[seen])),
    )  # fmt: skip


def _estimate(grid: Grid, margin_per_hour: float | None, resamples: int) -> Drift:
    """Give slope, interval and test; the state is open."""
    seen, time = grid.seen, grid.time_h
    value = grid.value[seen]
    tied = _tied_pairs(value) > _TIED_SHARE
    slope_of = least_squares if tied else theil_sen
    slope = slope_of(value[None, :], time[seen]).item()
    residual = np.where(seen, grid.value - slope * time, np.nan)
    residual -= np.nanmedian(residual)
    if np.nanmax(np.abs(residual)) <= _NOTHING * max(np.abs(value).max(), np.ptp(value)):
        moved = np.ptp(value) > _NOTHING * np.abs(value).max()
        slope = slope if moved else 0.0
        p_value = 1 / (resamples + 1) if moved else 1.0
        power = None if margin_per_hour is None else 1.0
        n = len(value)
        return Drift("inconclusive", slope, (slope, slope), p_value, n, float(n), power, "", detectable=0.0)
    rng = np.random.default_rng(_SEED)
    remove = partial(remove_trend, seen=seen, time=time)
    is_few = len(value) < _FEW_POINTS
    sieve = fit_sieve(residual, remove, rng, least_order=int(is_few))
    made = sieve.simulate(resamples, len(time), rng)
    slopes = slope_of(made[:, seen], time[seen])
    order = len(sieve.coefficients)
    errors = long_run_sd(remove(made - slopes[:, None] * time), seen, order)
    error = long_run_sd(remove(np.nan_to_num(residual)[None, :]), seen, order).item()
    pivots = np.abs(slopes) / errors * (_WIDENED if is_few else 1.0)
    p_value = float((1 + (pivots >= abs(slope) / error).sum()) / (resamples + 1))
    half = float(np.quantile(pivots, COVERING)) * error
    critical = float(np.quantile(pivots, 1 - LEVEL))
    power = None
    if margin_per_hour is not None:
        power = float(np.mean(np.abs(slopes + margin_per_hour) / errors > critical))
    detectable = float(np.quantile(critical * errors - slopes, _POWER))
    effective = float(np.clip(len(value) / sieve.inflation(made), 1.0, len(value)))
    by = ", by least squares since many values are equal" if tied else ""
    return Drift(
        "inconclusive",
        slope,
        (slope - half, slope + half),
        p_value,
        len(value),
        effective,
        power,
        by,
        detectable=detectable,
    )


def _tied_pairs(value: FloatArray) -> float:
    """Give the share of pairs of equal values."""
    counts = np.unique(value, return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / (len(value) * (len(value) - 1)))


def _judged(found: Drift, margin: float | None, span_h: float) -> Drift:
    """Give the state and the sentence; ``found.detail`` says what was judged."""
    if found.interval is None or found.slope_per_hour is None or found.p_value is None:
        return found
    low, high = (bound * span_h for bound in found.interval)
    change = f"{found.slope_per_hour * span_h:+.4g} over the series (90 % interval {low:.4g} to {high:.4g})"
    rejected = found.p_value <= LEVEL
    tail = f", p = {found.p_value:.3f}, {found.detail}"
    if margin is None:
        state: Literal["drift", "stable", "inconclusive"] = "drift" if rejected else "inconclusive"
        words = "Drifts by" if rejected else "No drift shown, and no margin given to call it stable:"
        return replace(found, state=state, detail=f"{words} {change}{tail}.")
    bound = f"margin {margin:.4g}, power {found.power_at_margin:.0%} there"
    if max(abs(low), abs(high)) < margin:
        moved = "Moved for certain, within what was said not to matter, the" if rejected else "Stable within the"
        return replace(found, state="stable", detail=f"{moved} {bound}: {change}{tail}.")
    if rejected and abs(found.slope_per_hour) * span_h > margin:
        return replace(found, state="drift", detail=f"Drifts by {change}, not within the {bound}{tail}.")
    if rejected:
        said = f"Moved for certain, whether beyond the margin is not told: {change}, {bound}{tail}."
        return replace(found, state="inconclusive", detail=said)
    return replace(found, state="inconclusive", detail=f"Too noisy to tell for the {bound}: {change}{tail}.")
