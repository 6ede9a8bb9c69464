"""A gauge as one series in soak time, the form that drift is judged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from soaklib.analysis.load import Run

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
    """Put soak time in place of ``at``, so that what is judged by the hour is judged by the soak-hour.

    Parameters
    ----------
    frame
        It has ``soak_s``.

    Returns
    -------
    polars.DataFrame
        The frame; ``at`` is soak time counted from 2000-01-01 UTC, whatever it was before.

    Raises
    ------
    SettingsError
        There is no ``soak_s``.
    """
    if "soak_s" not in frame.columns:
        msg = "the frame has no column soak_s; pass one that soaklib made from a run"
        raise SettingsError(msg)
    return frame.with_columns(
        at=_SOAK_EPOCH + pl.duration(microseconds=(pl.col("soak_s") * 1e6).round().cast(pl.Int64))
    )
