"""The error budget of a run over soak time: how much of it is used, and how fast it burns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from soaklib.analysis.burn import WINDOWS, burn
from soaklib.analysis.gauges import in_soak_time
from soaklib.analysis.rates import success_rate
from soaklib.analysis.statistics.series import in_mask, times_us
from soaklib.analysis.windows import seconds_of

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["error_budget"]


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
        :func:`~soaklib.analysis.timeline.planned_windows`; None for every call.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``window`` (the pair, ``60m/5m`` or ``360m/30m``), ``threshold`` (burn rate from which both alert),
        ``long_rate``, ``short_rate``, ``alert``, ``used_ratio`` (errors so far by the errors that the whole run's calls
        allow; the same for every pair). Rates and ratio are infinite where a call failed and no budget is for it; the
        rates are null in a window without calls.

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
    rates = burn(counts, objective=share)
    thresholds = pl.DataFrame(
        {"window": [pair.name for pair in WINDOWS], "threshold": [pair.threshold for pair in WINDOWS]}
    )
    errors = (pl.col("n") - pl.col("successes")).cum_sum()
    allowed = pl.col("n").sum() * (1 - share)
    used = counts.select(
        "soak_s", "at", used_ratio=pl.when(errors > 0).then(errors / allowed).when(pl.col("n").sum() > 0).then(0.0)
    )
    return (
        rates.join(used, on="at", how="left", maintain_order="left")
        .join(thresholds, on="window", how="left", maintain_order="left")
        .select("soak_s", "window", "threshold", "long_rate", "short_rate", "alert", "used_ratio")
    )
