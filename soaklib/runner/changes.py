"""The scheduled changes, really done through the gateway's admin routes, and undone on every way out.

Around each stands the health gate. A change that fails its gate does not happen; one whose route the gateway does not
have is said to be unsupported; one whose answer was lost is said to be uncertain. Whether a change had an effect is for
the data to show, not for an answer of 200.

Chaos is owed its end from the moment at which it *may* be on. That it is about to come on is on disk before the gateway
is asked; only a refusal or a confirmed end takes the debt away. It is paid by the first of these that can: the timeline
when the end is due, the clean-up, the guard when the runner was killed, the next runner of a resumed run.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.errors import TargetError
from soaklib.plan.model import Change, ChaosChange, CredentialsChange, Plan, PolicyChange
from soaklib.records import EventName
from soaklib.runner.change_keys import again_key, begun_key, change_key, off_key
from soaklib.runner.policies import RunPolicies
from soaklib.targets.fourrunr.api import ApiError
from soaklib.targets.fourrunr.health import health_gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soaklib.runner.chaos_guard import ChaosGuard
    from soaklib.runner.events import EventLog
    from soaklib.runner.recovery import Past
    from soaklib.targets.fourrunr.api import GatewayApi

__all__ = ["ChangeContext", "Changes"]

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
_BEFORE_THE_LOAD_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class ChangeContext:
    """What the changes need to know of the run.

    Attributes
    ----------
    api, events
        Where changes are made and written down.
    plan
        The plan of the soak.
    rps
        Slots a soak-second, which the quotas are multiples of.
    run_id
        Part of what the run makes, so that its maker can be found.
    guard
        Clears chaos should the runner be killed.
    written_down
        Waits until everything recorded so far is on disk; says whether it is.
    """

    api: GatewayApi
    events: EventLog
    plan: Plan
    rps: float
    run_id: str
    guard: ChaosGuard
    written_down: Callable[[], Awaitable[bool]]


class Changes:
    """Makes the run's changes, and takes them back.

    Parameters
    ----------
    context
        What the changes need to know of the run.

    Attributes
    ----------
    policies
        The run's own policies, which a change of a quota is made in.
    """

    def __init__(self, context: ChangeContext) -> None:
        self._context = context
        self._chaos: set[str] = set()
        self.policies = RunPolicies(
            context.api, context.events, context.plan, rps=context.rps, run_id=context.run_id
        )  # fmt: skip

    def chaos_may_be_on(self, tool: str) -> bool:
        """Say whether a tool may have chaos of this run's making."""
        return tool in self._chaos

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
        events = self._context.events
        for number, change in enumerate(self._context.plan.changes):
            if events.is_made(change_key(number, change)):
                if isinstance(change, PolicyChange):
                    self.policies.restore_cut(change)
                elif isinstance(change, CredentialsChange) and gateway_is_new:
                    await self._rotate_again(change)
        if not gateway_is_new:
            self._chaos |= past.chaos
            await self.end_chaos_cut_short(past.soak_s / duration_s)
            await self.policies.remove_left(past.policies)

    async def end_chaos_cut_short(self, share: float) -> None:
        """Switch off, before the load goes on, what chaos is on; what cannot be for now is left to the timeline.

        Parameters
        ----------
        share
            How much of the soak is over; chaos whose time is not is made once more, and has its end still to come.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEFORE_THE_LOAD_S):
                await self._switch_all_off(share)

    async def end_all_chaos(self, share: float) -> None:
        """Switch off what is on at the end of the run; what stays on then is the guard's to clear.

        Parameters
        ----------
        share
            How much of the soak is over.
        """
        try:
            await self._switch_all_off(share)
        finally:
            if self._chaos:
                await self._context.guard.hand_over()

    async def _switch_all_off(self, share: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number, change in enumerate(self._context.plan.changes):
                if not isinstance(change, ChaosChange) or change.tool not in self._chaos:
                    continue
                key = change_key(number, change)
                is_given_up = self._context.events.is_done(key) and not self._context.events.is_made(key)
                is_over = is_given_up or change.at + change.lasts <= share
                group.create_task(self.switch_chaos_off(change.tool, key=off_key(key) if is_over else None))

    async def _rotate_again(self, change: CredentialsChange) -> None:
        try:
            await self._rotate_credentials(change)
        except TargetError as exc:
            self._context.events.write(EventName.CHANGE_FAILED, f"{change.do} at the new gateway: {exc}")

    # -- changes

    async def apply(self, change: Change, *, key: str) -> bool:
        """Do a change between two health gates and write down what happened; say whether it was done."""
        match change:
            case CredentialsChange():
                return await self._gated(change, key, lambda: self._rotate_credentials(change))
            case ChaosChange():
                return await self._gated(change, key, lambda: self._switch_chaos_on(change))
            case PolicyChange():
                return await self._gated(change, key, lambda: self.policies.cut(change))

    async def _gated(self, change: Change, key: str, act: Callable[[], Awaitable[str]]) -> bool:
        events, what = self._context.events, change.do
        before = await health_gate(self._context.api)
        if not before.passed:
            events.write(
                EventName.HEALTH_GATE_FAILED, f"before {what}: {before.detail}; the change does not happen", key=key
            )
            return False
        begun = begun_key(key, events.is_done)
        events.write(EventName.HEALTH_GATE_PASSED, f"before {what}: {before.detail}", key=begun)
        try:
            detail = await act()
        except (TargetError, OSError) as exc:
            may_be_made = isinstance(change, ChaosChange) and self.chaos_may_be_on(change.tool)
            name = EventName.CHANGE_UNCERTAIN if may_be_made else _what_became_of_it(exc)
            events.write(name, f"{what}: {exc}", key=again_key(begun) if events.is_done(key) else key)
            return False
        events.write(change.event, detail, key=key)
        after = await health_gate(self._context.api)
        name = EventName.HEALTH_GATE_PASSED if after.passed else EventName.HEALTH_GATE_FAILED
        events.write(name, f"after {what}: {after.detail}")
        return True

    async def _rotate_credentials(self, change: CredentialsChange) -> str:
        version = f"{self._context.run_id}-{secrets.token_hex(4)}"
        credential_id = await self._context.api.set_credential(
            tool=change.tool, version=version, credential=secrets.token_urlsafe(32)
        )
        await self._context.api.activate_credential(credential_id)
        await self._refuse_other_credential(change.tool, credential_id)
        return f"tool={change.tool} version={version} id={credential_id}"

    async def _refuse_other_credential(self, tool: str, credential_id: str) -> None:
        """Ask which credential is active: no call of the load would show that a rotation changed nothing."""
        try:
            active = await self._context.api.active_credential(tool)
        except ApiError as exc:
            if not exc.is_missing:
                raise
            return  # a gateway that cannot be asked has to be believed
        if active != credential_id:
            msg = (
                f"POST /api/admin/creds/activate was answered with {HTTPStatus.OK}: but {active} is the credential "
                f"that is active for {tool}"
            )
            raise TargetError(msg)

    # -- chaos

    async def _switch_chaos_on(self, change: ChaosChange) -> str:
        context = self._context
        if not await context.written_down():
            msg = "that it is about to come on cannot be written down, so that a later runner could not end it"
            raise TargetError(msg)
        await context.guard.watch(self._end_url(change.tool))
        self._chaos.add(change.tool)  # before the call: an answer that gets lost may have switched it on
        try:
            await context.api.chaos_on(tool=change.tool, mode=change.mode, pct=change.pct)
        except ApiError as exc:
            if exc.is_refusal:
                self._chaos.discard(change.tool)
                await context.guard.dismiss(self._end_url(change.tool))
            raise
        return f"tool={change.tool} mode={change.mode} pct={change.pct}"

    async def switch_chaos_off(self, tool: str, *, key: str | None = None) -> None:
        """Switch off the chaos of a tool, if this run may have switched it on; never gated.

        It is tried, with pauses that grow, until the gateway confirms it: the caller says for how long by a time limit.
        The first failure is written down, and so is the end.

        Parameters
        ----------
        tool
            Which.
        key
            Key of the event of the end.
        """
        events, pause_s = self._context.events, _FIRST_PAUSE_S
        while tool in self._chaos:
            try:
                await self._context.api.chaos_off(tool)
            except TargetError as exc:
                if pause_s == _FIRST_PAUSE_S:
                    events.write(EventName.CHANGE_FAILED, f"chaos off for {tool}, tried again until it is off: {exc}")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._chaos.discard(tool)
                events.write(EventName.CHAOS_MODE_OFF, f"tool={tool}", key=key)
                await self._context.guard.dismiss(self._end_url(tool))

    def _end_url(self, tool: str) -> str:
        """Give what is to be DELETEd to end a tool's chaos."""
        return f"{self._context.api.base_url}/api/admin/chaos/tool/{tool}"


def _what_became_of_it(exc: TargetError | OSError) -> EventName:
    """Name what an error says of a change."""
    if not isinstance(exc, ApiError):
        return EventName.CHANGE_FAILED
    if exc.is_missing:
        return EventName.CHANGE_UNSUPPORTED
    is_unknown = exc.status is None or exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return EventName.CHANGE_UNCERTAIN if is_unknown else EventName.CHANGE_FAILED
