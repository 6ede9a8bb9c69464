"""Readings of one process: a process that was started anew holds nothing of what the one before it leaked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.analysis.measures.breakers import recovery_limit_s
from soaklib.analysis.measures.lineage import A_REAL_TIME_S
from soaklib.analysis.measures.meanings import series_of
from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.exposition.ending import STARTS
from soaklib.records import EventName
from soaklib.store.quoting import text_sql
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.analysis.sources.run import Run

__all__ = [
    "Falls",
    "Readings",
    "Start",
    "gateway_query",
    "generator_query",
    "longest_lived",
    "request_falls",
    "starts_query",
    "starts_seen",
    "tells_its_start",
    "unplanned_starts",
]

_TOGETHER_S: Final = 1.5
"""Processes that began so close are workers of one gateway, or one process whose start is computed from the time since
boot: a clock that is corrected while it runs moves it by a second."""
_COMES_BACK: Final = "(first_us <= lag(last_us) over it and last_us >= lag(first_us) over it)"
"""SQL of which of them are workers: a start time that was corrected never comes back."""
_A_HOLE: Final = 10  # steps: a longer one is time in which nobody read
_CAME_TO_NOTHING: Final = (EventName.HEALTH_GATE_FAILED, EventName.CHANGE_FAILED, EventName.CHANGE_UNSUPPORTED)
"""What events of changes say that were not made: one that a dead gateway kept from being made killed no gateway."""


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
    lane
        Which lane of a fleet read it, of itself; None for what the one sender read, or the conductor.
    """

    series: pl.DataFrame
    observed_s: float
    processes: int
    lane: int | None


class Falls(NamedTuple):
    """How the gateway's count of requests went, which a new process begins anew.

    Attributes
    ----------
    falls
        How often it was less than in the scrape before.
    scrapes
        How many scrapes have it.
    watched_s
        Soak seconds from the first of them to the last.
    """

    falls: int
    scrapes: int
    watched_s: float


class Start(NamedTuple):
    """A process that took another's place.

    Attributes
    ----------
    after_s, until_s
        The last reading of the one before, and the first of the new one: soak seconds.
    process
        The new one, as in the readings.
    """

    after_s: float
    until_s: float
    process: float


def gateway_query(
    run: Run, metric: str, scale: float = 1.0, labels: Mapping[str, tuple[str, ...]] | None = None
) -> str:
    """Give the SQL of a gauge of the gateway: ``at_us``, ``soak_s``, ``value``, ``process``.

    The process is told by the start time that the gateway exposes, under its target's name for it or a usual one,
    else, of the embedded gateway, which dies with its runner, by the run's segment. A start time that moves by a second
    and never comes back is that of one process, as in :func:`starts_query`; what was read before any start time was is
    of the first process that tells one, if that ran by then.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the gauge; series of one scrape are added up.
    scale
        What its values are multiplied with.
    labels
        What its series must bear, each label one of the values; others are left out.
    """
    otherwise = "segment" if run.info.embedded else "0"
    wanted = f"metric = {text_sql(metric)}" + "".join(
        f" and label(labels, {text_sql(label)}) in ({', '.join(map(text_sql, values))})"
        for label, values in (labels or {}).items()
    )
    return f"""
        with readings as (
            select at_us, sum("value") * {scale!r} as "value" from samples where {wanted} group by at_us
        ), {_started(run, 'round("value")', _COMES_BACK)}
        ), earliest as (
            select arg_min(process, at_us) as ran_from from started having ran_from > {A_REAL_TIME_S!r}
        )
        select readings.at_us, soak_seconds(readings.at_us) as soak_s, "value",
               coalesce(started.process, ran_from, {otherwise}, 0)::DOUBLE as process
        from readings
        asof left join started on readings.at_us >= started.at_us
        asof left join (from segments where lane is null) segments on readings.at_us >= segments.started_at_us
        left join earliest on ran_from <= epoch(utc(readings.at_us)) + {_TOGETHER_S}
        order by readings.at_us"""  # noqa: S608 - our own names


def starts_query(run: Run) -> str:
    """Give the SQL of which process of the gateway was read: ``at_us``, ``soak_s``, ``process``, told by its start.

    Processes that began within a second are one: the workers of a gateway, or one whose start time is corrected.
    """
    return f"""
        with {_started(run, '"value"', "false")}
        )
        select at_us, soak_seconds(at_us) as soak_s, process from started order by at_us"""  # noqa: S608 - our own names


def _started(run: Run, said: str, another: str) -> str:
    """Give the SQL of CTEs whose last, left open, is ``started``: ``at_us`` and ``process``, a start time, of scrapes.

    Parameters
    ----------
    run
        The run.
    said
        SQL of the start time that ``value`` is.
    another
        SQL of which of two that began together are two processes nevertheless; it knows, beside ``said``, ``first_us``
        and ``last_us`` of the scrapes that tell a start time, and the window ``it`` of all in order of start times.
    """
    return f"""told as (
            select at_us, max({said}) as said from samples where metric in ({_starts(run)}) group by at_us
        ), spans as (
            select said, min(at_us) as first_us, max(at_us) as last_us from told group by said
        ), begun as (
            select said, said - lag(said) over it > {_TOGETHER_S} or {another} as is_another
            from spans window it as (order by said)
        ), processes as (
            select said, max(said) filter (coalesce(is_another, true)) over (order by said) as process from begun
        ), started as (
            select at_us, process from told join processes using (said)"""  # noqa: S608 - our own words


