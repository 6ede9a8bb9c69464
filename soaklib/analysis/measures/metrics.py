"""What was scraped, in soak time: gauges as the series that drift is judged in, gauges and counters by window.

A day has 86,400 wall seconds, and a figure has room for some hundred points: so windows. What the gateway's own
counters counted in them stands beside what the client saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.counters import increase
from soaklib.analysis.measures.lineage import STARTS
from soaklib.analysis.measures.windows import seconds_of, window_sql
from soaklib.errors import SettingsError
from soaklib.records import HEALTH_METRIC_PREFIX

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["gauge", "gauge_windows", "generator_memory", "in_soak_time", "metered"]

_SOAK_EPOCH: Final = pl.datetime(2000, 1, 1, time_unit="us", time_zone="UTC")

_WART_SUFFIX = "_total"  # the real gateway says it twice


def gauge(run: Run, metric: str) -> pl.DataFrame:
    """Give a gauge's value at each scrape, its series added up.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the gauge, such as ``health_memory_used_bytes`` or ``process_resident_memory_bytes``.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``at`` (UTC), ``value``, in order of time; empty if it was never scraped.
    """
    return run.sql(
        'select soak_seconds(at_us) as soak_s, utc(at_us) as "at", sum("value") as "value" from samples '
        "where metric = $metric group by all order by soak_s",
        {"metric": metric},
    )


def in_soak_time(frame: pl.DataFrame) -> pl.DataFrame:
    """Put soak time in place of UTC, so that what is judged by the hour is judged by the soak-hour.

    Soak time stands still while no runner lives: a series of a resumed run has no hole in it, and the windows of
    :func:`~soaklib.analysis.measures.marks.planned_windows` lie where they belong.

    Parameters
    ----------
    frame
        A series, which has ``soak_s``, or windows, which have ``start_s`` and ``end_s``.

    Returns
    -------
    polars.DataFrame
        The frame; ``at`` of a series, ``start`` and ``end`` of windows are soak time counted from 2000-01-01 UTC,
        whatever they were before. Windows in this form are a mask for such a series.

    Raises
    ------
    SettingsError
        There is neither.

    Examples
    --------
    ``drift(in_soak_time(series), mask=in_soak_time(planned_windows(run)))``
    """
    if "soak_s" in frame.columns:
        return frame.with_columns(at=_soak_time("soak_s"))
    if {"start_s", "end_s"} <= set(frame.columns):
        return frame.with_columns(start=_soak_time("start_s"), end=_soak_time("end_s"))
    msg = "the frame has neither soak_s nor start_s and end_s; pass one that soaklib made from a run"
    raise SettingsError(msg)


def _soak_time(column: str) -> pl.Expr:
    return _SOAK_EPOCH + pl.duration(microseconds=(pl.col(column) * 1e6).round().cast(pl.Int64))


def gauge_windows(run: Run, metric: str, every: str = "5m") -> pl.DataFrame:
    """Give a gauge over windows of soak time, as few points as a figure can show.

    Parameters
    ----------
    run, metric
        The run, and the name of the gauge; its series are added up.
    every
        Length of a window in soak time.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` (mean time of the window's readings), ``value`` (their median), ``low`` and ``high`` (the least and
        the largest), ``n`` (readings), in order; a window without a reading has no row.
    """
    readings = """select soak_seconds(at_us) as soak_s, sum("value") as "value" from samples
                  where metric = $metric group by at_us"""
    return run.sql(_windows_sql(readings, every), {"metric": metric})


def generator_memory(run: Run, every: str = "5m") -> pl.DataFrame:
    """Give the load generator's own memory, in bytes, over windows of soak time; as :func:`gauge_windows` does."""
    return run.sql(_windows_sql('select soak_seconds(at_us) as soak_s, rss_bytes as "value" from runner_health', every))


def _windows_sql(readings: str, every: str) -> str:
    return f"""
        select avg(soak_s) as soak_s, median("value")::DOUBLE as "value", min("value")::DOUBLE as low,
               max("value")::DOUBLE as high, count(*)::BIGINT as n
        from ({readings}) group by {window_sql(every)} order by soak_s"""  # noqa: S608 - our own queries


def metered(run: Run, metric: str, every: str = "1h", *, by: str = "tool") -> pl.DataFrame:
    """Give the increase of a counter, reset-aware, by one of its labels.

    When a call was counted between two scrapes nobody knows: an increase is spread evenly over the time between them,
    so that shorter windows hold fractions. The last scrape comes after the end of the load, and what it found was
    counted before. The sum over all windows is what was counted.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the counter; found too if the gateway says ``_total`` twice.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Name of the label; series without it are counted under ``""``.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, the label, ``n``, in order; no row where nothing was scraped.
    """
    times = run.sql(
        'select distinct utc(at_us) as "at", soak_seconds(at_us) as soak_s from samples '
        "where not starts_with(metric, $health)",
        {"health": HEALTH_METRIC_PREFIX},
    )
    names = (metric, metric + _WART_SUFFIX)
    samples = pl.concat([run.samples(name) for name in (*names, *STARTS)])  # a restart may be told by its start alone
    every_s = seconds_of(every)
    between = times.sort("at").select("at", since_s=pl.col("soak_s").shift(1), until_s=pl.col("soak_s"))
    between = between.with_columns(until_s=_until_the_end(run.info.planned_soak_s))
    label = pl.col("labels").list.filter(pl.element().struct.field("key") == by).list.first().struct.field("value")
    rising = increase(samples, scrapes=times["at"]).filter(pl.col("metric").is_in(names))
    counted = rising.join(between, on="at").with_columns(label=label.fill_null(""))
    return (
        _spread(counted, every_s)
        .group_by("soak_s", "label")
        .agg(n=pl.col("increase").sum())
        .rename({"label": by})
        .sort("soak_s", by)
    )


def _until_the_end(end_s: float) -> pl.Expr:
    """Give the later of the two scrapes, or the end of the load if that comes between them."""
    return pl.when(pl.col("since_s") < end_s).then(pl.min_horizontal("until_s", end_s)).otherwise("until_s")


def _spread(counted: pl.DataFrame, every_s: float | None) -> pl.DataFrame:
    """Give each increase's part in each window, as ``soak_s`` and ``increase``."""
    if every_s is None:
        return counted.with_columns(soak_s=pl.lit(0.0))
    since_s, until_s = pl.col("since_s"), pl.col("until_s")
    first = (since_s / every_s).floor().cast(pl.Int64)
    end = pl.max_horizontal((until_s / every_s).ceil().cast(pl.Int64), first + 1)
    parts = counted.with_columns(place=pl.int_ranges(first, end)).explode("place")
    start_s = pl.col("place") * every_s
    overlap_s = pl.min_horizontal(until_s, start_s + every_s) - pl.max_horizontal(since_s, start_s)
    # soak time stands still while no runner lives, and so it may between two scrapes
    share = pl.when(until_s > since_s).then(overlap_s / (until_s - since_s)).otherwise(1.0)
    return parts.with_columns(soak_s=start_s, increase=pl.col("increase") * share)
