"""Connections to the gateway, made one way for all that is sent (see :mod:`soaklib.safety.reaching`)."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from soaklib.safety.reaching import USER_AGENT, refuse_bad_header, tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiohttp.abc import ResolveResult

__all__ = [
    "ACCEPT_METRICS",
    "MOST_FIELDS",
    "MOST_FIELD_BYTES",
    "MOST_METRICS_BYTES",
    "MOST_MOVES",
    "Connections",
    "TimedConnector",
    "connect_limit_s",
    "is_moved",
    "moved_within",
    "open_session",
    "read_bounded",
    "why_no_answer",
]

_KEEP_ALIVE_S: Final = 4.0  # idle connections are given up before servers do (Node's default is 5 s)
_CONNECT_SHARE: Final = 1 / 3
_MOST_CONNECT_S: Final = 10.0
MOST_FIELD_BYTES: Final = 64 << 10  # of one header of an answer: browsers and curl take as much or more
MOST_FIELDS: Final = 512

MOST_METRICS_BYTES: Final = 64 << 20
"""Those of many agents and models are large; a body without end is refused all the same."""
ACCEPT_METRICS: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus 3 asks for, but for its binary format."""
MOST_MOVES: Final = 3
"""How many times a GET is sent at most where it is redirected."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


def connect_limit_s(timeout_s: float) -> float:
    """Give the time limit of making a connection: a third of a call's own, 10 s at most.

    It must be well below the call's, else a gateway that takes no connections would look like one that does not answer.
    """
    return min(timeout_s * _CONNECT_SHARE, _MOST_CONNECT_S)


class Connections(NamedTuple):
    """How many connections there are, and what became of them since they were last counted.

    Attributes
    ----------
    open
        Held now.
    opened
        Made since.
    lost
        Closed since, and not by us: by the gateway, by what stands before it, or by the network.
    """

    open: int = 0
    opened: int = 0
    lost: int = 0


class _Tally:
    """Counts connections as they come and go."""

    def __init__(self) -> None:
        self.open = self.opened = self.lost = 0


class _CountedHandler(ResponseHandler):
    """One connection, counted."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop, tally: _Tally) -> None:
        super().__init__(loop=loop)
        self._tally = tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        super().connection_made(transport)
        self._tally.open += 1
        self._tally.opened += 1

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count its end; one that we closed has let go of its transport before this."""
        self._tally.open -= 1
        self._tally.lost += self.transport is not None
        super().connection_lost(exc)


class _AgingHandler(_CountedHandler):
    """One connection that, past its age, is closed when the call on it is over: another one is made.

    It is asked at every call, so that only a load that wants it pays for it.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop, tally: _Tally, most_age_s: float) -> None:
        super().__init__(loop=loop, tally=tally)
        self._most_age_s = most_age_s
        self._ends_at_s = math.inf

    @property
    def should_close(self) -> bool:
        """Whether it is not to be used again."""
        return self._loop.time() >= self._ends_at_s or super().should_close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to count its age."""
        super().connection_made(transport)
        self._ends_at_s = self._loop.time() + self._most_age_s


class _TimedResolver(aiohttp.ThreadedResolver):
    """Asks this machine for the addresses of a name, and no longer than a connection may take to be made.

    The library's own limit of a connection begins after that: a name server that is silent would look like a gateway
    that does not answer.
    """

    within_s: float | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses; a TimeoutError is a connection's that was not made in time."""
        async with asyncio.timeout(self.within_s):
            return await super().resolve(host, port, family)


