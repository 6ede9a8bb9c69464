"""Administration: /api/admin/chaos and /api/admin/creds, and the token that admin routes may ask for."""

import hmac
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from soaklib.gateway.chaos import CHAOS_MODES, ChaosSetting
from soaklib.gateway.clock import iso_utc
from soaklib.gateway.credentials import Credential
from soaklib.gateway.state import Gateway
from soaklib.gateway.wire.answers import JSON_TYPE, error_answer, json_answer
from soaklib.gateway.wire.bodies import body_object, read_json, refuse_empty_json, refuse_invalid, required_text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(handler: Handler, admin_token: str | None) -> Handler:
    """Return the handler behind the admin token; without one it is open, as on the real gateway."""
    if admin_token is None:
        return handler
    expected = admin_token.encode()

    async def guard(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("X-Admin-Token") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode(errors="surrogateescape"), expected):
            return await handler(request)
        body = orjson.dumps({"error": "Admin token required"})
        headers = {"Content-Type": JSON_TYPE, "WWW-Authenticate": "Bearer"}
        return web.Response(body=body, status=401, headers=headers)

    return guard


def _wire(credential: Credential) -> dict[str, object]:
    body: dict[str, object] = {
        "id": credential.credential_id,
        "tool": credential.tool,
        "version": credential.version,
        "isActive": credential.active,
        "createdAt": iso_utc(credential.created_at_s),
    }
    if credential.activated_at_s is not None:
        body["activatedAt"] = iso_utc(credential.activated_at_s)
    if credential.deactivated_at_s is not None:
        body["deactivatedAt"] = iso_utc(credential.deactivated_at_s)
    return body


class ChaosRoutes:
    """Chaos of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def _active(self) -> list[tuple[str, dict[str, object]]]:
        return [
            (tool, {"mode": setting.mode, "pct": setting.pct}) for tool, setting in self._gateway.state.chaos.active()
        ]

    async def inject(self, request: web.Request) -> web.Response:
        """Switch chaos on."""
        body = body_object(await read_json(request))
        tool, mode = required_text(body, "tool"), required_text(body, "mode")
        pct = body.get("pct")
        if mode not in CHAOS_MODES:
            refuse_invalid("body/mode must be equal to one of the allowed values")
        if isinstance(pct, bool) or not isinstance(pct, int | float):
            refuse_invalid("body/pct must be number")
        if not 0 <= pct <= 100:  # noqa: PLR2004 - a percentage
            refuse_invalid("body/pct must be >= 0 and <= 100")
        if self._gateway.settings.production:
            return error_answer(403, "Chaos injection not allowed in production")
        self._gateway.state.chaos.inject(tool, ChaosSetting(mode, pct))
        self._gateway.state.metrics.chaos_injected(tool, mode)
        answer = {
            "message": "Chaos injected successfully",
            "tool": tool,
            "mode": mode,
            "pct": pct,
            "activeChaos": self._active(),
        }
        return json_answer(answer)

    async def clear(self, request: web.Request) -> web.Response:
        """Switch chaos off; as often as one likes."""
        await refuse_empty_json(request)
        tool = request.match_info["tool"]
        if self._gateway.settings.production:
            return error_answer(403, "Chaos injection not allowed in production")
        self._gateway.state.chaos.clear(tool)
        self._gateway.state.metrics.chaos_cleared(tool)
        return json_answer({"message": "Chaos cleared successfully", "tool": tool, "activeChaos": self._active()})

    async def show(self, _: web.Request) -> web.Response:
        """Return what is on."""
        return json_answer({"activeChaos": self._active()})


class CredentialRoutes:
    """Credentials of one gateway.

    Parameters
    ----------
    gateway
        What it works on.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def add(self, request: web.Request) -> web.Response:
        """Take in a credential, inactive."""
        body = body_object(await read_json(request))
        tool, version, secret = (required_text(body, name) for name in ("tool", "version", "credential"))
        credential = self._gateway.state.credentials.add(tool=tool, version=version, secret=secret)
        self._gateway.record(credential.row())
        answer = {
            "message": "Credential created successfully",
            "id": credential.credential_id,
            "tool": tool,
            "version": version,
            "isActive": False,
        }
        return json_answer(answer, 201)

    async def activate(self, request: web.Request) -> web.Response:
        """Make a credential the active one of its tool."""
        body = body_object(await read_json(request))
        changed = self._gateway.state.credentials.activate(required_text(body, "id"))
        if not changed:
            return error_answer(404, "Credential not found")
        for credential in changed:
            self._gateway.record(credential.row())
        wire = _wire(changed[0])
        names = ("id", "tool", "version", "isActive", "activatedAt")
        answer = {"message": "Credential activated successfully"} | {name: wire[name] for name in names}
        return json_answer(answer)

    async def list(self, _: web.Request) -> web.Response:
        """Return all credentials, without secrets."""
        return json_answer([_wire(credential) for credential in self._gateway.state.credentials.all()])

    async def show_active(self, request: web.Request) -> web.Response:
        """Return the active credential of a tool."""
        credential = self._gateway.state.credentials.active(request.match_info["tool"])
        return (
            json_answer(_wire(credential)) if credential else error_answer(404, "No active credential found for tool")
        )

    async def versions(self, request: web.Request) -> web.Response:
        """Return all credentials of a tool."""
        credentials = self._gateway.state.credentials.of(request.match_info["tool"])
        return json_answer([_wire(credential) for credential in credentials])

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a credential."""
        await refuse_empty_json(request)
        credential = self._gateway.state.credentials.delete(request.match_info["tool"])
        if credential is None:
            return error_answer(404, "Credential not found")
        self._gateway.record(credential.row(deleted_at_s=self._gateway.clock.wall()))
        return json_answer({"message": "Credential deleted successfully"})
