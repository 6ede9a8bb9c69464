"""Each change of the plan, really made and taken back at once, so that what refuses it at H+8 refuses it now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from soaklib.errors import TargetError
from soaklib.runner.literal import is_literal
from soaklib.runner.preflight.findings import Standing
from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.runner.literal import LiteralChanges
    from soaklib.runner.preflight.debts import Debts
    from soaklib.runner.preflight.findings import Found
    from soaklib.targets.admin import Admin
    from soaklib.targets.base import Wire

__all__ = ["try_changes"]


async def try_changes(
    plan: Plan, hindered: Mapping[int, str], found: Found, *, admin: Admin, literal: LiteralChanges, debts: Debts
) -> None:
    """Make and take back what the plan will change, one thing at a time.

    Parameters
    ----------
    plan
        The plan.
    hindered
        What stands in the way of a change, by its place: that one is not tried.
    found
        Takes what is found.
    admin, literal
        Who makes changes of the gateway's own kind, and those that any gateway takes.
    debts
        Takes what is owed its end.
    """
    for place, change in enumerate(plan.changes):
        what = f"change {change.do}: {change.subject}"
        if place in hindered:
            found.add(what, Standing.NOT_APPLICABLE, hindered[place])
            continue
        do = f"{change.do} {place}"  # each by itself: two may be of one subject
        try:
            if is_literal(change):
                await _try_literal(change, do, literal, debts)
            else:
                await admin.trial(change, partial(_owe, debts, do))
        except TargetError as exc:
            standing, said = _of_failure(exc)
        else:
            standing, said = Standing.OK, "made, and taken back"
        if left := await debts.pay(do):
            made = "made" if standing is Standing.OK else said
            standing, said = Standing.PROBLEM, f"{made}, and not known to be taken back: {'; '.join(left)}"
        found.add(what, standing, said)


async def _try_literal(change: Change, do: str, literal: LiteralChanges, debts: Debts) -> None:
    if (undoing := literal.undoing(change)) is not None:
        await debts.owe(do, change.subject or change.do, undoing)
    await literal.make(change)


async def _owe(debts: Debts, do: str, undoing: Wire) -> None:
    await debts.owe(do, f"{undoing.method} {undoing.path}", undoing)


def _of_failure(exc: TargetError) -> tuple[Standing, str]:
    if isinstance(exc, AdminError) and exc.is_missing:
        return Standing.NOT_APPLICABLE, f"unsupported, {exc}"
    return Standing.PROBLEM, f"it cannot be made: {exc}"
