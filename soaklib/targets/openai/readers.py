"""Answers of OpenAI's wire, in one piece and as a stream of events.

A chat's stream is whole when its last word, ``[DONE]``, has come, and a response's when ``response.completed`` or
``response.incomplete`` has; an end without it is a truncation, however tidy. A stream that ended and bore nothing is
no answer: LiteLLM makes one, with a reason to stop, of an upstream's answer that it cannot read. One that says that it
was cut short (``length``, ``content_filter``), or states tokens that it made, is one: a model may think all of it away.
Events that are no part of the answer (``event: ping``, an object without choices) are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import Kind, Reason
from soaklib.safety.foreign_json import json_as_read
from soaklib.targets.answers import (
    OK,
    AnswerReader,
    Finding,
    count_in,
    count_of,
    milliseconds_of,
    money_in,
    money_of,
)
from soaklib.targets.openai.denials import finding_of, status_of_code

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ChatReader", "EmbeddingsReader", "OpenAIReader", "ResponsesReader"]

_DONE: Final = b"[DONE]"
_INVALID: Final = Finding(Kind.INVALID_RESPONSE, Reason.BODY_INVALID)
_NOT_WHAT_WAS_ASKED: Final = Finding(Kind.INVALID_RESPONSE, Reason.CONTENT_TYPE)
_TRUNCATED: Final = Finding(Kind.INVALID_RESPONSE, Reason.STREAM_TRUNCATED)
_REMAINING: Final = tuple(
    f"x-ratelimit-{whose}-remaining-requests"
    for whose in (
        "api_key", "team", "user", "model_per_key", "team_member", "end_user", "organization", "model_per_team",
        "model_per_organization", "tag_per_key",
    )
)  # fmt: skip
"""What LiteLLM says of its own limits."""
_BARE_REMAINING: Final = "x-ratelimit-remaining-requests"
"""What OpenAI, Azure and those that stand before others as they do say of theirs; from LiteLLM it is its upstream's."""
_LITELLMS: Final = ("x-litellm-", "llm_provider-")
"""How headers begin that nobody but LiteLLM sends."""
_UNNAMED: Final = frozenset({"", "message"})
"""Names of events whose data must be JSON; under another a server says what it likes."""
_CONTENT: Final = (
    "content", "tool_calls", "function_call", "reasoning_content", "reasoning", "refusal", "audio", "images",
)  # fmt: skip
"""What a delta may bear; pictures are so named by LiteLLM and OpenRouter, of models that make them."""


class OpenAIReader(AnswerReader):
    """Reads an answer; what an object means is the business of each kind of call.

    Parameters
    ----------
    mended
        Reasons that a new key would mend.
    is_stream
        Whether a stream was asked for.
    is_litellm
        Whether LiteLLM answers, which hands on what its upstream's headers say; its own headers tell it as well.
    """

    correlation_headers = ("x-litellm-call-id", "x-request-id", "x-correlation-id")

    def __init__(self, mended: frozenset[Reason] = frozenset(), *, is_stream: bool, is_litellm: bool = False) -> None:
        super().__init__(mended)
        self._is_stream = is_stream
        self._is_litellm = is_litellm
        self._has_ended = False
        self._is_answer = False  # by what it says of its end, whatever it bore
        self._wrong: Finding | None = None

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take status and headers, and what the gateway says of its own time."""
        super().head(status, headers)
        self.gateway_us = milliseconds_of(headers.get("x-litellm-overhead-duration-ms"))
        self.retries = count_in(headers.get("x-litellm-attempted-retries"))
        self.fallbacks = count_in(headers.get("x-litellm-attempted-fallbacks"))
        self.remaining = self._remaining_in(headers)
        if not self._is_stream:  # the head of a stream is sent before anything is known of its cost, and says 0
            self.cost_usd = _cost_in(headers)

    def _remaining_in(self, headers: Mapping[str, str]) -> int | None:
        """Give the fewest calls that a limit of the gateway's own still lets through, as it says."""
        left = [count for name in _REMAINING if (count := count_in(headers.get(name))) is not None]
        bare = headers.get(_BARE_REMAINING)
        if left or bare is None:
            return min(left, default=None)
        is_litellm = self._is_litellm or any(name.lower().startswith(_LITELLMS) for name in headers)
        return None if is_litellm else count_in(bare)

    def judge_body(self, body: bytes) -> Finding:
        """Say what an answer in one piece is."""
        answer = self.object_of(body)
        error = _error_of(answer)
        if error is not None:
            return finding_of(status_of_code(error) if self.is_success else self.status, error, self.headers)
        if not self.is_success:
            return finding_of(self.status, {}, self.headers)
        if answer is None:
            return _INVALID if self.content_type == "application/json" else _NOT_WHAT_WAS_ASKED
        self._count(answer.get("usage"))
        if self._is_stream:
            return _NOT_WHAT_WAS_ASKED
        return self.judge_object(answer)

    def event(self, data: bytes) -> bool:
        """Take an event; nothing counts that comes after what is wrong."""
        if data == _DONE:
            self._end()
            return False
        answer = json_as_read(data)
        error = _error_of(answer)
        if error is None and self.event_name == "error":
            error = answer or {"message": data.decode("utf-8", "replace")}
        if error is not None:
            self._fail(error)
            return False
        if answer is None:
            if self.event_name in _UNNAMED:
                self._wrong = self._wrong or _INVALID
            return False
        self._count(answer.get("usage"))
        return self._wrong is None and self.take_object(answer)

    def judge_stream(self) -> Finding:
        """Say what the stream is, if it ended here."""
        if self._wrong is not None:
            return self._wrong
        if not self._is_stream:
            return _NOT_WHAT_WAS_ASKED
        if not self._has_ended:
            return _TRUNCATED
        return OK if self.chunks or self._is_answer else _INVALID

    @property
    def has_said_all(self) -> bool:
        """Whether the last word of a stream has come."""
        return self._has_ended

    def judge_object(self, answer: dict[str, object]) -> Finding:
        """Say what the object of a successful answer is."""
        raise NotImplementedError

    def take_object(self, answer: dict[str, object]) -> bool:
        """Take the object of an event; say whether it bears content."""
        raise NotImplementedError

    def _end(self) -> None:
        self._has_ended = True

    def _fail(self, error: Mapping[str, object]) -> None:
        """Put down an error that a stream bears; the first counts."""
        self._wrong = self._wrong or finding_of(status_of_code(error), error, self.headers)

    def _count(self, usage: object) -> None:
        """Put down the usage; a later one counts, for it is of the whole answer."""
        if isinstance(usage, dict):
            into = count_of(usage.get("prompt_tokens", usage.get("input_tokens")))
            out = count_of(usage.get("completion_tokens", usage.get("output_tokens")))
            self.input_tokens = self.input_tokens if into is None else into
            self.output_tokens = self.output_tokens if out is None else out
            cost = money_of(usage.get("cost"))
            self.cost_usd = self.cost_usd if cost is None else cost


