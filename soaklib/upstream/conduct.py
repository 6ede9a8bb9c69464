"""One request: waiting as long as it is meant to, misbehaving where it is meant to, being counted once."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from soaklib.upstream.behaviour import Fate
from soaklib.upstream.book import Book
from soaklib.upstream.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.upstream.behaviour import Behaviour

__all__ = ["Conduct", "Upstream", "Writer"]

_STREAM_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
_OF_STREAMS: Final = ("junk-frame", "no-end")
_HALF_JSON: Final = '{"id": "x", "resu'


class Upstream:
    """What all requests share.

    Parameters
    ----------
    start
        How it behaves at the start, and after a DELETE of ``/control``.
    seed
        Of every decision.
    """

    def __init__(self, start: Behaviour, seed: int) -> None:
        self.start = start
        self.behaviour = start
        self.book = Book()
        self.limiter = Limiter()
        self._seed = seed
        self._number = 0

    def next_fate(self, name: str) -> Fate:
        """Say what befalls the request that has come."""
        number, self._number = self._number, self._number + 1
        return self.behaviour.fate(self._seed, number, name)


class Conduct:
    """How one request is answered.

    Parameters
    ----------
    upstream
        What all requests share.
    request
        The request.
    wire, name
        As counted: the wire, and the model or tool.
    is_call
        Whether it asks a model or tool, and not what there is and how it is.
    """

    def __init__(self, upstream: Upstream, request: web.Request, wire: str, name: str, *, is_call: bool = True) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._wire, self._name, self._is_call = wire, name, is_call
        self.request = request
        self.behaviour = upstream.behaviour
        self.fate = upstream.next_fate(name)
        self.outcome = self.fate.mode if self.fate.mode != "none" else "ok"
        self._tokens = (0, 0)
        self._has_stalled = False

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the request once, whatever becomes of it."""
        self._upstream.book.in_flight += 1
        try:
            yield
        except (asyncio.CancelledError, ConnectionResetError):
            self._has_stalled = False  # nor has it gone on
            if self.outcome not in {"hang", "stall"}:
                self.outcome = "left"
            raise
        finally:
            self._upstream.book.in_flight -= 1
            is_whole = self.outcome == "ok" or (self.outcome == "stall" and self._has_stalled)
            self._upstream.book.request(self._wire, self._name, self.outcome, is_call=self._is_call, is_whole=is_whole)
            if is_whole:
                self._upstream.book.tokens(self._name, *self._tokens)

    @property
    def mode(self) -> str:
        """How it is misbehaved to."""
        return self.fate.mode

    def spare_from(self, *modes: str) -> None:
        """Answer as if all were well where it is misbehaved to in a way that has no part in such an answer."""
        if self.mode in modes:
            self.fate = Fate(self.fate.latency_s, "none")
            self.outcome = "ok"

    @property
    def is_limited(self) -> bool:
        """Whether the caller is over its limit; asked once."""
        behaviour, limiter = self.behaviour, self._upstream.limiter
        if limiter.lets_through(self._caller, behaviour.rate_limit, behaviour.window_s, self._loop.time()):
            return False
        self.outcome = "limited"
        return True

    @property
    def retry_after_s(self) -> int:
        """When a caller that is over its limit may come again: whole seconds, at least 1."""
        left_s = self._upstream.limiter.left_s(self._caller, self.behaviour.window_s, self._loop.time())
        return max(1, math.ceil(left_s))

    @property
    def _caller(self) -> str:
        return self.request.headers.get("Authorization", "")

    async def wait(self) -> None:
        """Wait as long as the answer is meant to take."""
        await self.until(0.0)

    async def until(self, after_s: float) -> None:
        """Wait until so long after the first frame was due, and put down what came late of it."""
        due_s = self._began_s + self.fate.latency_s + after_s
        await asyncio.sleep(max(0.0, due_s - self._loop.time()))
        self._upstream.book.late(self._loop.time() - due_s)

    async def misbehave(self, error: object) -> web.StreamResponse | None:
        """Give the answer of a misbehaviour that no wire has a part in; None where the wire has to answer.

        Parameters
        ----------
        error
            The body of an answer with a status, as the wire has it.
        """
        status = 400 <= int(self.mode) < 600 if self.mode.isdigit() else False  # noqa: PLR2004 - statuses of errors
        if status:
            retry = self.behaviour.retry_after_s
            headers = {} if retry is None else {"Retry-After": str(retry)}
            return web.json_response(error, status=int(self.mode), headers=headers)
        if self.mode == "reset":
            return self.reset()
        if self.mode == "hang":
            await asyncio.Event().wait()  # until the caller leaves or the upstream ends
        bodies = {
            "html": web.Response(text="<html><body>This is no answer.</body></html>", content_type="text/html"),
            "bad-json": web.Response(text=_HALF_JSON, content_type="application/json"),
            "empty": web.Response(text="", content_type="application/json"),
            "shape": web.json_response({"hello": "world"}),
        }
        return bodies.get(self.mode)

    def reset(self) -> web.Response:
        """Reset the connection."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    async def stall(self) -> None:
        """Stand still."""
        stalls_s = self.behaviour.stall_ms / 1_000
        await asyncio.sleep(stalls_s)
        self._began_s += stalls_s  # what comes after it is meant to be later by that much
        self._has_stalled = True

    async def whole(self, answer: bytes) -> web.StreamResponse:
        """Give an answer in one piece, or half of it where it is to be cut or truncated."""
        self.spare_from(*_OF_STREAMS)
        half = len(answer) // 2
        if self.mode == "truncate":
            return web.Response(body=answer[:half], content_type="application/json")
        if self.mode not in {"cut", "stall"}:
            return web.Response(body=answer, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(answer))})
        await response.prepare(self.request)
        await response.write(answer[:half])
        if self.mode == "cut":
            await asyncio.sleep(0.02)  # what was written has to leave before the reset, which throws it away
            self.reset()
            return response
        await self.stall()
        await response.write(answer[half:])
        return response

    def tokens(self, out: int | None) -> tuple[int, int]:
        """Give the tokens of an answer, of which one without words has none; they are put down if it comes to its end.

        Parameters
        ----------
        out
            Words of the answer; None where it has none, whatever the behaviour says of words.
        """
        said = self.behaviour.output_tokens
        self._tokens = (self.behaviour.input_tokens, 0 if out is None else out if said is None else said)
        return self._tokens


class Writer:
    """Writes a stream of events, each at its time, and does in its middle what it is to do.

    Parameters
    ----------
    conduct
        Of the request.
    frames
        How many frames bear content.
    line_end
        LF or CRLF.
    error_event
        Name of the event that bears an error; None for one without.
    """

    def __init__(
        self, conduct: Conduct, frames: int, line_end: bytes = b"\n", *, error_event: bytes | None = None
    ) -> None:
        self._conduct = conduct
        self._middle = frames // 2
        self._end = line_end
        self._error_event = error_event
        self.response = web.StreamResponse(headers=_STREAM_HEADERS)

    async def begin(self, headers: dict[str, str] | None = None) -> None:
        """Send the head."""
        self.response.headers.update(headers or {})
        await self.response.prepare(self._conduct.request)

    async def send(self, data: bytes, event: bytes | None = None) -> None:
        """Send an event at once."""
        head = b"" if event is None else b"event: " + event + self._end
        await self.response.write(head + b"data: " + data + self._end + self._end)

    async def frame(self, which: int, data: bytes, error: bytes, event: bytes | None = None) -> bool:
        """Send a frame at its time; say whether the stream goes on."""
        conduct = self._conduct
        await conduct.until(which * conduct.behaviour.gap_ms / 1_000)
        if which == self._middle and not await self._misbehave(error):
            return False
        await self.send(data, event)
        return True

    async def _misbehave(self, error: bytes) -> bool:
        mode = self._conduct.mode
        if mode == "stall":
            await self._conduct.stall()
        elif mode == "junk-frame":
            await self.send(b"{not json")
        elif mode == "error-frame":
            await self.send(error, self._error_event)
        elif mode == "cut":
            await asyncio.sleep(0.02)  # what was written has to leave before the reset, which throws it away
            self._conduct.reset()
        return mode not in {"error-frame", "cut", "truncate"}
