"""The scheduled changes, really done through the gateway's admin routes, and undone on every way out.

Around each stands the health gate. A change that fails its gate does not happen; one whose route the gateway does not
have is said to be unsupported. Whether a change had an effect is for the data to show, not for an answer of 200.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import SoaklibError
from soaklib.plan import Change, ChaosChange, CredentialsChange, Plan, PolicyChange
from soaklib.records import EventName, Expected
from soaklib.runner.api import ApiError
from soaklib.runner.gate import health_gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from soaklib.plan import Quota, Role
    from soaklib.runner.api import GatewayApi
    from soaklib.runner.events import EventLog
    from soaklib.runner.recovery import Past

__all__ = ["ChangeContext", "Changes", "ChaosGuard", "policy_spec", "quota_limit"]

_ROLLBACK_TRIES: Final = 5
_ROLLBACK_PAUSE_S: Final = 0.5


def quota_limit(plan: Plan, role: str, quota: Quota, *, rps: float, planned_ratio: float | None = None) -> int:
    """Give a quota's limit in calls a window: a multiple of the calls planned in it, at least 1."""
    planned = plan.planned_calls(role, quota.action, rps=rps, seconds=quota.window_s)
    return max(1, round(planned * (quota.planned_ratio if planned_ratio is None else planned_ratio)))


def policy_spec(plan: Plan, name: str, *, rps: float, ratios: Mapping[str, float] | None = None) -> dict[str, object]:
    """Give the baseline policy of a role as the gateway takes it; `ratios` overrides the quota of an action."""
    role: Role = plan.roles[name]
    spec: dict[str, object] = {"scopes": list(role.scopes)}
    if role.quotas:
        spec["quotas"] = [
            {
                "action": quota.action,
                "limit": quota_limit(plan, name, quota, rps=rps, planned_ratio=(ratios or {}).get(quota.action)),
                "window": quota.window,
            }
            for quota in role.quotas
        ]
    return spec


class ChaosGuard:
    """The process that clears chaos should the runner be killed (see :mod:`soaklib.runner.guard`).

    Parameters
    ----------
    headers
        What the DELETE needs to be let in; handed over through the pipe, never on a command line.
    ca_file
        Further authorities to verify TLS by.
    dies_with_runner
        Whether the gateway ends with the runner, so that there is nothing to clear.
    """

    def __init__(self, headers: Mapping[str, str], *, ca_file: str | None, dies_with_runner: bool) -> None:
        self._headers = dict(headers)
        self._ca_file = ca_file
        self._dies_with_runner = dies_with_runner
        self._process: asyncio.subprocess.Process | None = None

    async def watch(self, url: str) -> None:
        """Start watching; `url` is what to DELETE."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "soaklib.runner.guard", stdin=asyncio.subprocess.PIPE
        )
        order = {"url": url, "headers": self._headers, "ca_file": self._ca_file}
        await self._tell(orjson.dumps(order | {"dies_with_runner": self._dies_with_runner}))

    async def dismiss(self) -> None:
        """Stop watching: the chaos is off."""
        if self._process is not None:
            await self._tell(b"done")
            await self._process.wait()
            self._process = None

    async def _tell(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):  # it is gone: nothing to tell
                self._process.stdin.write(line + b"\n")
                await self._process.stdin.drain()


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
    """

    api: GatewayApi
    events: EventLog
    plan: Plan
    rps: float
    run_id: str
    guard: ChaosGuard