class ChatReader(OpenAIReader):
    """Reads chat completions."""

    _finish: str | None = None

    def judge_object(self, answer: dict[str, object]) -> Finding:
        """Hold a completion to having a choice with a message, and no error in the place of one."""
        choices = answer.get("choices")
        if (error := _error_of_choices(choices)) is not None:
            return finding_of(status_of_code(error), error, self.headers)
        first = choices[0] if isinstance(choices, list) and choices else None
        is_whole = isinstance(first, dict) and isinstance(first.get("message"), dict)
        return OK if is_whole else _INVALID

    def take_object(self, answer: dict[str, object]) -> bool:
        """Look for content in the deltas of a chunk, and for why it ends."""
        choices = answer.get("choices")
        if not isinstance(choices, list):
            return False
        if (error := _error_of_choices(choices)) is not None:
            self._fail(error)
            return False
        has_content = False
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            if isinstance(finish := choice.get("finish_reason"), str):
                self._finish = finish
            delta = choice.get("delta")
            has_content = has_content or (isinstance(delta, dict) and any(delta.get(name) for name in _CONTENT))
        return has_content

    def _end(self) -> None:
        """Hold a chat without content to saying why there is none."""
        super()._end()
        self._is_answer = self._finish is not None and (self._finish != "stop" or bool(self.output_tokens))


class EmbeddingsReader(OpenAIReader):
    """Reads embeddings, whose usage is of their input: where it is stated, there was no output."""

    def judge_object(self, answer: dict[str, object]) -> Finding:
        """Hold embeddings to being there, and not empty."""
        data = answer.get("data")
        is_whole = (
            isinstance(data, list) and data and all(isinstance(one, dict) and one.get("embedding") for one in data)
        )
        return OK if is_whole else _INVALID

    def _count(self, usage: object) -> None:
        super()._count(usage)
        if self.input_tokens is not None and self.output_tokens is None:
            self.output_tokens = 0

    def take_object(self, answer: dict[str, object]) -> bool:  # noqa: ARG002 - embeddings are never streamed
        """Nothing is streamed."""
        return False


class ResponsesReader(OpenAIReader):
    """Reads responses: answers of ``/responses``, whose stream ends by an event of its own."""

    def judge_object(self, answer: dict[str, object]) -> Finding:
        """Hold a response to being completed, or cut short by what it was allowed."""
        is_whole = answer.get("status") in ("completed", "incomplete") and isinstance(answer.get("output"), list)
        return OK if is_whole else _INVALID

    def take_object(self, answer: dict[str, object]) -> bool:
        """Take an event by its type; ``response.failed`` bears the error within."""
        type_ = answer.get("type")
        response = answer.get("response")
        if isinstance(response, dict):
            self._count(response.get("usage"))
            if (error := _error_of(response)) is not None or type_ == "response.failed":
                self._fail(error or {})
                return False
        if type_ == "error":
            self._fail(answer)
        if type_ in ("response.completed", "response.incomplete"):
            super()._end()
            is_filled = isinstance(response, dict) and bool(response.get("output"))
            self._is_answer = type_ == "response.incomplete" or is_filled or bool(self.output_tokens)
        return isinstance(type_, str) and type_.endswith(".delta") and bool(answer.get("delta"))

    def _end(self) -> None:
        """``[DONE]`` may follow, and says nothing."""


def _cost_in(headers: Mapping[str, str]) -> float | None:
    """Give what LiteLLM says that an answer in one piece cost: what is from its cache costs nothing, which it omits."""
    for name in ("x-litellm-response-cost", "x-litellm-response-cost-original"):
        if (cost := money_in(headers.get(name))) is not None:
            return cost
    return 0.0 if "x-litellm-cache-key" in headers else None


def _error_of(answer: dict[str, object] | None) -> dict[str, object] | None:
    """Give the error that an object bears; some servers give its text alone, or say that the whole object is one."""
    error = answer.get("error") if answer is not None else None
    if error is True or (answer is not None and answer.get("object") == "error" and not isinstance(error, dict)):
        return answer
    if isinstance(error, str) and error:
        return {"message": error}
    return error if isinstance(error, dict) and error else None


def _error_of_choices(choices: object) -> dict[str, object] | None:
    """Give the error that stands in the place of a choice, as routers before many providers put it there."""
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            if (error := _error_of(choice)) is not None:
                return error
            if choice.get("finish_reason") == "error":
                return {}
    return None
