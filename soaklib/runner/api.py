"""The gateway's other routes, as the soak uses them: health, agents, tokens, policies, chaos, credentials, metrics.

Load does not go through here (see :mod:`soaklib.runner.client`). A call that is answered with anything but success
raises :class:`ApiError`, which knows the status and the gateway's own words, never what was sent.
"""

from __future__ import annotations

import asyncio
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import aiohttp
import orjson

from soaklib.errors import TargetError
from soaklib.runner.client import read_bounded, tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["ApiError", "GatewayApi", "Reply"]

MAX_REPLY_BYTES: Final = 64 << 20  # /metrics of many agents is large; a body without end is refused all the same
_TOO_LARGE: Final = f"the body is over {MAX_REPLY_BYTES} bytes"
_MOST_WORDS: Final = 200
_THING_NOT_FOUND: Final = re.compile(r'"error"\s*:\s*"(?!Route |Not Found")[^"]* found\b', re.IGNORECASE)
"""The words of a route that is there and misses an agent or a policy; a framework has others for a missing route."""


class ApiError(TargetError):
    """A route answered with an error, or not at all.

    Attributes
    ----------
    status
        HTTP status; None when there was no answer.
    is_missing
        Whether the gateway has no such route, as against saying no.
    is_refusal
        Whether what was asked for has surely not been done. No answer, a server's error, and an answer that is none of
        its own may all come after it was done.
    """

    def __init__(self, what: str, status: int | None, words: str) -> None:
        answer = "got no answer" if status is None else f"was answered with {status}"
        super().__init__(f"{what} {answer}: {words}"[:_MOST_WORDS])
        self.status = status
        self.is_refusal = status is not None and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        self.is_missing = status == HTTPStatus.METHOD_NOT_ALLOWED or (
            status == HTTPStatus.NOT_FOUND and _THING_NOT_FOUND.search(words) is None
        )

    @classmethod
    def missing(cls, route: str) -> Self:
        """Give the error of a route that is known to be missing without asking again."""
        return cls(route, HTTPStatus.NOT_FOUND, "the gateway has no such route")

    @property
    def is_missing_agent(self) -> bool:
        """Whether the gateway does not know the agent (any more)."""
        return self.status == HTTPStatus.NOT_FOUND and not self.is_missing


class Reply(NamedTuple):
    """A whole answer of any status."""

    status: int
    body: bytes


