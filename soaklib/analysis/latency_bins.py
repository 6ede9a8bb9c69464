"""How the calls of each window spread over latencies: counts in bins of equal width on a log scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from soaklib.analysis.latency import CENSORED_KINDS
from soaklib.analysis.windows import aggregate, window_sql
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["latency_bins"]


def latency_bins(
    source: Run | pl.DataFrame,
    every: str = "15m",
    *,
    measure: Literal["service", "response"] = "service",
    bins_per_decade: int = 10,
) -> pl.DataFrame:
    """Count the calls of the load by window and latency.

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    measure
        Service time (done - sent) or response time (done - planned).
    bins_per_decade
        How finely: 10 gives bins that end 26 % above their start.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``low_ms`` and ``high_ms`` (the bin, its end excluded), ``censored`` (whether these calls were given
        up rather than answered, so that the bin is only a lower bound), ``n``; empty bins have no row.

    Raises
    ------
    SettingsError
        The measure is neither of the two, or there is no bin in a decade.
    """
    if measure not in {"service", "response"}:
        msg = f"measure={measure!r} is unknown; pass 'service' or 'response'"
        raise SettingsError(msg)
    if bins_per_decade < 1:
        msg = f"bins_per_decade={bins_per_decade} makes no bins; pass 1 or more"
        raise SettingsError(msg)
    begin = "sent_at_us" if measure == "service" else "planned_at_us"
    censored = "(" + ", ".join(f"'{kind}'" for kind in CENSORED_KINDS) + ")"
    return aggregate(
        source,
        f"""
        with binned as (
            select {window_sql(every)} as soak_s, kind in {censored} as censored,
                   floor(log10(greatest(done_at_us - {begin}, 1)) * {bins_per_decade})::INTEGER as bin
            from calls where purpose = 'load' and sent_at_us is not null and done_at_us is not null
        )
        select soak_s, pow(10, bin / {bins_per_decade}.0) / 1000 as low_ms,
               pow(10, (bin + 1) / {bins_per_decade}.0) / 1000 as high_ms, censored, count(*)::BIGINT as n
        from binned group by soak_s, bin, censored order by soak_s, bin, censored""",  # noqa: S608 - our own names
    )
