"""The standard streams of a command: they last whoever reads them, and words on standard error hold nothing up.

One that stands still (Ctrl-S, a frozen connection, a pipe that nobody reads) would hold up whoever speaks to it: an
event loop with all that it does, a bundle that is packed after a table is shown, the signals that end a command.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Words", "lasting_streams", "settle_words"]

_READER_IS_GONE: Final = frozenset({errno.EIO, errno.EPIPE})
_MOST_WAITING: Final = 2**19  # characters: some hundred panels, some thousand sentences
_PIECE_BYTES: Final = select.PIPE_BUF  # what a pipe takes whole, or not at all
_MOMENT_S = 1.0
_PATIENCE: Final = 10  # moments in which a reader takes nothing, after which it is one that does not read


@contextlib.contextmanager
def lasting_streams(is_urgent: Callable[[], bool]) -> Iterator[None]:
    """Let a command's streams outlive their readers, and a thread write what is said on standard error.

    What is written goes nowhere once the terminal is closed or the other end of a pipe is gone. Nobody who says
    something waits until it is read: what a reader is behind with is left out, the oldest words first, and that is
    said. At the end a reader is waited for as long as it reads on, and for some seconds in which it does not; of
    standard output, which holds results, a full disk is an error, and a reader is waited for as long as it takes, also
    where whoever shares the stream has set it not to wait.

    Parameters
    ----------
    is_urgent
        Says whether a signal asked for the end: then nobody is waited for longer than a moment.
    """
    streams = sys.stdout, sys.stderr
    out, said = _there(streams[0]), _there(streams[1])
    with contextlib.suppress(OSError):
        out.flush()  # what was said before comes before
    words = _HandedOver(said) if _is_a_file(said) else None
    sys.stdout = cast("TextIO", _Results(out, words))
    sys.stderr = cast("TextIO", Words(said) if words is None else words)
    try:
        yield
    finally:
        if is_urgent() and _is_a_file(out) and not _takes(out):
            _let_go(out)
        if words is not None:
            words.end(is_urgent)
        sys.stdout, sys.stderr = streams


def settle_words() -> None:
    """Wait a moment for what was said on standard error to be written: before what must come after it."""
    if isinstance(sys.stderr, _HandedOver):
        sys.stderr.settle()


def _there(stream: TextIO | None) -> TextIO:
    """Give a standard stream, or nowhere in its place: there is none when it was closed before the process began."""
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream


def _is_a_file(stream: TextIO) -> bool:
    """Say whether a stream is one of the system's; behind any other nothing can stand still."""
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True


def _takes(stream: TextIO) -> bool:
    """Say whether a stream would take something now; one whose reader is gone does."""
    return _wait_for_room(stream.fileno(), 0)


def _wait_for_room(descriptor: int, most_ms: int | None = None) -> bool:
    """Wait until a descriptor takes something, and say whether it does."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(most_ms))


def _let_go(stream: TextIO) -> None:
    """Let all that is written go nowhere, also what waits in a buffer: the interpreter tries once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Lasting:
    """A standard stream that lasts: when nobody is there to read any more, what is written goes nowhere.

    Parameters
    ----------
    stream
        The stream.
    descriptor
        What to write to in its place; None to write to the stream itself.
    """

    def __init__(self, stream: TextIO, descriptor: _Unbuffered | None = None) -> None:
        self._stream = stream
        self._to = descriptor or stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._to.write(text)
        except OSError as exc:
            self._failed(exc)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as exc:
            self._failed(exc)

    def _failed(self, exc: OSError) -> None:
        _let_go(self._stream)
        if exc.errno not in _READER_IS_GONE:
            raise exc


class _Results(_Lasting):
    """Standard output, which holds the work: a full disk is an error. It comes after what was said before it."""

    def __init__(self, stream: TextIO, words: _HandedOver | None) -> None:
        # a name that is no text goes out as the bytes that it is: whoever reads it looks for the file
        super().__init__(stream, _Unbuffered(stream, "surrogateescape") if _is_a_file(stream) else None)
        self._words = words

    def write(self, text: str) -> int:
        if self._words is not None:
            self._words.settle()
        return super().write(text)


