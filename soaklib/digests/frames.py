"""What a digest keeps of a run over time: windows by which gateways are told apart, and minutes that figures show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.latency import latency
from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.measures.rates import success_rate
from soaklib.analysis.verdicts.compare import value_windows
from soaklib.analysis.verdicts.memory import memory_query
from soaklib.digests.process import process_readings
from soaklib.store.quoting import text_sql

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["ALL_CALLS", "MINUTES_SCHEMA", "WINDOWED", "WINDOWS_SCHEMA", "memory_readings", "minutes", "windows"]

WINDOWS_SCHEMA: Final = pl.Schema(
    {"measure": pl.String(), "of": pl.String(), "soak_s": pl.Float64(), "value": pl.Float64()}
)
"""Columns of :func:`windows`: measure, of which calls (``tool:action``), start of the window, value."""

MINUTES_SCHEMA: Final = pl.Schema(
    {"panel": pl.String(), "line": pl.String(), "soak_s": pl.Float64(), "value": pl.Float64()}
)
"""Columns of :func:`minutes`: what is shown, which line of it, start of the minute, value in the panel's unit."""

ALL_CALLS: Final = "all calls"
_WINDOWS: Final = 144
_LEAST_WINDOW_S: Final = 10.0
_OK: Final = "kind = 'ok'"
_FIRST: Final = "first_token_at_us - sent_at_us"
_STREAMED: Final = f"{_OK} and first_token_at_us is not null and chunks > 1"

WINDOWED: Final = {
    "median": (_OK, 0.5, "service_us"),
    "p99": (_OK, 0.99, "service_us"),
    "first token": (_STREAMED, 0.5, _FIRST),
}
"""Measure -> of which calls, which quantile, and of what: milliseconds from the sending of a call."""


def windows(run: Run) -> pl.DataFrame:
    """Give the windows whose mean is a value over all calls, outside the planned windows: 144, or one each ten seconds.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`WINDOWS_SCHEMA`. Measures are ``median``, ``p99`` and ``first token`` (milliseconds, by tool
        and action), ``errors`` (percent that failed, of all calls), ``cpu`` (milliseconds of CPU a call) and ``memory``
        (MiB).
    """
    kinds = run.sql("select distinct tool, action from valid_calls where purpose = 'load' order by all").rows()
    length_s = max(run.info.planned_soak_s / _WINDOWS, _LEAST_WINDOW_S * run.info.speed)
    found = [
        value_windows(run, f"{call} and {calls}", quantile, of=of, length_s=length_s).with_columns(
            measure=pl.lit(measure), of=pl.lit(f"{tool}:{action}")
        )
        for measure, (calls, quantile, of) in WINDOWED.items()
        for tool, action in kinds
        for call in (f"tool = {text_sql(tool)} and action = {text_sql(action)}",)
    ]  # fmt: skip
    found.append(
        value_windows(run, "counted", None, length_s=length_s).with_columns(
            measure=pl.lit("errors"), of=pl.lit(ALL_CALLS)
        )
    )
    found.append(_cpu(run, length_s).with_columns(measure=pl.lit("cpu"), of=pl.lit(ALL_CALLS)))
    found.append(_mean_memory(run, length_s).with_columns(measure=pl.lit("memory"), of=pl.lit("the gateway")))
    return pl.concat([one.select(*WINDOWS_SCHEMA).cast(WINDOWS_SCHEMA) for one in found])


def _cpu(run: Run, length_s: float) -> pl.DataFrame:
    """Give milliseconds of CPU a call by the window, scaled so that their mean is that over all calls."""
    used = (
        process_readings(run)
        .with_columns(soak_s=pl.col("soak_s") // length_s * length_s, used_s=pl.col("cpu_s").diff())
        .group_by("soak_s", maintain_order=True)
        .agg(pl.col("used_s").sum(), steps=pl.len())
    )
    calls = run.sql(
        """
        select floor(soak_s / $length_s) * $length_s as soak_s, count(*)::DOUBLE as calls from calls
        where attempts > 0 group by 1""",
        {"length_s": length_s},
    )
    both = used.join(calls, on="soak_s").sort("soak_s")
    return both.select("soak_s", value=1000 * pl.col("used_s") / pl.col("calls").mean())


def _mean_memory(run: Run, length_s: float) -> pl.DataFrame:
    """Give the mean of its readings by the window, without those of planned windows."""
    planned = planned_windows(run).select("start_s", "end_s").iter_rows()
    quiet = pl.all_horizontal(pl.lit(value=True), *(~pl.col("soak_s").is_between(*window) for window in planned))
    by_window = memory_readings(run).filter(quiet).group_by(soak_s=pl.col("soak_s") // length_s * length_s)
    return by_window.agg(pl.col("value").mean()).sort("soak_s")


def minutes(run: Run) -> pl.DataFrame:
    """Give what figures show, by the minute of soak time.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`MINUTES_SCHEMA`. Panels are ``success`` (percent), ``latency`` (milliseconds: the median and
        the p99 of calls that were served), ``first token`` (its median), ``memory`` (MiB) and ``refused`` (calls).
    """
    success = success_rate(run, "1m").select("soak_s", line=pl.lit("success"), value="success_rate")
    served = latency(run, "1m", by=(), quantiles=(0.5, 0.99)).filter(measure="service")
    quantile = pl.when(pl.col("quantile") == 0.5).then(pl.lit("median")).otherwise(pl.lit("p99"))  # noqa: PLR2004 - it is the one
    first = run.sql(
        f"""
        select floor(soak_s / 60) * 60 as soak_s, 'median' as line, quantile_disc({_FIRST}, 0.5) / 1000 as "value"
        from calls where purpose = 'load' and {_STREAMED} group by 1 order by 1"""  # noqa: S608 - our own conditions
    )
    memory = (
        memory_readings(run).group_by(soak_s=pl.col("soak_s") // 60 * 60)
        .agg(pl.col("value").median()).sort("soak_s").with_columns(line=pl.lit("resident"))
    )  # fmt: skip
    refused = run.sql(
        """
        select floor(soak_s / 60) * 60 as soak_s, kind as line, count(*)::DOUBLE as "value" from calls
        where kind in ('denied', 'unauthorized', 'rate_limited') group by all order by all"""
    )
    panels = {
        "success": success, "latency": served.select("soak_s", line=quantile, value="latency_ms"),
        "first token": first, "memory": memory, "refused": refused,
    }  # fmt: skip
    return pl.concat(
        [
            frame.with_columns(panel=pl.lit(panel)).select(*MINUTES_SCHEMA).cast(MINUTES_SCHEMA)
            for panel, frame in panels.items()
        ]
    )


def memory_readings(run: Run) -> pl.DataFrame:
    """Give the gateway's memory, read from outside or else as it exposes it: ``soak_s``, ``value`` (MiB)."""
    outside = process_readings(run).select("soak_s", value="rss_mib")
    return outside if outside.height else run.sql(memory_query(run, "gateway")).select("soak_s", "value")