class TimedConnector(aiohttp.TCPConnector):
    """Makes connections to one gateway, counts them, and remembers the longest wait for one since it was last asked.

    Parameters
    ----------
    base_url
        The gateway's base URL.
    limit
        Most connections at a time.
    ca_file
        Further authorities to verify TLS by.
    most_age_s
        How long a connection is used for at most; None for as long as both sides hold it. A balancer that comes to know
        of another gateway sends it new connections, and no calls of those that are there.

    Raises
    ------
    SettingsError
        The file holds no certificate.
    """

    def __init__(self, base_url: str, *, limit: int, ca_file: Path | None, most_age_s: float | None = None) -> None:
        tls = tls_context(ca_file) if URL(base_url).scheme == "https" else True
        self._timed_resolver = _TimedResolver()
        super().__init__(limit=limit, keepalive_timeout=_KEEP_ALIVE_S, ssl=tls, resolver=self._timed_resolver)
        self._longest_wait_s = 0.0
        self._tally = _Tally()
        # the library has no other place at which each connection passes, and none at which a call costs nothing
        self._most_age_s = most_age_s
        self._factory = partial(self._counted)

    def _counted(self) -> ResponseHandler:
        if self._most_age_s is None:
            return _CountedHandler(loop=self._loop, tally=self._tally)
        return _AgingHandler(loop=self._loop, tally=self._tally, most_age_s=self._most_age_s)

    def resolve_within(self, limit_s: float) -> None:
        """Set how long the name of the gateway may take to be found."""
        self._timed_resolver.within_s = limit_s

    def take_connections(self) -> Connections:
        """Give how many connections are held, and how many came and were lost since the last time this was asked."""
        tally = self._tally
        taken = Connections(tally.open, tally.opened, tally.lost)
        tally.opened = tally.lost = 0
        return taken

    def take_longest_wait_s(self) -> float:
        """Give the longest wait for a connection since the last time this was asked."""
        longest, self._longest_wait_s = self._longest_wait_s, 0.0
        return longest

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class's signature
    ) -> aiohttp.connector.Connection:
        """Give a connection, waiting for one if need be."""
        started = self._loop.time()
        try:
            return await super().connect(req, traces, timeout)
        finally:
            self._longest_wait_s = max(self._longest_wait_s, self._loop.time() - started)


def open_session(
    connector: TimedConnector, *, timeout_s: float, headers: Mapping[str, str] | None
) -> aiohttp.ClientSession:
    """Give a session with one gateway: straight to it, without cookies; closing it closes its connections.

    Parameters
    ----------
    connector
        Makes the connections.
    timeout_s
        Time limit of a call, which the caller keeps; that of a connection follows from it (:func:`connect_limit_s`).
    headers
        Headers for every request.

    Raises
    ------
    SettingsError
        A header cannot be sent.
    """
    sent = CIMultiDict({hdrs.USER_AGENT: USER_AGENT})
    for name, value in (headers or {}).items():
        refuse_bad_header(name, value)
        sent[name] = value
    connect_s = connect_limit_s(timeout_s)
    connector.resolve_within(connect_s)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s, ceil_threshold=connect_s),
        headers=sent,
        trust_env=False,  # neither a proxy's address nor a password from ~/.netrc
        max_field_size=MOST_FIELD_BYTES,
        max_headers=MOST_FIELDS,
    )


def is_moved(status: int, location: str | None) -> bool:
    """Say whether an answer is a redirect that says where to."""
    return status in _MOVED and location is not None


def moved_within(url: URL, status: int, location: str | None) -> URL | None:
    """Give where a redirect within one origin leads: to another none is followed, for no header is meant to go there.

    None for an answer that is none, or leads elsewhere, or to what is no address of the web.
    """
    if location is None or not is_moved(status, location):
        return None
    try:
        there = url.join(URL(location))
    except ValueError:
        return None
    is_address = there.scheme in {"http", "https"} and there.host
    return there if is_address and there.origin() == url.origin() else None


async def read_bounded(content: aiohttp.StreamReader, limit_bytes: int) -> bytes | None:
    """Read a body, or give None once it is larger than the limit."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            return None
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def why_no_answer(exc: aiohttp.ClientError | OSError) -> str:
    """Word what kept an answer away; of a connection that was never made the cause, without the library's wording."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        cause = exc.certificate_error
        words = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
        return (
            f"the certificate of {exc.host} port {exc.port} is not trusted ({words}): where its authority is a private "
            "one, pass --ca-file"
        )
    if isinstance(exc, aiohttp.ClientSSLError):
        why = getattr(exc.os_error, "reason", None) or "no reason given"
        return f"{exc.host} port {exc.port} does not speak TLS as it must ({why}): is it http in place of https?"
    if isinstance(exc, aiohttp.ClientConnectorError) and exc.os_error.errno is not None:
        code = exc.os_error.errno
        # a name that is not found has a negative number of its own, and its words with it
        said = exc.os_error.strerror if code < 0 else os.strerror(code)
        return f"cannot connect to {exc.host} port {exc.port}: {said}"
    return str(exc) or type(exc).__name__
