"""The catalogue: every query that the whitepaper's claims come from, each number defined in one place.

Numbers that the library defines elsewhere (verdicts, success, latency, drift) are asked of it, and not defined again.
"""

from __future__ import annotations

from typing import Final

from soaklib.records.units import CRITERION_UNITS, POINTS
from soaklib.reports.run_report import QUERIES
from soaklib.reports.wording import CLOCK, PERCENTILE, SENTENCE
from soaklib.whitepaper.families import Family, Stated

__all__ = ["CATALOGUE"]

_TEXT: Final = Stated()
_COUNT: Final = Stated()
_MS: Final = Stated("ms")
_PERCENT: Final = Stated("%")
_SENTENCE: Final = Stated(SENTENCE)
_OF_ALL: Final = Stated("calls", n="planned")


def _texts(*names: str) -> dict[str, Stated]:
    return dict.fromkeys(names, _TEXT)


def _drift_family(name: str, trend: str, unit: str) -> Family:
    return Family(
        name=name, query=trend,
        columns={"state": _TEXT, "slope_per_hour": Stated(unit, n="n", low="low", high="high"), "n": _COUNT,
                 "detail": _TEXT, "confidence": _TEXT},
    )  # fmt: skip


def _counted_family(name: str, asked: str, unit: str) -> Family:
    """Give the sum of what a gateway counted; null where it is not known of a part how much that was."""
    return Family(
        name=name,
        query=f"""
            soaklib.counted_as(run, {asked})
            .select(n=pl.when(pl.col('n').null_count() == 0).then(pl.col('n').sum().round().cast(pl.Int64)))""",
        columns={"n": Stated(unit)},
    )


