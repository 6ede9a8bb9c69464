"""What is associated with an event: a lasting shift, a passing excursion, and how long until it is over.

The statistic is a difference of means: after the event (or during it) less before it. The same difference is taken at
every other time of the same run, where nothing happened: those placebos say where the difference lies and how far it
scatters by itself, whatever the memory of the noise. A run holds few placebos that do not overlap, so their spread is
an uncertain yardstick; how uncertain, the stationary bootstrap (Politis and Romano, JASA 89, 1994) tells, by putting
999 resamples of the run's own undisturbed residuals through the same procedure.

An association at the event is not a cause: anything else that happened then would look the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from soaklib.analysis.statistics.blocks import stationary_block_length, stationary_indices
from soaklib.analysis.statistics.moments import event_windows
from soaklib.analysis.statistics.multiplicity import Correction, adjusted
from soaklib.analysis.statistics.series import gridded
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from soaklib.analysis.statistics.moments import Differences, EventWindows, Moments
    from soaklib.analysis.statistics.series import FloatArray, Grid

__all__ = ["EFFECTS_SCHEMA", "Effect", "effect", "effects"]

CONFIDENCE = 0.95
LEVEL = 0.05
MIN_PLACEBOS = 20

_LEAST_RESAMPLES = 99
_SEED = 19_940_601
_MAX_CELLS = 1440
_HELD_CELLS = 3
_MAX_BLOCK_SHARE = 6
_LEAST_SPREAD = 0.1
_NOTHING = 1e-9

EFFECTS_SCHEMA = pl.Schema(
    {
        "endpoint": pl.String(),
        "shift": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "transient": pl.Float64(),
        "peak": pl.Float64(),
        "recovery_s": pl.Float64(),
        "p_value": pl.Float64(),
        "p_adjusted": pl.Float64(),
        "detail": pl.String(),
    }
)
"""Columns of :func:`effects`."""


@dataclass(frozen=True)
class Effect:
    """What :func:`effect` found; differences are in the value's unit, None where the windows hold too little.

    Attributes
    ----------
    shift
        Lasting change: mean after the event has settled, less mean before; over several events, their mean.
    interval
        ``confidence`` interval of the shift; None too where most quiet times are alike, which leaves nothing to
        measure scatter by.
    p_value
        Of no association at all: the smaller of the two below, doubled.
    shift_p_value, transient_p_value
        Of no shift, of no excursion.
    transient
        Passing change: mean from ``at`` until ``until`` (or until it has settled), less mean before.
    transient_interval
        ``confidence`` interval of it; None as for the shift's.
    peak
        The single value in that time, or while settling, that lies furthest from the mean before, less that mean.
    recovery_s
        Seconds of ``at`` from the event's end until the value is back in the band that holds 95 % of the run's
        undisturbed values, for three cells on end; 0 if it never left it. Over several events, the longest of those
        that leave room to see it. None if one never came back, or if none leaves three cells before the next event or
        the end; ``detail`` says which, where an association is shown.
    n_placebo
        Times of the run where nothing happened that were compared.
    detail
        One sentence.
    confidence
        Nominal coverage of the intervals.
    """

    shift: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    recovery_s: float | None
    shift_p_value: float | None
    transient: float | None
    transient_interval: tuple[float, float] | None
    transient_p_value: float | None
    peak: float | None
    n_placebo: int
    detail: str
    confidence: float = CONFIDENCE


def effect(
    series: pl.DataFrame,
    *,
    at: Moments,
    until: Moments | None = None,
    mask: pl.DataFrame | None = None,
    window: timedelta | None = None,
    resamples: int = 999,
) -> Effect:
    """Measure what is associated with an event, or with several of one kind taken together.

    Parameters
    ----------
    series
        ``at``, ``value``; see :mod:`soaklib.analysis.statistics.series`. Up to 1440 cells; more are averaged.
    at
        When it happened, with a time zone; a sequence or a Series for several events in any order, which are judged as
        one. Events that begin in the same cell are one event.
    until
        When it ended; None for an event of no length. One for each ``at``.
    mask
        ``start``, ``end`` of other known windows to leave out. It must not hold the event itself.
    window
        Length of the windows before and after; a quarter of it is given for settling. None for a twelfth of the series'
        span, or less where events lie closer than that.
    resamples
        Series to resample, at least 99; fewer are faster and coarser.

    Raises
    ------
    SettingsError
        When a time has no time zone or lies outside the series, ``until`` does not fit ``at`` or ends before it starts,
        the window is not above 0 and below half the series, or ``resamples`` is below 99.
    """
    if resamples < _LEAST_RESAMPLES:
        message = f"resamples is {resamples}; pass at least {_LEAST_RESAMPLES}"
        raise SettingsError(message)
    grid = gridded(series, mask=mask, max_cells=_MAX_CELLS)
    windows = event_windows(grid, at, until, window)
    raw = windows.differences(grid.value[None, :])
    placebo = windows.placebos()
    residual = _undisturbed(grid, windows, float(raw.shift[0]))
    known = bool(np.isfinite(raw.shift[0]))
    if not known or len(placebo) < MIN_PLACEBOS:
        return _unjudged(raw, _peak(grid, windows), len(placebo))
    rng = np.random.default_rng(_SEED)
    block = min(stationary_block_length(residual), len(residual) / _MAX_BLOCK_SHARE)
    made = residual[stationary_indices(len(residual), block, (resamples, len(grid.value)), rng)]
    real_places, made_places = (
        windows.at_places(rows, placebo, placebo + windows.placebo_length) for rows in (grid.value[None, :], made)
    )
    made_events = windows.differences(made)
    least = 1 / (windows.independent(placebo) + 1)
    shift = _against(raw.shift, real_places.shift, made_events.shift, made_places.shift, least)
    passing = _against(raw.transient, real_places.transient, made_events.transient, made_places.transient, least)
    p_value = min(1.0, 2 * min(shift.p_value, passing.p_value))
    recovery = _recovery(grid, windows, float(np.quantile(np.abs(residual), CONFIDENCE)))
    return Effect(
        shift=shift.size,
        interval=shift.interval,
        p_value=p_value,
        recovery_s=recovery.seconds,
        shift_p_value=shift.p_value,
        transient=passing.size,
        transient_interval=passing.interval,
        transient_p_value=passing.p_value,
        peak=_peak(grid, windows),
        n_placebo=len(placebo),
        detail=_sentence(shift, passing, p_value, recovery, len(placebo)),
    )


def effects(
    endpoints: Mapping[str, pl.DataFrame],
    *,
    at: Moments,
    until: Moments | None = None,
    mask: pl.DataFrame | None = None,
    window: timedelta | None = None,
    correction: Correction = "holm",
) -> pl.DataFrame:
    """Measure one event in many series, with p-values corrected for their number.

    Parameters
    ----------
    endpoints
        Series by name.
    at, until, mask, window
        As in :func:`effect`.
    correction
        ``holm`` or ``bh``, see :func:`soaklib.analysis.statistics.multiplicity.adjusted`.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`EFFECTS_SCHEMA`, one row an endpoint in the order given; ``low`` and ``high`` bound the
        shift.
    """
    found = {name: effect(series, at=at, until=until, mask=mask, window=window) for name, series in endpoints.items()}
    corrected = adjusted([np.nan if one.p_value is None else one.p_value for one in found.values()], correction)
    rows = [
        (
            name,
            one.shift,
            *(one.interval or (None, None)),
            one.transient,
            one.peak,
            one.recovery_s,
            one.p_value,
            None if one.p_value is None else float(p_adjusted),
            one.detail,
        )
        for (name, one), p_adjusted in zip(found.items(), corrected, strict=True)
    ]
    return pl.DataFrame(rows, schema=EFFECTS_SCHEMA, orient="row")


class _Judged(NamedTuple):
    size: float
    interval: tuple[float, float] | None
    p_value: float


class _Recovery(NamedTuple):
    seconds: float | None
    told: str


def _against(
    observed: FloatArray, real: FloatArray, made: FloatArray, made_places: FloatArray, least: float
) -> _Judged:
    """Judge a difference, shape (1,), by its placebos, shape (1, places), and by resamples put through the same.

    Where most placebos are alike, all or all but those that one blip touches, they tell no scatter, and nothing but
    their number speaks: of `k` that share no cell the p-value is no less than 1 / (k + 1), which is `least`.
    """
    centre, spread = float(np.median(real)), float(real.std())
    size = float(observed[0]) - centre
    if float(np.median(np.abs(real - centre))) <= _NOTHING * max(float(np.abs(real).max()), abs(size)):
        return _Judged(size, None, least if abs(size) > _NOTHING * abs(centre) else 1.0)
    # Where nearly every value is alike, a resample may hold no placebo that differs: it is not infinitely certain.
    made_spread = np.maximum(made_places.std(axis=1), _LEAST_SPREAD * spread)
    pivots = np.abs(made - np.median(made_places, axis=1)) / made_spread
    p_value = float((1 + (pivots >= abs(size) / spread).sum()) / (len(pivots) + 1))
    half = float(np.quantile(pivots, CONFIDENCE)) * spread
    return _Judged(size, (size - half, size + half), p_value)


def _undisturbed(grid: Grid, windows: EventWindows, shift: float) -> FloatArray:
    """Residuals of the run's other times, around a line and, for a single event, around its shift."""
    kept = grid.seen & ~windows.disturbed
    columns = [np.ones(len(kept)), grid.time_h]
    if len(windows.start) == 1 and np.isfinite(shift):
        columns.append((np.arange(len(kept)) >= windows.end[0]).astype(np.float64))
    design = np.stack(columns, axis=1)[kept]
    solution = np.linalg.lstsq(design, grid.value[kept], rcond=None)[0]
    return np.asarray(grid.value[kept] - design @ solution)


