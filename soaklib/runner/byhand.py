"""Changes made by hand: between two health gates, once however often asked for, and put back on request.

An answer of 200 is not taken for the change: what the gateway then says of its own state is. What was in force before
the first change is kept in an :class:`~soaklib.runner.undo.UndoLog` before it is changed.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from soaklib.errors import SettingsError, TargetError
from soaklib.plan import quota_event
from soaklib.records import EventName
from soaklib.runner.api import ApiError
from soaklib.runner.gate import health_gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from soaklib.runner.api import GatewayApi
    from soaklib.runner.undo import UndoLog

__all__ = ["ByHand"]

_MOST_WORDS: Final = 200


class ByHand:
    """Makes changes by hand at one gateway.

    Every method gives one sentence on what was done or found, and raises TargetError when the gateway cannot be used,
    refuses, or does not do what it says.

    Parameters
    ----------
    api
        The gateway; its headers let its admin routes be read.
    undo
        Takes what is replaced.
    note
        Takes name and detail of an event of the run that is going on.
    """

    def __init__(self, api: GatewayApi, undo: UndoLog, note: Callable[[str, str], None]) -> None:
        self._api = api
        self._undo = undo
        self._note = note

    async def health_check(self) -> str:
        """Pass the health gate."""
        gate = await health_gate(self._api)
        self._note(EventName.HEALTH_GATE_PASSED if gate.passed else EventName.HEALTH_GATE_FAILED, gate.detail)
        if not gate.passed:
            msg = f"the gateway at {self._api.base_url} is not fit for use: {gate.detail}"
            raise TargetError(msg)
        return gate.detail

    # -- credentials

    async def rotate_credentials(self, tool: str) -> str:
        """Give a tool a new credential; what was active before the first rotation is remembered."""

        async def rotate() -> str:
            if tool not in self._undo.credentials:
                self._undo.credentials[tool] = await self._api.active_credential(tool)
                self._undo.save()
            version = f"by-hand-{secrets.token_hex(4)}"
            new = await self._api.set_credential(tool=tool, version=version, credential=secrets.token_urlsafe(32))
            await self._activate(tool, new)
            detail = f"tool={tool} version={version} id={new}"
            self._note(EventName.CREDENTIALS_ROTATED_SUCCESSFULLY, detail)
            return f"credentials rotated: {detail}"

        return await self._gated("rotate-credentials", rotate)

    async def restore_credentials(self, tool: str) -> str:
        """Make the credential active again that was so before the first rotation by hand."""
        if tool not in self._undo.credentials:
            return f"nothing to restore: the credentials of {tool} were not rotated by hand"

        async def restore() -> str:
            before = self._undo.credentials[tool]
            if before is not None:
                try:
                    await self._activate(tool, before)
                except ApiError as exc:
                    if exc.status != HTTPStatus.NOT_FOUND or exc.is_missing:
                        raise
                    self._forget_credential(tool)
                    msg = f"the credential of {tool} from before is not there any more; the rotated one stays"
                    raise TargetError(msg) from exc
            self._forget_credential(tool)
            if before is None:
                return f"{tool} had no credential before; the rotated one stays"
            detail = f"tool={tool} id={before} restored"
            self._note(EventName.CREDENTIALS_ROTATED_SUCCESSFULLY, detail)
            return f"credentials restored: {detail}"

        return await self._gated("rotate-credentials --restore", restore)

    def _forget_credential(self, tool: str) -> None:
        del self._undo.credentials[tool]
        self._undo.save()

    async def _activate(self, tool: str, credential_id: str) -> None:
        await self._api.activate_credential(credential_id)
        if (active := await self._api.active_credential(tool)) != credential_id:
            msg = f"the gateway answered that {credential_id} is active for {tool}, but says that {active} is"
            raise TargetError(msg)

    # -- chaos

    async def chaos_on(self, tool: str, mode: str, pct: int) -> str:
        """Inject chaos into a tool."""
        detail = f"tool={tool} mode={mode} pct={pct}"

        async def inject() -> str:
            wanted = (mode, float(pct))
            before = await self._active_chaos()
            if before is not None and before.get(tool) == wanted:
                return f"chaos is on already: {detail}"
            await self._api.chaos_on(tool=tool, mode=mode, pct=pct)
            after = await self._active_chaos()
            if after is not None and after.get(tool) != wanted:
                msg = (
                    f"the gateway answered that chaos is on ({detail}), but says that it is {after.get(tool) or 'off'}"
                )
                raise TargetError(msg)
            self._note(EventName.CHAOS_MODE_ON, detail)
            return f"chaos is on: {detail}; switch it off with chaos-off --tool {tool}"

        return await self._gated("chaos-on", inject)

    async def chaos_off(self, tool: str | None) -> str:
        """Clear the chaos of a tool, or of all; no gate stands before that."""
        active = await self._active_chaos()
        if active is None and tool is None:
            msg = "the gateway cannot say where chaos is on: pass --tool"
            raise SettingsError(msg)
        tools = sorted(active or ()) if tool is None else [tool]
        for name in tools:
            await self._api.chaos_off(name)
        left = sorted(set(await self._active_chaos() or ()) & set(tools))
        if left:
            msg = f"the gateway answered that chaos is off, but says that it is on for {', '.join(left)}"
            raise TargetError(msg)
        cleared = [name for name in tools if active is None or name in active]
        for name in cleared:
            self._note(EventName.CHAOS_MODE_OFF, f"tool={name}")
        return f"chaos is off: {', '.join(cleared)}" if cleared else "no chaos was on"

    async def _active_chaos(self) -> dict[str, tuple[str, float]] | None:
        """Give tool -> mode and percentage of the chaos that is on; None when the gateway has no route to ask."""
        try:
            reply = await self._read("/api/admin/chaos")
        except ApiError as exc:
            if exc.is_missing:
                return None
            raise
        pairs = reply.get("activeChaos", []) if isinstance(reply, dict) else []
        return {str(tool): (str(setting["mode"]), float(setting["pct"])) for tool, setting in pairs}

    # -- policies

    async def update_policy(self, tool: str, limit: int, run_id: str | None) -> str:
        """Set the limit of every quota on a tool's actions; what it was before the first change is remembered.

        Parameters
        ----------
        tool
            The tool.
        limit
            Calls a window.
        run_id
            Only in this run's own policies; None for all.
        """

        async def update() -> str:
            said, found = [], 0
            for policy_id, spec in await self._policies(run_id):
                limits = {quota["action"]: quota["limit"] for quota in _quotas(spec, tool)}
                found += len(limits)
                if set(limits.values()) <= {limit}:
                    continue
                remembered = self._undo.limits.setdefault(policy_id, {})
                remembered |= limits | remembered  # what was remembered first stays
                self._undo.save()
                await self._set_limits(policy_id, spec, dict.fromkeys(limits, limit))
                for action, was in limits.items():
                    change = "REDUCED" if limit < was else "RAISED"
                    detail = f"policy={policy_id} action={action} limit={limit} was={was}"
                    self._note(quota_event(tool, change), detail)
                    said.append(detail)
            if not found:
                where = "no policy" if run_id is None else f"no policy of the run {run_id}"
                msg = f"{where} has a quota on an action of {tool}: nothing was changed"
                raise TargetError(msg)
            return f"quota changed: {'; '.join(said)}" if said else f"the limit is {limit} already"

        return await self._gated("update-policy", update)

    async def restore_policy(self, tool: str) -> str:
        """Set the limits of a tool's quotas back to what they were before the first change by hand."""
        if not any(_tool_of(action) == tool for limits in self._undo.limits.values() for action in limits):
            return f"nothing to restore: no quota on {tool} was changed by hand"

        async def restore() -> str:
            said = []
            policies = dict(await self._policies(None))
            for policy_id, limits in list(self._undo.limits.items()):
                wanted = {action: limit for action, limit in limits.items() if _tool_of(action) == tool}
                if not wanted:
                    continue
                if policy_id in policies:  # else it was removed meanwhile, with its quota
                    await self._set_limits(policy_id, policies[policy_id], wanted)
                    said += [f"policy={policy_id} action={action} limit={limit}" for action, limit in wanted.items()]
                for action in wanted:
                    del limits[action]
                if not limits:
                    del self._undo.limits[policy_id]
                self._undo.save()
            for detail in said:
                self._note(quota_event(tool, "RESTORED"), detail)
            return f"quota restored: {'; '.join(said)}" if said else "nothing to restore: the policies are gone"

        return await self._gated("update-policy --restore", restore)

    async def _policies(self, run_id: str | None) -> list[tuple[str, dict[str, Any]]]:
        """Give id and spec of the active policies."""
        reply = await self._read("/api/policies")
        return [
            (str(policy["id"]), _spec(policy))
            for policy in (reply if isinstance(reply, list) else [])
            if policy.get("active", True) and (run_id is None or str(policy.get("name")).startswith(f"{run_id}-"))
        ]

    async def _set_limits(self, policy_id: str, spec: dict[str, Any], limits: dict[str, int]) -> None:
        quotas = [quota | {"limit": limits.get(quota["action"], quota["limit"])} for quota in spec.get("quotas", [])]
        await self._api.update_policy(policy_id, spec=spec | {"quotas": quotas})
        policy = await self._read(f"/api/policies/{policy_id}")
        now = {quota["action"]: quota["limit"] for quota in _spec(policy).get("quotas", [])}
        if any(now.get(action) != limit for action, limit in limits.items()):
            msg = f"the gateway answered that policy {policy_id} was changed, but says that its limits are {now}"
            raise TargetError(msg)

    # -- the gate, and reading

    async def _gated(self, what: str, act: Callable[[], Awaitable[str]]) -> str:
        before = await health_gate(self._api)
        if not before.passed:
            self._note(EventName.HEALTH_GATE_FAILED, f"before {what}: {before.detail}; the change does not happen")
            msg = f"{what} was not done, since the gateway is not fit for it: {before.detail}"
            raise TargetError(msg)
        self._note(EventName.HEALTH_GATE_PASSED, f"before {what}: {before.detail}")
        try:
            said = await act()
        except TargetError as exc:
            is_missing = isinstance(exc, ApiError) and exc.is_missing
            self._note(EventName.CHANGE_UNSUPPORTED if is_missing else EventName.CHANGE_FAILED, f"{what}: {exc}")
            raise
        after = await health_gate(self._api)
        name = EventName.HEALTH_GATE_PASSED if after.passed else EventName.HEALTH_GATE_FAILED
        self._note(name, f"after {what}: {after.detail}")
        if not after.passed:
            msg = f"{said}; but the gateway is not fit for use after it: {after.detail}"
            raise TargetError(msg)
        return said

    async def _read(self, path: str) -> Any:
        """GET a path and give its JSON."""
        reply = await self._api.get(path)
        route = f"GET {path}"
        if reply.status != HTTPStatus.OK:
            raise ApiError(route, reply.status, reply.body[:_MOST_WORDS].decode("utf-8", "replace"))
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as exc:
            raise ApiError(route, reply.status, "the body is no JSON") from exc


def _tool_of(action: str) -> str:
    return action.partition(":")[0]


def _spec(policy: dict[str, Any]) -> dict[str, Any]:
    """Give a policy's spec, which some routes give as a JSON text."""
    spec = policy.get("spec", {})
    value = orjson.loads(spec) if isinstance(spec, str) else spec
    return value if isinstance(value, dict) else {}


def _quotas(spec: dict[str, Any], tool: str) -> Iterator[dict[str, Any]]:
    return (quota for quota in spec.get("quotas") or () if _tool_of(str(quota["action"])) == tool)
