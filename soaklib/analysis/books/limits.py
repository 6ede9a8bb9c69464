"""Calls let through against what limits allow, key by key: what is certain whenever the gateway counted each call.

A gateway counts a call at some moment between its sending and its answer. *Under-enforcement* is certain where more
calls lie whole within a stretch of the window's length than any such stretch may hold; *over-enforcement* where a call
was refused although, by the widest reading, less had been let through in the window before it than is allowed. A fixed
window lies within the window's length before the call, so that this holds for both kinds. Of a limit that is in force
in one phase alone, only the calls of that phase are looked at, and refusals only from a window's length after it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from soaklib.plan.given import AgentLimit
from soaklib.plan.oracles import RateLimit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from soaklib.analysis.sources.run import Run

__all__ = ["LIMITS_SCHEMA", "limits", "stated_limits"]

LIMITS_SCHEMA: Final = pl.Schema(
    {
        "limit": pl.String(), "key": pl.String(), "allowed": pl.Int64(), "window_s": pl.Float64(),
        "certain": pl.Int64(), "let_through": pl.Int64(), "refused": pl.Int64(), "most": pl.Int64(),
        "windows_over": pl.Int64(), "over_by": pl.Int64(), "refused_early": pl.Int64(), "fewest": pl.Int64(),
    }
)  # fmt: skip
"""Columns and types of :func:`limits`."""

_NEVER: Final = np.iinfo(np.int64).max // 4
_CALLS: Final = """
    select role, phase, coalesce(identity, '') as identity, coalesce(token_generation, 0) as generation,
           sent_at_us as sent, coalesce(done_at_us, $never) as done, kind = 'rate_limited' as is_429,
           kind = 'rate_limited' and coalesce("limit", 'requests') = 'requests' as refused,
           kind in ('ok', 'invalid_response', 'upstream_error', 'fast_fail') as passed
    from outcomes where attempts > 0 and sent_at_us is not null order by sent_at_us"""
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
        By limit and key: ``limit``, ``key``, ``allowed`` and ``window_s`` (wall seconds) as stated; ``certain`` (calls
        that any stretch of the window's length may hold), ``let_through`` and ``refused`` (calls), ``most`` (most calls
        let through that lie whole within a window's length), ``windows_over`` (stretches apart from each other that
        held more than ``certain``) and ``over_by`` (most beyond it): under-enforcement; ``refused_early`` (calls
        refused with less than ``allowed`` let through before) and ``fewest`` (least let through before a refusal):
        over-enforcement. Empty where no limit is stated.
    """
    run = run.whole
    stated = stated or stated_limits(run)
    if not stated:
        return pl.DataFrame(schema=LIMITS_SCHEMA)
    calls = run.sql(_CALLS, {"never": _NEVER})
    rows = [row for limit in stated for row in _of_limit(run, limit, calls)]
    return pl.DataFrame(rows, schema=LIMITS_SCHEMA, orient="row").sort("limit", "key")


def stated_limits(run: Run) -> tuple[RateLimit, ...]:
    """Give the limits that the plan states, else the one of an agent that ``--agent-limit`` stated."""
    if run.info.plan.limits or not (said := run.info.settings.get("agent_limit")):
        return run.info.plan.limits
    limit = AgentLimit.parse(str(said))
    return (RateLimit(name="calls of an agent", calls=limit.calls, window_s=limit.window_s),)


def _of_limit(run: Run, limit: RateLimit, calls: pl.DataFrame) -> list[tuple[object, ...]]:
    if limit.roles:
        calls = calls.filter(pl.col("role").is_in(limit.roles))
    if limit.phase is not None:
        calls = calls.filter(phase=limit.phase)
    window_s = limit.window_s / (run.info.speed if run.info.embedded else 1)
    columns = _KEYS[limit.per]
    parts = calls.partition_by(columns, as_dict=True, maintain_order=True) if columns else {("all",): calls}
    rows = []
    for key, part in parts.items():
        found = _of_key(limit, part, round(window_s * 1e6))
        name = " ".join(str(one) for one in key)
        rows.append((limit.name, name, limit.calls, window_s, limit.certain_calls, *found))
    return rows


def _of_key(limit: RateLimit, calls: pl.DataFrame, window_us: int) -> tuple[int, ...]:
    passed = calls.filter("passed")
    held = _held(passed["sent"].to_numpy(), np.sort(passed["done"].to_numpy()), window_us)
    refused = calls.filter("refused")
    unknown_before = limit.per in {"role", "all"} or limit.phase is not None
    if unknown_before and calls.height:  # what others did with the key before the run, or all did before the phase
        refused = refused.filter(pl.col("sent") >= calls["sent"][0] + window_us)
    counted = calls if limit.counts_refused else calls.filter(~pl.col("is_429"))
    before = _before(refused, counted, window_us) - (1 if limit.counts_refused else 0)
    return (
        passed.height, refused.height, int(held.max(initial=0)),
        _apart(passed["sent"].to_numpy()[held > limit.certain_calls], window_us),
        max(0, int(held.max(initial=0)) - limit.certain_calls), int((before < limit.calls).sum()),
        int(before.min(initial=_NEVER)) if len(before) else limit.calls,
    )  # fmt: skip


def _held(sent: NDArray[np.int64], done: NDArray[np.int64], window_us: int) -> NDArray[np.int64]:
    """Give how many calls surely lie whole in the window that begins as each is sent (both are sorted)."""
    return np.searchsorted(done, sent + window_us, side="left") - np.arange(len(sent))


def _before(refused: pl.DataFrame, counted: pl.DataFrame, window_us: int) -> NDArray[np.int64]:
    """Give how many calls may at most have been counted in the window before each refusal."""
    begun = np.searchsorted(counted["sent"].to_numpy(), refused["done"].to_numpy(), side="right")
    over = np.searchsorted(np.sort(counted["done"].to_numpy()), refused["sent"].to_numpy() - window_us, side="right")
    return begun - over


def _apart(starts: NDArray[np.int64], window_us: int) -> int:
    """Count the windows that begin at `starts` and do not overlap."""
    number, free_us = 0, -_NEVER
    for start in starts.tolist():
        if start >= free_us:
            number, free_us = number + 1, start + window_us
    return number
