"""Changes made by hand: between two health gates, once however often asked for, and put back on request.

An answer of 200 is not taken for the change: what the gateway then says of its own state is. What was in force before
the first change is kept in an :class:`~soaklib.targets.undo.UndoLog` before it is changed.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

import orjson
from pydantic import AfterValidator, BaseModel, Field, RootModel, ValidationError

from soaklib.errors import SettingsError, TargetError
from soaklib.plan.changes import quota_event
from soaklib.records import EventName
from soaklib.safety.foreign_text import is_plain
from soaklib.targets.fourrunr.api import ApiError
from soaklib.targets.fourrunr.health import health_gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soaklib.targets.fourrunr.api import GatewayApi
    from soaklib.targets.undo import Replaced, UndoLog

__all__ = ["ByHand"]

_Form = TypeVar("_Form", bound=BaseModel)


def _shown(value: str) -> str:
    if not is_plain(value):
        msg = "it cannot be a name"
        raise ValueError(msg)
    return value


_Name = Annotated[str, AfterValidator(_shown)]
"""A name or an id that is sent back, kept and shown."""


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
        self._note(EventName.HEALTH_GATE_PASSED if gate.fit else EventName.HEALTH_GATE_FAILED, gate.detail)
        if not gate.fit:
            msg = f"the gateway at {self._api.base_url} is not fit for use: {gate.detail}"
            raise TargetError(msg)
        return gate.detail

    # -- credentials

    async def rotate_credentials(self, tool: str) -> str:
        """Give a tool a new credential; what was active before the first rotation is remembered."""

        async def rotate() -> str:
            if tool not in kept.credentials:
                kept.credentials[tool] = await self._api.active_credential(tool)
                self._undo.save()
            version = f"by-hand-{secrets.token_hex(4)}"
            new = await self._api.set_credential(tool=tool, version=version, credential=secrets.token_urlsafe(32))
            await self._activate(tool, new)
            detail = f"tool={tool} version={version} id={new}"
            self._note(EventName.CREDENTIALS_ROTATED_SUCCESSFULLY, detail)
            return f"credentials rotated: {detail}"

        async with self._undo.held() as kept:
            return await self._gated("rotate-credentials", rotate)

    async def restore_credentials(self, tool: str) -> str:
        """Make the credential active again that was so before the first rotation by hand."""

        async def restore() -> str:
            before = kept.credentials[tool]
            if before is not None:
                try:
                    await self._activate(tool, before)
                except ApiError as exc:
                    if exc.status != HTTPStatus.NOT_FOUND or exc.is_missing:
                        raise
                    self._forget_credential(kept, tool)
                    msg = f"the credential of {tool} from before is not there any more; the rotated one stays"
                    raise TargetError(msg) from exc
            self._forget_credential(kept, tool)
            if before is None:
                return f"{tool} had no credential before; the rotated one stays"
            detail = f"tool={tool} id={before} restored"
            self._note(EventName.CREDENTIALS_ROTATED_SUCCESSFULLY, detail)
            return f"credentials restored: {detail}"

        async with self._undo.held() as kept:
            if tool not in kept.credentials:
                return f"nothing to restore: the credentials of {tool} were not rotated by hand"
            return await self._gated("rotate-credentials --restore", restore)

    def _forget_credential(self, kept: Replaced, tool: str) -> None:
        del kept.credentials[tool]
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
        try:
            active = await self._active_chaos()
        except ApiError:
            if tool is None:
                raise
            active = None  # whatever it says of its chaos, what is named is switched off first
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
        route = "/api/admin/chaos"
        try:
            reply = await self._api.read(route)
        except ApiError as exc:
            if exc.is_missing:
                return None
            raise
        active = _as(_Chaos, reply, route).active
        return {tool: (setting.mode, setting.pct) for tool, setting in active}

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
                limits = {action: limit for action, limit in _limits(spec).items() if _tool_of(action) == tool}
                found += len(limits)
                if set(limits.values()) <= {limit}:
                    continue
                remembered = kept.limits.setdefault(policy_id, {})
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

        async with self._undo.held() as kept:
            return await self._gated("update-policy", update)

    async def restore_policy(self, tool: str) -> str:
        """Set the limits of a tool's quotas back to what they were before the first change by hand."""

        async def restore() -> str:
            said = []
            policies = dict(await self._policies(None, with_inactive=True))
            for policy_id, limits in list(kept.limits.items()):
                wanted = {action: limit for action, limit in limits.items() if _tool_of(action) == tool}
                if not wanted:
                    continue
                if policy_id in policies:  # else it was removed meanwhile, with its quota
                    await self._set_limits(policy_id, policies[policy_id], wanted)
                    said += [f"policy={policy_id} action={action} limit={limit}" for action, limit in wanted.items()]
                for action in wanted:
                    del limits[action]
                if not limits:
                    del kept.limits[policy_id]
                self._undo.save()
            for detail in said:
                self._note(quota_event(tool, "RESTORED"), detail)
            return f"quota restored: {'; '.join(said)}" if said else "nothing to restore: the policies are gone"

        async with self._undo.held() as kept:
            if not any(_tool_of(action) == tool for limits in kept.limits.values() for action in limits):
                return f"nothing to restore: no quota on {tool} was changed by hand"
            return await self._gated("update-policy --restore", restore)

    async def _policies(self, run_id: str | None, *, with_inactive: bool = False) -> list[tuple[str, dict[str, Any]]]:
        """Give id and spec of the policies that are active, or of all."""
        route = "/api/policies"
        policies = _as(_Policies, await self._api.read(route), route)
        return [
            (str(policy.id), _spec(policy.spec, route))
            for policy in policies.root
            if (policy.active or with_inactive) and (run_id is None or (policy.name or "").startswith(f"{run_id}-"))
        ]

    async def _set_limits(self, policy_id: str, spec: dict[str, Any], limits: dict[str, int | float]) -> None:
        before = spec.get("quotas") or ()
        quotas = [
            quota | {"limit": limits.get(name, quota["limit"])}
            for name, quota in zip(_names_of(spec), before, strict=True)
        ]
        await self._api.update_policy(policy_id, spec=spec | {"quotas": quotas})
        route = f"/api/policies/{quote(policy_id, safe='')}"
        policy = _as(_Policy, await self._api.read(route), route)
        now = _limits(_spec(policy.spec, route))
        if any(now.get(action) != limit for action, limit in limits.items()):
            msg = f"the gateway answered that policy {policy_id} was changed, but says that its limits are {now}"
            raise TargetError(msg)

    # -- the gate, and reading

    async def _gated(self, what: str, act: Callable[[], Awaitable[str]]) -> str:
        before = await health_gate(self._api)
        if not before.fit:
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
        name = EventName.HEALTH_GATE_PASSED if after.fit else EventName.HEALTH_GATE_FAILED
        self._note(name, f"after {what}: {after.detail}")
        if not after.fit:
            msg = f"{said}; but the gateway is not fit for use after it: {after.detail}"
            raise TargetError(msg)
        return said


