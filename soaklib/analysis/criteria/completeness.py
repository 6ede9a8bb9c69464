"""Is the run whole: its time, its slots, its tools, its snapshots, its measurement?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.criteria.verdicts import number, passed
from soaklib.records import RunStatus, State, Verdict

if TYPE_CHECKING:
    from soaklib.analysis.load import Run


__all__ = [
    "all_tools_exercised",
    "every_slot_accounted_for",
    "full_duration",
    "measurement_valid",
    "snapshots_complete",
]

_DOCUMENTED: Final = "gateway_"
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
    query = "select max(soak_seconds(coalesce(ended_at_us, started_at_us))) / 3600 from segments"
    hours = number(run, query)
    ended = run.info.status == RunStatus.COMPLETED
    return Verdict(
        "full duration", hours, f"{run.info.hours:g} soak-hours, completed", len(run.info.segments), None, None,
        passed(ended and hours is not None and hours >= run.info.hours - 1e-6),
        f"status {run.info.status} after {hours or 0:.2f} of {run.info.hours:g} soak-hours", query,
    )  # fmt: skip


def every_slot_accounted_for(run: Run) -> Verdict:
    """Did every planned slot end as rows, and none of them twice?"""
    # A bit for each slot: millions of slots take megabytes, where a set of them would take gigabytes.
    least, most = run.sql("select coalesce(min(slot), 0), coalesce(max(slot), 0) from outcomes").row(0)
    query = f"""
        select coalesce(sum(slots) filter (purpose = 'load' and step = 0), 0)::BIGINT as slots,
               coalesce(sum(n - slots), 0)::BIGINT as duplicates
        from (select purpose, step, count(*) as n, bit_count(bitstring_agg(slot, {least}, {most})) as slots
              from outcomes group by purpose, step)"""  # noqa: S608 - our own numbers
    slots, duplicates = run.sql(query).row(0)
    planned = round(run.info.rps * run.info.planned_soak_s)
    return Verdict(
        "every slot accounted for", float(slots), f"{planned} slots, none twice", planned, None, None,
        passed(slots == planned and duplicates == 0), f"{slots} of {planned} slots have rows; {duplicates} keys twice",
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
    taken = int(number(run, query) or 0)
    planned = int(-(-run.info.planned_soak_s // run.info.plan.intervals.snapshot_s))
    seen = set(run.sql("select distinct metric from samples")["metric"].to_list())
    seen |= {metric.replace("_total_total", "_total").replace("_ms_ms_", "_ms_") for metric in seen}
    causes = ", ".join(f"bool_or({cause}) as {metric}" for metric, cause in _KEY_METRICS.items())
    due = run.sql(f"select {causes} from outcomes").row(0, named=True)  # noqa: S608 - our own names
    missing = [metric for metric, is_due in due.items() if is_due and metric not in seen]
    is_other = bool(seen) and not any(metric.startswith(_DOCUMENTED) for metric in seen)
    state = passed(taken >= planned and not missing)
    if is_other and taken >= planned:  # a gateway with metrics of its own, which promises none of these
        state, found = State.NOT_APPLICABLE, "the gateway has metrics of other names"
    else:
        found = f"missing: {', '.join(missing)}" if missing else "all key metrics"
    return Verdict(
        "snapshots complete", float(taken), f"{planned} hourly snapshots and all key metrics", planned, None, None,
        state, f"{taken} of {planned} snapshots; {found}", query,
    )  # fmt: skip


def measurement_valid(run: Run) -> Verdict:
    """Did the generator itself keep its schedule?"""
    late_us = run.thresholds.late_ms * 1000
    query = f"""
        select count(*) filter (greatest(schedule_lag_max_us, loop_lag_max_us) > {late_us!r}) as late, count(*) as n
        from runner_health"""  # noqa: S608 - our own number
    late, n = run.sql(query).row(0)
    most = run.thresholds.invalid_windows
    threshold = f"<= {most:g} % of wall seconds with a lag over {run.thresholds.late_ms:g} ms"
    if n == 0:
        return Verdict("measurement valid", None, threshold, 0, None, None, State.INSUFFICIENT, "no second", query)
    return Verdict(
        "measurement valid", 100 * late / n, threshold, n, None, None, passed(100 * late <= most * n),
        f"the generator was late in {late} of {n} wall seconds", query,
    )  # fmt: skip