class Changes:
    """Makes the run's policies and changes, and takes them back.

    Parameters
    ----------
    context
        What the changes need to know of the run.
    """

    def __init__(self, context: ChangeContext) -> None:
        self._context = context
        self._policies: dict[str, str] = {}
        self._chaos_on: set[str] = set()
        self._quota_reduced: set[tuple[str, str]] = set()
        self._policy_changes_made: list[PolicyChange] = []

    # -- what policy should say

    def expected(self, role: str, tool: str, action: str, baseline: Expected) -> Expected:
        """Give what policy should say to a call now: a reduced quota may or may not deny it."""
        if self._quota_reduced and (role, f"{tool}:{action}") in self._quota_reduced:
            return Expected.EITHER
        return baseline

    # -- the run's own policies

    async def create_policies(self) -> None:
        """Create the baseline policy of each role; a gateway without any denies everything."""
        context = self._context
        for role in context.plan.roles:
            ratios = {
                change.action: change.planned_ratio for change in self._policy_changes_made if change.role == role
            }
            spec = policy_spec(context.plan, role, rps=context.rps, ratios=ratios)
            try:
                self._policies[role] = await context.api.create_policy(
                    name=f"{context.run_id}-{role}", role=role, spec=spec
                )
            except ApiError as exc:
                if not exc.is_missing:
                    raise
                context.events.write(EventName.CHANGE_UNSUPPORTED, f"baseline policies: {exc}")
                return
        context.events.write(
            EventName.POLICIES_CREATED, " ".join(f"{role}={policy}" for role, policy in self._policies.items())
        )

    async def renew_policies(self) -> None:
        """Make the policies that are due now anew, for a gateway that has restarted and may have forgotten them."""
        await self._remove_left_policies(self._policies.values())
        self._policies.clear()
        await self.create_policies()

    async def remove_policies(self) -> None:
        """Remove the run's own policies; what cannot be removed is said with its id."""
        removed, left = [], []
        for role, policy in self._policies.items():
            try:
                await self._context.api.delete_policy(policy)
                removed.append(role)
            except ApiError as exc:
                left.append(f"{role}={policy} ({exc})")
        self._policies.clear()
        if removed:
            self._context.events.write(EventName.POLICIES_REMOVED, " ".join(removed))
        if left:
            self._context.events.write(EventName.POLICIES_NOT_REMOVED, "; ".join(left))

    # -- a resumed run

    async def restore(self, past: Past, *, gateway_is_new: bool) -> None:
        """Bring the gateway to the state that is due after the changes already made, before the load goes on.

        Parameters
        ----------
        past
            The run's past.
        gateway_is_new
            Whether this gateway has seen none of it, as an embedded one that died with its runner.
        """
        for number, change in enumerate(self._context.plan.changes):
            key = f"change:{number}:{change.do}"
            match change:
                case PolicyChange() if key in past.done:
                    self._policy_changes_made.append(change)
                    self._quota_reduced.add((change.role, change.action))
                case CredentialsChange() if key in past.done and gateway_is_new:
                    await self._rotate_credentials(change)
                case ChaosChange() if f"{key}:off" not in past.done and not gateway_is_new:
                    # even when no event says that it came on: the runner may have died before it could say so
                    self._chaos_on.add(change.tool)
                    await self.switch_chaos_off()
        if not gateway_is_new:
            await self._remove_left_policies(past.policies)

    async def _remove_left_policies(self, policies: Iterable[str]) -> None:
        for policy in policies:
            try:
                await self._context.api.delete_policy(policy)
            except ApiError as exc:
                if exc.status != HTTPStatus.NOT_FOUND:
                    raise

    # -- changes

    async def apply(self, change: Change, *, key: str | None) -> bool:
        """Do a change between two health gates and write down what happened; say whether it was done."""
        match change:
            case CredentialsChange():
                return await self._gated(change.do, change.event, key, lambda: self._rotate_credentials(change))
            case ChaosChange():
                return await self._gated(change.do, change.event, key, lambda: self._switch_chaos_on(change))
            case PolicyChange():
                return await self._gated(change.do, change.event, key, lambda: self._reduce_quota(change))

    async def _gated(self, what: str, event: str, key: str | None, act: Callable[[], Awaitable[str]]) -> bool:
        events = self._context.events
        before = await health_gate(self._context.api)
        if not before.passed:
            events.write(
                EventName.HEALTH_GATE_FAILED, f"before {what}: {before.detail}; the change does not happen", key=key
            )
            return False
        events.write(EventName.HEALTH_GATE_PASSED, f"before {what}: {before.detail}")
        try:
            detail = await act()
        except ApiError as exc:
            name = EventName.CHANGE_UNSUPPORTED if exc.is_missing else EventName.CHANGE_FAILED
            events.write(name, f"{what}: {exc}", key=key)
            return False
        events.write(event, detail, key=key)
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
            route = "POST /api/admin/creds/activate"
            raise ApiError(route, HTTPStatus.OK, f"but {active} is the credential that is active for {tool}")

    async def _switch_chaos_on(self, change: ChaosChange) -> str:
        await self._context.guard.watch(f"{self._context.api.base_url}/api/admin/chaos/tool/{change.tool}")
        self._chaos_on.add(change.tool)  # before the call: an answer that gets lost may have switched it on
        try:
            await self._context.api.chaos_on(tool=change.tool, mode=change.mode, pct=change.pct)
        except ApiError as exc:
            if exc.status is not None:
                self._chaos_on.discard(change.tool)
                await self._context.guard.dismiss()
            raise
        return f"tool={change.tool} mode={change.mode} pct={change.pct}"

    async def switch_chaos_off(self, tool: str | None = None, *, key: str | None = None) -> bool:
        """Switch off the chaos that this run switched on; never gated, tried several times.

        Parameters
        ----------
        tool
            Which; None for all that is still on.
        key
            Key of the scheduled event.

        Returns
        -------
        bool
            Whether nothing of it is left on.
        """
        for name in sorted(self._chaos_on) if tool is None else [tool] if tool in self._chaos_on else []:
            for attempt in range(_ROLLBACK_TRIES):
                try:
                    await self._context.api.chaos_off(name)
                except SoaklibError as exc:
                    if attempt == _ROLLBACK_TRIES - 1:
                        self._context.events.write(EventName.CHANGE_FAILED, f"chaos off for {name}: {exc}", key=key)
                        break
                    await asyncio.sleep(_ROLLBACK_PAUSE_S)
                else:
                    self._chaos_on.discard(name)
                    self._context.events.write(EventName.CHAOS_MODE_OFF, f"tool={name}", key=key)
                    break
        if not self._chaos_on:
            await self._context.guard.dismiss()
        return not self._chaos_on

    async def _reduce_quota(self, change: PolicyChange) -> str:
        context = self._context
        if change.role not in self._policies:
            route = "PATCH /api/policies"
            raise ApiError.missing(route)
        spec = policy_spec(context.plan, change.role, rps=context.rps, ratios={change.action: change.planned_ratio})
        entry = (change.role, change.action)
        self._quota_reduced.add(entry)  # before the call: it takes effect before its answer is here
        try:
            await context.api.update_policy(self._policies[change.role], spec=spec)
        except ApiError as exc:
            if exc.status is not None:
                self._quota_reduced.discard(entry)
            raise
        [quota] = [quota for quota in context.plan.roles[change.role].quotas if quota.action == change.action]
        limit = quota_limit(context.plan, change.role, quota, rps=context.rps, planned_ratio=change.planned_ratio)
        self._policy_changes_made.append(change)
        return f"role={change.role} action={change.action} limit={limit} window={quota.window}"
