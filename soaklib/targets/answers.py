"""What the readers of every wire share: a body in one piece or as a stream of events, and what it came to.

A reader of a wire says what a whole body and what each event means (:class:`AnswerReader`); how both are collected,
how much of them, and what becomes of an answer that is broken off is the same for all, and is here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.records import Kind, Reason
from soaklib.safety.foreign_json import json_as_read
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.base import Limit, Reading
from soaklib.targets.sse import MOST_EVENT_BYTES, EventStream

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MOST_BODY_BYTES",
    "OK",
    "AnswerReader",
    "Finding",
    "count_in",
    "count_of",
    "milliseconds_of",
    "money_in",
    "money_of",
    "of_status",
]

MOST_BODY_BYTES: Final = MOST_EVENT_BYTES
"""Of an answer in one piece; sixteen embeddings of 3,072 numbers are a MiB, and so is a picture in base64."""

_MOST_ID_CHARACTERS: Final = 128
_MOST_COUNT: Final = 2**31 - 1  # of tokens: what a column of the store holds
_MOST_DIGITS: Final = 10
_MOST_MS: Final = 86_400_000.0
_MOST_USD: Final = 1e6  # of one answer: what is more is no price


class Finding(NamedTuple):
    """What an answer was, short of its times and counts; the fields mean what they mean in a reading."""

    kind: Kind
    reason: Reason | None
    limit: Limit | None = None


OK: Final = Finding(Kind.OK, None)
_TOO_LARGE: Final = Finding(Kind.INVALID_RESPONSE, Reason.BODY_TOO_LARGE)
_TRUNCATED: Final = Finding(Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED)
_CUT: Final = frozenset({Reason.RESET, Reason.BODY_INVALID, Reason.TRANSPORT_OTHER})
"""How the transport says that the connection was cut."""

_ENDS_OF_STREAMS: Final = _CUT | {Reason.READ_TIMEOUT, Reason.STREAM_STALLED}


_UPSTREAM: Final = Finding(Kind.UPSTREAM_ERROR, Reason.UPSTREAM)
_OF_STATUS: Final = {
    401: Finding(Kind.UNAUTHORIZED, Reason.UNAUTHORIZED_OTHER),
    402: Finding(Kind.DENIED, Reason.BUDGET, Limit.BUDGET),
    403: Finding(Kind.DENIED, Reason.POLICY_OTHER),
    408: _UPSTREAM,
    429: Finding(Kind.RATE_LIMITED, Reason.RATE_LIMIT),
    **dict.fromkeys((502, 503, 504, *range(520, 525), 529), _UPSTREAM),
}
"""408 is a gateway's that waited for its upstream for too long: the load sends each request at once and whole. 520 to
524 are a content network's in front of an origin that fails it, 529 a model's API that is overloaded."""

_OF_HUNDRED: Final = {
    3: Finding(Kind.INVALID_RESPONSE, Reason.REDIRECT),
    4: Finding(Kind.INVALID_REQUEST, Reason.CLIENT_ERROR),
    5: Finding(Kind.UPSTREAM_ERROR, Reason.INTERNAL),
}
_PROTOCOL: Final = Finding(Kind.INVALID_RESPONSE, Reason.PROTOCOL)


def of_status(status: int) -> Finding:
    """Give what a status alone says of an answer that is no success."""
    return _OF_STATUS.get(status) or _OF_HUNDRED.get(status // 100, _PROTOCOL)


def count_of(value: object) -> int | None:
    """Give a count that an answer states; None where it is none that can be."""
    return value if type(value) is int and 0 <= value <= _MOST_COUNT else None


def count_in(text: str | None) -> int | None:
    """Give a count that a header states; None where it states none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        return None
    return count_of(int(text))


def milliseconds_of(text: str | None) -> int | None:
    """Give what a header states in milliseconds, as microseconds; None where it states none."""
    try:
        ms = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return round(ms * 1_000) if 0 <= ms <= _MOST_MS else None


