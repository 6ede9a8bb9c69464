"""Success, denials and composition of outcomes over windows of soak time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.intervals import rate_interval
from soaklib.analysis.windows import aggregate, seconds_of, window_sql

if TYPE_CHECKING:
    import datetime as dt

    from soaklib.analysis.load import Run

__all__ = ["SUCCESS_SCHEMA", "denials", "outcome_counts", "success_rate", "tool_usage"]

SUCCESS_SCHEMA: Final = pl.Schema(
    {
        "soak_s": pl.Float64(), "at": pl.Datetime("us", "UTC"), "n": pl.Int64(), "successes": pl.Int64(),
        "success_rate": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(), "method": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`success_rate`."""

_PARTS: Final = 16  # parts of a window from which the dependence of its calls is measured
_LONG_PART_S: Final = 60.0


def outcome_counts(source: Run | pl.DataFrame, every: str = "1m") -> pl.DataFrame:
    """Count planned calls by purpose and kind.

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` (start of the window), ``purpose``, ``kind``, ``n``, in order.
    """
    return aggregate(
        source,
        f"select {window_sql(every)} as soak_s, purpose, kind, count(*)::BIGINT as n from calls "  # noqa: S608
        "group by all order by all",
    )


def denials(source: Run | pl.DataFrame, every: str = "1m") -> pl.DataFrame:
    """Count denials by policy, by purpose and reason.

    Parameters
    ----------
    source, every
        As for :func:`outcome_counts`.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``at`` (UTC time of the window's first planned call), ``purpose``, ``reason``, ``n`` (denials) and
        ``calls`` (planned calls of that purpose in the window). A window without denials has no row.
    """
    return aggregate(
        source,
        f"""
        with planned as (
            select {window_sql(every)} as soak_s, purpose, min("at") as "at", count(*)::BIGINT as calls
            from calls group by all
        )
        select soak_s, planned."at", purpose, reason, n, planned.calls
        from (
            select {window_sql(every)} as soak_s, purpose, reason, count(*)::BIGINT as n
            from calls where kind = 'denied' group by all
        ) join planned using (soak_s, purpose)
        order by soak_s, purpose, reason""",  # noqa: S608
    )


def tool_usage(source: Run | pl.DataFrame, every: str = "1h") -> pl.DataFrame:
    """Count calls that were really sent, by tool and action.

    Parameters
    ----------
    source, every
        As for :func:`outcome_counts`.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``tool``, ``action``, ``sent``, ``ok``.
    """
    return aggregate(
        source,
        f"""
        select {window_sql(every)} as soak_s, tool, action, count(sent_at_us)::BIGINT as sent,
               count(*) filter (kind = 'ok')::BIGINT as ok
        from calls where purpose = 'load' group by all order by all""",  # noqa: S608
    )


def success_rate(source: Run | pl.DataFrame, every: str = "1m") -> pl.DataFrame:
    """Give the success rate of the load over windows of soak time, with its interval.

    A success is a call that policy should allow and that was answered ok; left out are skipped chain steps, and quota
    denials that the plan says may happen. There is one definition, in :mod:`soaklib.records`. The interval knows of
    bursts: its design effect is measured within each window, see :func:`soaklib.analysis.intervals.rate_interval`.

    Parameters
    ----------
    source, every
        As for :func:`outcome_counts`.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` (start of the window), ``at`` (UTC), ``n`` (calls that count), ``successes``, ``success_rate``,
        ``low`` and ``high`` (percent, 0 to 100; the 95 % interval), ``method`` (how the interval was made). A window in
        which no call counts is there with n = 0 and null rates: a gap.
    """
    every_s = seconds_of(every)
    part = f"floor(soak_s / {every_s / _PARTS!r})" if every_s is not None else f"floor(soak_s / {_LONG_PART_S!r})"
    parts = aggregate(
        source,
        f"""
        select {window_sql(every)} as soak_s, {part} as part, min("at") as "at",
               count(*) filter (counted)::BIGINT as n, count(*) filter (counted and succeeded)::BIGINT as successes
        from calls group by all order by soak_s, part""",  # noqa: S608
    )
    windows = parts.group_by("soak_s", maintain_order=True).agg(pl.col("at").min(), pl.col("n", "successes"))
    rows = [_window_rate(*window) for window in windows.iter_rows()]
    return _with_gaps(pl.DataFrame(rows, schema=SUCCESS_SCHEMA, orient="row"), every_s)


def _window_rate(soak_s: float, at: dt.datetime, n: list[int], successes: list[int]) -> tuple[object, ...]:
    """Give a window's row from the counts of its parts."""
    interval = rate_interval(successes, n)
    rates = (None if ratio is None else 100 * ratio for ratio in (interval.rate, interval.low, interval.high))
    return (soak_s, at, interval.n, interval.successes, *rates, interval.method)


def _with_gaps(windows: pl.DataFrame, every_s: float | None) -> pl.DataFrame:
    """Put in the windows that have no planned call at all, with n = 0."""
    if every_s is None or windows.height < 2:  # noqa: PLR2004 - one window has nothing between
        return windows
    starts = windows["soak_s"]
    count = round((starts[-1] - starts[0]) / every_s) + 1
    every_window = pl.DataFrame({"soak_s": [starts[0] + number * every_s for number in range(count)]})
    return every_window.join(windows, on="soak_s", how="left", maintain_order="left").with_columns(
        pl.col("n", "successes").fill_null(0), pl.col("method").fill_null("none")
    )
