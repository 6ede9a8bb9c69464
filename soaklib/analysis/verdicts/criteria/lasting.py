"""Did changes by literal requests and at the upstream reach the calls, and did those recover when they were taken back?

What they are meant to do is read from the plan: a change at the upstream makes calls fail by its mode, or late where it
sets a latency alone, of the models and tools that ``only`` names, or of all; one by literal requests makes those of its
``tool`` fail, and where it names none nothing is known of what it is meant to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.measures.breakers import recoveries_sql, recovery_limit_s
from soaklib.analysis.verdicts.criteria.effects import ATTEMPTS, shown, together
from soaklib.analysis.verdicts.criteria.wording import change_not_made, recovery, within
from soaklib.plan.changes import HttpChange, UpstreamChange
from soaklib.records import State, Verdict
from soaklib.store.quoting import text_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan

__all__ = ["UNKNOWN_EFFECT", "Effect", "effects_of", "lasting_changes_show", "recovers_after_lasting_changes"]

_FAILED: Final = "kind not in ('ok', 'interrupted')"
_MAY_SHOW: Final = "attempts > 0 and purpose = 'load' and (counted or kind = 'rate_limited')"
"""Which calls are looked at: neither a probe nor what a quota that was cut denies tells of any other change."""
_SLOWEST: Final = 0.01
_STATUS: Final = re.compile("[45][0-9][0-9]")
_OF_EVERY_CALL: Final = ("reset", "hang")
"""Modes that, as a status does, make a call fail whatever its form; others may befall streams alone, for one."""
UNKNOWN_EFFECT: Final = "no such change says what it is meant to do: name its tool"


class Effect(NamedTuple):
    """What a change of the plan is meant to do: to which tools' calls, and whether they are late or fail."""

    number: int
    change: HttpChange | UpstreamChange
    tools: tuple[str, ...]
    is_late: bool

    @property
    def share(self) -> float | None:
        """The share of the calls of its tools that it makes fail; None where the plan does not say."""
        if not isinstance(self.change, UpstreamChange):
            return None
        behave = self.change.behave
        mode, only, share = behave.get("mode"), behave.get("only") or [], behave.get("share", 1.0)
        is_of_all = isinstance(mode, str) and (mode in _OF_EVERY_CALL or _STATUS.fullmatch(mode) is not None)
        are_tools = isinstance(only, list) and all(one in self.tools for one in only)
        is_of_tools = are_tools or self.change.tool is not None
        return float(share) if is_of_all and is_of_tools and isinstance(share, int | float) else None


class _Seen(NamedTuple):
    """Calls that touch the window of a change and those that touch none, and how many were as it makes them."""

    name: str
    sent: int
    affected: int
    other_sent: int
    other_affected: int
    is_late: bool
    retries: int | None
    has_fallbacks: bool
    has_ended: bool
    sent_by_minute: list[int]
    affected_by_minute: list[int]

    @property
    def usual(self) -> float:
        """The share of calls that are so without it."""
        if self.is_late:
            return _SLOWEST
        return self.other_affected / self.other_sent if self.other_sent else 0.0

    def meant(self, share: float | None) -> float | None:
        """Give what is left of the share of calls that a change makes fail, where the gateway tries them again.

        Where it says that this helped although every call was to fail, or that it went on elsewhere, nobody knows; nor
        where nothing says until when the change was in force.
        """
        if share is None or self.has_fallbacks or not self.has_ended or (share >= 1 and self.retries):
            return None
        return float(share ** (ATTEMPTS if self.retries is None else 1 + self.retries))

    def __str__(self) -> str:
        what = "late" if self.is_late else "not ok"
        without = f", {self.other_affected} of {self.other_sent} without it" if not self.is_late else ""
        return f"{self.affected} of {self.sent} calls were {what} while it lasted{without}"


def lasting_changes_show(run: Run) -> Verdict:
    """Did each change that was made, and was to be taken back, reach the calls that it is meant for?

    As for chaos: the lower end of the 95 % interval of the share of calls that were not ok (or late) while it lasted
    must lie above what is usual without it, and half of the share that the plan states must be affected, where it does.
    """
    name = "lasting changes show in the data"
    threshold = "more calls not ok (late, of a latency) than without each, and half of those that it is meant for"
    effects = effects_of(run.info.plan)
    query = _shown_sql(effects)
    if (verdict := _not_to_be_judged(run, name, threshold, effects, query)) is not None:
        return verdict
    seen = [_Seen(effects[place].change.name, *counts) for place, *counts in run.sql(query).iter_rows()]
    n = sum(one.sent for one in seen)
    if len(seen) < len(effects) or not all(one.sent for one in seen):
        return Verdict(name, None, threshold, n, None, None, State.INSUFFICIENT, "no call to judge by", query)
    told = [
        shown(one.affected_by_minute, one.sent_by_minute, usual=one.usual, meant=one.meant(effect.share))
        for one, effect in zip(seen, effects, strict=True)
    ]
    shares = [one.share for one in told]
    [rate, low, high] = min([100 * (value or 0.0) for value in (share.rate, share.low, share.high)] for share in shares)
    detail = "; ".join(f"{one.name}: {one}{found.why}" for one, found in zip(seen, told, strict=True))
    return Verdict(name, rate, threshold, n, low, high, together(told), detail, query)


