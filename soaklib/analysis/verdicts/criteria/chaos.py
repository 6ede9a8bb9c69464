"""Did chaos reach its tool, did the tool's breaker open for it, and did the tool recover afterwards?

Each chaos of the plan is judged by itself: that the breaker of one tool opened says nothing about another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.measures.breakers import FAILED_SQL, recoveries, recoveries_sql, recovery_limit_s
from soaklib.analysis.verdicts.criteria.effects import ATTEMPTS, shown, together
from soaklib.analysis.verdicts.criteria.wording import change_not_made, each, many, passed, recovery, within
from soaklib.plan.changes import ChaosChange
from soaklib.records import State, Verdict

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["breaker_engages", "breaker_recovers", "chaos_shows"]

_ENOUGH_TO_OPEN: Final = 20
"""Calls of a tool during chaos from which on a breaker should have opened; the documented one takes 5 failures."""
_JITTER: Final = "jitter"
_RETRIED: Final = "timeout"
"""The mode whose failures a gateway takes for passing, and tries such calls again."""
_SLOWEST: Final = 0.01
"""The share of a tool's calls without chaos that are slower than what counts as late."""

_GOT_AS_FAR: Final = "attempts > 0 and purpose = 'load' and kind not in ('denied', 'unauthorized', 'rate_limited')"
"""Which calls chaos can meet: one that was refused before the tool was asked shows none, however many there are."""

_DURING: Final = f"""
        with usual as (
            select tool, count(*) as other_sent, count(*) filter ({FAILED_SQL}) as other_failed,
                   quantile_disc(service_us, {1 - _SLOWEST}) filter (tool in (
                       select tool from chaos_windows where mode = '{_JITTER}')) as late_us
            from valid_calls semi join chaos_windows using (tool)
            where {_GOT_AS_FAR} and not exists (
                select 1 from chaos_windows as chaos where chaos.tool = valid_calls.tool
                and coalesce(done_at_us, planned_at_us) >= on_us and planned_at_us < off_us)
            group by tool
        ),
        minutes as (
            select number, tool, mode, floor(soak_s / 60) as minute, count(*) as sent,
                   count(*) filter ({FAILED_SQL}) as failed,
                   count(*) filter (kind = 'upstream_error') as errors,
                   count(*) filter (kind = 'fast_fail') as fast_fails,
                   count(*) filter (service_us > late_us) as late,
                   coalesce(other_sent, 0) as other_sent, coalesce(other_failed, 0) as other_failed
            from valid_calls join chaos_windows using (tool) left join usual using (tool)
            where coalesce(done_at_us, planned_at_us) >= on_us and planned_at_us < off_us and {_GOT_AS_FAR}
            group by all
        )
        select number, tool, mode, sum(sent)::BIGINT as sent, sum(failed)::BIGINT as failed,
               sum(errors)::BIGINT as errors, sum(fast_fails)::BIGINT as fast_fails, sum(late)::BIGINT as late,
               other_sent, other_failed, list(sent order by minute) as sent_by_minute,
               list(if(mode = '{_JITTER}', late, failed) order by minute) as affected_by_minute
        from minutes group by number, tool, mode, other_sent, other_failed order by number"""  # noqa: S608 - our own words
"""What became of the calls that touch each chaos on their tool, and of others; how late they were for jitter only."""


class _Chaos(NamedTuple):
    """A row of :data:`_DURING`."""

    number: int
    tool: str
    mode: str
    sent: int
    failed: int
    errors: int
    fast_fails: int
    late: int
    other_sent: int
    other_failed: int
    sent_by_minute: list[int]
    affected_by_minute: list[int]

    @property
    def usual(self) -> float:
        """The share of calls that are so without chaos."""
        if self.mode == _JITTER:
            return _SLOWEST
        return self.other_failed / self.other_sent if self.other_sent else 0.0

    def __str__(self) -> str:
        if self.mode == _JITTER:
            return f"{self.late} of {self.sent} calls of the tool were late while chaos was on"
        return (
            f"{self.failed} of {self.sent} calls of the tool failed while chaos was on, {self.other_failed} of "
            f"{self.other_sent} without it"
        )


