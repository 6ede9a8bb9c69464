"""What is done at a 4Runr gateway beside the load: agents and tokens, policies, and the three changes it can make."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self

import orjson

from soaklib.errors import TargetError
from soaklib.plan.changes import ChaosChange, CredentialsChange, PolicyChange
from soaklib.records import Trial
from soaklib.records.moments import utc_stamp
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.admin import AdminError, Made, Missing, Told
from soaklib.targets.base import Identity, Wire
from soaklib.targets.fourrunr.api import ApiError, GatewayApi
from soaklib.targets.fourrunr.health import health_gate, is_healthy, memory_figures, open_breakers
from soaklib.targets.fourrunr.policies import RunPolicies
from soaklib.targets.fourrunr.routes import check_routes
from soaklib.targets.trials import forged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.targets.admin import Health, Link, Owe

__all__ = ["FourRunrAdmin"]

_REVOKED_LIVES: Final = dt.timedelta(days=1)
"""Of a token that is revoked: it must be refused for that, and not because it has expired."""


class FourRunrAdmin:
    """A 4Runr gateway's admin.

    Parameters
    ----------
    link
        The run, and the way to the gateway.
    api
        The gateway's routes; None for those at the link's other end.
    """

    capabilities: Final = frozenset({"rotate-credentials", "chaos", "update-policy"})

    def __init__(self, link: Link, api: GatewayApi | None = None) -> None:
        self._link = link
        self._api = api or GatewayApi(
            link.base_url, timeout_s=link.timeout_s, headers=link.headers, admin_token=link.secret,
            ca_file=link.ca_file,
        )  # fmt: skip
        self._policies = RunPolicies(self._api, link.tell, link.plan, rps=link.rps, run_id=link.run_id)
        self._active: dict[str, str] = {}
        self._edges: dict[str, Identity] = {}

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.__aexit__(exc_type, exc, traceback)

    async def missing(self, plan: Plan) -> Missing:
        """Say which of the routes that a plan needs are not there."""
        return Missing(*await check_routes(self._api, plan))

    async def health(self) -> Health:
        """GET /health and /ready and judge them."""
        return await health_gate(self._api)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Give /metrics, /health and /ready."""
        return ("metrics", "health", "ready")

    async def look(self, endpoint: str) -> Told:
        """GET an endpoint; /health tells memory as well, /ready which breakers are open."""
        reply = await self._api.get(f"/{endpoint}")
        ok, detail = reply.status == HTTPStatus.OK, None if reply.status == HTTPStatus.OK else f"status {reply.status}"
        samples: tuple[tuple[str, float], ...] = ()
        if endpoint == "health":
            samples = memory_figures(reply.body) if ok else ()
            ok, detail = is_healthy(reply), None
        elif endpoint == "ready" and not ok and (tools := open_breakers(reply)):
            detail = plain_text(f"breaker open: {', '.join(tools)}")
        return Told(reply.status, reply.body, ok, detail, samples, reply.content_type)

    # -- identities

    async def open(self, role: str, name: str) -> Identity:
        """Create an agent, which has no token yet."""
        return Identity(name, role, "", handle=await self._api.create_agent(name=name, role=role))

    async def renew(self, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an agent a new token."""
        token = await self._api.generate_token(
            identity.handle, scopes=self._link.plan.roles[identity.role].scopes, expires_at=utc_stamp(expires_at)
        )
        return replace(identity, secret=token)

    async def trial_identity(self, trial: Trial, identity: Identity, *, expires_at: dt.datetime) -> Identity:
        """Give an identity with a token that is not good; the one of an edge is an agent's of its own."""
        scopes = self._link.plan.roles[identity.role].scopes
        match trial:
            case Trial.UNKNOWN:
                return replace(identity, secret=forged(identity.secret))
            case Trial.EXPIRED:
                return await self.renew(identity, expires_at=expires_at)
            case Trial.REVOKED:
                late = expires_at + _REVOKED_LIVES
                token = await self._api.revoked_token(identity.handle, scopes=scopes, expires_at=utc_stamp(late))
                return replace(identity, secret=token)
            case Trial.EDGE:
                name = f"{self._link.run_id}-edge-{identity.role}"
                if name not in self._edges:
                    self._edges[name] = await self.open(identity.role, name)
                return await self.renew(self._edges[name], expires_at=expires_at)
        return identity

    async def close(self, identity: Identity) -> None:
        """Leave an agent where it is: the gateway has no route to remove one, and its token expires by itself."""

    # -- policies

    async def prepare(self, *, anew: bool = False) -> None:
        """Create the policy of each role; a gateway without the route is said to have none."""
        await (self._policies.renew() if anew else self._policies.create())

    async def clear_left(self, known: Mapping[str, str]) -> None:
        """Remove the policies that an earlier runner of the run left."""
        await self._policies.remove_left(known)

    async def clear(self) -> None:
        """Remove the run's policies."""
        await self._policies.remove()

    # -- changes

    async def make(self, change: Change) -> Made:
        """Make a change through the admin routes."""
        match change:
            case CredentialsChange():
                return await self._rotate_credentials(change)
            case ChaosChange():
                await self._api.chaos_on(tool=change.tool, mode=change.mode, pct=change.pct)
                return Made(
                    change.tool,
                    {"tool": change.tool, "mode": change.mode, "pct": change.pct},
                )  # fmt: skip
            case PolicyChange():
                return await self._policies.cut(change)
        msg = f"a gateway of this kind cannot be asked for {change.do}"
        raise AdminError(msg, is_missing=True, is_refusal=True)

    def undoing(self, change: Change) -> Wire | None:
        """Give the request that clears a tool's chaos."""
        if not isinstance(change, ChaosChange):
            return None
        return self.wire("DELETE", f"/api/admin/chaos/tool/{change.tool}", None)

    async def undo(self, change: Change) -> None:
        """Clear a tool's chaos."""
        if isinstance(change, ChaosChange):
            await self._api.chaos_off(change.tool)

    async def resume(self, change: Change, *, gateway_is_new: bool) -> None:
        """Take up a cut quota; give a gateway that is new another credential."""
        if isinstance(change, PolicyChange):
            self._policies.restore_cut(change)
        elif isinstance(change, CredentialsChange) and gateway_is_new:
            await self._rotate_credentials(change)

    async def is_in_force(self, change: Change) -> bool | None:
        """Ask which credential is active; what else was changed cannot be asked for."""
        if not isinstance(change, CredentialsChange) or change.tool not in self._active:
            return None
        try:
            return await self._api.active_credential(change.tool) == self._active[change.tool]
        except ApiError as exc:
            if not exc.is_missing:
                raise
            return None  # a gateway that cannot be asked has to be believed

    # -- what is tried before the load

    @property
    def removing(self) -> tuple[Wire, ...]:
        """Give the requests that remove the run's policies."""
        return tuple(self.wire("DELETE", f"/api/policies/{policy}", None) for policy in self._policies.made)

    async def trial(self, change: Change, owe: Owe) -> None:
        """Make a change; a credential is replaced by one of our own only while we know which it was."""
        if isinstance(change, CredentialsChange):
            await self._try_credential(change.tool, owe)
            return
        if (undoing := self.undoing(change)) is not None:
            await owe(undoing)
        await self.make(change)  # a quota is that of a policy of ours, which goes at the end

    async def _try_credential(self, tool: str, owe: Owe) -> None:
        before = await self._api.active_credential(tool)
        version, secret = f"{self._link.run_id}-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
        credential_id = await self._api.set_credential(tool=tool, version=version, credential=secret)
        await owe(self.wire("DELETE", f"/api/admin/creds/{credential_id}", None))
        if before is not None:
            body = orjson.dumps({"id": before})
            await owe(self.wire("POST", "/api/admin/creds/activate", body))
        await self._api.activate_credential(credential_id)
        await self._refuse_other_credential(tool, credential_id)

    def wire(self, method: str, path: str, body: bytes | None) -> Wire:
        """Give a request with the admin token, where there is one."""
        headers = {} if self._link.secret is None else {"X-Admin-Token": self._link.secret}
        return Wire(method, path, headers if body is None else {"Content-Type": "application/json"} | headers, body)

    async def _rotate_credentials(self, change: CredentialsChange) -> Made:
        version = f"{self._link.run_id}-{secrets.token_hex(4)}"
        credential_id = await self._api.set_credential(
            tool=change.tool, version=version, credential=secrets.token_urlsafe(32)
        )
        await self._api.activate_credential(credential_id)
        self._active[change.tool] = credential_id
        await self._refuse_other_credential(change.tool, credential_id)
        return Made(
            change.tool,
            {"tool": change.tool, "version": version, "id": credential_id},
        )  # fmt: skip

    async def _refuse_other_credential(self, tool: str, credential_id: str) -> None:
        """Ask which credential is active: no call of the load would show that a rotation changed nothing."""
        try:
            active = await self._api.active_credential(tool)
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
