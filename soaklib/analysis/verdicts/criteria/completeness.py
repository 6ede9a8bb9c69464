"""Is the run whole: its time, its slots, its tools, its snapshots, its measurement?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from soaklib.analysis.measures.generator import MOST_LANES_NAMED, missed_by_lane
from soaklib.analysis.verdicts.criteria.wording import is_asked_for, many, number, passed, planned_probes
from soaklib.records import RunStatus, State, Verdict
from soaklib.targets import load_target

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run


__all__ = [
    "all_tools_exercised",
    "every_slot_accounted_for",
    "full_duration",
    "measurement_valid",
    "snapshots_complete",
]

_DOCUMENTED: Final = "gateway_"
_OF_ANY_PROCESS: Final = ("health_", "process_", "nodejs_", "python_", "go_")
_REACH_SCRAPES: Final = 5
_REACH_WALL_S: Final = 5.0
"""A metric is there at a moment when it was scraped within so many scrapes, and so many seconds, of it."""

_INVALID_SOAK_S: Final = """
    select 60.0 * count(distinct (minute, lane)) / greatest(1, (select count(distinct lane) from runner_health))
    from (select unnest(range((start_s / 60)::BIGINT, (end_s / 60)::BIGINT)) as minute, coalesce(lane, -1) as lane
          from invalid_windows)"""
_KEY_METRICS: Final = {
    "gateway_requests_total": "status in (200, 502)",
    "gateway_request_duration_ms_count": "status in (200, 502)",
    "gateway_policy_denials_total": "kind = 'denied'",
    "gateway_token_generations_total": "attempts > 0",
    "gateway_token_validations_total": "status = 200",
    "gateway_breaker_state": "kind = 'fast_fail'",
    "gateway_breaker_fastfail_total": "kind = 'fast_fail'",
}
"""Metrics that the analysis needs, each with the outcomes that must have brought it forth: some gateways expose a
counter only once it has counted something."""


def full_duration(run: Run) -> Verdict:
    """Did the soak run for its planned time?"""
    query = """
        select max(soak_seconds(coalesce(ended_at_us, latest_us, started_at_us))) / 3600
        from segments, (select max(planned_at_us) as latest_us from outcomes)"""  # of one that goes on, or was killed
    hours = number(run, query)
    ended = run.info.status == RunStatus.COMPLETED
    return Verdict(
        "full duration", hours, f"{run.info.hours:g} soak-hours, completed", len(run.info.segments), None, None,
        passed(ended and hours is not None and hours >= run.info.hours - 1e-6),
        f"status {run.info.status} after {hours or 0:.2f} of {run.info.hours:g} soak-hours", query,
    )  # fmt: skip


def every_slot_accounted_for(run: Run) -> Verdict:
    """Did every planned slot, every step of its chain and every probe end as a row, and none of them twice?"""
    # A bit for each slot: millions of slots take megabytes, where a set of them would take gigabytes. Each group has
    # bits of its own, on each thread: there are no more groups than chains have lengths.
    least, most = run.sql("select coalesce(min(slot), 0), coalesce(max(slot), 0) from outcomes").row(0)
    planned = round(run.info.rps * run.info.planned_soak_s)
    chains = [
        f"({operation.role!r}, {operation.steps[0].tool!r}, {operation.steps[0].action!r}, {len(operation.steps) - 1})"
        for operation in run.info.plan.operations
    ]
    query = f"""
        with steps(role, tool, "action", more) as (values {", ".join(chains)}),
        chains as (
            select role, tool, "action", min(more) as more from steps group by all having min(more) > 0
        ),
        firsts as (
            select sum(n * more) as due from (
                select more, bit_count(bitstring_agg(slot, {least}, {most})) as n from outcomes
                join chains using (role, tool, "action") where purpose = 'load' and step = 0 group by more)
        )
        select coalesce(sum(slots) filter (purpose = 'load' and step = 0), 0)::BIGINT as slots,
               coalesce(sum(n - slots), 0)::BIGINT as duplicates,
               greatest(coalesce((select due from firsts), 0)
                        - coalesce(sum(slots) filter (purpose = 'load' and step > 0), 0), 0)::BIGINT as steps_missing,
               coalesce(sum(slots) filter (purpose = 'probe'), 0)::BIGINT as probes,
               coalesce(max(most) filter (purpose = 'load' and (most >= {planned} or least < 0)), 0)::BIGINT as beyond
        from (select purpose, step, count(*) as n, min(slot) as least, max(slot) as most,
                     bit_count(bitstring_agg(slot, {least}, {most})) as slots
              from outcomes group by purpose, step)"""  # noqa: S608 - our own numbers, names of the plan
    slots, duplicates, steps_missing, probes, beyond = run.sql(query).row(0)
    probes_planned = planned_probes(run)
    found = [
        f"{slots} of {planned} slots have rows",
        f"{many(duplicates, 'key')} twice",
        f"{many(steps_missing, 'step of a chain is', 'steps of chains are')} missing" if steps_missing else "",
        f"{probes} of {probes_planned} probes" if probes < probes_planned else "",
        f"slot {beyond} is none of the plan's" if beyond else "",
    ]
    lost = missed_by_lane(run)
    return Verdict(
        "every slot accounted for", float(slots), f"{planned} slots, none twice", planned, None, None,
        passed(slots == planned and duplicates == 0 and not any(found[2:])), "; ".join(filter(None, (*found, lost))),
        query,
    )  # fmt: skip


def all_tools_exercised(run: Run) -> Verdict:
    """Did every tool of the plan answer calls of the load?"""
    query = "select tool, count(*) from outcomes where purpose = 'load' and kind = 'ok' group by tool order by tool"
    answered = dict(run.sql(query).iter_rows())
    silent = [tool for tool in run.info.plan.tools if not answered.get(tool)]
    counts = ", ".join(f"{tool} {n}" for tool, n in answered.items())
    return Verdict(
        "all tools exercised", float(len(answered)), f"all {len(run.info.plan.tools)} tools of the plan",
        sum(answered.values()), None, None, passed(not silent),
        f"no answer from {', '.join(silent)}" if silent else f"ok calls: {counts}", query,
    )  # fmt: skip


def snapshots_complete(run: Run) -> Verdict:
    """Is every hourly snapshot there, and do the metrics hold what the analysis needs?"""
    query = """
        select count(*) filter (name = 'METRICS_SNAPSHOT') as taken from events where event_key like 'snapshot:%'
        and event_key <> 'snapshot:final'"""
    name, taken = "snapshots complete", int(number(run, query) or 0)
    planned = int(-(-run.info.planned_soak_s // run.info.plan.intervals.snapshot_s))
    meant = load_target(run.info.plan.target).metrics.meanings.values()
    has_key_metrics = any(series.metric.startswith(_DOCUMENTED) for series in meant)
    threshold = many(planned, "hourly snapshot") + (" and all key metrics" if has_key_metrics else "")
    if not is_asked_for(run, "metrics"):
        detail = "the gateway has no metrics"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    names = set(run.sql("select distinct metric from samples")["metric"].to_list())
    own = {name for name in names if not name.startswith(_OF_ANY_PROCESS)}
    missing = _missing_metrics(run) if has_key_metrics else []
    is_other = bool(own) and not any(name.startswith(_DOCUMENTED) for name in own)
    state = passed(taken >= planned and not missing)
    if not has_key_metrics:
        n_found = sum(series.is_among(names) for series in meant)
        found = f"{n_found} of {len(meant)} metrics whose meaning is known"
        if taken >= planned and not n_found:
            state = State.NOT_APPLICABLE
    elif is_other and taken >= planned:  # a gateway with metrics of its own, which promises none of these
        state, found = State.NOT_APPLICABLE, "the gateway has metrics of other names"
    else:
        found = f"missing: {', '.join(missing)}" if missing else "all key metrics"
    detail = f"{taken} of {planned} snapshots; {found}"
    return Verdict(name, float(taken), threshold, planned, None, None, state, detail, query)


def _missing_metrics(run: Run) -> list[str]:
    """Give the key metrics that a snapshot lacks although they were due; those of no snapshot are due at the end."""
    firsts = ", ".join(f"min(done_at_us) filter ({cause}) as {metric}" for metric, cause in _KEY_METRICS.items())
    due = run.sql(f"select {firsts} from outcomes").row(0, named=True)  # noqa: S608 - our own names
    rows = ", ".join(f"('{metric}', {due_us})" for metric, due_us in due.items() if due_us is not None)
    if not rows:
        return []
    reach_us = max(_REACH_SCRAPES * run.info.plan.intervals.scrape_s / run.info.speed, _REACH_WALL_S) * 1e6
    query = f"""
        with due(metric, due_us) as (values {rows}),
        seen as (
            select replace(replace(metric, '_total_total', '_total'), '_ms_ms_', '_ms_') as metric, at_us
            from samples where metric like '{_DOCUMENTED}%' group by all
        ),
        moments as (
            select at_us from events where name = 'METRICS_SNAPSHOT' and event_key like 'snapshot:%'
            union select max(at_us) from scrapes where endpoint = 'metrics'
        )
        select distinct metric from due join moments on at_us > due_us + {reach_us!r}
        where not exists (select 1 from seen where seen.metric = due.metric
                          and seen.at_us between moments.at_us - {reach_us!r} and moments.at_us + {reach_us!r})
        order by metric"""  # noqa: S608 - our own names and numbers
    return run.sql(query)["metric"].to_list()


def measurement_valid(run: Run) -> Verdict:
    """Did the generator itself keep its schedule?"""
    late_us = run.thresholds.late_ms * 1000
    query = f"""
        select coalesce(sum(end_us - start_us) filter (lag_us > {late_us!r}), 0) / 1e6 as late_s,
               coalesce(sum(end_us - start_us), 0) / 1e6 as watched_s
        from generator_ticks"""  # noqa: S608 - our own number
    by_lane = f"""
        select lane, 100.0 * coalesce(sum(end_us - start_us) filter (lag_us > {late_us!r}), 0) / sum(end_us - start_us)
               as late_share
        from generator_ticks group by lane order by lane"""  # noqa: S608 - our own number
    late_s, watched_s = run.sql(query).row(0)
    most = run.thresholds.invalid_windows
    threshold = f"<= {most:g} % of the time with a lag over {run.thresholds.late_ms:g} ms"
    n = round(watched_s)
    if n == 0:
        return Verdict("measurement valid", None, threshold, 0, None, None, State.INSUFFICIENT, "no second", query)
    state = passed(100 * late_s <= most * watched_s)
    detail = f"the generator was late in {late_s:.0f} of {n} wall seconds"
    every = run.sql(by_lane)
    if (lanes := every.drop_nulls()).height:
        late = lanes.sort("late_share", "lane", descending=[True, False]).head(MOST_LANES_NAMED)
        detail += ", by lane: " + ", ".join(f"{share:.1f} % of {lane}" for lane, share in late.iter_rows())
        if lanes.height > late.height:
            detail += f", and no more of the other {lanes.height - late.height}"
        detail += "".join(f"; {share:.1f} % of the conductor" for lane, share in every.iter_rows() if lane is None)
    left_s = number(run, _INVALID_SOAK_S) or 0.0
    if state == State.PASS and left_s > run.info.planned_soak_s / 2:
        minutes = math.ceil(run.info.planned_soak_s / 60)
        state = State.INSUFFICIENT
        detail += f", which touch {min(round(left_s / 60), minutes)} of {many(minutes, 'soak-minute')}"
    return Verdict(
        "measurement valid", 100 * late_s / watched_s, threshold, n, None, None, state, detail, query,
    )  # fmt: skip
