"""What was read of a gateway's processes from outside while it was soaked: all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["PROCESS_NAME", "PROCESS_SCHEMA", "process_readings"]

PROCESS_NAME: Final = "gateway-process.csv"
"""What is kept beside the run, a line a reading (:data:`PROCESS_SCHEMA`)."""

PROCESS_SCHEMA: Final = pl.Schema(
    {"at": pl.String(), "rss_bytes": pl.Int64(), "cpu_s": pl.Float64(), "processes": pl.Int64()}
)
"""``at`` (UTC, ISO 8601), resident bytes and seconds of CPU so far of all processes together, and how many."""


def process_readings(run: Run) -> pl.DataFrame:
    """Give the readings within the planned time of a run.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``rss_mib``, ``cpu_s``, ``processes``, in order; empty where nothing was read.
    """
    path = run.folder / PROCESS_NAME
    told = pl.read_csv(path, schema=PROCESS_SCHEMA) if path.is_file() else pl.DataFrame(schema=PROCESS_SCHEMA)
    at_us = pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us")
    anchored = told.with_columns(at_us=(at_us - pl.lit(run.info.anchor_utc)).dt.total_microseconds())
    return run.sql(
        """
        select soak_seconds(at_us) as soak_s, rss_bytes / 1048576.0 as rss_mib, cpu_s, processes from readings_outside
        where soak_seconds(at_us) between 0 and $last_s order by at_us""",
        {"last_s": run.info.planned_soak_s},
        tables={"readings_outside": anchored},
    )
