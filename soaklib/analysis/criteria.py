"""The acceptance criteria of a soak: each a question put to the data, answered with a verdict and the query behind it.

A criterion that cannot be judged is ``insufficient``, one that the run could not meet by its nature (a change that the
gateway has no route for) is ``not applicable``; neither ever passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.intervals import rate_interval
from soaklib.analysis.timeline import change_events, planned_windows
from soaklib.plan import ChaosChange, PolicyChange
from soaklib.records import EventName, RunStatus, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soaklib.analysis.load import Run
    from soaklib.plan import Change

__all__ = ["CRITERIA", "VERDICTS_SCHEMA", "criteria", "judge"]

VERDICTS_SCHEMA: Final = pl.Schema(
    {
        "name": pl.String(), "measure": pl.Float64(), "threshold": pl.String(), "n": pl.Int64(), "low": pl.Float64(),
        "high": pl.Float64(), "state": pl.String(), "detail": pl.String(), "query": pl.String(),
    }
)  # fmt: skip

_LET_THROUGH: Final = (
    "(kind in ('ok', 'invalid_response', 'rate_limited', 'upstream_error', 'fast_fail', 'invalid_request'))"
)
"""Outcomes of a probe that say policy let it through: it is the check before parameters, limits and the tool itself."""

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


_QUOTA_REACHED: Final = r"""
    with cut as (
        select at_us, regexp_extract(detail, 'action=(\S+)', 1) as action,
               regexp_extract(detail, 'limit=(\d+)', 1)::BIGINT as most
        from events where event_key like 'change:%:update-policy' and name like 'POLICY_UPDATED_%' limit 1
    )
    select coalesce(max(n), 0)::BIGINT as reached, (select most from cut) as most
    from (
        select floor(soak_seconds(planned_at_us) / 3600) as hour, count(*) as n from outcomes, cut
        where planned_at_us >= cut.at_us and kind = 'ok' and tool || ':' || outcomes.action = cut.action group by hour
    )"""
"""The most calls in one hour after the cut that counted towards the quota, and the limit."""


def criteria(run: Run) -> pl.DataFrame:
    """Judge a run by every acceptance criterion.

    Returns
    -------
    polars.DataFrame
        ``name``, ``measure``, ``threshold``, ``n``, ``low``, ``high``, ``state`` (``pass``, ``fail``,
        ``not applicable``, ``insufficient``), ``detail``, ``query``.
    """
    return pl.DataFrame([tuple(verdict) for verdict in judge(run)], schema=VERDICTS_SCHEMA, orient="row")


def judge(run: Run) -> list[Verdict]:
    """Give the verdicts of :func:`criteria` as records."""
    return [criterion(run) for criterion in CRITERIA]


def full_duration(run: Run) -> Verdict:
    """Did the soak run for its planned time?"""
    query = "select max(soak_seconds(coalesce(ended_at_us, started_at_us))) / 3600 from segments"
    hours = _number(run, query)
    ended = run.info.status == RunStatus.COMPLETED
    return Verdict(
        "full duration", hours, f"{run.info.hours:g} soak-hours, completed", len(run.info.segments), None, None,
        _state(ended and hours is not None and hours >= run.info.hours - 1e-6),
        f"status {run.info.status} after {hours or 0:.2f} of {run.info.hours:g} soak-hours", query,
    )  # fmt: skip


def every_slot_accounted_for(run: Run) -> Verdict:
    """Did every planned slot end as rows, and none of them twice?"""
    query = """
        select count(distinct slot) filter (purpose = 'load' and step = 0) as slots,
               count(*) - count(distinct (purpose, slot, step)) as duplicates from outcomes"""
    slots, duplicates = run.sql(query).row(0)
    planned = round(run.info.rps * run.info.planned_soak_s)
    return Verdict(
        "every slot accounted for", float(slots), f"{planned} slots, none twice", planned, None, None,
        _state(slots == planned and duplicates == 0), f"{slots} of {planned} slots have rows; {duplicates} keys twice",
        query,
    )  # fmt: skip


def all_tools_exercised(run: Run) -> Verdict:
    """Did every tool of the plan answer calls of the load?"""
    query = "select tool, count(*) from outcomes where purpose = 'load' and kind = 'ok' group by tool order by tool"
    answered = dict(run.sql(query).iter_rows())
    silent = [tool for tool in run.info.plan.tools if not answered.get(tool)]
    return Verdict(
        "all tools exercised", float(len(answered)), f"all {len(run.info.plan.tools)} tools of the plan",
        sum(answered.values()), None, None, _state(not silent),
        f"no answer from {', '.join(silent)}" if silent else f"ok calls: {_counts(answered)}", query,
    )  # fmt: skip


def success_overall(run: Run) -> Verdict:
    """Is the success rate high enough over the whole soak?"""
    return _success(run, "success rate", "true", run.thresholds.success_rate)


def success_outside(run: Run) -> Verdict:
    """Is it high enough outside the windows in which the plan itself makes calls fail?"""
    condition = "true"
    for start_s, end_s in planned_windows(run).iter_rows():
        condition += f" and not (soak_s >= {start_s!r} and soak_s < {end_s!r})"
    return _success(run, "success rate outside planned windows", condition, run.thresholds.success_rate_outside)


def _success(run: Run, name: str, condition: str, least: float) -> Verdict:
    query = (
        "select floor(soak_s / 60) as minute, count(*) filter (succeeded) as successes, "  # noqa: S608
        f"count(*) as n from valid_calls where counted and {condition} group by minute order by minute"
    )
    minutes = run.sql(query)
    interval = rate_interval(minutes["successes"].to_numpy(), minutes["n"].to_numpy())
    threshold = f">= {least:g} %"
    if interval.rate is None or interval.low is None or interval.high is None:
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call counts", query)
    rate = 100 * interval.rate
    low, high = 100 * interval.low, 100 * interval.high
    detail = f"{interval.successes} of {interval.n} calls, {rate:.3f} % ({low:.3f} to {high:.3f})"
    return Verdict(name, rate, threshold, interval.n, low, high, _state(rate >= least), detail, query)


def healthy(run: Run) -> Verdict:
    """Was every answer of /health outside the planned windows healthy?"""
    condition = "endpoint = 'health'"
    for start_s, end_s in planned_windows(run).iter_rows():
        condition += f" and not (soak_seconds(at_us) >= {start_s!r} and soak_seconds(at_us) < {end_s!r})"
    condition += (
        " and not exists (select 1 from invalid_windows where soak_seconds(at_us) >= start_s"
        " and soak_seconds(at_us - duration_us) < end_s)"
    )
    query = f"select count(*) filter (ok) as healthy, count(*) as n from scrapes where {condition}"  # noqa: S608
    good, n = run.sql(query).row(0)
    threshold = "100 % of health samples outside planned windows"
    if n == 0:
        return Verdict("healthy", None, threshold, 0, None, None, State.INSUFFICIENT, "no health sample", query)
    return Verdict(
        "healthy", 100 * good / n, threshold, n, None, None, _state(good == n), f"{good} of {n} samples healthy", query
    )


def denials_happen(run: Run) -> Verdict:
    """Did policy deny anything? A soak in which nothing is denied has not tried it."""
    query = "select count(*) from outcomes where kind = 'denied'"
    n = int(_number(run, query) or 0)
    return Verdict("denials happen", float(n), "> 0 denials", n, None, None, _state(n > 0), f"{n} denials", query)


def no_false_allow(run: Run) -> Verdict:
    """Did no probe get past policy? Sending none proves nothing and fails."""
    query = (
        "select count(*) filter (attempts > 0) as sent, "  # noqa: S608 - our own condition
        f"count(*) filter (attempts > 0 and {_LET_THROUGH}) as let_through, "
        "count(*) filter (kind = 'denied') as denied from outcomes where purpose = 'probe'"
    )
    sent, let_through, denied = run.sql(query).row(0)
    return Verdict(
        "no false-allow", float(let_through), "0 probes let through, at least 1 denied", sent, None, None,
        _state(denied > 0 and let_through == 0), f"{sent} probes sent, {denied} denied, {let_through} let through",
        query,
    )  # fmt: skip


def no_false_deny(run: Run) -> Verdict:
    """Was no call of the load denied that policy should allow?"""
    query = """
        select count(*) filter (kind = 'denied' and not (reason = 'quota' and expected = 'either')) as wrongly,
               count(*) filter (attempts > 0) as sent from valid_calls where purpose = 'load'"""
    wrongly, sent = run.sql(query).row(0)
    state = State.INSUFFICIENT if sent == 0 else _state(wrongly == 0)
    return Verdict(
        "no false-deny", float(wrongly), "0 calls wrongly denied", sent, None, None, state,
        f"{wrongly} of {sent} calls denied against the plan", query,
    )  # fmt: skip


def quota_cut_works(run: Run) -> Verdict:
    """Do quota denials come after the cut, and none before it?"""
    name, threshold = "quota cut works", "denials for quota after the cut, none before"
    query = """
        select count(*) filter (planned_at_us < cut.at_us and done_at_us < cut.at_us) as before,
               count(*) filter (planned_at_us >= cut.at_us) as after
        from outcomes, (select min(at_us) as at_us from events where event_key like 'change:%:update-policy'
                        and name like 'POLICY_UPDATED_%') as cut
        where kind = 'denied' and reason = 'quota'"""
    changes = [change for change in run.info.plan.changes if isinstance(change, PolicyChange)]
    if (verdict := _not_judged(run, name, threshold, changes, query)) is not None:
        return verdict
    before, after = run.sql(query).row(0)
    reached, limit = run.sql(_QUOTA_REACHED).row(0)
    if after == 0 and reached < limit:
        detail = f"at most {reached} calls in a quota window after the cut, of {limit} that it allows"
        return Verdict(name, 0.0, threshold, before, None, None, State.INSUFFICIENT, detail, query)
    return Verdict(
        name, float(after), threshold, before + after, None, None, _state(after > 0 and before == 0),
        f"{before} quota denials before the cut, {after} after", query,
    )  # fmt: skip


def breaker_engages(run: Run) -> Verdict:
    """Did the breaker of the tool under chaos open, so that calls failed fast?"""
    name, threshold = "breaker engages during chaos", "> 0 fast-fails during chaos"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    query = """
        select count(*) filter (kind = 'fast_fail') as fast_fails, count(*) filter (kind = 'upstream_error') as errors,
               count(*) filter (attempts > 0) as sent
        from valid_calls, (select min(at_us) filter (name = 'CHAOS_MODE_ON') as on_us,
                               max(at_us) filter (name = 'CHAOS_MODE_OFF') as off_us from events) as chaos
        where planned_at_us >= on_us and planned_at_us < off_us"""
    if (verdict := _not_judged(run, name, threshold, changes, query)) is not None:
        return verdict
    fast_fails, errors, sent = run.sql(query).row(0)
    if sent == 0:
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no valid call during chaos", query)
    return Verdict(
        name, float(fast_fails), threshold, sent, None, None, _state(fast_fails > 0),
        f"{errors} upstream errors and {fast_fails} fast-fails in {sent} calls during chaos", query,
    )  # fmt: skip


def breaker_recovers(run: Run) -> Verdict:
    """Does the last call that failed for chaos come soon after it, and do calls succeed again?"""
    within_s = run.thresholds.recovery_s
    name, threshold = "breaker recovers after chaos", f"<= {within_s:g} soak s after chaos ends, then ok calls"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    tools = ", ".join(f"'{change.tool}'" for change in changes) or "''"
    query = f"""
        select coalesce(max(soak_seconds(planned_at_us) - soak_seconds(off_us))
                        filter (kind in ('fast_fail', 'upstream_error')), 0) as recovery_s,
               count(*) filter (kind = 'ok') as ok, count(*) as n
        from outcomes, (select max(at_us) as off_us from events where name = 'CHAOS_MODE_OFF') as chaos
        where planned_at_us >= off_us and attempts > 0 and tool in ({tools})"""  # noqa: S608 - tools of the plan
    if (verdict := _not_judged(run, name, threshold, changes, query)) is not None:
        return verdict
    recovery_s, ok, n = run.sql(query).row(0)
    if n == 0:
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call after chaos", query)
    return Verdict(
        name, recovery_s, threshold, n, None, None, _state(recovery_s <= within_s and ok > 0),
        f"last failure {recovery_s:.0f} soak s after chaos ended, {ok} ok calls of the tool after chaos", query,
    )  # fmt: skip


def changes_made(run: Run) -> Verdict:
    """Was every scheduled change made that the gateway has a route for?"""
    query = "select name, detail from events where event_key like 'change:%' order by at_us"
    planned, made = len(run.info.plan.changes), change_events(run).filter(~pl.col("is_end")).height
    unsupported = run.events().filter(pl.col("name") == EventName.CHANGE_UNSUPPORTED).height
    none_to_make = planned == 0 or unsupported >= planned
    state = State.NOT_APPLICABLE if none_to_make else _state(made + unsupported >= planned)
    return Verdict(
        "scheduled changes made", float(made), f"all {planned}", planned, None, None, state,
        f"{made} of {planned} made, {unsupported} unsupported by the gateway", query,
    )  # fmt: skip


def tokens_rotate_unnoticed(run: Run) -> Verdict:
    """Were tokens rotated on schedule, with no call failing for its token?"""
    query = """
        select (select count(*) from events where name = 'TOKENS_ROTATED' and event_key is not null) as rotations,
               count(*) filter (kind = 'unauthorized') as refused, count(*) filter (attempts > 0) as sent
        from valid_calls"""
    rotations, refused, sent = run.sql(query).row(0)
    planned = max(0, int(-(-run.info.planned_soak_s // run.info.plan.intervals.rotate_tokens_s)) - 1)
    return Verdict(
        "token rotations go unnoticed", float(refused), f"{planned} rotations, 0 calls refused for their token", sent,
        None, None, _state(rotations == planned and refused == 0),
        f"{rotations} of {planned} rotations, {refused} of {sent} calls refused", query,
    )  # fmt: skip


def snapshots_complete(run: Run) -> Verdict:
    """Is every hourly snapshot there, and do the metrics hold what the analysis needs?"""
    query = """
        select count(*) filter (name = 'METRICS_SNAPSHOT') as taken from events where event_key like 'snapshot:%'
        and event_key <> 'snapshot:final'"""
    taken = int(_number(run, query) or 0)
    planned = int(-(-run.info.planned_soak_s // run.info.plan.intervals.snapshot_s))
    seen = set(run.sql("select distinct metric from samples")["metric"].to_list())
    seen |= {metric.replace("_total_total", "_total").replace("_ms_ms_", "_ms_") for metric in seen}
    causes = ", ".join(f"bool_or({cause}) as {metric}" for metric, cause in _KEY_METRICS.items())
    due = run.sql(f"select {causes} from outcomes").row(0, named=True)  # noqa: S608 - our own names
    missing = [metric for metric, is_due in due.items() if is_due and metric not in seen]
    return Verdict(
        "snapshots complete", float(taken), f"{planned} hourly snapshots and all key metrics", planned, None, None,
        _state(taken >= planned and not missing),
        f"{taken} of {planned} snapshots; " + (f"missing: {', '.join(missing)}" if missing else "all key metrics"),
        query,
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
        "measurement valid", 100 * late / n, threshold, n, None, None, _state(100 * late <= most * n),
        f"the generator was late in {late} of {n} wall seconds", query,
    )  # fmt: skip


CRITERIA: Final[tuple[Callable[[Run], Verdict], ...]] = (
    full_duration,
    every_slot_accounted_for,
    all_tools_exercised,
    success_overall,
    success_outside,
    healthy,
    denials_happen,
    no_false_allow,
    no_false_deny,
    quota_cut_works,
    breaker_engages,
    breaker_recovers,
    changes_made,
    tokens_rotate_unnoticed,
    snapshots_complete,
    measurement_valid,
)
"""Every acceptance criterion, in the order in which they are read."""


def _state(passed: bool) -> str:
    return State.PASS if passed else State.FAIL


def _number(run: Run, query: str) -> float | None:
    value = run.sql(query).item()
    return None if value is None else float(value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _not_judged(run: Run, name: str, threshold: str, changes: Sequence[Change], query: str) -> Verdict | None:
    """Give the verdict on a change that never came to pass; None when it did and can be judged."""
    if not changes:
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, "the plan has no such change", query)
    made = set(change_events(run).filter(~pl.col("is_end"))["number"].to_list())
    if all(run.info.plan.changes.index(change) in made for change in changes):
        return None
    said = run.events().filter(pl.col("detail").str.starts_with(f"{changes[0].do}:"))
    unsupported = said.filter(pl.col("name") == EventName.CHANGE_UNSUPPORTED).height > 0
    state = State.NOT_APPLICABLE if unsupported else State.INSUFFICIENT
    detail = "the gateway has no route for the change" if unsupported else "the change was not made"
    return Verdict(name, None, threshold, 0, None, None, state, detail, query)
