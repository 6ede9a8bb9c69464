"""A preflight from its first look to the last thing taken back."""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.errors import RecordingError, TargetError
from soaklib.plan.workload import Workload
from soaklib.records import EventName
from soaklib.runner.literal import LiteralChanges, is_literal
from soaklib.runner.preflight.calls import Caller, try_calls
from soaklib.runner.preflight.changes import try_changes
from soaklib.runner.preflight.debts import Debts, journal_folder, left_behind, own_journal
from soaklib.runner.preflight.findings import Found, Standing
from soaklib.runner.preflight.limits import find_limit
from soaklib.targets.admin import AdminError
from soaklib.targets.base import Wire
from soaklib.targets.clocks import about_clock, ahead_s

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.runner.journal import Debt
    from soaklib.runner.preflight.debts import Left
    from soaklib.runner.surroundings import Surroundings
    from soaklib.targets import Target
    from soaklib.targets.admin import Admin

__all__ = ["Preflight"]

_POLICIES: Final = "policies"
_LEFT: Final = "what an earlier check left"
_TO_TELL: Final = frozenset({EventName.POLICIES_NOT_REMOVED, EventName.CHANGE_UNSUPPORTED})
_METRIC: Final = re.compile(rb"^(?:# (?:HELP|TYPE) )?([A-Za-z_:][A-Za-z0-9_:]*)", re.MULTILINE)
_LEAST_LIFE_S: Final = 300.0
_CLEAN_UP_WITHIN_S: Final = 30.0


