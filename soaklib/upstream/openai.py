"""OpenAI's wire: chat completions, also streamed, embeddings, responses, models."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Final, cast

import orjson
from aiohttp import web

from soaklib.upstream.conduct import Conduct, Upstream, Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["OpenAIWire"]

_WIRE: Final = "openai"
_MODELS: Final = ("small", "large", "embedding")
_ID: Final = "chatcmpl-soaklib"
_MESSAGE_ID: Final = "msg_soaklib"
_DELTA: Final = "response.output_text.delta"
_DIMENSIONS: Final = 8
_NOT_ASKED_FOR: Final[dict[str, object]] = {
    "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto",
    "tools": [], "top_p": 1.0,
}  # fmt: skip
"""What every response says again of its request, which a gateway may hold it to: as OpenAI does of one without."""


class OpenAIWire:
    """Handlers of the wire's routes.

    Parameters
    ----------
    upstream
        What all requests share.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/v1/models", self._models),
            web.post("/v1/chat/completions", self._handler("messages", self._chat)),
            web.post("/v1/embeddings", self._handler("input", self._embeddings)),
            web.post("/v1/responses", self._handler("input", self._responses)),
        ]

    def _handler(
        self, needed: str, answer: Callable[[Conduct, dict[str, object]], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = _json(await request.read())
            model = body.get("model")
            conduct = Conduct(self._upstream, request, _WIRE, model if isinstance(model, str) else "(none)")
            with conduct.counted():
                if not isinstance(model, str) or needed not in body:
                    conduct.outcome = "refused"
                    return _refusal(f"Missing required parameter: '{needed if model else 'model'}'.", needed)
                if conduct.is_limited:
                    return _limited(conduct)
                await conduct.wait()
                status = f"mock {conduct.mode}"
                error = {"error": {"message": status, "type": "mock_error", "param": None, "code": conduct.mode}}
                if (misbehaved := await conduct.misbehave(error)) is not None:
                    return misbehaved
                is_stream = body.get("stream") is True and answer != self._embeddings
                if conduct.mode == "error-frame" and not is_stream:
                    return web.json_response(
                        {"error": {"message": "mock error", "type": "server_error", "code": "500"}}
                    )
                conduct.spare_from("forget-session", *(() if answer == self._responses else ("tool-error",)))
                return await answer(conduct, body)

        return handle

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in _MODELS]})

    async def _chat(self, conduct: Conduct, body: dict[str, object]) -> web.StreamResponse:
        if body.get("stream") is True:
            return await self._chat_stream(conduct, body)
        words = conduct.behaviour.frames
        message = {"role": "assistant", "content": " ".join(f"w{i}" for i in range(words))}
        answer: dict[str, object] = {
            "id": _ID,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        if (usage := _usage(conduct, words)) is not None:
            answer["usage"] = usage
        return await conduct.whole(orjson.dumps(answer))

    async def _chat_stream(self, conduct: Conduct, body: dict[str, object]) -> web.StreamResponse:
        frames = conduct.behaviour.frames
        writer = Writer(conduct, frames)
        await writer.begin()
        head = {"id": _ID, "object": "chat.completion.chunk", "created": int(time.time()), "model": body["model"]}
        error = orjson.dumps({"error": {"message": "mock stream error", "type": "server_error", "code": "500"}})
        for i in range(frames):
            delta = {"content": f"w{i} "} | ({"role": "assistant"} if i == 0 else {})
            frame = orjson.dumps(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            if not await writer.frame(i, frame, error):
                return writer.response
        await writer.send(orjson.dumps(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        options = body.get("stream_options")
        usage = _usage(conduct, frames)
        if usage is not None and isinstance(options, dict) and options.get("include_usage") is True:
            await writer.send(orjson.dumps(head | {"choices": [], "usage": usage}))
        if conduct.mode != "no-end":
            await writer.send(b"[DONE]")
        return writer.response

    async def _embeddings(self, conduct: Conduct, body: dict[str, object]) -> web.StreamResponse:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": i, "embedding": [round(0.1 * (i + j + 1), 3) for j in range(_DIMENSIONS)]}
            for i in range(len(texts))
        ]
        answer: dict[str, object] = {"object": "list", "model": body["model"], "data": data}
        if (usage := _usage(conduct, None)) is not None:
            answer["usage"] = {name: usage[name] for name in ("prompt_tokens", "total_tokens")}
        return await conduct.whole(orjson.dumps(answer))

    async def _responses(self, conduct: Conduct, body: dict[str, object]) -> web.StreamResponse:
        answer = _response(conduct, body)
        if body.get("stream") is not True:
            return await conduct.whole(orjson.dumps(answer))
        return await _response_stream(conduct, answer)


def _response(conduct: Conduct, body: dict[str, object]) -> dict[str, object]:
    words = conduct.behaviour.frames
    is_failed = conduct.mode == "tool-error"
    part = {"type": "output_text", "annotations": [], "text": "".join(_word(i) for i in range(words))}
    output = {"id": _MESSAGE_ID, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    answer: dict[str, object] = {
        "id": "resp_soaklib",
        "object": "response",
        "created_at": int(time.time()),
        "status": "failed" if is_failed else "completed",
        "model": body["model"],
        "output": [] if is_failed else [output],
        "error": {"code": "server_error", "message": "mock failure"} if is_failed else None,
        "incomplete_details": None,
        **_NOT_ASKED_FOR,
    }
    if (usage := _usage(conduct, words)) is not None:
        into, out, total = usage.values()
        answer["usage"] = {
            "input_tokens": into, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": out, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": total,
        }  # fmt: skip
    return answer


async def _response_stream(conduct: Conduct, answer: dict[str, object]) -> web.StreamResponse:
    """Send a response event by event, each with its type for its name, and numbered, as OpenAI does."""
    words = conduct.behaviour.frames
    writer = Writer(conduct, words, error_event=b"error")
    numbers = count()

    async def send(type_: str, **rest: object) -> None:
        await writer.send(_event(type_, next(numbers), rest), event=type_.encode())

    await writer.begin()
    begun = {name: value for name, value in answer.items() if name != "usage"} | {"output": [], "error": None}
    for type_ in ("response.created", "response.in_progress"):
        await send(type_, response=begun | {"status": "in_progress"})
    if not answer["output"]:
        if conduct.mode != "no-end":
            await send(f"response.{answer['status']}", response=answer)
        return writer.response
    [item] = cast("list[dict[str, list[dict[str, object]]]]", answer["output"])
    [part] = item["content"]
    place: dict[str, object] = {"item_id": _MESSAGE_ID, "output_index": 0, "content_index": 0}
    await send("response.output_item.added", output_index=0, item=item | {"status": "in_progress", "content": []})
    await send("response.content_part.added", **place, part=part | {"text": ""})
    for i in range(words):
        number = next(numbers)
        wrong: dict[str, object] = {"code": "server_error", "message": "mock stream error", "param": None}
        said = _event(_DELTA, number, place | {"delta": _word(i), "logprobs": []})
        if not await writer.frame(i, said, _event("error", number, wrong), _DELTA.encode()):
            return writer.response
    await send("response.output_text.done", **place, text=part["text"], logprobs=[])
    await send("response.content_part.done", **place, part=part)
    await send("response.output_item.done", output_index=0, item=item)
    if conduct.mode != "no-end":
        await send("response.completed", response=answer)
    return writer.response


def _word(i: int) -> str:
    return f" w{i}" if i else "w0"


def _event(type_: str, number: int, rest: dict[str, object]) -> bytes:
    return orjson.dumps({"type": type_, "sequence_number": number} | rest)


def _usage(conduct: Conduct, words: int | None) -> dict[str, int] | None:
    into, out = conduct.tokens(words)
    if not conduct.behaviour.usage:
        return None
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}


def _json(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(message: str, param: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return web.json_response({"error": error}, status=400)


def _limited(conduct: Conduct) -> web.Response:
    limit = conduct.behaviour.rate_limit
    error = {
        "message": f"Rate limit reached: limit {limit} in {conduct.behaviour.window_s:g} s.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    return web.json_response({"error": error}, status=429, headers={"Retry-After": str(conduct.retry_after_s)})
