"""The scheduled changes, really done at the gateway, and undone on every way out.

Around each stands the health gate. A change that fails its gate does not happen; one that the gateway cannot be asked
for is said to be unsupported; one whose answer was lost is said to be uncertain. Whether a change had an effect is for
the data to show, not for an answer of 200.

A change that lasts is owed its end from the moment at which it *may* be on. That it is about to come on is on disk
before the gateway is asked; only a refusal or a confirmed end takes the debt away. It is paid by the first of these
that can: the timeline when the end is due, the clean-up, the guard when the runner was killed, the next runner of a
resumed run. What was made to let identities in is the guard's too; no later runner needs it, for it makes its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soaklib.errors import TargetError
from soaklib.plan.changes import Change, LastingChange
from soaklib.records import EventName
from soaklib.runner.change_keys import again_key, begun_key, change_key, in_order, off_key
from soaklib.runner.journal import Debt
from soaklib.runner.literal import is_literal
from soaklib.targets.admin import AdminError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soaklib.plan.model import Plan
    from soaklib.runner.chaos_guard import ChaosGuard
    from soaklib.runner.events import EventLog
    from soaklib.runner.journal import UndoJournal
    from soaklib.runner.literal import LiteralChanges
    from soaklib.runner.recovery import Past
    from soaklib.targets.admin import Admin, Made
    from soaklib.targets.base import Wire

__all__ = ["ChangeContext", "Changes"]

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
_BEFORE_THE_LOAD_S: Final = 10.0
_GUARDED_WITHIN_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class ChangeContext:
    """What the changes need to know of the run.

    Attributes
    ----------
    admin, events
        Where changes are made and written down.
    plan
        The plan of the soak.
    guard
        Takes back what is on should the runner be killed.
    written_down
        Waits until everything recorded so far is on disk; says whether it is.
    literal
        Makes the changes that are no target's own.
    journal
        Holds what is owed its end.
    guards_what_was_made
        Whether the guard removes what was made to prepare should the runner be killed: not where the gateway goes with
        it, nor where other senders go on.
    """

    admin: Admin
    events: EventLog
    plan: Plan
    guard: ChaosGuard
    written_down: Callable[[], Awaitable[bool]]
    literal: LiteralChanges
    journal: UndoJournal
    guards_what_was_made: bool = False


class Changes:
    """Makes the run's changes, and takes them back.

    Parameters
    ----------
    context
        What the changes need to know of the run.
    """

    def __init__(self, context: ChangeContext) -> None:
        self._context = context
        self._owed = context.journal
        self._guarded: dict[tuple[str, str, bytes | None], Wire] = {}
        self._is_handed_over = self._is_unguarded = self._is_without_guard = False

    def may_be_on(self, change: LastingChange) -> bool:
        """Say whether a change of this run's making may be on, on the subject of this one."""
        return _debt(change) in self._owed

    # -- what lets identities in

    async def prepare(self) -> None:
        """Make what identities need to be let in, and give it into the guard's hands."""
        await self._context.admin.prepare()
        await self._guard_what_was_made()

    async def keep_guarded(self) -> None:
        """Give into the guard's hands what is made later, as for a gateway that has restarted, until cancelled.

        A guard that has died is told of, and another one has its place.
        """
        while True:
            await asyncio.sleep(_GUARDED_WITHIN_S)
            self._revive_guard()
            await self._guard_what_was_made()

    def _revive_guard(self) -> None:
        events = self._context.events
        try:
            code = self._context.guard.revive()
        except TargetError as exc:
            if not self._is_without_guard:
                self._is_without_guard = True
                events.write(EventName.CHANGE_FAILED, f"the guard has died, and what is on would outlive a kill: {exc}")
            return
        self._is_without_guard = False
        if code is not None:
            events.write(EventName.CHANGE_FAILED, f"the guard had died (exit {code}): another one has its place")

    async def clear(self) -> None:
        """Remove all that, and take it out of the guard's hands: what stays is told, for a person to remove."""
        try:
            await self._context.admin.clear()
        finally:
            while self._guarded and not self._is_handed_over:
                await self._context.guard.dismiss(self._guarded.popitem()[1])

    async def _guard_what_was_made(self) -> None:
        context = self._context
        if not context.guards_what_was_made:
            return
        made = {(undoing.method, undoing.path, undoing.body): undoing for undoing in context.admin.removing}
        try:
            for request in (one for one in made if one not in self._guarded):
                await context.guard.watch(made[request])
                self._guarded[request] = made[request]
        except TargetError as exc:
            if not self._is_unguarded:
                self._is_unguarded = True
                context.events.write(EventName.CHANGE_FAILED, f"what the run has made would outlive a kill: {exc}")
        for request in self._guarded.keys() - made.keys():
            await context.guard.dismiss(self._guarded.pop(request))

    # -- a resumed run

    async def restore(self, past: Past, *, gateway_is_new: bool, duration_s: float) -> None:
        """Bring the gateway to the state that is due after the changes already made, before the load goes on.

        Parameters
        ----------
        past
            The run's past.
        gateway_is_new
            Whether this gateway has seen none of it, as an embedded one that died with its runner.
        duration_s
            Length of the soak, soak seconds.
        """
        context = self._context
        for number, change in in_order(context.plan.changes):
            if context.events.is_made(change_key(number, change)) and not is_literal(change):
                await self._resume(change, gateway_is_new=gateway_is_new)
        for debt in self._owed:
            if gateway_is_new and debt.do != "upstream":
                self._owed.settle(debt)  # it went with the gateway; an upstream stands behind the new one too
        for change in () if gateway_is_new else past.may_be_on:
            if not self.may_be_on(change):  # until it is off, a guard of before may try as well
                self._owed.owe(_debt(change), self._maker(change).undoing(change))
        await self.end_cut_short(past.soak_s / duration_s)
        await self._guard_what_is_left()
        if not gateway_is_new:
            await context.admin.clear_left(past.policies)

    async def _resume(self, change: Change, *, gateway_is_new: bool) -> None:
        try:
            await self._context.admin.resume(change, gateway_is_new=gateway_is_new)
        except TargetError as exc:
            self._context.events.write(EventName.CHANGE_FAILED, f"{change.do} at the new gateway: {exc}")

    async def _guard_what_is_left(self) -> None:
        """Let the guard watch over what an earlier runner left on and this one could not take back yet."""
        for change in self._context.plan.changes:
            if not isinstance(change, LastingChange) or not self.may_be_on(change):
                continue
            undoing = self._maker(change).undoing(change)
            try:
                if undoing is not None:
                    await self._context.guard.watch(undoing)
            except TargetError as exc:
                self._context.events.write(
                    EventName.CHANGE_FAILED, f"{change.do}: {exc}", change=change.do, subject=change.subject
                )

    async def end_cut_short(self, share: float) -> None:
        """Take back, before the load goes on, what is on; what cannot be for now is left to the timeline.

        Parameters
        ----------
        share
            How much of the soak is over; what has time left is made once more, and has its end still to come.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEFORE_THE_LOAD_S):
                await self._take_all_back(share)

    async def end_all(self, share: float) -> None:
        """Take back what is on at the end of the run; what stays on then is the guard's to clear.

        Parameters
        ----------
        share
            How much of the soak is over.
        """
        try:
            await self._take_all_back(share)
        finally:
            if self._owed:
                self._revive_guard()  # it may have died since it was looked for
                self._is_handed_over = True
                await self._context.guard.hand_over()

    async def _take_all_back(self, share: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number, change in self._owed_changes():
                key = change_key(number, change)
                is_given_up = self._context.events.is_done(key) and not self._context.events.is_made(key)
                is_over = is_given_up or change.at + change.lasts <= share
                group.create_task(self.take_back(change, key=off_key(key) if is_over else None))

    def _owed_changes(self) -> list[tuple[int, LastingChange]]:
        """Give what may be on, each with its number: of several that do one thing to one subject the one begun last."""
        events, owed = self._context.events, dict[Debt, tuple[int, LastingChange]]()
        for number, change in in_order(self._context.plan.changes):
            if isinstance(change, LastingChange) and self.may_be_on(change):
                key = change_key(number, change)
                if _debt(change) not in owed or events.is_done(f"begun:{key}"):
                    owed[_debt(change)] = number, change
        return list(owed.values())

    # -- changes

    async def apply(self, change: Change, *, key: str) -> bool:
        """Do a change between two health gates and write down what happened; say whether it was done."""
        events, what, admin = self._context.events, change.do, self._context.admin
        before = await admin.health()
        if not before.fit:
            events.write(
                EventName.HEALTH_GATE_FAILED, f"before {what}: {before.detail}; the change does not happen", key=key,
                change=what, subject=change.subject,
            )  # fmt: skip
            return False
        begun = begun_key(key, events.is_done)
        events.write(
            EventName.HEALTH_GATE_PASSED, f"before {what}: {before.detail}", key=begun, change=what,
            subject=change.subject,
        )  # fmt: skip
        try:
            made = await self._make(change)
        except (TargetError, OSError) as exc:
            may_be_on = isinstance(change, LastingChange) and self.may_be_on(change)
            name = EventName.CHANGE_UNCERTAIN if may_be_on else _what_became_of_it(exc)
            events.write(
                name, f"{what}: {exc}", key=again_key(begun) if events.is_done(key) else key, change=what,
                subject=change.subject,
            )  # fmt: skip
            return False
        events.write(change.event, key=key, change=what, subject=made.subject, data=made.data)
        after = await admin.health()
        name = EventName.HEALTH_GATE_PASSED if after.fit else EventName.HEALTH_GATE_FAILED
        events.write(name, f"after {what}: {after.detail}", change=what, subject=change.subject)
        return True

    async def _make(self, change: Change) -> Made:
        if isinstance(change, LastingChange):
            return await self._switch_on(change)
        return await self._maker(change).make(change)

    def _maker(self, change: Change) -> Admin | LiteralChanges:
        """Give who makes a change: the kind of gateway, or whoever any gateway can be changed by."""
        return self._context.literal if is_literal(change) else self._context.admin

    # -- changes that last

    async def _switch_on(self, change: LastingChange) -> Made:
        context = self._context
        if not await context.written_down():
            msg = "that it is about to come on cannot be written down, so that a later runner could not end it"
            raise TargetError(msg)
        undoing = self._maker(change).undoing(change)
        # before the call: an answer that gets lost may have switched it on; by a thread, for a disk takes its time
        await asyncio.to_thread(self._owed.owe, _debt(change), undoing)
        try:
            if undoing is not None:
                await context.guard.watch(undoing)
        except TargetError:
            await asyncio.to_thread(self._owed.settle, _debt(change))
            raise
        try:
            return await self._maker(change).make(change)
        except AdminError as exc:
            if exc.is_refusal:
                await self._settle(change)
            raise

    async def take_back(self, change: LastingChange, *, key: str | None = None) -> None:
        """Take back a change that lasts, if this run may have made it; never gated.

        It is tried, with pauses that grow, until the gateway confirms it: the caller says for how long by a time limit.
        The first failure is written down, and so is the end.

        Parameters
        ----------
        change
            Which.
        key
            Key of the event of the end.
        """
        events, pause_s = self._context.events, _FIRST_PAUSE_S
        while self.may_be_on(change):
            try:
                await self._maker(change).undo(change)
            except TargetError as exc:
                if pause_s == _FIRST_PAUSE_S:
                    events.write(
                        EventName.CHANGE_FAILED,
                        f"{change.do} off for {change.subject}, tried again until it is off: {exc}",
                        change=change.do,
                        subject=change.subject,
                    )
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                events.write(
                    change.end_event,
                    key=key,
                    change=change.do,
                    subject=change.subject,
                    data=change.end_data,
                )
                await self._settle(change)

    async def _settle(self, change: LastingChange) -> None:
        """Take a change off what is owed, by a thread as it came on it, and off the guard's hands."""
        try:
            await asyncio.to_thread(self._owed.settle, _debt(change))
        finally:  # a soak that is stopped meanwhile leaves the guard nothing to do either
            if (undoing := self._maker(change).undoing(change)) is not None:
                await self._context.guard.dismiss(undoing)


def _debt(change: LastingChange) -> Debt:
    return Debt(change.do, change.subject)


def _what_became_of_it(exc: TargetError | OSError) -> EventName:
    """Name what an error says of a change."""
    if not isinstance(exc, AdminError):
        return EventName.CHANGE_FAILED
    if exc.is_missing:
        return EventName.CHANGE_UNSUPPORTED
    return EventName.CHANGE_UNCERTAIN if exc.is_passing else EventName.CHANGE_FAILED
