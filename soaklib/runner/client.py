"""The transport of the load: sends a call's request, hands what comes back to its reader, and keeps times and limits.

A failed call is data, and only cancellation is raised. What an answer means is for the reader to say; what is told here
is what became of the way there and back. The load is mostly POST, which aiohttp never sends twice by itself (it repeats
only idempotent methods on a dropped kept-alive connection), so one attempt on the wire is one row. Idle connections are
given up before servers do, because a server that closes one just as it is used again would look like a reset of its own
making.
"""

from __future__ import annotations

import asyncio
import errno
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from soaklib.records import Kind, Reason
from soaklib.runner.deadlines import Deadlines
from soaklib.runner.exchange import Exchanges
from soaklib.targets.transport import TimedConnector, open_session, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from soaklib.runner.exchange import Exchange
    from soaklib.targets.base import Reader, Reading, Wire
    from soaklib.targets.transport import Connections

__all__ = ["FAILURES", "Answer", "Client", "classify_failure"]

_ASKED_FOR: Final = "gzip, deflate"
"""Encodings of a body that the load asks for: not those that depend on which packages are there beside the library."""

_EXHAUSTED: Final = frozenset({errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What keeps a connection from being made that lies with this machine: no port, no descriptor, no memory for it."""

_HELD: Final = re.compile(r"\[Errno (\d+)\](?: Connect call failed \('([\d.]+)')?")
"""The failures of several addresses, where they differ, stand in one error's text alone; some with their address."""

_MOST_TAIL_S: Final = 1.0
"""How long, wall seconds, a stream may take to end after its last word for its connection to be used again."""
_MOST_TAIL_BYTES: Final = 64 << 10

_STALL_SHARE: Final = 0.5
"""Of a call's limit: a stream that stood still for longer than this when it was over has stalled as well."""


class Answer(NamedTuple):
    """What became of one call; times on the run's clock, in microseconds."""

    sent_at_us: int
    done_at_us: int
    status: int | None
    reading: Reading


FAILURES: Final[tuple[tuple[type[BaseException], Kind, Reason], ...]] = (
    (aiohttp.ConnectionTimeoutError, Kind.TIMEOUT, Reason.CONNECT_TIMEOUT),
    (TimeoutError, Kind.TIMEOUT, Reason.READ_TIMEOUT),
    (aiohttp.ClientConnectorDNSError, Kind.TRANSPORT_ERROR, Reason.DNS),
    (aiohttp.ClientConnectorCertificateError, Kind.TRANSPORT_ERROR, Reason.TLS),
    (aiohttp.ClientSSLError, Kind.TRANSPORT_ERROR, Reason.TLS),
    (aiohttp.ServerFingerprintMismatch, Kind.TRANSPORT_ERROR, Reason.TLS),
    (aiohttp.ClientConnectorError, Kind.TRANSPORT_ERROR, Reason.TRANSPORT_OTHER),
    (aiohttp.ServerDisconnectedError, Kind.TRANSPORT_ERROR, Reason.RESET),
    (aiohttp.ClientOSError, Kind.TRANSPORT_ERROR, Reason.RESET),
    (aiohttp.ClientConnectionResetError, Kind.TRANSPORT_ERROR, Reason.RESET),
    (aiohttp.UploadAbortedError, Kind.TRANSPORT_ERROR, Reason.RESET),
    (aiohttp.ClientPayloadError, Kind.INVALID_RESPONSE, Reason.BODY_INVALID),
    (aiohttp.ClientResponseError, Kind.INVALID_RESPONSE, Reason.PROTOCOL),
    (aiohttp.ClientError, Kind.TRANSPORT_ERROR, Reason.TRANSPORT_OTHER),
    (OSError, Kind.TRANSPORT_ERROR, Reason.TRANSPORT_OTHER),
)
"""Exception -> kind and reason; the first row that fits counts."""


def classify_failure(exc: BaseException) -> tuple[Kind, Reason]:
    """Classify an exception of the transport by :data:`FAILURES`, where its own number or cause does not say more."""
    if isinstance(exc, aiohttp.ClientConnectorError) and (reason := _why_not_connected(exc.os_error)) is not None:
        return Kind.TRANSPORT_ERROR, reason
    if isinstance(_root_of(exc), ContentEncodingError):
        return Kind.INVALID_RESPONSE, Reason.CONTENT_ENCODING
    for type_, kind, reason in FAILURES:
        if isinstance(exc, type_):
            return kind, reason
    raise exc


def _why_not_connected(exc: OSError) -> Reason | None:
    """Say what kept a connection from being made, of several addresses what kept the one that might have been."""
    if exc.errno is not None:
        numbers = {exc.errno}
    else:
        held = _HELD.findall(str(exc))
        numbers = {int(number) for number, _ in held}
        if any(address and int(number) == errno.ECONNREFUSED for number, address in held):
            # a machine without IPv6 has no address for it; that of IPv4 was asked, and refused
            numbers.discard(errno.EADDRNOTAVAIL)
    if numbers & _EXHAUSTED:
        return Reason.SENDER_EXHAUSTED
    return Reason.CONNECT_REFUSED if errno.ECONNREFUSED in numbers else None


def _root_of(exc: BaseException) -> BaseException:
    while (cause := exc.__cause__ or exc.__context__) is not None:
        exc = cause
    return exc


class Client:
    """Sends calls to one gateway.

    Parameters
    ----------
    base_url
        The gateway's base URL.
    now_us
        The run's clock.
    timeout_s
        Time limit of a call from its sending, in wall seconds.
    max_connections
        Most connections at a time; the in-flight cap, so that no call waits for one.
    headers
        Headers sent with every call; what they say stands above what a call would send under the same name.
    ca_file
        Further authorities to verify the gateway's TLS by.
    connection_max_age_s
        How long a connection is used for at most, in wall seconds; None for no limit.
    """

    def __init__(
        self,
        base_url: str,
        *,
        now_us: Callable[[], int],
        timeout_s: float,
        max_connections: int,
        headers: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
        connection_max_age_s: float | None = None,
    ) -> None:
        self._now_us = now_us
        self._timeout_s = timeout_s
        self._deadlines = Deadlines(timeout_s)
        self._connector = TimedConnector(
            base_url, limit=max_connections, ca_file=ca_file, most_age_s=connection_max_age_s
        )
        given = {name.lower(): value for name, value in (headers or {}).items()}
        asked_for = given.get("accept-encoding", _ASKED_FOR)
        self._unpacked = {"", "identity", "x-gzip", *(one.partition(";")[0].strip() for one in asked_for.split(","))}
        self._given = frozenset(given)
        sent = {hdrs.ACCEPT_ENCODING: _ASKED_FOR} | dict(headers or {})
        self._session = open_session(self._connector, timeout_s=timeout_s, headers=sent)
        self._base_url = base_url
        self._exchanges = Exchanges(base_url, self._session, self._connector)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.close()
        await self._session.close()

    def take_longest_wait_us(self) -> int:
        """Give the longest wait for a connection since the last time this was asked."""
        return round(self._connector.take_longest_wait_s() * 1e6)

    def take_connections(self) -> Connections:
        """Give how many connections are held, and how many came and were lost since the last time this was asked."""
        return self._connector.take_connections()

    async def send(self, wire: Wire, reader: Reader, *, stall_s: float | None = None) -> Answer:
        """Send one call and wait for its whole answer, its failure, or a time limit.

        Parameters
        ----------
        wire
            The request.
        reader
            Reads the answer as it comes.
        stall_s
            How long, wall seconds, the answer may stand still once its body has begun; None for the call's own limit.
        """
        now_us = self._now_us
        if self._given:
            own = {name: value for name, value in wire.headers.items() if name.lower() not in self._given}
            wire = wire._replace(headers=own)
        loop = asyncio.get_running_loop()
        limit = self._deadlines.begin()
        came_s = ends_s = limit.at_s
        status: int | None = None
        sent_at_us = now_us()
        try:
            with limit:
                async with self._exchanges.begin(wire) or self._by_session(wire) as response:
                    status = response.status
                    reader.head(status, response.headers)
                    if response.headers.get(hdrs.CONTENT_ENCODING, "").lower() not in self._unpacked:
                        response.close()
                        return Answer(
                            sent_at_us, now_us(), status,
                            reader.broken_off(Kind.INVALID_RESPONSE, Reason.CONTENT_ENCODING),
                        )  # fmt: skip
                    readany = response.content.readany
                    while chunk := await readany():
                        if not reader.feed(chunk, now_us()):
                            done_at_us = now_us()
                            limit.lift()
                            await _let_end(response)
                            return Answer(
                                sent_at_us, done_at_us, status,
                                reader.broken_off(Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE),
                            )  # fmt: skip
                        if stall_s is not None:
                            came_s = loop.time()
                            limit.move(min(ends_s, came_s + stall_s))
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            done_at_us = now_us()
            kind, reason = classify_failure(exc)
            # a stream may stand still for so long that the call's limit comes first
            stood_s = ends_s - came_s
            has_stalled = stall_s is not None and stood_s >= min(stall_s, _STALL_SHARE * self._timeout_s)
            if limit.has_expired and (limit.at_s < ends_s or has_stalled):
                kind, reason = Kind.TIMEOUT, Reason.STREAM_STALLED
            return Answer(sent_at_us, done_at_us, status, reader.broken_off(kind, reason))
        return Answer(sent_at_us, now_us(), status, reader.end())

    def _by_session(self, wire: Wire) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        url = URL(self._base_url + wire.path)
        return self._session.request(wire.method, url, data=wire.body, headers=wire.headers, allow_redirects=False)


async def _let_end(response: aiohttp.ClientResponse | Exchange) -> None:
    """Let a body come to its end of which nothing more is wanted: only then can its connection be used again.

    Its answer is known: one that does not end soon, or is cut, costs the connection and nothing else.
    """
    try:
        async with asyncio.timeout(_MOST_TAIL_S):
            rest = await read_bounded(response.content, _MOST_TAIL_BYTES)
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        rest = None
    if rest is None:
        response.close()