CATALOGUE: Final[tuple[Family, ...]] = (
    Family(
        name="run",
        query="""
            select run_id, status, soaklib_version, target, embedded, speed, rps, hours, seed, duration_s,
                   plan->>'$.name' as plan,
                   utc((select coalesce(min(started_at_us), 0) from segments)) as started,
                   completed_utc as completed, speed > 1 as is_fast,
                   (settings->>'$.arrivals') as arrivals, (settings->>'$.agents_per_role')::INTEGER as agents_per_role,
                   (settings->>'$.http_timeout_ms')::DOUBLE as timeout_ms,
                   (settings->>'$.thresholds.late_ms')::DOUBLE as late_ms,
                   (settings->>'$.thresholds.recovery_s')::DOUBLE as recovery_s,
                   (settings->>'$.thresholds.success_rate')::DOUBLE as success_required,
                   (settings->>'$.gateway_quirks') as quirks, settings->>'$.gateway_fault' as faults,
                   json_array_length(settings->'$.gateway_fault') as fault_count
            from run""",
        columns=_texts(
            "run_id", "status", "soaklib_version", "target", "embedded", "plan", "started", "completed", "is_fast",
            "arrivals", "seed", "rps", "hours", "speed", "agents_per_role", "quirks", "faults", "fault_count",
        )
        | {"duration_s": Stated("s"), "timeout_ms": _MS, "late_ms": _MS, "recovery_s": Stated("soak s"),
           "success_required": _PERCENT},
    ),
    Family(
        name="host",
        query="""
            select environment->>'$.host' as name, environment->>'$.platform' as platform,
                   environment->>'$.python' as python, (environment->>'$.cpus')::INTEGER as cpus
            from run""",
        columns=_texts("name", "platform", "python", "cpus"),
    ),
    Family(
        name="packages",
        query="""select "key" as package, "value"->>'$' as version
                 from run, json_each(environment->'$.packages') order by package""",
        keys=("package",), columns=_texts("package", "version"),
    ),
    Family(
        name="settings",
        query="""
            select "key" as setting, "value"->>'$' as "value"
            from run, json_each(settings)
            where "key" not in ('thresholds', 'out', 'resume', 'check', 'report', 'yes', 'strict')
            union all
            select 'thresholds.' || "key", "value"->>'$' from run, json_each(settings->'$.thresholds')
            order by setting""",
        keys=("setting",), columns=_texts("setting", "value"),
    ),
    Family(
        name="intervals",
        query="""
            select (plan->>'$.intervals.rotate_tokens_s')::DOUBLE as rotate_tokens_s,
                   (plan->>'$.intervals.token_lifetime_s')::DOUBLE as token_lifetime_s,
                   (plan->>'$.intervals.snapshot_s')::DOUBLE as snapshot_s,
                   (plan->>'$.intervals.scrape_s')::DOUBLE as scrape_s
            from run""",
        columns=dict.fromkeys(("rotate_tokens_s", "token_lifetime_s", "snapshot_s", "scrape_s"), Stated("soak s")),
    ),
    Family(
        name="operations",
        query="""
            select row_number() over () as place, o->>'$.role' as role, 100 * (o->>'$.share')::DOUBLE as share,
                   list_aggregate(list_transform((o->'$.steps')::JSON[],
                       lambda step: (step->>'$.tool') || '/' || (step->>'$.action')), 'string_agg', ', then ') as calls,
                   100 * (o->>'$.repeat_share')::DOUBLE as repeated
            from (select unnest((plan->'$.operations')::JSON[]) as o from run)""",
        keys=("place",), columns=_texts("role", "calls") | {"share": _PERCENT, "repeated": _PERCENT},
    ),
    Family(
        name="planned_probes",
        query="""
            select row_number() over () as place, p->>'$.role' as role,
                   (p->>'$.tool') || '/' || (p->>'$.action') as call, (p->>'$.every_s')::DOUBLE as every_s
            from (select unnest((plan->'$.probes')::JSON[]) as p from run)""",
        keys=("place",), columns=_texts("role", "call") | {"every_s": Stated("soak s")},
    ),
    Family(
        name="totals",
        query="""
            select count(*)::BIGINT as planned, count(sent_at_us)::BIGINT as sent,
                   count(*) filter (kind = 'ok')::BIGINT as ok, count(*) filter (kind = 'denied')::BIGINT as denied,
                   count(*) filter (kind not in ('ok', 'denied'))::BIGINT as failed,
                   count(*) filter (purpose = 'load')::BIGINT as load,
                   count(*) filter (purpose = 'probe')::BIGINT as probes,
                   count(sent_at_us) filter (purpose = 'load')::BIGINT as load_sent,
                   count(*) filter (purpose = 'load' and sent_at_us is not null and done_at_us is not null
                                    and kind in ('ok', 'timeout', 'transport_error'))::BIGINT as load_served,
                   count(*) filter (purpose = 'load' and kind = 'denied')::BIGINT as load_denied,
                   count(*) filter (kind = 'dropped')::BIGINT as dropped,
                   count(*) filter (kind = 'missed')::BIGINT as missed,
                   count(*) filter (kind = 'interrupted')::BIGINT as interrupted,
                   count(*) filter (kind = 'skipped')::BIGINT as skipped,
                   count(*) filter (kind = 'rate_limited')::BIGINT as rate_limited,
                   count(*) filter (kind in ('timeout', 'transport_error'))::BIGINT as given_up,
                   count(*) filter (purpose = 'load' and kind = 'fast_fail')::BIGINT as fast_fails,
                   count(*) filter (purpose = 'load' and kind = 'upstream_error')::BIGINT as upstream_errors
            from outcomes where purpose <> 'trial'""",
        columns={"planned": Stated("calls")}
        | dict.fromkeys(
            ("sent", "ok", "denied", "failed", "load", "probes", "load_sent", "load_served", "load_denied", "dropped",
             "missed", "interrupted", "skipped", "rate_limited", "given_up", "fast_fails", "upstream_errors"),
            _OF_ALL,
        ),
    ),
    Family(
        name="summary",
        query="soaklib.analysis.verdicts.summary.summary(run, ())",
        columns={"success_rate": _PERCENT, "denial_rate": Stated("%", n="totals.total"),
                 "failure_rate": Stated("%", n="totals.total")},
    ),
    Family(
        name="success",
        query="soaklib.success_rate(run, every='all')",
        columns={"success_rate": Stated("%", n="n", low="low", high="high"), "n": Stated("calls"),
                 "successes": Stated("calls", n="n")},
    ),
    Family(
        name="criteria",
        query="soaklib.criteria(run)",
        keys=("name",), units=CRITERION_UNITS,
        columns=_texts("name", "state", "query")
        | {"threshold": _SENTENCE, "detail": _SENTENCE, "measure": Stated(n="n", low="low", high="high"), "n": _COUNT},
    ),
    Family(
        name="verdict_counts",
        query="""
            soaklib.criteria(run).select(
                all=pl.len(), passed=(pl.col('state') == 'pass').sum(), failed=(pl.col('state') == 'fail').sum(),
                insufficient=(pl.col('state') == 'insufficient').sum(),
                not_applicable=(pl.col('state') == 'not applicable').sum())""",
        columns=dict.fromkeys(("passed", "failed", "insufficient", "not_applicable"), Stated("criteria", n="all"))
        | {"all": Stated("criteria")},
    ),
    Family(
        name="verdict",
        query="soaklib.whitepaper.standing.verdict(soaklib.criteria(run))",
        columns=_texts("word", "headline"),
    ),
    Family(
        name="earlier",
        query="soaklib.whitepaper.standing.against_earlier(run)",
        keys=("against",),
        columns=_texts("against", "detail", "worst")
        | dict.fromkeys(("same", "worse", "better", "open"), Stated("endpoints", n="endpoints"))
        | {"endpoints": Stated("endpoints"), "over_weeks": Stated(SENTENCE)},
    ),
    Family(
        name="reference", query="soaklib.analysis.verdicts.reference.reference_run(run)",
        keys=("run_id",), columns=_texts("run_id"),
    ),
    Family(
        name="outcomes",
        query=QUERIES["What became of every planned call"],
        keys=("purpose", "kind"), columns=_texts("purpose", "kind") | {"calls": Stated("calls"), "percent": _PERCENT},
    ),
    Family(
        name="phases",
        query="soaklib.analysis.measures.rates.success_by_phase(run)",
        keys=("phase",),
        columns=_texts("phase")
        | {"calls": Stated("calls"), "denied": Stated("calls", n="calls"), "failed": Stated("calls", n="calls"),
           "success_rate": Stated("%", n="n", low="low", high="high"), "n": Stated("calls")},
    ),
    Family(
        name="tools",
        query=QUERIES["Load by tool and action"],
        keys=("tool", "action"),
        columns=_texts("tool", "action")
        | {"calls": Stated("calls"), "ok": Stated("calls", n="calls"), "denied": Stated("calls", n="calls"),
           "failed": Stated("calls", n="calls"), "service_p50_ms": Stated("ms", n="ok"),
           "service_p99_ms": Stated("ms", n="ok"), "response_p99_ms": Stated("ms", n="ok"),
           "response_max_ms": Stated("ms", n="ok")},
    ),
    Family(
        name="failures",
        query=QUERIES["Why calls were not ok"],
        keys=("kind", "reason", "tool"), columns=_texts("kind", "reason", "tool") | {"calls": Stated("calls")},
    ),
    Family(
        name="latency",
        query="soaklib.latency(run, every='all', by=())",
        keys=("measure", "quantile"),
        columns={"measure": _TEXT, "quantile": Stated(PERCENTILE),
                 "latency_ms": Stated("ms", n="n", low="low_ms", high="high_ms"),
                 "at_least": _TEXT, "sufficient": _TEXT},
    ),
    Family(
        name="first_token",
        query="soaklib.first_token(run, every='all', by=())",
        keys=("measure", "quantile"),
        columns={"measure": _TEXT, "quantile": Stated(PERCENTILE),
                 "latency_ms": Stated("ms", n="n", low="low_ms", high="high_ms"),
                 "at_least": _TEXT, "sufficient": _TEXT},
    ),
    Family(
        name="changes",
        query="soaklib.analysis.measures.changes.planned_changes(run)",
        keys=("number",),
        columns=_texts("number", "change", "subject", "tool", "phase", "state", "event", "detail")
        | dict.fromkeys(("planned_s", "made_s", "ended_s"), Stated(CLOCK)),
    ),
    Family(
        name="change_windows",
        query="soaklib.analysis.measures.changes.change_windows(run)",
        keys=("number", "window"),
        columns={"number": _TEXT, "window": _TEXT, "n": Stated("calls"),
                 "ok_rate": Stated("%", n="n", low="low", high="high"), "service_p50_ms": Stated("ms", n="n")}
        | dict.fromkeys(("fast_fails", "upstream_errors", "quota_denials", "other"), Stated("calls", n="n"))
        | dict.fromkeys(("start_s", "end_s"), Stated(CLOCK)),
    ),
    Family(
        name="change_shifts",
        query="soaklib.analysis.measures.changes.change_shifts(run)",
        keys=("number",),
        columns={"number": _TEXT, "shift": Stated(POINTS, n="n", low="low", high="high"),
                 "transient": Stated(POINTS, n="n", low="transient_low", high="transient_high"),
                 "shift_p_value": Stated(n="n"), "transient_p_value": Stated(n="n"),
                 "n": Stated("placebo times"), "cells": Stated("minutes")},
    ),
    Family(
        name="by_hand",
        query="""
            select row_number() over (order by at_us, written) as place, soak_seconds(at_us) as soak_s, name, detail,
                   count(*) over ()::BIGINT as n
            from (select *, row_number() over () as written from events)
            where event_key like 'inbox:%' and (name in ('CHAOS_MODE_ON', 'CHAOS_MODE_OFF',
                'CREDENTIALS_ROTATED_SUCCESSFULLY') or name like 'POLICY_UPDATED_%')
            order by place""",
        keys=("place",),
        columns={"name": _TEXT, "detail": _TEXT, "soak_s": Stated(CLOCK), "n": Stated("changes")},
    ),
    Family(
        name="recoveries",
        query="soaklib.recoveries(run)",
        keys=("number", "tool"),
        columns={"tool": _TEXT, "ended_s": Stated(CLOCK), "recovery_s": Stated("soak s"),
                 **dict.fromkeys(("failed", "ok"), Stated("calls"))},
    ),
    Family(
        name="probes",
        query="""
            select count(*) filter (attempts > 0)::BIGINT as sent, count(*) filter (kind = 'denied')::BIGINT as denied,
                   (select count(*) from outcomes where purpose = 'trial')::BIGINT as trials
            from outcomes where purpose = 'probe'""",
        columns={"sent": Stated("probes"), "denied": Stated("probes", n="sent"), "trials": Stated("trials")},
    ),
    Family(
        name="denials",
        query="soaklib.denials(run, every='all')",
        keys=("purpose", "reason"),
        columns=_texts("purpose", "reason")
        | {"n": Stated("calls", n="calls"), "denial_rate": Stated("%", n="calls", low="low", high="high")},
    ),
    _counted_family("counted_denials", "'denials', every='all', by='kind'", "denials"),
    _counted_family("retries", "'retries', every='all'", "retries"),
    _counted_family("cache_hits", "'cache hits', every='all'", "hits"),
    Family(
        name="breaker",
        query="""
            select count(distinct at_us)::BIGINT as scrapes, count(distinct at_us) filter ("value" = 2)::BIGINT as open
            from samples where metric = 'gateway_breaker_state'""",
        columns={"scrapes": Stated("scrapes"), "open": Stated("scrapes", n="scrapes")},
    ),
    Family(
        name="rotations",
        query="""
            select count(*)::BIGINT as made from events where name = 'TOKENS_ROTATED' and event_key is not null""",
        columns={"made": Stated("rotations")},
    ),
    Family(
        name="scrapes",
        query=QUERIES["Scrapes of the gateway"],
        keys=("endpoint",),
        columns={"endpoint": _TEXT, "scrapes": Stated("scrapes"), "failed": Stated("scrapes", n="scrapes"),
                 "p99_ms": Stated("ms", n="scrapes"), "largest_bytes": Stated("bytes")},
    ),
    Family(
        name="events",
        query=QUERIES["Events by name"],
        keys=("name",), columns=_texts("name", "first", "last") | {"times": Stated("events")},
    ),
    Family(
        name="all_events",
        query="select count(*)::BIGINT as n from events",
        columns={"n": Stated("events")},
    ),
    Family(
        name="generator",
        query=QUERIES["The generator itself"],
        columns={"wall_seconds": Stated("wall seconds"), "in_flight_max": Stated("calls"),
                 "invalid_windows": Stated("windows"), "rss_max_bytes": Stated("bytes")}
        | dict.fromkeys(("connections_max", "connections_opened", "connections_lost"), Stated("connections"))
        | dict.fromkeys(("schedule_lag_max_ms", "schedule_lag_p99_ms", "loop_lag_max_ms"),
                        Stated("ms", n="wall_seconds")),
    ),
    Family(
        name="validity",
        query="""
            select planned, valid, planned - valid as left_out,
                   coalesce((select sum(end_s - start_s) from invalid_windows), 0) / 60 as soak_minutes,
                   (select count(*) from invalid_windows where lag_us is null)::BIGINT as exhausted
            from (select count(*) as planned from calls), (select count(*) as valid from valid_calls)""",
        columns={"valid": _OF_ALL, "left_out": _OF_ALL, "exhausted": _COUNT, "soak_minutes": Stated("soak minutes")},
    ),
    Family(
        name="segments",
        query="""
            with ordered as (select *, lag(ended_at_us) over (order by segment) as before_us,
                                    lag(soak_ended_s) over (order by segment) as before_s
                             from segments where lane is null)
            select count(*)::BIGINT as segments, greatest(count(*) - 1, 0)::BIGINT as gaps,
                   coalesce(sum(started_at_us - before_us), 0) / 1e6 as gap_wall_s,
                   count(*) filter (before_us is null and segment > 0)::BIGINT as unknown_gaps,
                   greatest(max(soak_ended_s), max(soak_started_s),
                            if(bool_or(ended_at_us is null), (select max(soak_s) from calls), null)) / 3600 as reached_h
            from ordered""",
        columns={"segments": _COUNT, "gaps": _COUNT, "gap_wall_s": Stated("s"), "unknown_gaps": _COUNT,
                 "reached_h": Stated("soak h")},
    ),
    Family(
        name="budget",
        query="""
            soaklib.error_budget(run).select(
                used=100 * pl.col('used_ratio').max(), alerts=pl.col('soak_s').filter(pl.col('alert')).n_unique(),
                windows=pl.col('soak_s').n_unique(), pairs=pl.col('window').n_unique())""",
        columns={"used": Stated("%", n="windows"), "alerts": Stated("windows", n="windows"),
                 "windows": Stated("windows"), "pairs": Stated("pairs of windows")},
    ),
    Family(
        name="books",
        query="""
            soaklib.reconcile(run).select(
                comparisons=pl.len(), windows=pl.col('end_s').n_unique(),
                unexplained=(pl.col('discrepancy') != 0).sum(),
                harmless=((pl.col('discrepancy') == 0) & (pl.col('residual') != 0)).sum())""",
        columns={"comparisons": Stated("comparisons"), "windows": Stated("windows")}
        | dict.fromkeys(("unexplained", "harmless"), Stated("comparisons", n="comparisons")),
    ),
    _drift_family("memory", "soaklib.memory_trend(run).trend", "MiB a soak-hour"),
    _drift_family("own_memory", "soaklib.memory_trend(run, 'generator').trend", "MiB a soak-hour"),
    Family(
        name="levels",
        query="soaklib.whitepaper.levels.confidence_levels()",
        columns=dict.fromkeys(("rate", "drift", "effect", "placebo"), _PERCENT),
    ),
)  # fmt: skip
"""Every family, in the order in which it is asked."""
