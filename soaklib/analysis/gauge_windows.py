"""A gauge over windows of soak time: a day has 86,400 wall seconds, and a figure has room for some hundred points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.analysis.windows import window_sql

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["gauge_windows", "generator_memory"]


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
