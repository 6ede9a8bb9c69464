"""The error budget of a run over soak time: how much of it is used, and how fast it burns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from soaklib.analysis.burn import WINDOWS, burn
from soaklib.analysis.gauges import in_soak_time
from soaklib.analysis.rates import success_rate

if TYPE_CHECKING:
    from soaklib.analysis.load import Run

__all__ = ["error_budget"]


def error_budget(run: Run, every: str = "5m", *, objective: float | None = None) -> pl.DataFrame:
    """Give burn rates over pairs of windows of soak time, and the budget used so far.

    Parameters
    ----------
    run
        The run.
    every
        Length of a row's window in soak time, at most the shortest burn window's.
    objective
        Share of calls that should succeed, between 0 and 1; None for the run's required success rate.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``window`` (the pair, ``60m/5m`` or ``360m/30m``), ``threshold`` (burn rate from which both alert),
        ``long_rate``, ``short_rate``, ``alert``, ``used_ratio`` (errors so far by the errors that the whole run's calls
        allow; the same for every pair).

    Raises
    ------
    SettingsError
        The objective is not between 0 and 1.
    """
    share = run.thresholds.success_rate / 100 if objective is None else objective
    counts = in_soak_time(success_rate(run, every))
    rates = burn(counts, objective=share)
    thresholds = pl.DataFrame(
        {"window": [pair.name for pair in WINDOWS], "threshold": [pair.threshold for pair in WINDOWS]}
    )
    used = counts.select(
        "soak_s", "at", used_ratio=(pl.col("n") - pl.col("successes")).cum_sum() / (pl.col("n").sum() * (1 - share))
    )
    return (
        rates.join(used, on="at", how="left", maintain_order="left")
        .join(thresholds, on="window", how="left", maintain_order="left")
        .select("soak_s", "window", "threshold", "long_rate", "short_rate", "alert", "used_ratio")
    )