@dataclass(kw_only=True)
class Preflight:
    """Tries everything that a soak will do, once.

    Attributes
    ----------
    settings, plan, target
        The soak, and what its gateway is.
    surroundings
        The ways to the gateway.
    base_url
        The gateway's; preflights of one gateway find what another has left.
    hindered
        What is known to stand in the way of a change, by its place.
    found
        Takes what is found.
    literal
        Makes changes by literal requests, and sends what is owed; None for the way to the base URL.
    """

    settings: SoakSettings
    plan: Plan
    target: Target
    surroundings: Surroundings
    base_url: str
    hindered: Mapping[int, str]
    found: Found
    literal: LiteralChanges | None = None

    def __post_init__(self) -> None:
        self.check_id = f"check-{secrets.token_hex(4)}"
        self._is_left = False
        self._has_sessions = False
        self._link = self.surroundings.link(self.plan, run_id=self.check_id, tell=self._tell)
        self._literal = self.literal or LiteralChanges(self._link)

    async def run(self, folder: Path | None = None) -> Found:
        """Try everything; whatever happens, nothing stays on.

        Parameters
        ----------
        folder
            Where what is owed is written down; None for the gateway's in the user's folder for state.
        """
        folder = folder or journal_folder(self.base_url)
        clock = self.surroundings.clock(self.surroundings.utc_now(), not_before_us=0)
        async with (
            self.surroundings.admin(self.target, self._link) as admin,
            self.surroundings.client(clock) as client,
        ):
            await self._pay_for_others(admin, folder)
            caller = Caller(
                target=self.target, admin=admin, client=client, check_id=self.check_id,
                lifetime_s=max(_LEAST_LIFE_S, self.settings.http_timeout_ms / 1000), utc_now=self.surroundings.utc_now,
            )  # fmt: skip
            async with AsyncExitStack() as stack:
                try:
                    journal = stack.enter_context(own_journal(folder, self.check_id))
                except RecordingError as exc:
                    self.found.add("calls and changes", Standing.NOTE, f"none was tried: {exc}")
                    return self.found
                await self._try_all(caller, Debts(journal, self.surroundings.guard(), self._send))
            await self._look_at_metrics(admin)
        self.found.has_sessions = self._has_sessions  # told when the last of them is closed
        self.found.knows_upstream = await self.surroundings.upstream_counts(self.plan) is not None
        self._compare_clocks(caller)
        return self.found

    async def _try_all(self, caller: Caller, debts: Debts) -> None:
        admin = caller.admin
        debts.begin(self.check_id)
        try:
            await admin.prepare()
            await debts.owe_each(_POLICIES, admin.removing)
            calls = Workload(self.plan, self.settings.seed).calls
            good = await try_calls(caller, calls, self.found, kind=self.plan.target.kind)
            await find_limit(caller, good, self.found, self.settings, self.plan)
            await debts.owe_each(_POLICIES, admin.removing)
            await try_changes(
                self.plan, self.hindered, self.found, admin=admin, literal=self._literal, debts=debts
            )  # fmt: skip
        except AdminError as exc:
            self.found.add("agents and policies", Standing.PROBLEM, str(exc))
        finally:
            try:
                async with asyncio.timeout(_CLEAN_UP_WITHIN_S):
                    await self._take_back(caller, debts)
            except (TargetError, TimeoutError) as exc:
                self.found.add("clean-up", Standing.PROBLEM, f"not known to be finished: {exc or 'it took too long'}")
            await debts.hand_over(self.found)

    async def _take_back(self, caller: Caller, debts: Debts) -> None:
        """Take back what is on, let the agents go, remove what let them in; what was removed is owed no more.

        An agent's session is ended by the token that let it in: that goes after it, and not twice.
        """
        said = await debts.pay_all(but=_POLICIES)
        try:
            await caller.let_go()
            await caller.admin.clear()
            await debts.forget_gone(_POLICIES, still=caller.admin.removing)
        finally:
            said += await debts.pay_all()
            for line in said:
                self.found.add("clean-up", Standing.PROBLEM, line)
        if not self._is_left:
            debts.end(self.check_id)

    async def _send(self, undoing: Wire) -> int:
        return await self._literal.send(undoing)

    # -- what others have left

    async def _pay_for_others(self, admin: Admin, folder: Path) -> None:
        with left_behind(folder) as all_left:
            for left in all_left:
                try:
                    await self._pay_for(left, admin)
                except TargetError as exc:
                    self.found.add(_LEFT, Standing.PROBLEM, f"{left.check_id}: not known to be taken back: {exc}")
                else:
                    self.found.add(_LEFT, Standing.NOTE, f"{left.check_id} was killed; it is taken back now")

    async def _pay_for(self, left: Left, admin: Admin) -> None:
        refused = []
        for debt in reversed(tuple(left.journal)):
            undoing = self._undoing(left, debt, admin)
            if undoing is not None:
                status = await self._send(undoing)
                if not (HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_FOUND):
                    if debt.do == _POLICIES:  # its guard may have removed it; the admin looks for what is left, below
                        refused.append(debt)
                        continue
                    msg = f"{undoing.method} {undoing.path} was answered with {status}"
                    raise TargetError(msg)
            else:
                link = replace(self._link, run_id=left.check_id)
                async with self.surroundings.admin(self.target, link) as its_admin:
                    await its_admin.clear_left({})
            left.journal.settle(debt)
        if self._is_left and refused:
            msg = ", ".join(debt.subject for debt in refused)
            raise TargetError(msg)
        for debt in refused:
            left.journal.settle(debt)

    def _undoing(self, left: Left, debt: Debt, admin: Admin) -> Wire | None:
        """Give the request that an earlier process owed, with what lets it in, which no file holds."""
        for change in self.plan.changes:
            if is_literal(change) and debt.do.partition(" ")[0] == change.do and debt.subject == change.subject:
                return self._literal.undoing(change)
        written = left.journal.undoing(debt)
        if written is None:
            return None
        method, path, body = written
        # what lets us in at the gateway goes nowhere else
        return admin.wire(method, path, body) if path.startswith("/") else Wire(method, path, {}, body)

    # -- what is read

    async def _look_at_metrics(self, admin: Admin) -> None:
        self.found.endpoints = frozenset(admin.endpoints)
        if "metrics" not in admin.endpoints:
            self.found.add("metrics", Standing.NOT_APPLICABLE, "none is read: the plan names no path of them")
            return
        try:
            told = await admin.look("metrics")
        except AdminError as exc:
            self.found.add("metrics", Standing.NOTE, f"no samples and no snapshots: {exc}")
            return
        names = frozenset(name.decode() for name in _METRIC.findall(told.body))
        if told.status != HTTPStatus.OK or not names:
            self.found.add("metrics", Standing.NOTE, f"no samples and no snapshots: status {told.status}")
            return
        self.found.metrics = names
        meanings = self.target.metrics.meanings
        lacking = [f"{meaning} ({series.metric})" for meaning, series in meanings.items() if not series.is_among(names)]
        text = f"{len(names):,} names; {len(meanings) - len(lacking)} of {len(meanings)} meanings found"
        if lacking:
            self.found.add("metrics", Standing.NOTE, f"{text}; not exposed: {', '.join(lacking)}")
        else:
            self.found.add("metrics", Standing.OK, text)

    def _compare_clocks(self, caller: Caller) -> None:
        ahead = None if caller.date is None else ahead_s(*caller.date)
        if caller.date is None or ahead is None:
            self.found.add("clocks", Standing.NOTE, "the gateway's answers do not say what time it is")
            return
        said = about_clock(*caller.date)
        self.found.add(
            "clocks", Standing.NOTE if said else Standing.OK, said[0] if said else f"{abs(ahead):.0f} s apart"
        )

    def _tell(
        self, name: str, detail: str = "", *, subject: str | None = None, data: Mapping[str, JsonValue] | None = None
    ) -> None:
        del subject, data
        self._is_left = self._is_left or name == EventName.POLICIES_NOT_REMOVED
        self._has_sessions = self._has_sessions or name == EventName.SESSIONS_CLOSED
        if name in _TO_TELL:
            self.found.add("policies", Standing.NOTE, detail)