def _before(grid: Grid, windows: EventWindows, start: int) -> float:
    values = grid.value[max(start - windows.window, 0) : start]
    return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def _peak(grid: Grid, windows: EventWindows) -> float | None:
    """Mean over the events of the excursion that lies furthest from the level before."""
    peaks = []
    for start, end in zip(windows.start, windows.end, strict=True):
        deviation = grid.value[start : end + windows.settling] - _before(grid, windows, int(start))
        deviation = deviation[np.isfinite(deviation)]
        if len(deviation):
            peaks.append(float(deviation[np.argmax(np.abs(deviation))]))
    return float(np.mean(peaks)) if peaks else None


def _recovery(grid: Grid, windows: EventWindows, band: float) -> _Recovery:
    """Give the longest time from an event's end until the value is back in the band and stays."""
    longest, unseen = 0.0, 0
    following = np.append(windows.start[1:], len(grid.value))
    for start, end, end_us, limit in zip(windows.start, windows.end, windows.end_us, following, strict=True):
        cells = np.arange(end, max(limit, end))
        cells = cells[grid.seen[cells]]
        before = _before(grid, windows, int(start))
        if len(cells) < _HELD_CELLS or not np.isfinite(before):
            unseen += 1
            continue
        inside = np.abs(grid.value[cells] - before) <= band * (1 + _NOTHING)
        held = [position for position in range(len(cells) - _HELD_CELLS + 1) if inside[position:][:_HELD_CELLS].all()]
        if not held:
            return _Recovery(None, "not back to the level before")
        back_us = grid.origin_us + cells[held[0]] * grid.cell_h * 3.6e9
        longest = max(longest, float(back_us - end_us) / 1e6) if held[0] else longest
    if unseen == len(windows.start):
        return _Recovery(None, "too little is known before and after to see whether it came back")
    told = f"back after {longest:.0f} s"
    return _Recovery(longest, f"{told}, {unseen} of {len(windows.start)} events left aside" if unseen else told)


def _unjudged(raw: Differences, peak: float | None, placebos: int) -> Effect:
    shift, transient = (float(size[0]) if np.isfinite(size[0]) else None for size in raw)
    detail = f"Too little of the run is undisturbed to judge this event ({placebos} placebo times)."
    return Effect(shift, None, None, None, None, transient, None, None, peak, placebos, detail)


def _sentence(shift: _Judged, passing: _Judged, p_value: float, recovery: _Recovery, placebos: int) -> str:
    bounds = "no interval: most quiet times are alike"
    if shift.interval is not None:
        bounds = f"95 % interval {shift.interval[0]:.4g} to {shift.interval[1]:.4g}"
    sizes = (
        f"shift {shift.size:+.4g} ({bounds}), "
        f"passing change {passing.size:+.4g}, p = {p_value:.3f} against {placebos} quiet times of the run"
    )
    if p_value > LEVEL:
        return f"No association at the event shown: {sizes}."
    return f"Association at the event: {sizes}; {recovery.told}."
