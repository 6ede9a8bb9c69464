"""Were the changes made, and did the gateway bear them as it should?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.books.quotas import CutQuota, kept
from soaklib.analysis.measures.token_lives import refused_tokens
from soaklib.analysis.verdicts.criteria.wording import change_not_made, each, is_of_the_load, many, number, passed
from soaklib.plan.changes import LastingChange, PolicyChange
from soaklib.records import NOBODY_LIVED, EventName, State, Verdict
from soaklib.store.cuts import GATE_NUMBER, IS_OF_VERSION_1

if TYPE_CHECKING:
    from soaklib.analysis.measures.token_lives import RefusedTokens
    from soaklib.analysis.sources.run import Run


__all__ = ["changes_made", "quota_cut_works", "tokens_rotate_unnoticed"]

_LATE_END_WALL_S: Final = 5.0
"""Chaos that goes off so much later than planned, and than a breaker may take to recover, was not ended when due."""

_CUTS: Final = rf"""
        with gates as (
            select at_us, detail, {GATE_NUMBER} as number, {IS_OF_VERSION_1} as is_of_version_1
            from events where name = 'HEALTH_GATE_PASSED'
        ),
        cuts as (
            select split_part(event_key, ':', 2)::INTEGER as number, at_us as cut_us,
                   plan->>('$.changes[' || number || '].role') as role,
                   coalesce((select max(gates.at_us) from gates where gates.at_us <= events.at_us
                             and (gates.number = split_part(events.event_key, ':', 2)::INTEGER
                                  or is_of_version_1 and gates.detail like 'before update-policy:%')),
                            at_us) as begun_us,
                   coalesce(data->>'action', regexp_extract(detail, 'action=(\S+)', 1)) as scope,
                   coalesce(data->>'limit', regexp_extract(detail, 'limit=(\d+)', 1))::BIGINT as most,
                   case coalesce(data->>'window', regexp_extract(detail, 'window=(\S+)', 1))
                   when '24h' then 86400 when '7d' then 604800 else 3600 end as window_s,
                   lead(at_us) over (partition by role, scope order by at_us) as next_us
            from events cross join (select plan from run)
            where event_key like 'change:%:update-policy' and name like 'POLICY_UPDATED_%'
        ),
        denials as (
            select role, tool || ':' || "action" as scope, planned_at_us, done_at_us from outcomes
            where kind = 'denied' and reason = 'quota'
        )"""  # noqa: S608 - our own words
_QUOTA_DENIALS: Final = rf"""{_CUTS}
        select number, scope, most,
               (select count(*) from denials where not exists (
                    select 1 from cuts as cut where cut.scope = denials.scope and cut.role = denials.role
                    and (planned_at_us >= begun_us or done_at_us >= begun_us))) as before,
               (select count(*) from denials
                where denials.scope = cuts.scope and denials.role = cuts.role and planned_at_us >= cut_us
                      and coalesce(planned_at_us < next_us, true)) as after,
               window_s::DOUBLE as window_s, cut_us,
               least(next_us, (select min(at_us) from events where event_key like 'inbox:%' and at_us > cut_us
                               and name like 'POLICY_UPDATED_%'
                               and regexp_extract(detail, 'action=(\S+)', 1) = cuts.scope)) as end_us
        from cuts order by number"""  # noqa: S608 - our own words
"""Denials for quota that no cut explains, those after each cut, and until when it is known to be in force.

