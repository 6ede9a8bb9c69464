"""The gateway's other routes, as the soak uses them: health, agents, tokens, policies, chaos, credentials, metrics.

Load does not go through here (see :mod:`soaklib.runner.client`). A call that is answered with anything but success
raises :class:`ApiError`, and so does a success without what it must hold: no answer raises anything else. The error
knows the status and the gateway's own words, without what was secret in the request. A redirect is followed by a GET
alone, and never to another origin, so that no header goes where it was not meant to go.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from soaklib.safety.foreign_text import MOST_NAME, is_plain, plain_text
from soaklib.safety.reaching import refuse_bad_header
from soaklib.safety.redaction import echoes_of, redacted
from soaklib.targets.admin import AdminError
from soaklib.targets.transport import (
    ACCEPT_METRICS,
    MOST_METRICS_BYTES,
    MOST_MOVES,
    TimedConnector,
    connect_limit_s,
    is_moved,
    moved_within,
    open_session,
    read_bounded,
    why_no_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["ApiError", "GatewayApi", "Reply"]

_MOST_ADMIN_BYTES: Final = 1 << 20
_MOST_TOKEN: Final = 16 << 10
_MOST_SAID_BYTES: Final = 16 << 10  # of an error's body, looked through for secrets before it is cut short
_METRICS: Final = "/metrics"
_CONNECTIONS: Final = 16
_THING_NOT_FOUND: Final = re.compile(r'"error"\s*:\s*"(?!Route |Not Found")[^"]* found\b', re.IGNORECASE)
"""The words of a route that is there and misses an agent or a policy; a framework has others for a missing route."""


class ApiError(AdminError):
    """A route answered with an error, or not at all."""

    def __init__(self, what: str, status: int | None, words: str) -> None:
        answer = "got no answer" if status is None else f"was answered with {status}"
        is_missing = status == HTTPStatus.METHOD_NOT_ALLOWED or (
            status == HTTPStatus.NOT_FOUND and _THING_NOT_FOUND.search(words) is None
        )
        super().__init__(
            plain_text(f"{what} {answer}: {words}"), status=status, is_missing=is_missing,
            is_refusal=status is not None and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR,
            lost_identity=status == HTTPStatus.NOT_FOUND and not is_missing,
        )  # fmt: skip

    @classmethod
    def missing(cls, route: str) -> Self:
        """Give the error of a route that is known to be missing without asking again."""
        return cls(route, HTTPStatus.NOT_FOUND, "the gateway has no such route")


class Reply(NamedTuple):
    """A whole answer of any status.

    Attributes
    ----------
    status, body
        As they came.
    moved_to
        Where the answer came from in the end, or where it points to and was not followed; None without a redirect.
    date
        The ``Date`` that its server put on it; None without.
    content_type
        What the answer says that its body is; None where it says nothing.
    """

    status: int
    body: bytes
    moved_to: str | None = None
    date: str | None = None
    content_type: str | None = None


class _Answer(NamedTuple):
    """The JSON of a successful answer."""

    route: str
    status: int
    value: Any

    def text(self, name: str, *, most: int = MOST_NAME, secret: str | None = None) -> str:
        """Give a member that must be a text: not empty, not over long, of characters that can be shown."""
        value = self.value.get(name) if isinstance(self.value, dict) else None
        if not isinstance(value, str) or not value:
            msg = f"but has no {name}"
            raise self.wrong(msg)
        if not is_plain(value, most=most) or (secret is not None and secret in value):
            msg = f"but its {name} cannot be one"
            raise self.wrong(msg)
        return value

    def wrong(self, why: str) -> ApiError:
        """Give the error of an answer that does not hold what it must."""
        return ApiError(self.route, self.status, why)


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
        for name, value in self._admin_headers.items():
            refuse_bad_header(name, value)
        self._secrets = frozenset(echoes_of((*(headers or {}).values(), *self._admin_headers.values())))
        connector = TimedConnector(base_url, limit=_CONNECTIONS, ca_file=ca_file)
        self._session = open_session(connector, timeout_s=timeout_s, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    # -- health and metrics

    async def get(self, path: str) -> Reply:
        """GET a path and give its answer whatever its status; raise ApiError only when there is none.

        A redirect within the gateway's own origin is followed; one to another is the answer. /metrics is asked for in
        the formats that Prometheus asks for, unless the run has an Accept of its own.
        """
        url, moved_to = URL(self.base_url + path), None
        for _ in range(MOST_MOVES):
            reply = await self._exchange("GET", path, None, {}, url=url)
            if not is_moved(reply.status, reply.moved_to):
                return reply._replace(moved_to=moved_to)
            if (there := moved_within(url, reply.status, reply.moved_to)) is None:
                return reply
            url, moved_to = there, there.path_qs
        return reply

    async def read(self, path: str) -> Any:
        """GET a path and give the JSON of its answer."""
        route = f"GET {path}"
        reply = await self.get(path)
        if reply.status != HTTPStatus.OK:
            raise self._refused(route, reply)
        return _loads(route, reply)

    async def try_route(self, method: str, path: str) -> ApiError:
        """Send a request without content, which a route that is there refuses; give the answer as the error it is."""
        headers = self._admin_headers | ({"Content-Type": "application/json"} if method == "DELETE" else {})
        try:
            reply = await self._exchange(method, path, None if method == "DELETE" else {}, headers)
        except ApiError as exc:
            return exc
        return self._refused(f"{method} {path}", reply)

    # -- agents and tokens

    async def create_agent(self, *, name: str, role: str) -> str:
        """Create an agent; give its id. Its private key is dropped on the floor: the soak never needs it."""
        reply = await self._call("POST", "/api/create-agent", {"name": name, "created_by": "soaklib", "role": role})
        return reply.text("agent_id")

    async def generate_token(self, agent_id: str, *, scopes: tuple[str, ...], expires_at: str) -> str:
        """Give a new token of an agent; builds of the gateway answer 200 or 201."""
        return (await self._issue(agent_id, scopes, expires_at)).text("agent_token", most=_MOST_TOKEN)

    async def revoked_token(self, agent_id: str, *, scopes: tuple[str, ...], expires_at: str) -> str:
        """Give a token of an agent that was made and revoked."""
        answer = await self._issue(agent_id, scopes, expires_at)
        token, token_id = answer.text("agent_token", most=_MOST_TOKEN), answer.text("token_id")
        await self._call("POST", f"/api/admin/tokens/{quote(token_id, safe='')}/revoke", None, admin=True)
        return token

    async def _issue(self, agent_id: str, scopes: tuple[str, ...], expires_at: str) -> _Answer:
        tools = list(dict.fromkeys(scope.split(":")[0] for scope in scopes))
        body = {"agent_id": agent_id, "tools": tools, "permissions": list(scopes), "expires_at": expires_at}
        return await self._call("POST", "/api/generate-token", body)

    # -- policies

    async def create_policy(self, *, name: str, role: str, spec: Mapping[str, object]) -> str:
        """Create a policy for a role; give its id."""
        body = {"name": name, "description": "made by a soak", "role": role, "spec": spec}
        return (await self._call("POST", "/api/policies", body, admin=True)).text("id")

    async def policies(self, role: str) -> list[dict[str, Any]]:
        """Give the policies of a role, each as the gateway has it."""
        answer = await self._call("GET", f"/api/policies?role={quote(role, safe='')}", None, admin=True)
        if not isinstance(answer.value, list):
            why = "but is no list of policies"
            raise answer.wrong(why)
        return [policy for policy in answer.value if isinstance(policy, dict)]

    async def update_policy(self, policy_id: str, *, spec: Mapping[str, object]) -> None:
        """Replace a policy's spec as a whole."""
        await self._call("PATCH", f"/api/policies/{quote(policy_id, safe='')}", {"spec": spec}, admin=True)

    async def delete_policy(self, policy_id: str) -> None:
        """Remove a policy."""
        await self._call("DELETE", f"/api/policies/{quote(policy_id, safe='')}", None, admin=True)

    # -- admin

    async def chaos_on(self, *, tool: str, mode: str, pct: int) -> None:
        """Inject chaos into a tool."""
        await self._call("POST", "/api/admin/chaos/tool", {"tool": tool, "mode": mode, "pct": pct}, admin=True)

    async def chaos_off(self, tool: str) -> None:
        """Clear a tool's chaos; clearing none is fine."""
        await self._call("DELETE", f"/api/admin/chaos/tool/{quote(tool, safe='')}", None, admin=True)

    async def set_credential(self, *, tool: str, version: str, credential: str) -> str:
        """Store a new version of a tool's credential; give its id."""
        body = {"tool": tool, "version": version, "credential": credential}
        answer = await self._call("POST", "/api/admin/creds/set", body, admin=True, secrets=(credential,))
        return answer.text("id", secret=credential)

    async def activate_credential(self, credential_id: str) -> None:
        """Make a stored credential the one in use."""
        await self._call("POST", "/api/admin/creds/activate", {"id": credential_id}, admin=True)

    async def active_credential(self, tool: str) -> str | None:
        """Give the id of a tool's active credential; None when it has none."""
        try:
            active = await self._call("GET", f"/api/admin/creds/{quote(tool, safe='')}", None, admin=True)
        except ApiError as exc:
            if exc.status == HTTPStatus.NOT_FOUND and not exc.is_missing:
                return None
            raise
        return None if active.value is None else active.text("id")

    # -- the wire

    async def _call(
        self, method: str, path: str, body: object, *, admin: bool = False, secrets: Iterable[str] = ()
    ) -> _Answer:
        """Call a route; give its answer's JSON, None where there is no body. `secrets` are those of this call alone."""
        route = f"{method} {path}"
        headers = self._admin_headers if admin else {}
        reply = await self._exchange(method, path, body, headers, most_bytes=_MOST_ADMIN_BYTES)
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(route, reply, secrets)
        return _Answer(route, reply.status, _loads(route, reply) if reply.body else None)

    def _refused(self, route: str, reply: Reply, secrets: Iterable[str] = ()) -> ApiError:
        """Give an answer as the error that it is, without the secrets of the request, which it may echo."""
        return ApiError(route, reply.status, self._without_secrets(reply.body[:_MOST_SAID_BYTES], secrets))

    def _without_secrets(self, said: bytes | str, secrets: Iterable[str] = ()) -> str:
        text = said if isinstance(said, str) else said.decode("utf-8", "replace")
        return redacted(text, self._secrets.union(echoes_of(secrets)))

    async def _exchange(
        self,
        method: str,
        path: str,
        body: object,
        headers: dict[str, str],
        *,
        url: URL | None = None,
        most_bytes: int = MOST_METRICS_BYTES,
    ) -> Reply:
        # a content type without a body is refused by the real gateway (400), so it goes only where there is one
        route = f"{method} {path}"
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            headers = headers | {"Content-Type": "application/json"}
        if path == _METRICS and "Accept" not in self._session.headers:
            headers = headers | {"Accept": ACCEPT_METRICS}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method, url or URL(self.base_url + path), data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                text = await read_bounded(response.content, most_bytes)
                if text is None:
                    response.close()
                    raise ApiError(route, response.status, f"the body is over {most_bytes} bytes")
                told = (response.headers.get(name) for name in ("Location", "Date", "Content-Type"))
                return Reply(response.status, text, *told)
        except aiohttp.ConnectionTimeoutError as exc:
            raise ApiError(route, None, f"no connection within {connect_limit_s(self._timeout_s):.3g} s") from exc
        except TimeoutError as exc:
            raise ApiError(route, None, f"nothing within {self._timeout_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ApiError(route, None, self._without_secrets(why_no_answer(exc))) from exc


def _loads(route: str, reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError as exc:
        raise ApiError(route, reply.status, "the body is no JSON") from exc