class GatewayApi:
    """Calls the gateway's routes, on connections of its own so that they never wait behind the load.

    Parameters
    ----------
    base_url
        The gateway's base URL.
    timeout_s
        Time limit of a call, wall seconds.
    headers
        Headers for every call.
    admin_token
        Sent as X-Admin-Token to the admin routes and the policies; None to send none.
    ca_file
        Further authorities to verify TLS by.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        admin_token: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.base_url = base_url
        self._timeout_s = timeout_s
        self._admin_headers = {} if admin_token is None else {"X-Admin-Token": admin_token}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=16, keepalive_timeout=4.0, ssl=tls_context(ca_file) if base_url.startswith("https:") else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=dict(headers or {}),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    # -- health and metrics

    async def get(self, path: str) -> Reply:
        """GET a path and give its answer whatever its status; raise ApiError only when there is none."""
        return await self._exchange("GET", path, None, {})

    async def try_route(self, method: str, path: str) -> ApiError:
        """Send a request without content, which a route that is there refuses; give the answer as the error it is."""
        headers = self._admin_headers | ({"Content-Type": "application/json"} if method == "DELETE" else {})
        try:
            reply = await self._exchange(method, path, None if method == "DELETE" else {}, headers)
        except ApiError as exc:
            return exc
        return ApiError(f"{method} {path}", reply.status, reply.body[:_MOST_WORDS].decode("utf-8", "replace"))

    # -- agents and tokens

    async def create_agent(self, *, name: str, role: str) -> str:
        """Create an agent; give its id. Its private key is dropped on the floor: the soak never needs it."""
        reply = await self._call("POST", "/api/create-agent", {"name": name, "created_by": "soaklib", "role": role})
        return _text(reply, "agent_id")

    async def generate_token(self, agent_id: str, *, scopes: tuple[str, ...], expires_at: str) -> str:
        """Give a new token of an agent; builds of the gateway answer 200 or 201."""
        tools = list(dict.fromkeys(scope.split(":")[0] for scope in scopes))
        body = {"agent_id": agent_id, "tools": tools, "permissions": list(scopes), "expires_at": expires_at}
        return _text(await self._call("POST", "/api/generate-token", body), "agent_token")

    # -- policies

    async def create_policy(self, *, name: str, role: str, spec: Mapping[str, object]) -> str:
        """Create a policy for a role; give its id."""
        body = {"name": name, "description": "made by a soak", "role": role, "spec": spec}
        return _text(await self._call("POST", "/api/policies", body, admin=True), "id")

    async def policies(self, role: str) -> list[dict[str, Any]]:
        """Give the policies of a role."""
        reply = await self._call("GET", f"/api/policies?role={role}", None, admin=True)
        return [policy for policy in reply if isinstance(policy, dict)] if isinstance(reply, list) else []

    async def update_policy(self, policy_id: str, *, spec: Mapping[str, object]) -> None:
        """Replace a policy's spec as a whole."""
        await self._call("PATCH", f"/api/policies/{policy_id}", {"spec": spec}, admin=True)

    async def delete_policy(self, policy_id: str) -> None:
        """Remove a policy."""
        await self._call("DELETE", f"/api/policies/{policy_id}", None, admin=True)

    # -- admin

    async def chaos_on(self, *, tool: str, mode: str, pct: int) -> None:
        """Inject chaos into a tool."""
        await self._call("POST", "/api/admin/chaos/tool", {"tool": tool, "mode": mode, "pct": pct}, admin=True)

    async def chaos_off(self, tool: str) -> None:
        """Clear a tool's chaos; clearing none is fine."""
        await self._call("DELETE", f"/api/admin/chaos/tool/{tool}", None, admin=True)

    async def set_credential(self, *, tool: str, version: str, credential: str) -> str:
        """Store a new version of a tool's credential; give its id."""
        body = {"tool": tool, "version": version, "credential": credential}
        return _text(await self._call("POST", "/api/admin/creds/set", body, admin=True), "id")

    async def activate_credential(self, credential_id: str) -> None:
        """Make a stored credential the one in use."""
        await self._call("POST", "/api/admin/creds/activate", {"id": credential_id}, admin=True)

    async def active_credential(self, tool: str) -> str | None:
        """Give the id of a tool's active credential; None when it has none."""
        try:
            active = await self._call("GET", f"/api/admin/creds/{tool}", None, admin=True)
        except ApiError as exc:
            if exc.status == HTTPStatus.NOT_FOUND and not exc.is_missing:
                return None
            raise
        return str(active["id"]) if isinstance(active, dict) and "id" in active else None

    # -- the wire

    async def _call(self, method: str, path: str, body: object, *, admin: bool = False) -> Any:
        route = f"{method} {path}"
        reply = await self._exchange(method, path, body, self._admin_headers if admin else {})
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise ApiError(route, reply.status, reply.body[:_MOST_WORDS].decode("utf-8", "replace"))
        if reply.status == HTTPStatus.NO_CONTENT or not reply.body:
            return None
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as exc:
            raise ApiError(route, reply.status, "the body is no JSON") from exc

    async def _exchange(self, method: str, path: str, body: object, headers: dict[str, str]) -> Reply:
        # a content type without a body is refused by the real gateway (400), so it goes only where there is one
        route = f"{method} {path}"
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            headers = headers | {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method, self.base_url + path, data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                text = await read_bounded(response.content, MAX_REPLY_BYTES)
                if text is None:
                    response.close()
                    raise ApiError(route, response.status, _TOO_LARGE)
                return Reply(response.status, text)
        except TimeoutError as exc:
            raise ApiError(route, None, f"nothing within {self._timeout_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ApiError(route, None, _why_no_answer(exc)) from exc


def _why_no_answer(exc: aiohttp.ClientError | OSError) -> str:
    """Word what kept an answer away; of a connection that was never made the cause, without the library's wording."""
    if isinstance(exc, aiohttp.ClientConnectorError) and exc.os_error.errno is not None:
        code = exc.os_error.errno
        # a name that is not found has a negative number of its own, and its words with it
        words = exc.os_error.strerror if code < 0 else os.strerror(code)
        return f"cannot connect to {exc.host} port {exc.port}: {words}"
    return str(exc) or type(exc).__name__


def _text(reply: object, name: str) -> str:
    value = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(value, str) or not value:
        msg = f"the gateway's answer has no {name}"
        raise TargetError(msg)
    return value
