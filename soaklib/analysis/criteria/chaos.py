"""Did chaos reach its tool, did the tool's breaker open for it, and did the tool recover afterwards?

Each chaos of the plan is judged by itself: that the breaker of one tool opened says nothing about another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soaklib.analysis.breakers import recoveries, recoveries_sql
from soaklib.analysis.criteria.verdicts import change_not_made, each, passed
from soaklib.analysis.intervals import rate_interval
from soaklib.plan import ChaosChange
from soaklib.records import State, Verdict

if TYPE_CHECKING:
    from soaklib.analysis.load import Run

__all__ = ["breaker_engages", "breaker_recovers", "chaos_shows"]

_ENOUGH_TO_OPEN: Final = 20
"""Calls of a tool during chaos from which on a breaker should have opened; the documented one takes 5 failures."""
_JITTER: Final = "jitter"
_SLOWEST: Final = 0.01
"""The share of a tool's calls without chaos that are slower than what counts as late."""

_DURING: Final = f"""
        with usual as (
            select tool, quantile_disc(service_us, {1 - _SLOWEST}) as late_us
            from valid_calls semi join (select tool from chaos_windows where mode = '{_JITTER}') using (tool)
            where not exists (select 1 from chaos_windows as chaos where chaos.tool = valid_calls.tool
                              and planned_at_us >= on_us and planned_at_us < off_us)
            group by tool
        )
        select number, tool, mode, count(*) as sent,
               count(*) filter (kind in ('upstream_error', 'fast_fail', 'timeout')) as failed,
               count(*) filter (kind = 'upstream_error') as errors,
               count(*) filter (kind = 'fast_fail') as fast_fails,
               count(*) filter (service_us > late_us) as late
        from valid_calls join chaos_windows using (tool) left join usual using (tool)
        where planned_at_us >= on_us and planned_at_us < off_us and attempts > 0
        group by all order by number"""  # noqa: S608 - our own words
"""What became of the calls of the tool, chaos by chaos; whether they were late is asked for jitter only."""


def chaos_shows(run: Run) -> Verdict:
    """Did each chaos that was switched on reach its tool at all?

    Its calls fail, or under jitter more than one in a hundred is slower than the slowest hundredth of the tool's other
    calls, by the lower end of the exact 95 % interval.
    """
    name, threshold = "chaos shows in the data", "> 0 calls of the tool that failed, or were late under jitter"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    if (verdict := change_not_made(run, name, threshold, changes, _DURING)) is not None:
        return verdict
    found = run.sql(_DURING).to_dicts()
    n = sum(chaos["sent"] for chaos in found)
    if len(found) < len(changes):
        return Verdict(name, None, threshold, n, None, None, State.INSUFFICIENT, "no call to judge by", _DURING)
    details = each(
        found,
        "tool",
        lambda chaos: (
            f"{_affected(chaos)} of {chaos['sent']} calls of the tool "
            f"{'were late' if chaos['mode'] == _JITTER else 'failed'} while chaos was on"
        ),
    )
    return Verdict(
        name, float(min(_affected(chaos) for chaos in found)), threshold, n, None, None,
        passed(all(_shows(chaos) for chaos in found)), details, _DURING,
    )  # fmt: skip


def breaker_engages(run: Run) -> Verdict:
    """Did the breaker of each tool under chaos open, so that calls failed fast? Jitter fails none, and opens none."""
    name, threshold = "breaker engages during chaos", "> 0 fast-fails during chaos"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    if (verdict := _not_to_be_judged(run, name, threshold, changes, _DURING)) is not None:
        return verdict
    found = [chaos for chaos in run.sql(_DURING).to_dicts() if chaos["mode"] != _JITTER]
    n = sum(chaos["sent"] for chaos in found)
    if len(found) < sum(change.mode != _JITTER for change in changes):
        return Verdict(name, None, threshold, n, None, None, State.INSUFFICIENT, "no call to judge by", _DURING)
    details = each(
        found,
        "tool",
        lambda chaos: (
            f"{chaos['errors']} upstream errors and {chaos['fast_fails']} fast-fails in {chaos['sent']} "
            "calls of the tool during chaos"
        ),
    )
    silent = [chaos for chaos in found if chaos["fast_fails"] == 0]
    state = passed(not silent)
    if silent and all(chaos["sent"] < _ENOUGH_TO_OPEN for chaos in silent):
        state, details = State.INSUFFICIENT, f"{details}: too few to open a breaker"
    return Verdict(
        name, float(min(chaos["fast_fails"] for chaos in found)), threshold, n, None, None, state, details, _DURING
    )


def breaker_recovers(run: Run) -> Verdict:
    """Does the last call that failed for chaos come soon after it, and do calls succeed again?"""
    within_s = run.thresholds.recovery_s
    name, threshold = "breaker recovers after chaos", f"<= {within_s:g} soak s after chaos ends, then ok calls"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    query = recoveries_sql(run)
    if (verdict := _not_to_be_judged(run, name, threshold, changes, query)) is not None:
        return verdict
    after = recoveries(run)
    if after.height < len(changes):
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call after chaos", query)
    recovery_s, n = max(after["recovery_s"]), int(after["calls"].sum())
    details = each(
        after.to_dicts(),
        "tool",
        lambda chaos: (
            f"last failure {chaos['recovery_s']:.0f} soak s after chaos ended, {chaos['ok']} ok calls of the "
            "tool after chaos"
        ),
    )
    return Verdict(
        name, recovery_s, threshold, n, None, None, passed(recovery_s <= within_s and min(after["ok"]) > 0),
        details, query,
    )  # fmt: skip


def _not_to_be_judged(run: Run, name: str, threshold: str, changes: list[ChaosChange], query: str) -> Verdict | None:
    """Give the verdict on a breaker that had no reason to open; None when it had."""
    if changes and all(change.mode == _JITTER for change in changes):
        detail = "chaos by jitter makes no call fail"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    return change_not_made(run, name, threshold, changes, query)


def _affected(chaos: dict[str, Any]) -> int:
    return int(chaos["late" if chaos["mode"] == _JITTER else "failed"])


def _shows(chaos: dict[str, Any]) -> bool:
    if chaos["mode"] != _JITTER:
        return _affected(chaos) > 0
    low = rate_interval([chaos["late"]], [chaos["sent"]]).low
    return low is not None and low > _SLOWEST
