"""Reads one answer of POST /api/proxy-request: a JSON object that says itself whether the call succeeded.

A success must carry ``"success": true``, and neither it nor its ``data`` may hold an error of its own: an MCP tool's
``isError``, alone or in JSON-RPC's ``result``, or an ``error`` of JSON-RPC or of a model's API, is the upstream's
failure, whatever the status says. What is no success is told by :mod:`soaklib.targets.fourrunr.answers` from its words,
in whichever of these forms they come:

========================================================== =====================================================
body                                                       words
========================================================== =====================================================
``{"error": "...", "reason" or "details": "..."}``         the texts
``{"message": "..."}``                                     the text
``{"error": {"message": "...", "type": "..."}}``           the message; a ``type`` that is known counts first
``{"title": "...", "detail": "..."}`` (RFC 9457)           title and detail
========================================================== =====================================================
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from multidict import istr

from soaklib.records import Kind, Reason
from soaklib.safety.foreign_json import json_as_read
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.answers import MOST_BODY_BYTES
from soaklib.targets.base import Limit, Reading
from soaklib.targets.fourrunr.answers import classify_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_BODY_BYTES", "AnswerReader", "read_answer"]

MAX_BODY_BYTES: Final = MOST_BODY_BYTES
_MOST_ID_CHARACTERS: Final = 128
"""Of a correlation id; what is longer is cut off, for each row of a day holds one."""

_CONTENT_TYPE: Final = istr("Content-Type")
_CORRELATION_ID: Final = istr("X-Correlation-Id")
_SUCCESS: Final = range(int(HTTPStatus.OK), int(HTTPStatus.MULTIPLE_CHOICES))
"""Plain numbers: to look up and compare members of an enum takes longer than to read a whole answer."""
_SUCCEEDED: Final = (Kind.OK, None, None)

_BUDGET: Final = frozenset({"budget_exceeded"})
"""Types of error objects that say that the money is spent, whatever their status."""


class AnswerReader:
    """Reads one answer."""

    __slots__ = ("_chunks", "_correlation_id", "_is_json", "_size_bytes", "_status")

    def __init__(self) -> None:
        self._status = 0
        self._is_json = False
        self._correlation_id: str | None = None
        self._chunks: list[bytes] = []
        self._size_bytes = 0

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take status and headers."""
        self._status = status
        content_type = headers.get(_CONTENT_TYPE, "")
        self._is_json = content_type == "application/json" or (
            content_type.partition(";")[0].strip().lower() == "application/json"
        )
        if (correlation_id := headers.get(_CORRELATION_ID)) is not None:
            self._correlation_id = plain_text(correlation_id, most=_MOST_ID_CHARACTERS)

    def feed(self, chunk: bytes, at_us: int) -> bool:
        """Take a piece of the body; say whether more is wanted."""
        del at_us
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_BODY_BYTES:
            return False
        self._chunks.append(chunk)
        return True

    def end(self) -> Reading:
        """Give what the whole answer says."""
        text = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        kind, reason, limit = read_answer(self._status, text, is_json=self._is_json)
        if reason is None:
            return Reading(kind, reason, limit, self._correlation_id)
        return Reading(
            kind, reason, limit, self._correlation_id, lost_identity=reason is Reason.AGENT_NOT_FOUND
        )  # fmt: skip

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        """Give what an answer says that came to no end: what the transport says of it."""
        return Reading(kind, reason, None, self._correlation_id)


def read_answer(status: int, text: bytes, *, is_json: bool) -> tuple[Kind, Reason | None, Limit | None]:
    """Classify a whole answer; a success must carry the JSON object that says so."""
    is_success = status in _SUCCESS
    if is_success and not is_json:
        return Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE, None
    body = json_as_read(text)
    if body is None:
        kind, reason = (
            (Kind.INVALID_RESPONSE, Reason.BODY_INVALID) if is_success else classify_answer(status, None, None)
        )
        return kind, reason, None
    if is_success:
        if body.get("success") is not True:
            return Kind.INVALID_RESPONSE, Reason.BODY_INVALID, None
        if _is_error(body.get("error")) or _bears_error(body.get("data")):
            return Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None
        return _SUCCEEDED
    return _refusal(status, body)


def _is_error(value: object) -> bool:
    """Say whether an ``error`` inside a success says that there was one: JSON-RPC's is an object, null is none."""
    return value is True or (isinstance(value, dict | str) and bool(value))


def _bears_error(data: object) -> bool:
    """Say whether data are an upstream's answer that is an error."""
    if not isinstance(data, dict):
        return False
    result = data.get("result")
    is_failed = isinstance(result, dict) and result.get("isError") is True
    return is_failed or data.get("isError") is True or _is_error(data.get("error"))


def _refusal(status: int, body: dict[str, object]) -> tuple[Kind, Reason | None, Limit | None]:
    error, detail = _words(body)
    inner = body.get("error")
    if isinstance(inner, dict):
        if inner.get("type") in _BUDGET:
            return Kind.DENIED, Reason.QUOTA, Limit.BUDGET
        error, detail = _words(inner)
    return *classify_answer(status, error, detail), None


def _words(body: dict[str, object]) -> tuple[str | None, str | None]:
    """Give what an error says in short, and what it says of why."""
    return _text(body, "error", "message", "title"), _text(body, "reason", "details", "detail")


def _text(body: dict[str, object], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str):
            return value
    return None
