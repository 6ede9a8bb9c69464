"""Were the changes made, and did the gateway bear them as it should?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.breakers import recoveries, recoveries_sql
from soaklib.analysis.criteria.verdicts import change_not_made, passed
from soaklib.analysis.timeline import change_events
from soaklib.plan import ChaosChange, PolicyChange
from soaklib.records import EventName, State, Verdict

if TYPE_CHECKING:
    from soaklib.analysis.load import Run


__all__ = ["breaker_engages", "breaker_recovers", "changes_made", "quota_cut_works", "tokens_rotate_unnoticed"]

_ENOUGH_TO_OPEN: Final = 20
"""Calls of a tool during chaos from which on a breaker should have opened; the documented one takes 5 failures."""

_QUOTA_REACHED: Final = r"""
    with cut as (
        select at_us, regexp_extract(detail, 'action=(\S+)', 1) as action,
               regexp_extract(detail, 'limit=(\d+)', 1)::BIGINT as most,
               case regexp_extract(detail, 'window=(\S+)', 1) when '24h' then 86400 when '7d' then 604800 else 3600 end
               as window_s
        from events where event_key like 'change:%:update-policy' and name like 'POLICY_UPDATED_%' limit 1
    )
    select coalesce(max(n), 0)::BIGINT as reached, (select most from cut) as most
    from (
        select floor(soak_seconds(planned_at_us) / window_s) as window_number, count(*) as n from outcomes, cut
        where planned_at_us >= cut.at_us and kind = 'ok' and tool || ':' || outcomes.action = cut.action
        group by window_number
    )"""
"""The most calls in one of its windows after the cut that counted towards the quota, and the limit."""


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
    if (verdict := change_not_made(run, name, threshold, changes, query)) is not None:
        return verdict
    before, after = run.sql(query).row(0)
    reached, limit = run.sql(_QUOTA_REACHED).row(0)
    if after == 0 and reached < limit:
        detail = f"at most {reached} calls in a quota window after the cut, of {limit} that it allows"
        return Verdict(name, 0.0, threshold, before, None, None, State.INSUFFICIENT, detail, query)
    return Verdict(
        name, float(after), threshold, before + after, None, None, passed(after > 0 and before == 0),
        f"{before} quota denials before the cut, {after} after", query,
    )  # fmt: skip


def breaker_engages(run: Run) -> Verdict:
    """Did the breaker of the tool under chaos open, so that calls failed fast?"""
    name, threshold = "breaker engages during chaos", "> 0 fast-fails during chaos"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    tools = ", ".join(f"'{change.tool}'" for change in changes) or "''"
    query = f"""
        select count(*) filter (kind = 'fast_fail') as fast_fails, count(*) filter (kind = 'upstream_error') as errors,
               count(*) filter (attempts > 0) as sent
        from valid_calls, (select min(at_us) filter (name = 'CHAOS_MODE_ON') as on_us,
                               max(at_us) filter (name = 'CHAOS_MODE_OFF') as off_us from events
                               where event_key like 'change:%') as chaos
        where planned_at_us >= on_us and planned_at_us < off_us and tool in ({tools})"""  # noqa: S608 - tools of the plan
    if (verdict := change_not_made(run, name, threshold, changes, query)) is not None:
        return verdict
    fast_fails, errors, sent = run.sql(query).row(0)
    detail = f"{errors} upstream errors and {fast_fails} fast-fails in {sent} calls of the tool during chaos"
    state = passed(fast_fails > 0)
    if state == State.FAIL and sent < _ENOUGH_TO_OPEN:
        state, detail = State.INSUFFICIENT, f"{detail}: too few to open a breaker"
    return Verdict(name, float(fast_fails), threshold, sent, None, None, state, detail, query)


def breaker_recovers(run: Run) -> Verdict:
    """Does the last call that failed for chaos come soon after it, and do calls succeed again?"""
    within_s = run.thresholds.recovery_s
    name, threshold = "breaker recovers after chaos", f"<= {within_s:g} soak s after chaos ends, then ok calls"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    query = recoveries_sql(run)
    if (verdict := change_not_made(run, name, threshold, changes, query)) is not None:
        return verdict
    after = recoveries(run)
    if after.is_empty():
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call after chaos", query)
    recovery_s, ok, n = max(after["recovery_s"]), int(after["ok"].sum()), int(after["calls"].sum())
    return Verdict(
        name, recovery_s, threshold, n, None, None, passed(recovery_s <= within_s and min(after["ok"]) > 0),
        f"last failure {recovery_s:.0f} soak s after chaos ended, {ok} ok calls of the tool after chaos", query,
    )  # fmt: skip


def changes_made(run: Run) -> Verdict:
    """Was every scheduled change made that the gateway has a route for?"""
    query = "select name, detail from events where event_key like 'change:%' order by at_us"
    planned, made = len(run.info.plan.changes), change_events(run).filter(~pl.col("is_end")).height
    unsupported = run.events().filter(pl.col("name") == EventName.CHANGE_UNSUPPORTED).height
    none_to_make = planned == 0 or unsupported >= planned
    state = State.NOT_APPLICABLE if none_to_make else passed(made + unsupported >= planned)
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
    state = passed(rotations == planned and refused == 0)
    if state == State.PASS and sent == 0:
        state = State.INSUFFICIENT  # nobody was there to notice
    return Verdict(
        "token rotations go unnoticed", float(refused), f"{planned} rotations, 0 calls refused for their token", sent,
        None, None, state,
        f"{rotations} of {planned} rotations, {refused} of {sent} calls refused", query,
    )  # fmt: skip