class _Setting(BaseModel):
    mode: _Name
    pct: float


class _Chaos(BaseModel):
    """The answer of GET /api/admin/chaos."""

    active: list[tuple[_Name, _Setting]] = Field([], alias="activeChaos")


class _Quota(BaseModel):
    action: _Name
    limit: int | float
    window: str | None = None


class _Quotas(BaseModel):
    """What is of use in a policy's spec."""

    quotas: list[_Quota] | None = None


class _Policy(BaseModel):
    """A policy as the gateway gives it; its spec stays as it came, since it goes back as a whole."""

    id: _Name | int
    name: str | None = None
    active: bool = True
    spec: dict[str, Any] | str | None = None


class _Policies(RootModel[list[_Policy]]):
    """The answer of GET /api/policies."""


def _as(form: type[_Form], value: object, path: str) -> _Form:
    """Give what a GET was answered with in the form that it must have."""
    try:
        return form.model_validate(value)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"])
        route = f"GET {path}"
        raise ApiError(
            route, HTTPStatus.OK, f"but {where or 'the whole'} is not what it must be: {error['msg']}"
        ) from exc


def _spec(spec: dict[str, Any] | str | None, path: str) -> dict[str, Any]:
    """Give a policy's spec, which some routes give as a JSON text, and whose quotas are what they must be."""
    value: Any = spec
    if isinstance(spec, str):
        try:
            value = orjson.loads(spec)
        except orjson.JSONDecodeError as exc:
            route = f"GET {path}"
            raise ApiError(route, HTTPStatus.OK, "but a spec is no JSON") from exc
    value = {} if value is None else value
    _as(_Quotas, value, path)
    return dict(value)


def _names_of(spec: dict[str, Any]) -> list[str]:
    """Give what each quota is called: its action; its window too, where an action has several."""
    quotas = _Quotas.model_validate(spec).quotas or ()
    actions = [quota.action for quota in quotas]
    return [
        quota.action if actions.count(quota.action) == 1 else f"{quota.action} in {quota.window}" for quota in quotas
    ]


def _limits(spec: dict[str, Any]) -> dict[str, int | float]:
    """Give the limit of each quota by what it is called."""
    quotas = _Quotas.model_validate(spec).quotas or ()
    return {name: quota.limit for name, quota in zip(_names_of(spec), quotas, strict=True)}


def _tool_of(action: str) -> str:
    return action.partition(":")[0]
