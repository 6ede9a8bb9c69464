"""Sends one call and says what became of it; a failed call is data, and only cancellation is raised.

The load is POST, which aiohttp never sends twice by itself (it repeats only idempotent methods on a dropped kept-alive
connection), so one attempt on the wire is one row. Idle connections are given up before servers do, because a server
that closes one just as it is used again would look like a reset of its own making.
"""

from __future__ import annotations

import asyncio
import errno
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
import orjson
from aiohttp import hdrs
from yarl import URL

from soaklib.records import Kind, Reason
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.fourrunr.answers import classify_answer
from soaklib.targets.transport import TimedConnector, open_session, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["FAILURES", "Answer", "Client", "classify_failure"]

MAX_BODY_BYTES: Final = 1 << 20
MOST_ID_CHARACTERS: Final = 128
"""Of a correlation id; what is longer is cut off, for each row of a day holds one."""

_SEND_HEADERS: Final = {hdrs.CONTENT_TYPE: "application/json", hdrs.ACCEPT: "application/json"}


class Answer(NamedTuple):
    """What became of one call; times on the run's clock, in microseconds."""

    sent_at_us: int
    done_at_us: int
    status: int | None
    kind: Kind
    reason: Reason | None
    correlation_id: str | None


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
    """Classify an exception of the transport by :data:`FAILURES`."""
    if isinstance(exc, aiohttp.ClientConnectorError) and exc.os_error.errno == errno.ECONNREFUSED:
        return Kind.TRANSPORT_ERROR, Reason.CONNECT_REFUSED
    for type_, kind, reason in FAILURES:
        if isinstance(exc, type_):
            return kind, reason
    raise exc


class Client:
    """Sends calls to POST /api/proxy-request of one gateway.

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
        Headers sent with every call.
    ca_file
        Further authorities to verify the gateway's TLS by.
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
    ) -> None:
        self._url = URL(base_url + "/api/proxy-request")
        self._now_us = now_us
        self._timeout_s = timeout_s
        self._connector = TimedConnector(base_url, limit=max_connections, ca_file=ca_file)
        self._session = open_session(self._connector, timeout_s=timeout_s, headers=dict(headers or {}) | _SEND_HEADERS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    def take_longest_wait_us(self) -> int:
        """Give the longest wait for a connection since the last time this was asked."""
        return round(self._connector.take_longest_wait_s() * 1e6)

    async def send(self, body: bytes) -> Answer:
        """Send one call and wait for its whole answer, its failure, or the time limit."""
        sent_at_us = self._now_us()
        status: int | None = None
        correlation_id: str | None = None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                status = response.status
                if (correlation_id := response.headers.get("X-Correlation-Id")) is not None:
                    correlation_id = plain_text(correlation_id, most=MOST_ID_CHARACTERS)
                text = await read_bounded(response.content, MAX_BODY_BYTES)
                if text is None:
                    response.close()
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            kind, reason = classify_failure(exc)
            return Answer(sent_at_us, self._now_us(), status, kind, reason, correlation_id)
        done_at_us = self._now_us()
        if text is None:
            return Answer(sent_at_us, done_at_us, status, Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE, correlation_id)
        kind, why = _classify_body(status, response.content_type, text)
        return Answer(sent_at_us, done_at_us, status, kind, why, correlation_id)


def _classify_body(status: int, content_type: str, text: bytes) -> tuple[Kind, Reason | None]:
    """Classify a whole answer; a success must carry the JSON object that says so."""
    is_success_status = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if is_success_status and content_type != "application/json":
        return Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        if is_success_status:
            return Kind.INVALID_RESPONSE, Reason.BODY_INVALID
        return classify_answer(status, None, None)
    if is_success_status and body.get("success") is not True:
        return Kind.INVALID_RESPONSE, Reason.BODY_INVALID
    return classify_answer(status, _text(body, "error", "message"), _text(body, "reason", "details"))


def _text(body: dict[str, object], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str):
            return value
    return None
