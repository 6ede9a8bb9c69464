"""Answers of the MCP wire, as JSON and as a stream of events.

A stream bears notifications and, last, the answer; it is whole when the answer has come. What a server tells of and
asks its client in between is passed over and is no content. Several messages may come as one array (revision
2025-03-26, JSON-RPC's batch). The result of another request, as a gateway gives it that mixes its callers up, is no
answer.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from soaklib.records import Kind, Reason
from soaklib.safety.foreign_json import objects_as_read
from soaklib.targets.answers import AnswerReader, Finding
from soaklib.targets.mcp.denials import INVALID, of_error, of_http, of_result
from soaklib.targets.mcp.messages import answer_among

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soaklib.targets.base import Reading

__all__ = ["MCPReader"]

_TRUNCATED: Final = Finding(Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED)
_CONTENT_TYPE: Final = Finding(Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE)
_MESSAGES: Final = frozenset({"", "message"})
"""Names of the events that bear messages: the protocol's own, or none."""


class MCPReader(AnswerReader):
    """Reads the answer of one request.

    Parameters
    ----------
    mended
        Reasons that a new token or session would mend.
    is_call
        Whether a tool was called; the results of other requests are of other shapes.
    sent
        The JSON-RPC id of the request, which its result bears; None to take that of any.
    has_session
        Whether the request bore a session's id.
    is_contextforge
        Whether ContextForge answers, whose words for an upstream's answer that is none are known.
    done
        Told once how the call ended.
    """

    correlation_headers = ("x-correlation-id", "x-request-id")

    def __init__(
        self,
        mended: frozenset[Reason] = frozenset(),
        *,
        is_call: bool,
        sent: int | None = None,
        has_session: bool = False,
        is_contextforge: bool = False,
        done: Callable[[Reason | None], None] | None = None,
    ) -> None:
        super().__init__(mended)
        self._done = done
        self._sent = sent
        self._is_call, self._has_session, self._is_contextforge = is_call, has_session, is_contextforge
        self._found: Finding | None = None

    def end(self) -> Reading:
        """Give what the whole answer says."""
        return self._told(super().end())

    def broken_off(self, kind: Kind, reason: Reason) -> Reading:
        """Give what an answer says that came to no end."""
        return self._told(super().broken_off(kind, reason))

    def judge_body(self, body: bytes) -> Finding:
        """Say what an answer in one piece is."""
        message = self.object_of(body)
        found = None if message is None else self._judge(message)
        if self.is_success:
            is_json = message is not None or self.content_type == "application/json"
            return found or (INVALID if is_json else _CONTENT_TYPE)
        message = message or {}
        is_lost = self.status == HTTPStatus.NOT_FOUND and self._has_session
        if found is not None and not _is_ok(found) and "error" not in message and not is_lost:
            return found  # a result that says itself that it is none
        return of_http(self.status, body, message, self.headers, has_session=self._has_session)

    def object_in(self, text: bytes) -> dict[str, object] | None:
        """Give the message that a text is; of several the answer."""
        return answer_among(objects_as_read(text))

    def event(self, data: bytes) -> bool:
        """Take a message, and say whether it is the result: a protocol without pieces of one has no other content.

        What comes after the answer counts no more, and what bears another name may be anything.
        """
        message = self.object_in(data)
        if self._found is not None or (message is None and self.event_name not in _MESSAGES):
            return False
        self._found = INVALID if message is None else self._judge(message)
        return self._found is not None and message is not None and isinstance(message.get("result"), dict)

    def judge_stream(self) -> Finding:
        """Say what the stream is, if it ended here."""
        return self._found or _TRUNCATED

    @property
    def has_said_all(self) -> bool:
        """Whether the answer has come."""
        return self._found is not None

    def _told(self, reading: Reading) -> Reading:
        done, self._done = self._done, None
        if done is not None:
            done(reading.reason)
        return reading

    def _judge(self, message: Mapping[str, object]) -> Finding | None:
        """Say what an answer is; None where a message is none."""
        if isinstance(error := message.get("error"), dict):
            return of_error(error)
        if isinstance(result := message.get("result"), dict) and self._is_ours(message):
            return of_result(result, is_call=self._is_call, is_contextforge=self._is_contextforge)
        return None

    def _is_ours(self, message: Mapping[str, object]) -> bool:
        """Say whether a result is of our request: it bears its id, which some servers make a text; an error may not."""
        id_ = message.get("id", self._sent)  # of any type, also of one without a hash
        return self._sent is None or id_ == self._sent or id_ == str(self._sent)


def _is_ok(finding: Finding) -> bool:
    return finding.kind is Kind.OK
