"""Readings of one process: a process that was started anew holds nothing of what the one before it leaked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.exposition.ending import STARTS

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["Readings", "gateway_query", "generator_query", "longest_lived"]

_STARTED: Final = ", ".join(f"'{name}'" for name in STARTS)
_A_HOLE: Final = 10  # steps: a longer one is time in which nobody read


class Readings(NamedTuple):
    """What was read of one process.

    Attributes
    ----------
    series
        ``soak_s``, ``at`` (soak time) and ``value``, in order of time.
    observed_s
        Wall seconds from reading to reading, without the holes in which nobody read.
    processes
        How many there were, of which this is the one that was read for longest.
    """

    series: pl.DataFrame
    observed_s: float
    processes: int


def gateway_query(run: Run, metric: str, scale: float = 1.0) -> str:
    """Give the SQL of a gauge of the gateway: ``at_us``, ``soak_s``, ``value``, ``process``.

    The process is told by the start time that the gateway exposes, else, of the embedded gateway, which dies with its
    runner, by the run's segment.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the gauge; series of one scrape are added up.
    scale
        What its values are multiplied with.
    """
    otherwise = "segment" if run.info.embedded else "0"
    return f"""
        with readings as (
            select at_us, sum("value") * {scale!r} as "value" from samples where metric = '{metric}' group by at_us
        ), starts as (
            select at_us, round(max("value")) as started from samples where metric in ({_STARTED}) group by at_us
        )
        select readings.at_us, soak_seconds(readings.at_us) as soak_s, "value",
               coalesce(started, {otherwise}, 0)::DOUBLE as process
        from readings
        asof left join starts on readings.at_us >= starts.at_us
        asof left join (from segments where lane is null) segments on readings.at_us >= segments.started_at_us
        order by readings.at_us"""  # noqa: S608 - our own names


def generator_query(column: str, scale: float = 1.0) -> str:
    """Give the SQL of what the runner wrote of itself, each segment of a lane a process; as :func:`gateway_query`."""
    return f"""
        select at_us, soak_seconds(at_us) as soak_s, {column} * {scale!r} as "value",
               (coalesce(segment, 0) + 65536 * (coalesce(health.lane, -1) + 1))::DOUBLE as process
        from runner_health health asof left join segments
          on coalesce(health.lane, -1) = coalesce(segments.lane, -1) and at_us >= started_at_us
        order by at_us"""  # noqa: S608 - a column's name


def longest_lived(readings: pl.DataFrame) -> Readings:
    """Keep the process that was read for longest.

    Parameters
    ----------
    readings
        ``at_us``, ``soak_s``, ``value``, ``process``.
    """
    if readings.is_empty():
        return Readings(in_soak_time(readings.select("soak_s", "value")), 0.0, 0)
    parts = [part.sort("at_us") for part in readings.partition_by("process", maintain_order=True)]
    observed = [_observed_s(part["at_us"]) for part in parts]
    longest = max(range(len(parts)), key=observed.__getitem__)
    series = in_soak_time(parts[longest].select("soak_s", "value"))
    return Readings(series, observed[longest], len(parts))


def _observed_s(at_us: pl.Series) -> float:
    steps = np.diff(at_us.to_numpy())
    if not (steps > 0).any():
        return 0.0
    return float(steps[steps <= _A_HOLE * np.median(steps[steps > 0])].sum()) / 1e6
