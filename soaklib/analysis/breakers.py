"""Circuit breakers, as the gateway's metrics show their state and as the client felt them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.windows import aggregate, window_sql

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.load import Run

__all__ = ["BREAKER_STATES", "breaker_states", "fast_fails"]

BREAKER_STATES: Final = {0: "closed", 1: "half-open", 2: "open"}
"""What the values of ``gateway_breaker_state`` mean."""


def breaker_states(run: Run) -> pl.DataFrame:
    """Give each tool's breaker state at each scrape.

    A state between two scrapes is not seen: at high speed a breaker opens and closes within one of them, which is why
    :func:`fast_fails` stands beside this.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``at`` (UTC), ``tool``, ``state`` (``closed``, ``half-open``, ``open``), in order.
    """
    whens = " ".join(f"when {value} then '{name}'" for value, name in BREAKER_STATES.items())
    return run.sql(
        f"""
        select soak_seconds(at_us) as soak_s, utc(at_us) as "at",
               list_filter(labels, lambda pair: pair."key" = 'tool')[1]."value" as tool,
               case "value"::INTEGER {whens} else 'unknown' end as state
        from samples where metric = 'gateway_breaker_state' order by tool, at_us"""  # noqa: S608 - our own texts
    )


def fast_fails(source: Run | pl.DataFrame, every: str = "1m") -> pl.DataFrame:
    """Count, by tool, the calls that an open breaker refused, and the upstream errors that opened it.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``tool``, ``fast_fails``, ``upstream_errors``, ``sent``, in order.
    """
    return aggregate(
        source,
        f"""
        select {window_sql(every)} as soak_s, tool,
               count(*) filter (kind = 'fast_fail')::BIGINT as fast_fails,
               count(*) filter (kind = 'upstream_error')::BIGINT as upstream_errors,
               count(sent_at_us)::BIGINT as sent
        from calls where purpose = 'load' group by all order by tool, soak_s""",  # noqa: S608
    )
