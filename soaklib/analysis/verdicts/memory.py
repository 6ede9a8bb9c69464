"""How a gauge is judged for drift, for the criterion as for the figure: which series, and which fit.

The gateway's memory is what its target calls so, else the resident size of its process, or what /health says. Of
several processes the one that was read for longest is judged, outside planned and invalid windows, on the floors of a
sawtooth. In less than half an hour of wall time a leak is told only where it is obvious, and stable is nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from soaklib.analysis.measures.meanings import series_of
from soaklib.analysis.measures.processes import Readings, gateway_query, generator_query, longest_lived
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.masks import readings_not_judged
from soaklib.errors import SettingsError
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.drift import Drift

__all__ = [
    "LEAST_MEMORY_WALL_S",
    "OBVIOUS_WALL_S",
    "GaugeTrend",
    "first_exposed",
    "gauge_trend",
    "memory_metric",
    "memory_query",
    "memory_trend",
    "untold_of_the_run",
]

LEAST_MEMORY_WALL_S: Final = 1800.0
OBVIOUS_WALL_S: Final = 300.0
"""Before it a process still fills its caches, whatever its memory does."""
_PER_MIB: Final = 1 / (1 << 20)
_MEMORY: Final = ("process_resident_memory_bytes", "health_memory_used_bytes")


class GaugeTrend(NamedTuple):
    """What is judged of a gauge.

    Attributes
    ----------
    series
        ``soak_s``, ``at`` (soak time) and ``value`` of the process that was read for longest.
    trend
        Its drift; states and margin are those of the criterion.
    observed_s
        Wall seconds from reading to reading.
    processes
        How many there were.
    """

    series: pl.DataFrame
    trend: Drift
    observed_s: float
    processes: int


def gauge_trend(run: Run, readings: Readings, *, margin: float, floor: bool) -> GaugeTrend:
    """Judge what was read of a process.

    Parameters
    ----------
    run
        The run, of which planned windows are left out, and those in which the reader was late.
    readings
        As :func:`~soaklib.analysis.measures.processes.longest_lived` gives them.
    margin, floor
        As for :func:`soaklib.analysis.statistics.drift.drift`.
    """
    trend = drift(readings.series, margin=margin, mask=readings_not_judged(run, readings.lane), floor=floor)
    return GaugeTrend(readings.series, trend, readings.observed_s, readings.processes)


def memory_trend(run: Run, of: Literal["gateway", "generator"] = "gateway") -> GaugeTrend:
    """Give the memory that the criterion judges, in MiB, with its trend: what a figure of it has to show.

    Where the criterion says that it was watched for too short a time, or that one of several processes does not tell
    of the run, the trend is ``inconclusive``.

    Parameters
    ----------
    run
        The run.
    of
        Whose memory.

    Raises
    ------
    SettingsError
        It is neither of the two.
    """
    readings = run.sql(memory_query(run, of))
    margin = run.thresholds.drift_memory_mib
    told = gauge_trend(run, longest_lived(readings), margin=margin, floor=True)
    if told.observed_s >= LEAST_MEMORY_WALL_S or _is_obvious(told, margin):
        said = untold_of_the_run(told.trend, told.series, readings, margin, "MiB")
        if told.trend.state != "stable" or said is None:
            return told
        return told._replace(trend=replace(told.trend, state="inconclusive", detail=f"{said} {told.trend.detail}"))
    detail = (
        f"Too short to tell: {told.observed_s / 60:.1f} wall minutes of readings, at least "
        f"{LEAST_MEMORY_WALL_S / 60:.0f} are needed for what is not obvious."
    )
    return told._replace(trend=replace(told.trend, state="inconclusive", detail=detail))


def untold_of_the_run(
    trend: Drift, series: pl.DataFrame, readings: pl.DataFrame, margin: float, unit: str
) -> str | None:
    """Say why a process that is stable is none for the run; None where its pace over the run is within the margin.

    The margin is one for the run, not for each of the processes that took one another's place in it.

    Parameters
    ----------
    trend, series
        Of the process that is judged.
    readings
        Of all processes.
    margin, unit
        Of the gauge.
    """
    own_s, run_s = (float(np.ptp(read["soak_s"].to_numpy())) for read in (series, readings))
    if trend.interval is None or own_s >= run_s:
        return None
    low, high = (bound * run_s / 3600 for bound in trend.interval)
    if max(abs(low), abs(high)) <= margin:
        return None
    return (
        f"At this pace {low:+.4g} to {high:+.4g} {unit} over the {run_s / 3600:.3g} h that were read, of which the "
        f"process was there for {own_s / 3600:.3g} h: not told for the run."
    )


def _is_obvious(told: GaugeTrend, margin: float) -> bool:
    """Say whether it drifts, and the whole interval of its change lies beyond the margin."""
    if told.trend.state != "drift" or told.trend.interval is None or told.observed_s < OBVIOUS_WALL_S:
        return False
    hours = (told.series["at"][-1] - told.series["at"][0]).total_seconds() / 3600
    return bool(min(map(abs, told.trend.interval)) * hours > margin)


def memory_query(run: Run, of: Literal["gateway", "generator"]) -> str:
    """Give the SQL of its readings, in MiB; as :func:`memory_trend`."""
    if of not in {"gateway", "generator"}:
        message = f"of={of!r} has no memory here; pass 'gateway' or 'generator'"
        raise SettingsError(message)
    if of == "generator":
        return generator_query("rss_bytes", _PER_MIB)
    metric, told = memory_metric(run), series_of(run, Meaning.MEMORY)
    return gateway_query(run, metric, _PER_MIB, told.wanted if told is not None and told.metric == metric else None)


def memory_metric(run: Run) -> str:
    """Give the name of the gauge that tells the gateway's memory."""
    told = series_of(run, Meaning.MEMORY)
    return first_exposed(run, *([] if told is None else [told.metric]), *_MEMORY)


def first_exposed(run: Run, *metrics: str) -> str:
    """Give the first of the metrics that was ever read, or else the last."""
    read = run.sql("select distinct metric from samples where list_contains($metrics, metric)", {"metrics": [*metrics]})
    return next((metric for metric in metrics if metric in read["metric"]), metrics[-1])
