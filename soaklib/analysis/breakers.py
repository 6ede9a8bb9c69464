"""Circuit breakers, as the gateway's metrics show their state and as the client felt them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.windows import aggregate, window_sql

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.load import Run

__all__ = ["BREAKER_STATES", "breaker_states", "fast_fails", "recoveries", "recoveries_sql"]

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


def recoveries(run: Run) -> pl.DataFrame:
    """Give how long calls of a tool went on failing after chaos on it had ended.

    A failure belongs to the chaos as long as no call of the tool was answered ok since its end, or when it comes within
    the time that a breaker has to recover (``thresholds.recovery_s``) after the one before: an error hours later is one
    of its own. What comes after the next chaos on the tool belongs to that one.

    Returns
    -------
    polars.DataFrame
        ``tool``, ``ended_s`` (soak second at which chaos was switched off), ``recovered_s`` (that of the last call of
        the tool, planned later, that failed for it; the same where none did), ``recovery_s`` (between the two),
        ``failed`` (calls that failed for it), ``ok`` and ``calls`` (of the tool after chaos), in order, a row for each
        time that chaos ended; none where no call of the tool came after it.
    """
    return run.sql(recoveries_sql(run))


def recoveries_sql(run: Run) -> str:
    """Give the query of :func:`recoveries`."""
    return f"""
        with ended as (
            select number, tool, soak_seconds(off_us) as ended_s, off_us,
                   lead(on_us) over (partition by tool order by on_us) as next_us
            from chaos_windows where off_us is not null
        ),
        later as not materialized (
            select number, tool, ended_s, planned_at_us, kind
            from ended join outcomes using (tool)
            where planned_at_us >= off_us and coalesce(planned_at_us < next_us, true) and attempts > 0
        ),
        after as (
            select number, tool, ended_s, count(*)::BIGINT as calls, count(*) filter (kind = 'ok')::BIGINT as ok,
                   min(planned_at_us) filter (kind = 'ok') as first_ok_us
            from later group by all
        ),
        failures as (
            select number, soak_seconds(planned_at_us) as soak_s,
                   soak_s - lag(soak_s, 1, ended_s) over (partition by number order by planned_at_us)
                       > {run.thresholds.recovery_s!r} and planned_at_us > first_ok_us as is_another
            from later join after using (number, tool, ended_s) where kind in ('fast_fail', 'upstream_error')
        ),
        own as (
            select number, max(soak_s) as last_s, count(*)::BIGINT as failed
            from (select number, soak_s, bool_or(coalesce(is_another, false)) over (
                      partition by number order by soak_s rows unbounded preceding) as is_later from failures)
            where not is_later group by number
        )
        select tool, ended_s, coalesce(last_s, ended_s) as recovered_s, recovered_s - ended_s as recovery_s,
               coalesce(failed, 0) as failed, ok, calls
        from after left join own using (number) order by ended_s, tool"""  # noqa: S608 - our own number
