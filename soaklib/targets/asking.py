"""Requests beside the load: one at a time, read whole, and what went wrong raised as an :class:`AdminError`.

No error bears a secret: what a gateway says is masked by what was sent.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import aiohttp
import orjson
from yarl import URL

from soaklib.safety.foreign_json import json_of
from soaklib.safety.foreign_text import plain_text
from soaklib.safety.redaction import redacted
from soaklib.targets.admin import AdminError
from soaklib.targets.transport import TimedConnector, open_session, read_bounded, why_no_answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from soaklib.targets.admin import Link

__all__ = ["Asking", "Reply", "is_unsupported", "refuse_unless_success"]

_CONNECTIONS: Final = 16
_MOST_BYTES: Final = 8 << 20
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
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> dict[str, object]:
        """Give the JSON object of the body; an empty one where it is none."""
        return json_of(self.body) or {}


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
    """

    def __init__(self, link: Link) -> None:
        self._link = link
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
        json: object = None,
    ) -> Reply:  # fmt: skip
        """Send a request; give its answer, whatever its status.

        Raises
        ------
        AdminError
            There was no whole answer.
        """
        if self._session is None:
            msg = "asked before it was entered"
            raise RuntimeError(msg)
        sent = {"Accept": "application/json"} if secret is None else {"Authorization": f"Bearer {secret}"}
        sent.update(headers or {})
        body = None if json is None else orjson.dumps(json)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            async with (
                asyncio.timeout(self._link.timeout_s),
                self._session.request(
                    method, URL(self._link.base_url + path), data=body, headers=sent, allow_redirects=False
                ) as response,
            ):
                text = await read_bounded(response.content, _MOST_BYTES)
                if text is None:
                    response.close()
                    msg = f"{method} {path} was answered with more than {_MOST_BYTES >> 20} MiB"
                    raise AdminError(msg, status=response.status)
                return Reply(response.status, response.headers.copy(), text)
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            msg = plain_text(f"{method} {path} got no answer: {why_no_answer(exc)}")
            raise AdminError(msg) from exc

    async def need(
        self, method: str, path: str, *, secret: str | None = None, headers: Mapping[str, str] | None = None,
        json: object = None,
    ) -> Reply:  # fmt: skip
        """Send a request that must succeed.

        Raises
        ------
        AdminError
            It did not, or there was no answer.
        """
        reply = await self.ask(method, path, secret=secret, headers=headers, json=json)
        refuse_unless_success(method, path, reply, secret)
        return reply


def refuse_unless_success(method: str, path: str, reply: Reply, secret: str | None = None) -> None:
    """Refuse an answer that is no success.

    Raises
    ------
    AdminError
        It is none; the text has the gateway's words, with the secret masked.
    """
    if reply.is_success:
        return
    words = redacted(reply.body[:4096].decode("utf-8", "replace"), [secret or ""])
    is_client_error = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    raise AdminError(
        plain_text(f"{method} {path} was answered with {reply.status}: {words}"),
        status=reply.status, is_missing=is_unsupported(reply), is_refusal=is_client_error or is_unsupported(reply),
    )  # fmt: skip
