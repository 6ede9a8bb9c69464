"""What the criteria share: how a verdict is put together, and when a change can be judged at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from soaklib.analysis.measures.breakers import LEAST_RECOVERY_WALL_S, recovery_limit_s
from soaklib.analysis.measures.marks import change_events
from soaklib.plan.model import TargetTable
from soaklib.records import EventName, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.plan.changes import Change

__all__ = [
    "change_not_made", "each", "is_asked_for", "is_of_the_load", "many", "number", "passed",
    "planned_probes", "recovery", "within",
]  # fmt: skip

_T = TypeVar("_T")


def passed(condition: bool) -> State:
    """Give ``pass`` or ``fail``."""
    return State.PASS if condition else State.FAIL


def number(run: Run, query: str) -> float | None:
    """Give the one number of a query; None for NULL."""
    value = run.sql(query).item()
    return None if value is None else float(value)


def is_asked_for(run: Run, endpoint: str) -> bool:
    """Say whether a gateway of this kind is asked for its ``metrics`` or ``health``; one that has none never is."""
    if run.info.plan.target.kind == TargetTable().kind:  # it has all of them
        return True
    return bool(number(run, f"select count(*) from scrapes where endpoint = '{endpoint}'"))  # noqa: S608 - our own names


def is_of_the_load(run: Run) -> str:
    """Give the SQL of whether a row is of a role that makes load: one that makes none is there to be refused."""
    roles = ", ".join(sorted({f"'{operation.role}'" for operation in run.info.plan.operations}))
    return f"role in ({roles})"


def planned_probes(run: Run) -> int:
    """Give how many probes the plan has over the whole soak."""
    return sum(math.ceil(run.info.planned_soak_s / probe.every_s - 1e-9) for probe in run.info.plan.probes)


def many(n: int, one: str, several: str | None = None) -> str:
    """Word a count of things."""
    return f"{n} {one if n == 1 else several or f'{one}s'}"


def each(found: Sequence[_T], named: Callable[[_T], str], words: Callable[[_T], str]) -> str:
    """Word each of what was found; where there are several, each with what tells it apart."""
    if len(found) == 1:
        return words(found[0])
    return "; ".join(f"{named(one)}: {words(one)}" for one in found)


def change_not_made(run: Run, name: str, threshold: str, changes: Sequence[Change], query: str) -> Verdict | None:
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


def within(run: Run, what: str) -> str:
    """Word how soon something must be over after `what`: in soak time, and in the wall's where that is what counts."""
    limit_s = recovery_limit_s(run)
    wall = f" ({LEAST_RECOVERY_WALL_S:g} s of the wall)" if limit_s > run.thresholds.recovery_s else ""
    return f"<= {limit_s:g} soak s{wall} after {what}"


def recovery(of: tuple[str, str, str], after: pl.DataFrame, within_s: float, *, since: str, those: str) -> Verdict:
    """Judge how soon after the end of a change the last call failed for it, and whether calls succeed then.

    Parameters
    ----------
    of
        Name, threshold and query of the verdict.
    after
        One row a change and tool: ``tool``, ``recovery_s``, ``failed``, ``ok``, ``calls``.
    within_s
        Soak seconds that it may take.
    since, those
        What ended, and which calls are counted, in words.
    """
    name, threshold, query = of

    def words(row: dict[str, Any]) -> str:
        last = f"last failure {row['recovery_s']:.0f} soak s after" if row["failed"] else "no failure for it after"
        return f"{last} {since}, {row['ok']} ok {those}"

    recovery_s, n = max(after["recovery_s"]), int(after["calls"].sum())
    detail = each(after.to_dicts(), lambda row: str(row["tool"]), words)
    told = after.filter((pl.col("ok") > 0) | (pl.col("failed") > 0))  # of the others nothing came as far as the tool
    state = passed(recovery_s <= within_s and min(told["ok"], default=1) > 0)
    if state == State.PASS and told.height < after.height:
        state = State.INSUFFICIENT
    return Verdict(name, recovery_s, threshold, n, None, None, state, detail, query)