def money_of(value: object) -> float | None:
    """Give an amount of money that an answer states; None where it is none that can be."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= _MOST_USD else None  # type: ignore[arg-type, operator]  # a number


def money_in(text: str | None) -> float | None:
    """Give an amount of money that a header states; None where it states none."""
    try:
        return money_of(float(text)) if text is not None else None
    except ValueError:
        return None


class AnswerReader(ABC):
    """Reads one answer as it comes.

    Parameters
    ----------
    mended
        Reasons that a new identity would mend: the gateway does not know the old one any more.

    Attributes
    ----------
    status, headers
        As they came; 0 and empty before.
    """

    correlation_headers: tuple[str, ...] = ()
    """Headers that may bear the gateway's id of the call, the best first."""

    event_name: str = ""
    """The name (``event:``) of the event that is taken; empty where it has none."""

    def __init__(self, mended: frozenset[Reason] = frozenset()) -> None:
        self._mended = mended
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.gateway_us: int | None = None
        self.retries: int | None = None
        self.fallbacks: int | None = None
        self.remaining: int | None = None
        self.cost_usd: float | None = None
        self.chunks = 0
        self._events: EventStream | None = None
        self._body = bytearray()
        self._is_too_large = False
        self._first_byte_at_us: int | None = None
        self._first_token_at_us: int | None = None

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take status and headers."""
        self.status, self.headers = status, headers
        if self.is_success and self.content_type == "text/event-stream":
            self._events = EventStream()

    @property
    def is_success(self) -> bool:
        """Whether the status says that the call succeeded."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def has_said_all(self) -> bool:
        """Whether a stream has said its last word: what becomes of its connection afterwards is no part of it."""
        return False

    @property
    def content_type(self) -> str:
        """The type of the body, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def feed(self, chunk: bytes, at_us: int) -> bool:
        """Take a piece of the body, and when it came; say whether more is wanted."""
        if self._events is None:
            self._body += chunk
            self._is_too_large = len(self._body) > MOST_BODY_BYTES
            return not self._is_too_large
        if chunk and self._first_byte_at_us is None:
            self._first_byte_at_us = at_us
        for data, name in self._events.feed(chunk):
            if data:  # one without bears an id to go on from, or says that the stream lives
                self.event_name = name
                self._take(data, at_us)
        self._is_too_large = self._events.is_too_large
        return not (self._is_too_large or self.has_said_all)

    def end(self) -> Reading:
        """Give what the whole answer says."""
        if self._is_too_large:
            return self._reading(_TOO_LARGE)
        if self._events is None:
            return self._reading(self.judge_body(bytes(self._body)))
        if (rest := self._events.rest()) is not None and rest.data:
            self.event_name = rest.name
            self.event(rest.data)  # its blank line is missing, its lines are whole
        return self._reading(self.judge_stream())

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        """Give what an answer says that came to no end, by what the transport says of it."""
        finding = Finding(kind, reason)
        if self._is_too_large:
            finding = _TOO_LARGE
        elif self._events is not None and self.has_said_all:
            finding = self.judge_stream()
        elif self._events is not None and reason in _ENDS_OF_STREAMS:
            said = self.judge_stream()  # what it said itself is wrong, before it was broken off
            if said not in {OK, _TRUNCATED}:
                finding = said
            elif reason in _CUT:
                finding = _TRUNCATED
        return self._reading(finding)

    def object_of(self, body: bytes) -> dict[str, object] | None:
        """Give the JSON object of a body; of one that is events, as a refused stream's may be, the first among them."""
        if (said := self.object_in(body)) is not None or self.content_type != "text/event-stream":
            return said
        stream = EventStream()
        events = stream.feed(body)
        if (rest := stream.rest()) is not None:
            events.append(rest)
        return next((said for data, _ in events if (said := self.object_in(data)) is not None), None)

    def object_in(self, text: bytes) -> dict[str, object] | None:
        """Give the JSON object that a text is; a wire that puts several into one says which counts."""
        return json_as_read(text)

    @abstractmethod
    def judge_body(self, body: bytes) -> Finding:
        """Say what an answer in one piece is; usage that it states is put down."""

    @abstractmethod
    def event(self, data: bytes) -> bool:
        """Take the data of one event of a stream; say whether it bore content."""

    @abstractmethod
    def judge_stream(self) -> Finding:
        """Say what the stream is, if it ended here."""

    def _take(self, data: bytes, at_us: int) -> None:
        if self.event(data):
            self.chunks += 1
            if self._first_token_at_us is None:
                self._first_token_at_us = at_us

    def _reading(self, finding: Finding) -> Reading:
        kind, reason, limit = finding
        return Reading(
            kind,
            reason,
            limit,
            self._correlation_id(),
            self._first_byte_at_us,
            self._first_token_at_us,
            None if self._events is None else self.chunks,
            self.input_tokens,
            self.output_tokens,
            self.gateway_us,
            reason in self._mended,
            self.retries,
            self.fallbacks,
            self.remaining,
            self.cost_usd,
        )

    def _correlation_id(self) -> str | None:
        for name in self.correlation_headers:
            if (value := self.headers.get(name)) is not None:
                return plain_text(value, most=_MOST_ID_CHARACTERS)
        return None
