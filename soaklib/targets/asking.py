"""Requests beside the load: one at a time, read whole, and what went wrong raised as an :class:`AdminError`.

No error bears a secret: what a gateway says is masked by what was sent, headers of the run included. A redirect is
followed by a GET alone, and never to another origin, so that no header goes where it was not meant to go.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import aiohttp
import orjson
from yarl import URL

from soaklib.safety.foreign_json import json_of
from soaklib.safety.foreign_text import is_plain, plain_text
from soaklib.safety.redaction import echoes_of, redacted
from soaklib.targets.admin import AdminError
from soaklib.targets.transport import (
    ACCEPT_METRICS,
    MOST_METRICS_BYTES,
    MOST_MOVES,
    TimedConnector,
    moved_within,
    open_session,
    read_bounded,
    why_no_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from soaklib.targets.admin import Link

__all__ = ["Asking", "Reply", "is_unsupported", "refuse_unless_success", "secret_of"]

_CONNECTIONS: Final = 16
_MOST_BYTES: Final = 8 << 20
_MOST_SECRET: Final = 16 << 10
_MOST_SAID_BYTES: Final = 16 << 10  # of an error's body, looked through for secrets before it is cut short
_UNSUPPORTED: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_NO_DATABASE: Final = (
    "db not connected", "no db connected", "database not connected", "not connected to db", "no connected db",
)  # fmt: skip
"""How LiteLLM says, with a status of 400 or 500, that a route needs a database that it does not have."""


class Reply(NamedTuple):
    """A whole answer.

    Attributes
    ----------
    status, headers, body
        As they came.
    masked
        Gives a text of it without what was secret in the request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    masked: Callable[[str], str] = str

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> dict[str, object]:
        """Give the JSON object of the body; an empty one where it is none."""
        return json_of(self.body) or {}


class _Request(NamedTuple):
    """What is sent, to which address it may be; and how its answer is taken."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]
    most_bytes: int
    masked: Callable[[str], str]
    is_whole: Callable[[bytes | bytearray], bool] | None


def is_unsupported(reply: Reply) -> bool:
    """Say whether a gateway says that it cannot do such a thing at all, by its status or by its words."""
    said = reply.body[:4096].decode("utf-8", "replace").lower()
    return reply.status in _UNSUPPORTED or any(words in said for words in _NO_DATABASE)


class Asking:
    """Asks one gateway, on connections of its own so that nothing waits behind the load.

    Parameters
    ----------
    link
        The way to the gateway.
    metrics
        The path of its metrics, which may be long and are asked for in the formats that Prometheus asks for, unless the
        run has an Accept of its own; None where it has none.
    """

    def __init__(self, link: Link, metrics: str | None = None) -> None:
        self._link = link
        self._metrics = metrics
        sent = (*link.headers.values(), *((link.secret,) if link.secret else ()))
        self._secrets = frozenset(echoes_of(sent))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = TimedConnector(self._link.base_url, limit=_CONNECTIONS, ca_file=self._link.ca_file)
        self._session = open_session(connector, timeout_s=self._link.timeout_s, headers=self._link.headers)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, method: str, path: str, *, secret: str | None = None, headers: Mapping[str, str] | None = None,
        json: object = None, is_whole: Callable[[bytes | bytearray], bool] | None = None, private: Iterable[str] = (),
    ) -> Reply:  # fmt: skip
        """Send a request; give its answer, whatever its status.

        Parameters
        ----------
        method, path
            Of the request.
        secret
            Sent as the bearer's token; None to send none.
        headers
            Sent beside those of the run.
        json
            Sent as the body; None for a request without one.
        is_whole
            Says of what has come of a stream of events whether it is all that matters: its end is not waited for then.
        private
            What else of the request no error shows: keys in its body, a session's id.

        Raises
        ------
        AdminError
            There was no whole answer.
        """
        if self._session is None:
            msg = "asked before it was entered"
            raise RuntimeError(msg)
        sent = {"Accept": "application/json"} if secret is None else {"Authorization": f"Bearer {secret}"}
        most_bytes = _MOST_BYTES
        if method == "GET" and path == self._metrics:
            most_bytes = MOST_METRICS_BYTES
            sent.pop("Accept", None)
            if "Accept" not in self._session.headers:
                sent["Accept"] = ACCEPT_METRICS
        sent.update(headers or {})
        body = None if json is None else orjson.dumps(json)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        bearer = sent.get("Authorization")
        secrets = self._secrets.union(echoes_of((*(() if bearer is None else (bearer,)), *private)))

        def masked(text: str) -> str:
            return redacted(text, secrets)

        request = _Request(method, path, body, sent, most_bytes, masked, is_whole)
        url = URL(self._link.base_url + path)
        for _ in range(MOST_MOVES if method == "GET" else 1):
            reply = await self._exchange(self._session, url, request)
            there = moved_within(url, reply.status, reply.headers.get("Location"))
            if there is None:
                break
            url = there
        return reply

    async def _exchange(self, session: aiohttp.ClientSession, url: URL, request: _Request) -> Reply:
        method, path, body, headers, most_bytes, masked, is_whole = request
        try:
            async with (
                asyncio.timeout(self._link.timeout_s),
                session.request(method, url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                if is_whole is not None and response.content_type == "text/event-stream":
                    text = await _read_until(response, most_bytes, is_whole)
                else:
                    text = await read_bounded(response.content, most_bytes)
                if text is None:
                    response.close()
                    msg = f"{method} {path} was answered with more than {most_bytes >> 20} MiB"
                    raise AdminError(msg, status=response.status)
                return Reply(response.status, response.headers.copy(), text, masked)
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            msg = plain_text(masked(f"{method} {path} got no answer: {why_no_answer(exc)}"))
            raise AdminError(msg) from exc

    async def need(
        self, method: str, path: str, *, secret: str | None = None, headers: Mapping[str, str] | None = None,
        json: object = None, private: Iterable[str] = (),
    ) -> Reply:  # fmt: skip
        """Send a request that must succeed.

        Raises
        ------
        AdminError
            It did not, or there was no answer.
        """
        reply = await self.ask(method, path, secret=secret, headers=headers, json=json, private=private)
        refuse_unless_success(method, path, reply, secret)
        return reply


def secret_of(value: object) -> str | None:
    """Give a key, a token or a session's id that an answer bears; None where it is none that a header can bear back."""
    return value if isinstance(value, str) and is_plain(value, most=_MOST_SECRET) else None


def refuse_unless_success(method: str, path: str, reply: Reply, secret: str | None = None) -> None:
    """Refuse an answer that is no success.

    Raises
    ------
    AdminError
        It is none; the text has the gateway's words, without this secret and what else was secret in the request.
    """
    if reply.is_success:
        return
    said = reply.body[:_MOST_SAID_BYTES].decode("utf-8", "replace")
    words = redacted(reply.masked(said), [secret or "", *echoes_of([secret or ""])])
    is_client_error = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    raise AdminError(
        plain_text(f"{method} {path} was answered with {reply.status}: {words}"),
        status=reply.status, is_missing=is_unsupported(reply), is_refusal=is_client_error or is_unsupported(reply),
    )  # fmt: skip


async def _read_until(
    response: aiohttp.ClientResponse, limit_bytes: int, is_whole: Callable[[bytes | bytearray], bool]
) -> bytes | None:
    """Read a stream of events until it has said all that matters; give None once it is larger than the limit."""
    came = bytearray()
    async for chunk in response.content.iter_any():
        came += chunk
        if len(came) > limit_bytes:
            return None
        if is_whole(came):
            response.close()
            break
    return bytes(came)