class Words(_Lasting):
    """Standard error, which holds words about the work and not the work: whatever it does not take costs nothing.

    A full disk may have room again, so it is kept; the first words that get through then are that some are missing.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._missing: str | None = None

    def write(self, text: str) -> int:
        """Write, or go without."""
        if self._missing is not None:
            said, self._missing = f"[words are missing here: {self._missing}]\n", None
            super().write(said)
        return super().write(text)

    def are_missing(self, why: str) -> None:
        """Say before the next words that some are missing."""
        self._missing = why

    def _failed(self, exc: OSError) -> None:
        if exc.errno in _READER_IS_GONE:
            _let_go(self._stream)
        else:
            self.are_missing(exc.strerror or str(exc))


class _Unbuffered:
    """A stream's descriptor: nothing waits in it, and none of the stream's locks is held while it is written to.

    One that does not wait by itself, since a program that shares it has set it so, is waited for: of what such a one
    does not take at once, Python's own streams lose the rest.

    Parameters
    ----------
    stream
        The stream.
    errors
        What becomes of a character that its encoding lacks; by its code where that is no answer.
    took
        Called when a piece is written.
    """

    def __init__(
        self, stream: TextIO, errors: str = "backslashreplace", *, took: Callable[[], None] = lambda: None
    ) -> None:
        self._descriptor, self._encoding, self._errors, self._took = stream.fileno(), stream.encoding, errors, took

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        try:
            left = text.encode(self._encoding, self._errors)
        except UnicodeEncodeError:
            left = text.encode(self._encoding, "backslashreplace")
        while left:
            try:
                left = left[os.write(self._descriptor, left[:_PIECE_BYTES]) :]
            except BlockingIOError:
                _wait_for_room(self._descriptor)
            else:
                self._took()
        return len(text)


class _HandedOver:
    """Standard error, written by a thread that nobody waits for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._words = Words(cast("TextIO", _Unbuffered(stream, took=self._go_on)))
        self._waiting: deque[str] = deque()
        self._characters = 0  # of those that wait
        self._changed = threading.Condition()
        self._is_writing = self._stands_still = self._are_missing = self._is_over = False
        self.thread = threading.Thread(target=self._write, name="words", daemon=True)
        self.thread.start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._changed:
            self._waiting.append(text)
            self._characters += len(text)
            if self._characters > _MOST_WAITING:
                while self._characters > _MOST_WAITING and len(self._waiting) > 1:
                    self._next_line()
                self._are_missing = True
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Keep nothing back, as the thread does."""

    def settle(self) -> None:
        """Wait until all is written, but no longer than a moment, and not again for one that stands still."""
        with self._changed:
            if not self._stands_still:
                self._stands_still = not self._changed.wait_for(self._is_settled, _MOMENT_S)

    def end(self, is_urgent: Callable[[], bool]) -> None:
        """Wait for the reader, as long as it reads; what it has not taken then is left out."""
        with self._changed:
            still = 0
            while not self._is_settled() and still < (1 if is_urgent() else _PATIENCE):
                still = 0 if self._changed.wait(_MOMENT_S) else still + 1
            self._is_over = True
            self._waiting.clear()
            self._changed.notify_all()

    def _go_on(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _is_settled(self) -> bool:
        return not self._waiting and not self._is_writing

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if self._is_over:
                    return
                text, self._is_writing = self._next_line(), True
                if self._are_missing:
                    self._words.are_missing("they were not read")
                self._are_missing = False
            self._words.write(text)
            with self._changed:
                self._is_writing = self._stands_still = False
                self._changed.notify_all()

    def _next_line(self) -> str:
        """Take what was said next, with what was said beside it to the end of its line."""
        text = self._waiting.popleft()
        while self._waiting and not text.endswith("\n"):
            text += self._waiting.popleft()
        self._characters -= len(text)
        return text
