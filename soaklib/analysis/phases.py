"""How the load fared in each phase of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.statistics.intervals import rate_interval

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["PHASES_SCHEMA", "success_by_phase"]

PHASES_SCHEMA: Final = pl.Schema(
    {
        "phase": pl.String(), "soak_s": pl.Float64(), "calls": pl.Int64(), "denied": pl.Int64(), "failed": pl.Int64(),
        "n": pl.Int64(), "success_rate": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(),
    }
)  # fmt: skip
"""Columns and types of :func:`success_by_phase`."""


def success_by_phase(run: Run) -> pl.DataFrame:
    """Give the success rate of the load in each phase, with an interval that knows of bursts.

    Returns
    -------
    polars.DataFrame
        ``phase``, ``soak_s`` (when its first call was planned), ``calls`` (planned), ``denied``, ``failed`` (neither ok
        nor denied), ``n`` (calls that count towards success), ``success_rate``, ``low`` and ``high`` (percent; the
        95 % interval, see :func:`soaklib.analysis.statistics.intervals.rate_interval`), in order of time.
    """
    minutes = run.sql(
        """
        select phase, floor(soak_s / 60) as minute, min(soak_s) as soak_s, count(*)::BIGINT as calls,
               count(*) filter (kind = 'denied')::BIGINT as denied,
               count(*) filter (kind not in ('ok', 'denied'))::BIGINT as failed,
               count(*) filter (counted)::BIGINT as n, count(*) filter (counted and succeeded)::BIGINT as successes
        from calls where purpose = 'load' group by all order by minute"""
    )
    phases = minutes.group_by("phase", maintain_order=True).agg(
        pl.col("soak_s").min(), pl.col("calls", "denied", "failed").sum(), pl.col("n", "successes")
    )
    rows = []
    for *told, n, successes in phases.sort("soak_s").iter_rows():
        found = rate_interval(successes, n)
        rates = (None if ratio is None else 100 * ratio for ratio in (found.rate, found.low, found.high))
        rows.append((*told, found.n, *rates))
    return pl.DataFrame(rows, schema=PHASES_SCHEMA, orient="row")
