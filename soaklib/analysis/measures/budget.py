"""The error budget of a run over soak time: how much of it is used, and how fast it burns.

An objective of 97 % leaves a budget of 3 % errors. A burn rate of 1 uses it up in exactly its period; the multiwindow
alerts of *The Site Reliability Workbook* (Google, 2018, chapter 5) fire when a long window and a short one inside it
both burn faster than a threshold: the long one shows that it matters, the short one that it goes on. Of the workbook's
pairs the two that fit into a day are used: 1 h with 5 min at 14.4, and 6 h with 30 min at 6. Its third, 3 days with 6
h, never fills in a day.

Those thresholds are of a budget of 30 days. A run has only its own: it alerts where a quarter of that goes in an hour,
or half of it in six (of a day: 6 and 2). Whether the pager of 30 days would have rung is told beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.measures.rates import success_rate
from soaklib.analysis.measures.windows import seconds_of, window_end
from soaklib.analysis.statistics.series import in_mask, require, times_us
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["BURN_SCHEMA", "WINDOWS", "Budget", "BurnWindow", "budget", "burn", "error_budget", "own_windows"]

BURN_SCHEMA = pl.Schema(
    {
        "at": pl.Datetime("us", "UTC"),
        "window": pl.String(),
        "long_rate": pl.Float64(),
        "short_rate": pl.Float64(),
        "alert": pl.Boolean(),
    }
)
"""Columns of :func:`burn`."""


def error_budget(
    run: Run, every: str = "5m", *, objective: float | None = None, leave_out: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Give burn rates over pairs of windows of soak time, and the budget used so far.

    Parameters
    ----------
    run
        The run.
    every
        Length of a row's window in soak time, at most the shortest burn window's.
    objective
        Share of calls that should succeed, above 0; 1 leaves no budget. None for the run's required success rate.
    leave_out
        ``start_s`` and ``end_s`` (soak seconds) of windows whose rows burn nothing and use nothing, such as
        :func:`~soaklib.analysis.measures.marks.planned_windows`; None for every call.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the row's own window), ``window`` (the pair, ``60m/5m`` or ``360m/30m``),
        ``threshold`` (burn rate from which both alert, for the run's own period), ``long_rate``, ``short_rate``,
        ``alert``, ``pager`` (whether a budget of 30 days would have alerted), ``used_ratio`` (errors so far by the
        errors that the whole run's calls allow; the same for every pair). Rates and ratio are infinite where a call
        failed and no budget is for it; the rates are null in a window without calls.

    Raises
    ------
    SettingsError
        The objective is not above 0 and up to 1, or `leave_out` lacks a column.
    """
    share = run.thresholds.success_rate / 100 if objective is None else objective
    counts = in_soak_time(success_rate(run, every))
    if leave_out is not None:
        masked = pl.Series(
            in_mask(times_us(counts, "at", "counts"), (seconds_of(every) or 0.0) * 1e6, in_soak_time(leave_out))
        )
        counts = counts.with_columns(pl.when(~masked).then(pl.col("n", "successes")).otherwise(0))
    pairs = own_windows(run.info.planned_soak_s)
    of_30_days = burn(counts, objective=share).select("at", "window", pager="alert")
    rates = burn(counts, objective=share, windows=pairs).join(of_30_days, on=["at", "window"], how="left")
    thresholds = pl.DataFrame(
        {"window": [pair.name for pair in pairs], "threshold": [pair.threshold for pair in pairs]}
    )
    errors = (pl.col("n") - pl.col("successes")).cum_sum()
    allowed = pl.col("n").sum() * (1 - share)
    used = counts.select(
        "soak_s", "at", used_ratio=pl.when(errors > 0).then(errors / allowed).when(pl.col("n").sum() > 0).then(0.0)
    )
    return (
        rates.join(used, on="at", how="left", maintain_order="left")
        .join(thresholds, on="window", how="left", maintain_order="left")
        .select(
            "soak_s",
            window_end(every),
            "window",
            "threshold",
            "long_rate",
            "short_rate",
            "alert",
            "pager",
            "used_ratio",
        )
    )


@dataclass(frozen=True)
class BurnWindow:
    """One pair of windows.

    Attributes
    ----------
    long, short
        Lengths in the time of ``at``; divide soak time by the run's speed.
    threshold
        Burn rate above which both have to be for an alert.
    """

    long: timedelta
    short: timedelta
    threshold: float

    @property
    def name(self) -> str:
        """``long/short`` in minutes, such as ``60m/5m``."""
        return "/".join(f"{length / timedelta(minutes=1):g}m" for length in (self.long, self.short))


WINDOWS = (
    BurnWindow(timedelta(hours=1), timedelta(minutes=5), 14.4),
    BurnWindow(timedelta(hours=6), timedelta(minutes=30), 6.0),
)


_OWN_SHARES = (0.25, 0.5)


def own_windows(period_s: float) -> tuple[BurnWindow, ...]:
    """Give the pairs with thresholds of a budget for so many seconds: at least 1, at most those of 30 days."""
    return tuple(
        replace(pair, threshold=min(max(share * period_s / pair.long.total_seconds(), 1.0), pair.threshold))
        for pair, share in zip(WINDOWS, _OWN_SHARES, strict=True)
    )


