"""A gauge as one series in soak time, the form that drift is judged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["gauge", "in_soak_time"]

_SOAK_EPOCH: Final = pl.datetime(2000, 1, 1, time_unit="us", time_zone="UTC")


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
    :func:`~soaklib.analysis.timeline.planned_windows` lie where they belong.

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
