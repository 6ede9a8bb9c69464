"""A series judged for drift as its criterion judges it: its slope, a level that moved, and what began late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soaklib.analysis.statistics.drift import LEVEL, drift
from soaklib.analysis.statistics.late import late_drift
from soaklib.analysis.statistics.level import level
from soaklib.analysis.statistics.multiplicity import adjusted
from soaklib.records import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from soaklib.analysis.statistics.drift import Drift
    from soaklib.analysis.statistics.level import Level

__all__ = ["WORST_FIRST", "Found", "found_of", "judged_gauge", "judged_tools"]

WORST_FIRST: Final = (State.FAIL, State.INSUFFICIENT, State.PASS)
_STATES: Final = {"stable": State.PASS, "drift": State.FAIL, "inconclusive": State.INSUFFICIENT}
_STATES_OF_LEVEL: Final = {"stable": State.PASS, "moved": State.FAIL, "inconclusive": State.INSUFFICIENT}
_RESAMPLES: Final = 999
_RESAMPLES_A_TEST: Final = 100


class Found(NamedTuple):
    """What was found of one series: a verdict's state, the change over it, bounds, points, a sentence, the margin."""

    state: State
    change: float | None
    low: float | None
    high: float | None
    n: int
    detail: str
    margin: float

    @property
    def is_obvious(self) -> bool:
        """Whether the whole interval lies beyond the margin."""
        return self.low is not None and self.high is not None and min(abs(self.low), abs(self.high)) > self.margin

    @property
    def reach(self) -> float:
        """The largest change that the interval leaves possible."""
        return np.inf if self.low is None or self.high is None else max(abs(self.low), abs(self.high))


def judged_tools(
    parts: Mapping[str, pl.DataFrame],
    margins: Mapping[str, float],
    *,
    mask: pl.DataFrame | None = None,
    days: Mapping[str, pl.DataFrame] | None = None,
) -> dict[str, Found]:
    """Judge each tool's series by its slope and its level, chance alarms of several tools allowed for (Holm).

    Parameters
    ----------
    parts, margins
        Tool -> its series; the change of it that does not matter.
    mask, days
        What is left out; tool -> the day of a good run that is taken out of it.
    """
    days, tests = days or {}, len(parts)
    resamples = max(_RESAMPLES, _RESAMPLES_A_TEST * tests)
    drifts = [
        drift(part, margin=margins[tool], mask=mask, resamples=resamples, reference=days.get(tool))
        for tool, part in parts.items()
    ]
    p_values = adjusted([np.nan if one.p_value is None else one.p_value for one in drifts]).tolist()
    return {
        tool: _worse(
            found_of(part, one, margins[tool], p_value, tests),
            level(part, margin=margins[tool], mask=mask, tests=tests, reference=days.get(tool)),
        )
        for (tool, part), one, p_value in zip(parts.items(), drifts, p_values, strict=True)
    }


def judged_gauge(
    series: pl.DataFrame, margin: float, trend: Drift, *, mask: pl.DataFrame | None = None, floor: bool
) -> Found:
    """Give the worst of a gauge's slope, of a step, and of the slope of what began late.

    Parameters
    ----------
    series, margin
        Its readings; the change that does not matter.
    trend
        Its slope.
    mask, floor
        As for :func:`soaklib.analysis.statistics.drift.drift`.
    """
    found = _worse(found_of(series, trend, margin), level(series, margin=margin, mask=mask, floor=floor))
    if found.state == State.FAIL:
        return found
    late = late_drift(series, margin=margin, mask=mask, floor=floor)
    if late is None:
        return found
    return Found(State.FAIL, late.change, *late.interval, late.n, f"{late.detail} {found.detail}", found.margin)


def found_of(series: pl.DataFrame, drifts: Drift, margin: float, p_value: float | None = None, tools: int = 1) -> Found:
    """Turn the slope of a series into its change; `p_value` is that among several tools."""
    hours = (series["at"][-1] - series["at"][0]).total_seconds() / 3600
    low, high = drifts.interval or (None, None)
    state, detail = _STATES[drifts.state], drifts.detail
    if p_value is not None and tools > 1 and state == State.FAIL:
        certain = p_value <= LEVEL
        state = State.FAIL if certain else State.INSUFFICIENT
        detail = f"{detail[:-1]}; among {tools} tools p = {p_value:.3f}{'' if certain else ', which chance may make'}."
    if drifts.detectable is not None:
        size = f"A change of {drifts.detectable:.3g}" if drifts.detectable else "Without any noise, any change"
        detail = f"{detail} {size} would have been found."
    change = None if drifts.slope_per_hour is None else drifts.slope_per_hour * hours
    bounds = None if low is None else low * hours, None if high is None else high * hours
    return Found(state, change, *bounds, drifts.n, detail, margin)


def _worse(found: Found, moved: Level) -> Found:
    """Give the worse of a slope and a step: what fails late hardly turns a line."""
    if moved.detectable:
        found = found._replace(detail=f"{found.detail} A step of {moved.detectable:.3g} half way, too.")
    state = _STATES_OF_LEVEL[moved.state]
    if moved.interval is None or state == State.PASS or WORST_FIRST.index(found.state) < WORST_FIRST.index(state):
        return found
    if found.state == state:
        return found._replace(detail=f"{found.detail} {moved.detail}")
    return Found(state, moved.change, *moved.interval, moved.n, f"{moved.detail} {found.detail}", found.margin)