def recovers_after_lasting_changes(run: Run) -> Verdict:
    """Does the last call that failed for each such change come soon after it was taken back, and do calls succeed?"""
    name, threshold = "recovers after lasting changes", f"{within(run, 'each was undone')}, then ok calls"
    effects = [effect for effect in effects_of(run.info.plan) if not effect.is_late]
    query = _recovered_sql(run, effects)
    if (verdict := _not_to_be_judged(run, name, threshold, effects, query)) is not None:
        return verdict
    after = run.sql(query)
    if after.height < sum(len(effect.tools) for effect in effects):
        detail = "no call after it, or it was not taken back"
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, detail, query)
    of = (name, threshold, query)
    return recovery(of, after, recovery_limit_s(run), since="it was undone", those="calls after it")


def _not_to_be_judged(run: Run, name: str, threshold: str, effects: Sequence[Effect], query: str) -> Verdict | None:
    changes: list[Change] = [effect.change for effect in effects]
    if not changes and any(isinstance(change, HttpChange) for change in run.info.plan.changes):
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, UNKNOWN_EFFECT, query)
    return change_not_made(run, name, threshold, changes, query)


def effects_of(plan: Plan) -> list[Effect]:
    """Give what a plan's changes are meant to do, of those that say so."""
    effects = []
    for number, change in enumerate(plan.changes):
        if isinstance(change, UpstreamChange):
            only = change.behave.get("only")
            named = [change.tool] if change.tool else only if isinstance(only, list) else []
            tools = tuple(tool for tool in plan.tools if tool in named) or plan.tools
            is_late = change.behave.get("mode", "none") == "none" and "latency_ms" in change.behave
            effects.append(Effect(number, change, tools, is_late))
        elif isinstance(change, HttpChange) and change.tool is not None:
            effects.append(Effect(number, change, (change.tool,), is_late=False))
    return effects


def _windows_sql(effects: Sequence[Effect]) -> str:
    """Give the SELECT of when each change was in force, for each of its tools."""
    rows = ", ".join(
        f"({place}, {effect.number}, {text_sql(tool)}, {effect.is_late})"
        for place, effect in enumerate(effects)
        for tool in effect.tools
    )
    return f"""
        select place, number, meant.tool, is_late, on_us, off_us
        from (values {rows or "(-1, -1, '', false)"}) as meant(place, number, tool, is_late)
        join chaos_windows using (number)"""  # noqa: S608 - quoted


def _shown_sql(effects: Sequence[Effect]) -> str:
    return f"""
        with windows as materialized ({_windows_sql(effects)}),
        touched as (
            select place, is_late, tool, kind, service_us, soak_s, retries, fallbacks, off_us is not null as has_end,
                   coalesce(done_at_us, planned_at_us) >= on_us
                       and coalesce(planned_at_us < off_us, true) as is_in,
                   exists (select 1 from chaos_windows as any_change
                           where coalesce(done_at_us, planned_at_us) >= any_change.on_us
                                 and coalesce(planned_at_us < any_change.off_us, true)) as is_in_any
            from windows join valid_calls using (tool) where {_MAY_SHOW}
        ),
        usual as (
            select place, tool, quantile_disc(service_us, {1 - _SLOWEST}) as late_us
            from touched where not is_in_any and is_late group by all
        ),
        told as (
            select touched.*, if(is_late, coalesce(service_us > late_us, false), {_FAILED}) as is_affected
            from touched left join usual using (place, tool)
        ),
        minutes as (
            select place, is_late, floor(soak_s / 60) as minute, count(*) filter (is_in) as sent,
                   count(*) filter (is_in and is_affected) as affected, count(*) filter (not is_in_any) as other_sent,
                   count(*) filter (not is_in_any and is_affected) as other_affected,
                   max(retries) filter (is_in) as retries, bool_or(fallbacks > 0) filter (is_in) as has_fallbacks,
                   bool_and(has_end) as has_ended
            from told group by all
        )
        select place, sum(sent)::BIGINT, sum(affected)::BIGINT, sum(other_sent)::BIGINT, sum(other_affected)::BIGINT,
               any_value(is_late), max(retries), coalesce(bool_or(has_fallbacks), false),
               bool_and(has_ended), list(sent order by minute) filter (sent > 0),
               list(affected order by minute) filter (sent > 0)
        from minutes group by place order by place"""  # noqa: S608 - our own words


def _recovered_sql(run: Run, effects: Sequence[Effect]) -> str:
    following = """
        select min(other.on_us) from windows as other
        where other.tool = windows.tool and other.on_us > windows.off_us"""
    calls = f"(from calls where {_MAY_SHOW}) as outcomes"
    return recoveries_sql(run, _windows_sql(effects), following=following, failed=_FAILED, calls=calls)