def chaos_shows(run: Run) -> Verdict:
    """Did each chaos that was switched on reach its tool at all?

    The share of calls that failed, or under jitter were slower than the slowest hundredth of the tool's other calls, is
    held against what is usual without chaos: the lower end of its 95 % interval, which knows of bursts, must lie above
    it, and half of the planned share of calls must be affected. Where chaos of the planned share would show no more in
    so few calls more often than once in a thousand times, nothing is told.
    """
    name = "chaos shows in the data"
    threshold = "half of the planned share of calls of the tool failed (late under jitter), and more than without chaos"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    if (verdict := change_not_made(run, name, threshold, changes, _DURING)) is not None:
        return verdict
    found = _during(run)
    n = sum(chaos.sent for chaos in found)
    if len(found) < len(changes):
        return Verdict(name, None, threshold, n, None, None, State.INSUFFICIENT, "no call to judge by", _DURING)
    told = [
        shown(chaos.affected_by_minute, chaos.sent_by_minute, usual=chaos.usual, meant=_meant(run, chaos))
        for chaos in found
    ]
    shares = [one.share for one in told]
    [rate, low, high] = min([100 * (value or 0.0) for value in (share.rate, share.low, share.high)] for share in shares)
    detail = each(list(zip(found, told, strict=True)), lambda one: one[0].tool, lambda one: f"{one[0]}{one[1].why}")
    return Verdict(name, rate, threshold, n, low, high, together(told), detail, _DURING)


def _meant(run: Run, chaos: _Chaos) -> float | None:
    """Give the share of calls that chaos as planned affects, less what the gateway's retries take away."""
    change = run.info.plan.changes[chaos.number]
    if not isinstance(change, ChaosChange):
        return None
    share = change.pct / 100
    return float(share**ATTEMPTS) if chaos.mode == _RETRIED else share


def breaker_engages(run: Run) -> Verdict:
    """Did the breaker of each tool under chaos open, so that calls failed fast? Jitter fails none, and opens none."""
    name, threshold = "breaker engages during chaos", "> 0 fast-fails during chaos"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    if (verdict := _not_to_be_judged(run, name, threshold, changes, _DURING)) is not None:
        return verdict
    found = [chaos for chaos in _during(run) if chaos.mode != _JITTER]
    n = sum(chaos.sent for chaos in found)
    if len(found) < sum(change.mode != _JITTER for change in changes):
        return Verdict(name, None, threshold, n, None, None, State.INSUFFICIENT, "no call to judge by", _DURING)
    detail = each(
        found,
        lambda chaos: chaos.tool,
        lambda chaos: (
            f"{many(chaos.errors, 'upstream error')} and {many(chaos.fast_fails, 'fast-fail')} "
            f"in {chaos.sent} calls of the tool during chaos"
        ),
    )
    silent = [chaos for chaos in found if not chaos.fast_fails]
    state = passed(not silent)
    if silent and all(chaos.sent < _ENOUGH_TO_OPEN for chaos in silent):
        state, detail = State.INSUFFICIENT, f"{detail}: too few to open a breaker"
    least = min(chaos.fast_fails for chaos in found)
    return Verdict(name, float(least), threshold, n, None, None, state, detail, _DURING)


def breaker_recovers(run: Run) -> Verdict:
    """Does the last call that failed for chaos come soon after it, and do calls succeed again?"""
    name, threshold = "breaker recovers after chaos", f"{within(run, 'chaos ends')}, then ok calls"
    changes = [change for change in run.info.plan.changes if isinstance(change, ChaosChange)]
    query = recoveries_sql(run)
    if (verdict := _not_to_be_judged(run, name, threshold, changes, query)) is not None:
        return verdict
    if not any(chaos.fast_fails for chaos in _during(run)):
        detail = "no breaker opened during chaos: there is nothing to recover from"
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, detail, query)
    after = recoveries(run)
    if after.height < len(changes):
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call after chaos", query)
    of = (name, threshold, query)
    limit_s = recovery_limit_s(run)
    return recovery(of, after, limit_s, since="chaos ended", those="calls of the tool after chaos")


def _not_to_be_judged(run: Run, name: str, threshold: str, changes: list[ChaosChange], query: str) -> Verdict | None:
    """Give the verdict on a breaker that had no reason to open; None when it had."""
    if changes and all(change.mode == _JITTER for change in changes):
        detail = "chaos by jitter makes no call fail"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    return change_not_made(run, name, threshold, changes, query)


def _during(run: Run) -> list[_Chaos]:
    return [_Chaos(*row) for row in run.asked(_DURING).rows()]
