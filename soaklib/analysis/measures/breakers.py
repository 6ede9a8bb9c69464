"""Circuit breakers, as the gateway's metrics show their state and as the client felt them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.measures.windows import aggregate, counting, window_ends_sql

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = [
    "BREAKER_STATES",
    "FAILED_SQL",
    "LEAST_RECOVERY_WALL_S",
    "breaker_states",
    "fast_fails",
    "recoveries",
    "recoveries_sql",
    "recovery_limit_s",
]

BREAKER_STATES: Final = {0: "closed", 1: "half-open", 2: "open"}
"""What the values of ``gateway_breaker_state`` mean."""

FAILED_SQL: Final = "kind in ('fast_fail', 'upstream_error', 'timeout')"
"""What a call looks like that failed for its tool, as it does under chaos."""

LEAST_RECOVERY_WALL_S: Final = 0.3
"""The least time that a recovery is allowed, wall seconds: three lags that are no lateness yet (100 ms), for of calls
that wait so long for the machine nobody can tell how soon a breaker would have let them through."""


def recovery_limit_s(run: Run) -> float:
    """Give how many soak seconds a recovery may take: as the thresholds say, but no less than the wall can tell."""
    return max(run.thresholds.recovery_s, LEAST_RECOVERY_WALL_S * run.info.speed)


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
        ``soak_s`` and ``end_s`` (the window), ``tool``, ``fast_fails``, ``upstream_errors``, ``sent``, in order.
    """
    told = counting(source, every)
    return aggregate(
        source,
        f"""
        select {window_ends_sql(every)}, tool, {told.where("kind = 'fast_fail'")} as fast_fails,
               {told.where("kind = 'upstream_error'")} as upstream_errors, {told.where(told.is_sent)} as sent
        from {told.rows} where purpose = 'load' group by all order by tool, soak_s""",  # noqa: S608 - our own names
    )


def recoveries(run: Run) -> pl.DataFrame:
    """Give how long calls of a tool went on failing after chaos on it had ended.

    Failures until the first call that was answered ok belong to the chaos. So do those of the stretches of
    ``thresholds.recovery_s`` (0.3 s of the wall where that is more) from its end on, one after the other, for as long
    as each has at least two, and more by three standard deviations than the tool's share of failures before the first
    chaos on it explains: a tool that fails now and then does so after chaos, too, and one that never recovers is not
    to be measured by that. What comes after the next chaos on the tool belongs to that one.

    Returns
    -------
    polars.DataFrame
        ``tool``, ``ended_s`` (soak second at which chaos was switched off), ``recovered_s`` (that of the last call of
        the tool, planned later, that failed for it; the same where none did), ``recovery_s`` (between the two),
        ``failed`` (calls that failed for it), ``ok`` and ``calls`` (of the tool after chaos), ``number`` (place of the
        change in the plan), in order, a row for each time that chaos ended; none where no call of the tool came after
        it.
    """
    return run.sql(recoveries_sql(run))


_CHAOS: Final = "select number, tool, on_us, off_us from chaos_windows where tool is not null"
_NEXT_CHAOS: Final = r"""
    select min(at_us) from events where name = 'CHAOS_MODE_ON' and at_us > off_us
    and coalesce(subject, regexp_extract(detail, 'tool=(\S+)', 1)) = tool"""


def recoveries_sql(
    run: Run, windows: str = _CHAOS, *, following: str = _NEXT_CHAOS, failed: str = FAILED_SQL, calls: str = "outcomes"
) -> str:
    """Give the query of :func:`recoveries`, also for what else was made and taken back.

    Parameters
    ----------
    run
        The run.
    windows
        SELECT of ``number``, ``tool``, ``on_us`` and ``off_us``.
    following
        SELECT of the moment from which on failures of the tool belong to another such window.
    failed
        What a call looks like that failed for it.
    calls
        Where the calls are that are looked at, by the name ``outcomes``.
    """
    before = "coalesce(done_at_us, planned_at_us) < first_us"
    return f"""
        with windows as materialized ({windows}),
        ended as (
            select number, tool, soak_seconds(off_us) as ended_s, off_us, ({following}) as next_us
            from windows where off_us is not null
        ),
        firsts as (select tool, min(on_us) as first_us from windows group by tool),
        usual as (
            -- one more than failed before the first of them, for few calls say little; where there was none before it,
            -- those between them and after have to do
            select tool,
                   coalesce((count(*) filter ({failed} and {before}) + 1) / nullif(count(*) filter ({before}), 0),
                            count(*) filter ({failed}) / count(*)) as share
            from {calls} join firsts using (tool)
            where attempts > 0 and purpose <> 'trial'
                  and not exists (select 1 from windows where windows.tool = outcomes.tool
                                               and planned_at_us >= on_us and planned_at_us < off_us)
            group by tool
        ),
        later as not materialized (
            select number, tool, soak_seconds(planned_at_us) as soak_s, ended_s, kind, {failed} as is_failed
            from ended join {calls} using (tool)
            where planned_at_us >= off_us and coalesce(planned_at_us < next_us, true) and attempts > 0
                  and purpose <> 'trial'
        ),
        after as (
            select number, tool, count(*) as calls, count(*) filter (kind = 'ok') as ok,
                   min(soak_s) filter (kind = 'ok') as first_ok_s
            from later group by number, tool
        ),
        stretches as (
            select number, tool, floor((soak_s - ended_s) / {recovery_limit_s(run)!r}) as place, count(*) as n,
                   count(*) filter (is_failed) as failed, max(soak_s) filter (is_failed) as last_s
            from later group by number, tool, place
        ),
        failing as (
            select number, tool, last_s,
                   bool_and(failed >= 2 and failed > n * share + 3 * sqrt(n * share) and place = its_place)
                       over (partition by number, tool order by place) as is_part
            from (select *, row_number() over (partition by number, tool order by place) - 1 as its_place
                  from stretches)
            join ended using (number, tool) join usual using (tool)
        ),
        recovered as (
            select number, tool, ended_s, calls, ok,
                   greatest(ended_s,
                            (select max(last_s) from failing
                             where failing.number = after.number and failing.tool = after.tool and is_part),
                            (select max(soak_s) from later
                             where later.number = after.number and later.tool = after.tool and is_failed
                             and coalesce(soak_s < first_ok_s, true))) as recovered_s
            from after join ended using (number, tool)
        )
        select tool, ended_s, recovered_s, recovered_s - ended_s as recovery_s,
               (select count(*) from later where later.number = recovered.number and later.tool = recovered.tool
                and is_failed and soak_s <= recovered_s) as failed,
               ok, calls, number
        from recovered order by ended_s, tool, number"""  # noqa: S608 - our own numbers