def _starts(run: Run) -> str:
    """Give the SQL list of the metrics that tell when the gateway's process began."""
    told = series_of(run, Meaning.START)
    return ", ".join(map(text_sql, dict.fromkeys([*STARTS, *([] if told is None else [told.metric])])))


def tells_its_start(run: Run) -> bool:
    """Say whether the gateway ever told when its process began."""
    query = f"select exists(from samples where metric in ({_starts(run)}))"
    return bool(run.sql(query).item())


def request_falls(run: Run) -> Falls | None:
    """Count how often the gateway's count of requests fell, as that of a new process does; None where it has none."""
    told = series_of(run, Meaning.REQUESTS)
    if told is None:
        return None
    names = ", ".join(text_sql(f"{told.metric}{suffix}") for suffix in ("", "_total", "_count"))
    scrapes, falls, watched_s = run.sql(
        f"""
        select count(*), count(*) filter (n < before), soak_seconds(max(at_us)) - soak_seconds(min(at_us)) from (
            select at_us, n, lag(n) over (order by at_us) as before from (
                select at_us, sum("value") as n from samples where metric in ({names}) group by at_us))"""  # noqa: S608 - quoted
    ).row(0)
    return Falls(int(falls), int(scrapes), float(watched_s)) if scrapes else None


def generator_query(column: str, scale: float = 1.0) -> str:
    """Give the SQL of what the runner wrote of itself, each segment of a lane a process; as :func:`gateway_query`."""
    return f"""
        select at_us, soak_seconds(at_us) as soak_s, {column} * {scale!r} as "value",
               (coalesce(segment, 0) + 65536 * (coalesce(health.lane, -1) + 1))::DOUBLE as process, health.lane
        from runner_health health asof left join segments
          on coalesce(health.lane, -1) = coalesce(segments.lane, -1) and at_us >= started_at_us
        order by at_us"""  # noqa: S608 - a column's name


def longest_lived(readings: pl.DataFrame) -> Readings:
    """Keep the process that was read for longest.

    Parameters
    ----------
    readings
        ``at_us``, ``soak_s``, ``value``, ``process``, and ``lane`` where lanes read themselves.
    """
    if readings.is_empty():
        return Readings(in_soak_time(readings.select("soak_s", "value")), 0.0, 0, None)
    parts = [part.sort("at_us") for part in readings.partition_by("process", maintain_order=True)]
    observed = [_observed_s(part["at_us"]) for part in parts]
    longest = max(range(len(parts)), key=observed.__getitem__)
    series = in_soak_time(parts[longest].select("soak_s", "value"))
    lane = parts[longest]["lane"][0] if "lane" in readings.columns else None
    return Readings(series, observed[longest], len(parts), lane)


def starts_seen(readings: pl.DataFrame) -> list[Start]:
    """Give the processes that took another's place; those that answer in turn have taken no place.

    Parameters
    ----------
    readings
        As for :func:`longest_lived`.
    """
    stretches = readings.group_by("process").agg(first_s=pl.col("soak_s").min(), last_s=pl.col("soak_s").max())
    found = []
    for process, first_s, _ in stretches.sort("first_s").iter_rows():
        ended = stretches.filter(pl.col("last_s") < first_s)["last_s"].max()
        if ended is not None:
            found.append(Start(float(ended), first_s, process))  # type: ignore[arg-type]  # a number
    return found


def unplanned_starts(run: Run, starts: list[Start]) -> list[Start]:
    """Give those with no change beside them, of the plan or by hand; nor was the runner away, which sees nothing then.

    A change that was not made, since the gateway was not well, refused it or has no route for it, is none.

    Parameters
    ----------
    run
        The run.
    starts
        As :func:`starts_seen` gives them.
    """
    nothing = ", ".join(map(text_sql, _CAME_TO_NOTHING))
    changed = run.sql(
        "select soak_seconds(at_us) as soak_s from events "  # noqa: S608 - our own words
        f"where (event_key like 'change:%' or event_key like 'inbox:%') and name not in ({nothing})"
    )
    moments = [*changed["soak_s"].to_list(), *(one.soak_started_s for one in run.info.segments[1:])]
    before_s = recovery_limit_s(run)
    return [one for one in starts if not any(one.after_s - before_s <= at_s <= one.until_s for at_s in moments)]


def _observed_s(at_us: pl.Series) -> float:
    steps = np.diff(at_us.to_numpy())
    if not (steps > 0).any():
        return 0.0
    return float(steps[steps <= _A_HOLE * np.median(steps[steps > 0])].sum()) / 1e6
