"""Whether a series drifts from some time on.

What leaks from half way on is no line over the whole: the bend stays in the residuals, whose slow part then scatters as
much as the slope. So the last half and the last quarter of a gauge are judged by themselves, and count only where
nothing else can be meant: the change is certain among the three slopes that were asked, its whole interval lies beyond
the margin, the series ends beyond all that it was before by that margin, too, hardly a random walk comes as far, and no
cycle of a day fits the whole better than a line.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.analysis.statistics.drift import LEVEL, drift
from soaklib.analysis.statistics.floors import FINE_CELLS, judged_points
from soaklib.analysis.statistics.series import gridded
from soaklib.analysis.statistics.wander import LEAST_POINTS, is_daily, walk_p_value

if TYPE_CHECKING:
    from soaklib.analysis.statistics.series import FloatArray

__all__ = ["LateDrift", "late_drift"]

_PARTS: Final = (1 / 2, 1 / 4)
_SLOPES: Final = 1 + len(_PARTS)
_LEVEL_OF_WALKS: Final = 0.005  # two more slopes of a walk are not to add to the false alarms of the one
_END: Final = 8  # the end of a part is an eighth of it
_LEAST_OF_END: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LateDrift(NamedTuple):
    """A drift of the last part of a series.

    Attributes
    ----------
    at
        From when on it was judged.
    change, interval
        Over that part, with 90 %, value units.
    p_value
        Of no drift of it.
    n
        Points of the part.
    detail
        One sentence.
    """

    at: datetime
    change: float
    interval: tuple[float, float]
    p_value: float
    n: int
    detail: str


def late_drift(
    series: pl.DataFrame, *, margin: float, mask: pl.DataFrame | None = None, warm_up: float = 0.05, floor: bool = False
) -> LateDrift | None:
    """Look for a drift that began late; None where there is none for certain.

    Parameters
    ----------
    series, mask, warm_up, floor
        As for :func:`soaklib.analysis.statistics.drift.drift`.
    margin
        Largest change, in value units, that does not matter.

    Raises
    ------
    SettingsError
        As :func:`~soaklib.analysis.statistics.drift.drift`.
    """
    grid = judged_points(gridded(series, mask=mask, warm_up=warm_up, max_cells=FINE_CELLS), floor=floor).grid
    value, time_h = grid.value[grid.seen], grid.time_h[grid.seen]
    if len(value) < LEAST_POINTS or is_daily(value, time_h):
        return None
    for share in _PARTS:
        first = int(np.searchsorted(time_h, time_h[-1] - share * (time_h[-1] - time_h[0])))
        if len(value) - first < LEAST_POINTS or not _ends_beyond(value[:first], value[first:], margin):
            continue
        if walk_p_value(value[first:], time_h[first:]) > _LEVEL_OF_WALKS:
            continue
        times = [_EPOCH + timedelta(microseconds=grid.origin_us, hours=float(hours)) for hours in time_h[first:]]
        part = pl.DataFrame({"at": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "value": value[first:]})
        found = drift(part, margin=margin, warm_up=0.0)
        if found.state != "drift" or found.interval is None or found.slope_per_hour is None or found.p_value is None:
            continue
        span_h = float(time_h[-1] - time_h[first])
        low, high = (bound * span_h for bound in found.interval)
        if found.p_value * _SLOPES <= LEVEL and min(abs(low), abs(high)) > margin:
            change = found.slope_per_hour * span_h
            detail = (
                f"From {times[0]:%H:%M:%S} on it drifts, to beyond all before: by {change:+.4g} (90 % interval "
                f"{low:.4g} to {high:.4g}, p = {found.p_value:.3f}, {found.n} of {len(value)} points), beyond the "
                f"margin {margin:.4g}."
            )
            return LateDrift(times[0], change, (low, high), found.p_value, found.n, detail)
    return None


def _ends_beyond(before: FloatArray, part: FloatArray, margin: float) -> bool:
    """Say whether a part ends beyond all that was before it, on one side, by more than the margin."""
    end = float(np.median(part[-max(len(part) // _END, _LEAST_OF_END) :]))
    return bool(end > before.max() + margin or end < before.min() - margin)