From the gate before it on a cut explains them: the gateway cuts before its answer is here, and a call of another
process may be denied in between.
"""

_QUOTA_REACHED: Final = f"""{_CUTS}
        select number, max(n)::BIGINT as reached
        from (
            select number, floor(soak_seconds(planned_at_us) / window_s) as window_number, count(*) as n
            from outcomes join cuts on tool || ':' || "action" = scope and outcomes.role = cuts.role
            where planned_at_us >= cut_us and coalesce(planned_at_us < next_us, true) and kind = 'ok'
            group by all
        )
        group by number"""  # noqa: S608 - our own words
"""The most calls in one of its windows after each cut that counted towards the quota."""


class _Cut(NamedTuple):
    """A row of :data:`_QUOTA_DENIALS`."""

    number: int
    scope: str
    most: int
    before: int
    after: int
    window_s: float
    cut_us: int
    end_us: int | None


def quota_cut_works(run: Run) -> Verdict:
    """Do quota denials come after each cut, and none before, and is let through what it allows: no less, no more?

    Where a gateway's windows begin is not known. What is blamed is certain wherever that is.
    """
    name, threshold = "quota cut works", "denials for quota after the cut, none before; what it allows let through"
    changes = [change for change in run.info.plan.changes if isinstance(change, PolicyChange)]
    if (verdict := change_not_made(run, name, threshold, changes, _QUOTA_DENIALS)) is not None:
        return verdict
    cuts = [_Cut(*row) for row in run.sql(_QUOTA_DENIALS).rows()]
    reached = dict(run.sql(_QUOTA_REACHED).iter_rows())
    before, n = cuts[0].before, cuts[0].before + sum(cut.after for cut in cuts)
    silent = [cut for cut in cuts if not cut.after]
    unused = [cut for cut in silent if reached.get(cut.number, 0) < cut.most]
    value = float(min(cut.after for cut in cuts))
    if before == 0 and silent and len(unused) == len(silent):
        detail = each(
            unused,
            lambda cut: cut.scope,
            lambda cut: (
                f"at most {reached.get(cut.number, 0)} calls in a quota window after the cut, of {cut.most} "
                "that it allows"
            ),
        )
        return Verdict(name, value, threshold, n, None, None, State.INSUFFICIENT, detail, _QUOTA_DENIALS)
    wrong = [said for cut in cuts if (said := _not_kept(run, cut))]
    detail = f"{before} quota denials before the cut, {', '.join(str(cut.after) for cut in cuts)} after"
    state = passed(before == 0 and not silent and not wrong)
    return Verdict(name, value, threshold, n, None, None, state, "; ".join((detail, *wrong)), _QUOTA_DENIALS)


def _not_kept(run: Run, cut: _Cut) -> str:
    """Say how a quota that was cut let through too much, or too little; empty where neither is certain."""
    change = run.info.plan.changes[cut.number]
    if not isinstance(change, PolicyChange):
        return ""
    found = kept(run, CutQuota(change.role, cut.scope, cut.most, cut.window_s, cut.cut_us, cut.end_us))
    said = []
    if found.held is not None and found.windows is not None:
        length = f"{many(found.windows, 'window')} of {cut.window_s / 3600:g} h"
        said.append(
            f"UNDER-enforced: {found.held} calls of {cut.scope} answered ok within {length}, "
            f"where a limit of {cut.most} leaves room for {found.may_hold}"
        )
    if found.early:
        said.append(
            f"OVER-enforced: {many(found.early, 'call')} of {cut.scope} denied too early, "
            f"one when {found.fewest} of the {cut.most} had been let through in the window's length before it"
        )
    return "; ".join(said)


def changes_made(run: Run) -> Verdict:
    """Was every scheduled change made that the gateway has a route for, and was all chaos ended when it was due?"""
    names = ", ".join(f"'{name}'" for name in sorted({str(change.event) for change in run.info.plan.changes})) or "''"
    ends = ", ".join(
        f"({number}, {(change.at + change.lasts) * run.info.planned_soak_s!r})"
        for number, change in enumerate(run.info.plan.changes)
        if isinstance(change, LastingChange)
    )
    late_s = max(run.thresholds.recovery_s, _LATE_END_WALL_S * run.info.speed)
    query = f"""
        with noted as (
            select split_part(event_key, ':', 2)::INTEGER as number, bool_or(name in ({names})) as is_made,
                   bool_or(name = '{EventName.CHANGE_UNSUPPORTED}') as is_unsupported
            from events where event_key like 'change:%' group by 1
        ),
        due(number, end_s) as (values {ends or "(-1, 0.0)"})
        select count(*) filter (is_made)::BIGINT as made,
               count(*) filter (is_unsupported and not is_made)::BIGINT as unsupported,
               count(*) filter (is_made and end_s is not null
                                and coalesce(soak_seconds(off_us) > end_s + {late_s!r}, true))::BIGINT as not_ended
        from noted left join due using (number) left join chaos_windows using (number)"""  # noqa: S608 - names of the plan
    made, unsupported, not_ended = run.sql(query).row(0)
    planned = len(run.info.plan.changes)
    state = State.NOT_APPLICABLE if unsupported >= planned else passed(made + unsupported >= planned and not not_ended)
    detail = f"{made} of {planned} made, {unsupported} unsupported by the gateway"
    if not_ended:
        detail += f"; chaos was not ended, or too late, in {not_ended} of them"
    return Verdict(
        "scheduled changes made", float(made), f"all {planned}, chaos ended when due", planned, None, None, state,
        detail, query,
    )  # fmt: skip


def tokens_rotate_unnoticed(run: Run) -> Verdict:
    """Were tokens rotated on schedule, with no call failing for its token? What is never replaced is not judged.

    Nor is a rotation that was due while a fleet's conductor was gone: its lanes rotate by themselves. A token that died
    because the generator itself was late with the next one is none of the gateway's doing: it is neither a failure nor
    a pass.
    """
    ours = is_of_the_load(run)
    all_sent = f"select count(*) from calls where attempts > 0 and {ours}"  # noqa: S608 - the plan's own names
    query = f"""
        select (select count(*) from events where name = 'TOKENS_ROTATED' and event_key is not null) as rotations,
               count(*) filter (kind = 'unauthorized') as refused, count(*) filter (attempts > 0) as sent
        from valid_calls where {ours}"""  # noqa: S608 - the plan's own names
    rotations, refused, sent = run.sql(query).row(0)
    kept = number(run, "select count(*) from events where name = 'TOKENS_KEPT'")
    missed = number(
        run,
        "select count(*) from events where name = 'TOKENS_ROTATION_FAILED' and event_key is not null "  # noqa: S608 - our own words
        f"and detail = '{NOBODY_LIVED}'",
    )
    planned = max(0, int(-(-run.info.planned_soak_s // run.info.plan.intervals.rotate_tokens_s)) - 1 - int(missed or 0))
    detail = f"{rotations} of {planned} rotations, {refused} of {sent} calls refused"
    detail += f"; {many(int(missed), 'rotation')} more were due while nobody lived" if missed else ""
    state = passed(rotations == planned and refused == 0)
    if refused:
        lives = refused_tokens(run, ours)
        detail += _of_lives(lives)
        if rotations == planned and not lives.good and not lives.neglected:
            state = State.INSUFFICIENT
    if state == State.PASS and planned == 0:
        state, detail = State.NOT_APPLICABLE, "the soak is too short for a rotation"
    elif kept and not rotations and refused == 0:
        state, detail = State.NOT_APPLICABLE, "the gateway gives no new tokens: the plan's own were kept"
    elif state == State.PASS and 2 * sent <= (number(run, all_sent) or 0):
        state, detail = State.INSUFFICIENT, f"{detail}: less than half of the calls could be judged"
    return Verdict(
        "token rotations go unnoticed", float(refused), f"{many(planned, 'rotation')}, 0 calls refused for their token",
        sent, None, None, state, detail, query,
    )  # fmt: skip


def _of_lives(found: RefusedTokens) -> str:
    """Say what is known of the tokens that were refused."""
    said = ""
    if found.good:
        said += f"; {found.good} of them with a token that was good, or whose age is not known"
    if found.neglected:
        said += f"; {found.neglected} with a token that no punctual rotation would have replaced in time"
    if own := found.late + found.unsure:
        said += f"; {own} with a token that had died, or may have, for want of the next one"
    if found.lag_ms is not None and found.took_ms is not None:
        said += (
            f": rotation {found.rotation} was begun {found.lag_ms:.0f} ms late by the generator and took "
            f"{found.took_ms:.0f} ms, of the {found.spare_ms:.0f} ms that the tokens before it had left"
        )
    return said
