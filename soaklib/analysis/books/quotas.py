"""Calls let through and denied under a quota that a plan cut: what is certain whenever the gateway's windows begin.

A stretch of k windows' length touches k + 1 of the gateway's own, so that more than k + 1 times the limit cannot have
been answered in it: *under-enforcement*, which a longer stretch shows where one window is too short to. A denial is
*over-enforcement* where, by the widest reading, clearly less had been let through in a window's length before it than
the limit: whatever the window was, it lies in there. A gateway that begins anew counts anew: each time that may have
been adds a limit to what a stretch may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soaklib.analysis.books.limits import NEVER, counted_before, held

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["CutQuota", "Kept", "kept"]

_CLEARLY: Final = 0.9
"""A denial is early below this share of the limit: a killed runner does not know of some calls that it has sent."""
_OF_THE_QUOTA: Final = """
    attempts > 0 and sent_at_us is not null and role = $role and tool || ':' || "action" = $scope
    and sent_at_us < $end_us"""
_FIRST_SENT: Final = f"select min(sent_at_us) from outcomes where {_OF_THE_QUOTA}"  # noqa: S608 - our own words
_CALLS: Final = f"""
    select sent_at_us as sent, coalesce(done_at_us, $never) as done, attempts, kind = 'ok' as is_ok,
           kind = 'denied' and reason = 'quota' as is_denied, kind not in ('denied', 'unauthorized') as may_count
    from outcomes where {_OF_THE_QUOTA} and coalesce(done_at_us, $never) > $over_us
    order by sent_at_us"""  # noqa: S608 - our own words
"""Without what was over before the window's length before the cut: it counts in no window under the quota."""
_BEGUN_ANEW: Final = """
    select (select count(*) from segments where lane is null and started_at_us > $cut_us and started_at_us < $end_us)
           + (select count(*) from events where name in ('AGENTS_LOST', 'POLICIES_CREATED')
                                                and at_us > $cut_us and at_us < $end_us)"""


class CutQuota(NamedTuple):
    """A quota from its cut on.

    Attributes
    ----------
    role, scope
        Whose calls of which ``tool:action`` it counts.
    limit, window_s
        So many in a window of so many seconds: soak time at the reference gateway, elsewhere the gateway's own.
    cut_us, end_us
        From when on it was in force, and until when nobody is known to have changed it again; None for the end.
    """

    role: str
    scope: str
    limit: int
    window_s: float
    cut_us: int
    end_us: int | None


class Kept(NamedTuple):
    """Whether a quota let through what it allows.

    Attributes
    ----------
    ok
        Calls that were answered ok under it.
    held, may_hold, windows
        Most calls that were answered in a stretch of so many windows, and how many it may hold, where that is less;
        None where no stretch held too many.
    early
        Denials with clearly less than the limit let through before.
    fewest
        Least that may have been let through before one of those.
    """

    ok: int
    held: int | None
    may_hold: int | None
    windows: int | None
    early: int
    fewest: int | None


def kept(run: Run, quota: CutQuota) -> Kept:
    """Hold the calls of a quota that was cut to its limit.

    Parameters
    ----------
    run
        The run.
    quota
        The quota.
    """
    end_us = NEVER if quota.end_us is None else quota.end_us
    anew = int(run.sql(_BEGUN_ANEW, {"cut_us": quota.cut_us, "end_us": end_us}).item())
    # a gateway that is not the reference one may shorten its windows by the speed, or not: what is certain of both
    longest_us = round(quota.window_s * 1e6)
    shortest_us = round(longest_us / run.info.speed)
    if run.info.embedded:
        longest_us = shortest_us
    widest_us = max(shortest_us, longest_us)
    whose = {"role": quota.role, "scope": quota.scope, "end_us": end_us}
    first_us = run.sql(_FIRST_SENT, whose).item()
    calls = run.sql(_CALLS, whose | {"never": NEVER, "over_us": quota.cut_us - widest_us})
    after = calls.filter(calls["is_ok"] & (calls["sent"] >= quota.cut_us))
    most, may_hold, windows = _most(after, quota.limit, min(shortest_us, longest_us), anew)
    early, fewest = _early(calls, quota, widest_us, first_us)
    return Kept(after.height, most, may_hold, windows, early, fewest)


def _most(after: pl.DataFrame, limit: int, window_us: int, anew: int) -> tuple[int | None, int | None, int | None]:
    """Give the first stretch of windows, by doubling its length, that held more than it may; None thrice for none."""
    if not after.height:
        return None, None, None
    sent, done = after["sent"].to_numpy(), after["done"].to_numpy()
    all_of_them = max(1, -(-int(done.max() - sent[0] + 1) // window_us))
    lengths = [1 << doubling for doubling in range(all_of_them.bit_length()) if 1 << doubling < all_of_them]
    for windows in (*lengths, all_of_them):
        most, may_hold = int(held(sent, done, windows * window_us).max()), (windows + 1 + anew) * limit
        if most > may_hold:
            return most, may_hold, windows
    return None, None, None


def _early(calls: pl.DataFrame, quota: CutQuota, window_us: int, first_us: int) -> tuple[int, int | None]:
    """Give how many denials came early, and the least let through before one; `first_us` is when the first call was."""
    denied = calls.filter(calls["is_denied"] & (calls["sent"] >= quota.cut_us))
    if denied.height:  # what was let through before the run is not known
        denied = denied.filter(denied["sent"] >= first_us + window_us)
    counted = calls.filter(calls["may_count"])
    times = counted["attempts"].to_numpy()
    sent, done = (np.repeat(counted[name].to_numpy(), times) for name in ("sent", "done"))
    before = counted_before(denied["sent"].to_numpy(), denied["done"].to_numpy(), (sent, done), window_us)
    early = before[before < _CLEARLY * quota.limit]
    return len(early), int(early.min()) if len(early) else None
