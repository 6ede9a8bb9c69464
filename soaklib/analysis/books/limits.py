"""Calls let through against what limits allow, key by key: what is certain whenever the gateway counted each call.

A gateway counts a call at some moment between its sending and its answer. *Under-enforcement* is certain where more
calls lie whole within a stretch of the window's length than any such stretch may hold; *over-enforcement* where a call
was refused although, by the widest reading, less had been let through in the window before it than is allowed. A fixed
window lies within the window's length before the call, so that this holds for both kinds. Of a limit that is in force
in one phase alone, only the calls of that phase are looked at, and refusals only from a window's length after it began,
as after a gap in which no runner lived: what one that was killed had sent last, nobody knows.

Where several limits are stated for a call, any of them may have refused it: its refusal is early only where it is early
for all of them, and then it is the fault of the one that was nearest to its edge. To a limit that cannot have refused
it, it is no refusal.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from soaklib.plan.given import AgentLimit
from soaklib.plan.oracles import RateLimit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from soaklib.analysis.sources.run import Run

__all__ = ["LIMITS_SCHEMA", "NEVER", "counted_before", "held", "limits", "stated_limits"]

LIMITS_SCHEMA: Final = pl.Schema(
    {
        "limit": pl.String(), "key": pl.String(), "allowed": pl.Int64(), "window_s": pl.Float64(),
        "certain": pl.Int64(), "let_through": pl.Int64(), "refused": pl.Int64(), "most": pl.Int64(),
        "windows_over": pl.Int64(), "over_by": pl.Int64(), "refused_early": pl.Int64(), "fewest": pl.Int64(),
    }
)  # fmt: skip
"""Columns and types of :func:`limits`."""

NEVER: Final = int(np.iinfo(np.int64).max // 4)
"""When a call ended that never did."""
_CALLS: Final = """
    select role, phase, coalesce(identity, '') as identity, coalesce(token_generation, 0) as generation,
           sent_at_us as sent, coalesce(done_at_us, $never) as done, kind = 'rate_limited' as is_429,
           kind = 'rate_limited' and coalesce("limit", 'requests') = 'requests' as refused,
           kind in ('ok', 'invalid_response', 'upstream_error', 'fast_fail') as passed
    from outcomes where attempts > 0 and sent_at_us is not null order by sent_at_us"""
_RESUMED: Final = """
    select started_at_us from segments qualify row_number() over (partition by lane order by started_at_us) > 1
    order by started_at_us"""
_KEYS: Final = {"agent": ["identity"], "key": ["identity", "generation"], "role": ["role"], "all": []}


def limits(run: Run, *, stated: Sequence[RateLimit] = ()) -> pl.DataFrame:
    """Compare what each limit of the plan let through with what it allows.

    Parameters
    ----------
    run
        The run; of a stretch of it, the whole is judged: windows reach over its edges.
    stated
        Limits to hold it to; none for those that its plan states.

    Returns
    -------
    polars.DataFrame
        By limit and key: ``limit`` (its name, with a number where several have it), ``key``, ``allowed`` and
        ``window_s`` (wall seconds) as stated; ``certain`` (calls that any stretch of the window's length may hold),
        ``let_through`` and ``refused`` (calls; what another of the limits refused is left out where this one cannot
        have), ``most`` (most calls let through that lie whole within a window's length), ``windows_over`` (stretches
        apart from each other that held more than ``certain``) and ``over_by`` (most beyond it): under-enforcement;
        ``refused_early`` (calls refused with less than ``allowed`` let through before) and ``fewest`` (least let
        through before a refusal): over-enforcement. Empty where no limit is stated.
    """
    run = run.whole
    stated = _told_apart(stated) or stated_limits(run)
    if not stated:
        return pl.DataFrame(schema=LIMITS_SCHEMA)
    calls = run.sql(_CALLS, {"never": NEVER}).with_row_index("call")
    parts = [part for place, limit in enumerate(stated) for part in _parts_of(run, place, limit, calls)]
    blamed = _blamed(parts, calls.height)
    rows = [_row_of(part, blamed[part.refused["call"].to_numpy()]) for part in parts]
    return pl.DataFrame(rows, schema=LIMITS_SCHEMA, orient="row").sort("limit", "key")


def stated_limits(run: Run) -> tuple[RateLimit, ...]:
    """Give the limits that the plan states, else the one of an agent that ``--agent-limit`` stated.

    Several of one name, as those are that were given none, are told apart by a number: ``requests 1``, ``requests 2``.
    """
    if run.info.plan.limits or not (said := run.info.settings.get("agent_limit")):
        return _told_apart(run.info.plan.limits)
    limit = AgentLimit.parse(str(said))
    return (RateLimit(name="calls of an agent", calls=limit.calls, window_s=limit.window_s),)


def _told_apart(stated: Sequence[RateLimit]) -> tuple[RateLimit, ...]:
    """Give limits of which each has a name of its own."""
    names = [limit.name for limit in stated]
    taken, told = {name for name in names if names.count(name) == 1}, []
    for limit in stated:
        numbered = (f"{limit.name} {number}" for number in count(1))
        name = limit.name if limit.name in taken else next(one for one in numbered if one not in taken)
        told.append(limit.model_copy(update={"name": name}))
        taken.add(name)
    return tuple(told)


class _Part(NamedTuple):
    """The calls of one key under one limit.

    Attributes
    ----------
    place, limit, window_s, key
        Which limit, by its place among the stated ones; its window in wall seconds; whose calls.
    passed, refused
        Calls let through, and those that were refused: ``call`` (the row), ``sent``, ``done``.
    before
        Most calls that may have been counted in the window before each refusal; -1 where that is not known.
    """

    place: int
    limit: RateLimit
    window_s: float
    key: str
    passed: pl.DataFrame
    refused: pl.DataFrame
    before: NDArray[np.int64]

    @property
    def window_us(self) -> int:
        """The window on the run's clock."""
        return round(self.window_s * 1e6)

    @property
    def lacking(self) -> NDArray[np.int64]:
        """By how much each refusal was early; 0 where it was not, or nobody knows."""
        lacking: NDArray[np.int64] = np.where(self.before < 0, 0, np.maximum(self.limit.calls - self.before, 0))
        return lacking


def _parts_of(run: Run, place: int, limit: RateLimit, calls: pl.DataFrame) -> list[_Part]:
    if limit.roles:
        calls = calls.filter(pl.col("role").is_in(limit.roles))
    if limit.phase is not None:
        calls = calls.filter(phase=limit.phase)
    window_s = limit.window_s / (run.info.speed if run.info.embedded else 1)
    columns, resumed = _KEYS[limit.per], run.sql(_RESUMED)["started_at_us"].to_numpy()
    parts = calls.partition_by(columns, as_dict=True, maintain_order=True) if columns else {("all",): calls}
    return [
        _part_of(place, limit, window_s, " ".join(map(str, key)), part, resumed=resumed) for key, part in parts.items()
    ]


def _part_of(
    place: int, limit: RateLimit, window_s: float, key: str, calls: pl.DataFrame, *, resumed: NDArray[np.int64]
) -> _Part:
    window_us, whole = round(window_s * 1e6), ("call", "sent", "done")
    refused, passed = calls.filter("refused").select(whole), calls.filter("passed").select(whole)
    counted = calls if limit.counts_refused else calls.filter(~pl.col("is_429"))
    times = counted["sent"].to_numpy(), counted["done"].to_numpy()
    before = counted_before(refused["sent"].to_numpy(), refused["done"].to_numpy(), times, window_us)
    before -= 1 if limit.counts_refused else 0
    before[_is_after_a_gap(refused["sent"].to_numpy(), resumed, window_us)] = -1
    if (limit.per in {"role", "all"} or limit.phase is not None) and calls.height:
        # what others did with the key before the run, or all did before the phase, is not known
        before[refused["sent"].to_numpy() < calls["sent"][0] + window_us] = -1
    return _Part(place, limit, window_s, key, passed, refused, before)


def _blamed(parts: Sequence[_Part], calls: int) -> NDArray[np.int64]:
    """Give the place of the limit that each call's refusal is early for; -1 where some limit explains it, or none is.

    A call is of one key of each limit, so that a limit is asked about it once.
    """
    least, whose = np.full(calls, NEVER), np.full(calls, -1)
    for part in parts:
        of, lacking = part.refused["call"].to_numpy(), part.lacking
        is_nearer = lacking < least[of]
        least[of[is_nearer]], whose[of[is_nearer]] = lacking[is_nearer], part.place
    whose[least == 0] = -1
    return whose


def _row_of(part: _Part, blamed: NDArray[np.int64]) -> tuple[object, ...]:
    """Give the row of one key; `blamed` says for each of its refusals which limit it is early for."""
    limit, passed = part.limit, part.passed
    counts = held(passed["sent"].to_numpy(), passed["done"].to_numpy(), part.window_us)
    is_early = blamed == part.place
    is_known = part.before >= 0
    of_it = is_known & (is_early | (part.lacking == 0))  # any other was refused by another limit
    return (
        limit.name, part.key, limit.calls, part.window_s, limit.certain_calls,
        passed.height, int(of_it.sum()), int(counts.max(initial=0)),
        _apart(passed["sent"].to_numpy()[counts > limit.certain_calls], part.window_us),
        max(0, int(counts.max(initial=0)) - limit.certain_calls), int(is_early.sum()),
        int(part.before[of_it].min()) if of_it.any() else limit.calls,
    )  # fmt: skip


def held(sent: NDArray[np.int64], done: NDArray[np.int64], window_us: int) -> NDArray[np.int64]:
    """Give how many calls surely lie whole in the window that begins as each is sent; both in order of `sent`.

    A call that lasts as long as the window lies whole in none. The others that were sent before a window begins have
    ended when it ends.
    """
    is_short = done - sent < window_us
    sent_before: NDArray[np.int64] = np.cumsum(is_short) - is_short
    return np.searchsorted(np.sort(done[is_short]), sent + window_us, side="left") - sent_before


def _is_after_a_gap(sent: NDArray[np.int64], resumed: NDArray[np.int64], window_us: int) -> NDArray[np.bool_]:
    """Say of calls whether the window before them reaches over a gap: a killed runner does not know all that it sent.

    `resumed` is when a runner, or a lane, went on after one, in order of time.
    """
    begun = np.concatenate([[-NEVER], resumed])
    is_after: NDArray[np.bool_] = sent - begun[np.searchsorted(resumed, sent, side="right")] < window_us
    return is_after


def counted_before(
    sent: NDArray[np.int64],
    done: NDArray[np.int64],
    counted: tuple[NDArray[np.int64], NDArray[np.int64]],
    window_us: int,
) -> NDArray[np.int64]:
    """Give how many calls may at most have been counted in the window before each refusal.

    Parameters
    ----------
    sent, done
        Of the refused calls.
    counted
        The same of those that may have counted, in order of ``sent``.
    window_us
        Length of the window.
    """
    begun = np.searchsorted(counted[0], done, side="right")
    over = np.searchsorted(np.sort(counted[1]), sent - window_us, side="right")
    return begun - over


def _apart(starts: NDArray[np.int64], window_us: int) -> int:
    """Count the windows that begin at `starts` and do not overlap."""
    number, free_us = 0, -NEVER
    for start in starts.tolist():
        if start >= free_us:
            number, free_us = number + 1, start + window_us
    return number
