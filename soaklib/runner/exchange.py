"""One POST of the load on a connection of aiohttp's, without what its session does for a request of any kind.

``ClientSession.request`` makes a request, a payload, a writer, a task and a response for every call, though a load
sends the same few heads again and again: that took a third of a call's CPU time. Here a head is made once, by the
library's own request. Pool, connections, parser, and the stream of a body are the library's as they are for a session.
What comes back, and what is raised, is what a session gives with ``allow_redirects=False``. All this is below what the
library promises: with a release of it that was not tried, the session sends.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.helpers import TimerNoop
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from soaklib.targets.transport import MOST_FIELD_BYTES, MOST_FIELDS

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aiohttp.connector import Connection
    from multidict import CIMultiDictProxy

    from soaklib.targets.base import Wire
    from soaklib.targets.transport import TimedConnector

__all__ = ["IS_KNOWN", "Exchange", "Exchanges"]

IS_KNOWN: Final = aiohttp.__version__.startswith("3.14.")
"""Whether this release of the library was tried."""

_MOST_HEADS: Final = 1024
"""Heads that are kept: a plan has a few for each identity, or one for each session."""

_NOT_PLAIN: Final = (hdrs.EXPECT, hdrs.TRANSFER_ENCODING, hdrs.CONTENT_LENGTH)
"""Headers by which the way of sending changes: a request that bears one is left to the session."""

_NOT_SENT: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TIMER: Final = TimerNoop()
_OCTETS: Final = "application/octet-stream"
_SWITCHED: Final = 101


class _Head(NamedTuple):
    """What is sent of a request before its length, and the library's request that was made for it."""

    text: bytes
    request: aiohttp.ClientRequest


class Exchanges:
    """Begins exchanges with one gateway.

    Parameters
    ----------
    base_url
        The gateway's base URL.
    session
        Has the headers of all requests and the limit of a connection; closing it ends all exchanges.
    connector
        The session's, which makes and keeps the connections.
    """

    def __init__(self, base_url: str, session: aiohttp.ClientSession, connector: TimedConnector) -> None:
        self._base_url, self._session, self._connector = base_url, session, connector
        self._head = lru_cache(_MOST_HEADS)(self._make_head)

    def begin(self, wire: Wire) -> Exchange | None:
        """Give the exchange of a request, to be entered; None for one that only the session can send."""
        # the session sends a method that may be repeated once more where its connection was dropped
        if wire.method != hdrs.METH_POST or not IS_KNOWN:
            return None
        head = self._head(wire.path, tuple(wire.headers.items()))
        if head is None:
            return None
        body = wire.body or b""
        return Exchange(
            self._connector, self._session.timeout, head.request, b"%b%d\r\n\r\n%b" % (head.text, len(body), body)
        )

    def _make_head(self, path: str, own: tuple[tuple[str, str], ...]) -> _Head | None:
        """Make a head of the session's headers and a request's own, which stand above those."""
        headers = CIMultiDict(self._session.headers)
        headers.update(CIMultiDict(own))
        if any(name in headers for name in _NOT_PLAIN):
            return None
        headers.setdefault(hdrs.CONTENT_TYPE, _OCTETS)
        request = aiohttp.ClientRequest(
            hdrs.METH_POST, URL(self._base_url + path), headers=headers, session=self._session
        )
        del request.headers[hdrs.CONTENT_LENGTH]
        lines = [f"POST {request.url.raw_path_qs} HTTP/1.1", *(f"{k}: {v}" for k, v in request.headers.items())]
        if any(map(_NOT_SENT.search, lines)):
            msg = "a header of the call holds a control character"
            raise ValueError(msg)
        return _Head("\r\n".join([*lines, f"{hdrs.CONTENT_LENGTH}: "]).encode(), request)


class Exchange:
    """A request on its way and its answer.

    Parameters
    ----------
    connector
        Gives the connection.
    timeout
        Limits the making of one.
    request
        The library's, which says where to.
    text
        All that is sent.

    Attributes
    ----------
    status, headers, content
        Of the answer, once the exchange is entered.
    """

    __slots__ = ("_connection", "_connector", "_request", "_text", "_timeout", "content", "headers", "status")

    status: int
    headers: CIMultiDictProxy[str]
    content: aiohttp.StreamReader

    def __init__(
        self, connector: TimedConnector, timeout: aiohttp.ClientTimeout, request: aiohttp.ClientRequest, text: bytes
    ) -> None:
        self._connector, self._timeout, self._request, self._text = connector, timeout, request, text
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Send the request; give the exchange when the head of its answer is there."""
        try:
            try:
                connection = await self._connector.connect(self._request, [], self._timeout)
            except TimeoutError as exc:
                msg = f"Connection timeout to host {self._request.url}"
                raise aiohttp.ConnectionTimeoutError(msg) from exc
            try:
                await self._converse(connection)
            except BaseException:
                connection.close()
                raise
        except aiohttp.ClientError:
            raise
        except OSError as exc:
            if exc.errno is None and isinstance(exc, TimeoutError):
                raise
            raise aiohttp.ClientOSError(*exc.args) from exc
        self._connection = connection
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the connection: one whose answer is not whole is closed by the pool."""
        if self._connection is not None:
            self._connection.release()

    def close(self) -> None:
        """Close the connection, whatever is still to come on it."""
        if self._connection is not None:
            self._connection.close()

    async def _converse(self, connection: Connection) -> None:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            msg = "Cannot write to closing transport"
            raise aiohttp.ClientConnectionResetError(msg)
        protocol.set_response_params(
            timer=_NO_TIMER, read_until_eof=True, max_field_size=MOST_FIELD_BYTES, max_headers=MOST_FIELDS
        )
        transport.write(self._text)
        try:
            message, content = await protocol.read()
            while message.code // 100 == 1 and message.code != _SWITCHED:
                message, content = await protocol.read()
        except HttpProcessingError as exc:
            request = self._request
            raise aiohttp.ClientResponseError(
                request.request_info, (), status=exc.code, message=exc.message, headers=exc.headers
            ) from exc
        self.status, self.headers, self.content = message.code, message.headers, content

        def let_go() -> None:
            if protocol.writing_paused:  # an answer came before all of its request had left
                connection.close()
            else:
                connection.release()

        content.on_eof(let_go)