@dataclass(frozen=True)
class Budget:
    """What became of a run's error budget.

    Attributes
    ----------
    n, errors
        Calls and failed calls.
    allowed
        Errors that the objective leaves: ``(1 - objective) * n``.
    consumed_ratio
        errors / allowed: 1 is the whole budget; infinite for any error where none is allowed; None without calls.
    """

    n: int
    errors: int
    allowed: float
    consumed_ratio: float | None


def budget(counts: pl.DataFrame, *, objective: float, mask: pl.DataFrame | None = None) -> Budget:
    """Account for the error budget of a run, with or without its scheduled windows.

    Parameters
    ----------
    counts
        ``at`` (Datetime with a time zone), ``n`` and ``successes`` per window of time.
    objective
        Share that should succeed, above 0; 1 leaves no budget.
    mask
        ``start``, ``end`` of scheduled windows to leave out; None to leave them in.

    Raises
    ------
    SettingsError
        When the objective is out of range, or a column is missing, untyped or impossible.
    """
    kept = _checked(counts, objective, mask)
    n, errors = int(kept["n"].sum()), int(kept["errors"].sum())
    allowed = (1 - objective) * n
    used = errors / allowed if allowed else math.inf if errors else 0.0
    return Budget(n, errors, allowed, used if n else None)


def burn(
    counts: pl.DataFrame,
    *,
    objective: float,
    mask: pl.DataFrame | None = None,
    windows: Sequence[BurnWindow] = WINDOWS,
) -> pl.DataFrame:
    """Give burn rates over sliding windows, and where they would have alerted.

    Parameters
    ----------
    counts, objective, mask
        As for :func:`budget`. Masked rows count for nothing; the windows slide over them.
    windows
        Pairs of windows.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`BURN_SCHEMA`: one row for each row of ``counts`` and pair; the rates over the window that ends
        with the row, null where it holds no call, infinite where a call failed and no budget is for it; no alert before
        the long window has filled once.

    Raises
    ------
    SettingsError
        As for :func:`budget`, or a short window that is not shorter than its long one.
    """
    rows = _checked(counts, objective, mask)
    parts = [_pair(rows, objective, pair, _step(rows)) for pair in windows]
    if not parts or rows.is_empty():
        return pl.DataFrame(schema=BURN_SCHEMA)
    return pl.concat(parts).sort("at", "window", maintain_order=True)


def _pair(rows: pl.DataFrame, objective: float, pair: BurnWindow, step: timedelta) -> pl.DataFrame:
    if not timedelta(0) < pair.short < pair.long or pair.threshold <= 0:
        message = f"burn window {pair.name} at {pair.threshold:g} cannot alert; pass long > short > 0 and threshold > 0"
        raise SettingsError(message)
    long_rate, short_rate = _rate(pair.long, objective), _rate(pair.short, objective)
    filled = pl.col("at") - pl.col("at").min() >= pair.long - step
    above = (long_rate > pair.threshold) & (short_rate > pair.threshold)
    return rows.select(
        "at",
        window=pl.lit(pair.name),
        long_rate=long_rate,
        short_rate=short_rate,
        alert=(filled & above).fill_null(value=False),
    )


def _rate(length: timedelta, objective: float) -> pl.Expr:
    n, errors = (pl.col(column).rolling_sum_by("at", window_size=length) for column in ("n", "errors"))
    return pl.when((n > 0) & (errors > 0)).then(errors / n / (1 - objective)).when(n > 0).then(0.0)


def _checked(counts: pl.DataFrame, objective: float, mask: pl.DataFrame | None) -> pl.DataFrame:
    """Give ``at``, ``n``, ``errors`` in order of time, masked rows with counts of 0."""
    if not 0 < objective <= 1:
        message = f"objective is {objective:g}; pass the share that should succeed, above 0 and up to 1, such as 0.97"
        raise SettingsError(message)
    time_us = times_us(counts, "at", "counts")
    for column in ("n", "successes"):
        require(counts, column, "counts")
        if not counts.schema[column].is_integer() or counts[column].null_count():
            message = (
                f"column {column!r} of the counts is not whole numbers without nulls; pass 0 for a window without calls"
            )
            raise SettingsError(message)
    if not counts.filter((pl.col("successes") < 0) | (pl.col("successes") > pl.col("n"))).is_empty():
        message = "a row of the counts has fewer than 0 successes or more than n; pass 0 <= successes <= n"
        raise SettingsError(message)
    masked = np.zeros(len(counts), dtype=bool)
    if mask is not None:
        masked = in_mask(time_us, _step(counts) / timedelta(microseconds=1), mask)
    return (
        counts.select(
            pl.col("at").dt.convert_time_zone("UTC").cast(BURN_SCHEMA["at"]),
            n=pl.when(~pl.Series(masked)).then(pl.col("n").cast(pl.Int64)).otherwise(0),
            errors=pl.when(~pl.Series(masked)).then((pl.col("n") - pl.col("successes")).cast(pl.Int64)).otherwise(0),
        )
        .group_by("at")
        .sum()
        .sort("at")
    )


def _step(rows: pl.DataFrame) -> timedelta:
    step = rows["at"].unique().sort().diff().median()
    return step if isinstance(step, timedelta) else timedelta(0)
