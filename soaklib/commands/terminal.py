"""What a command says to the person at its terminal: foreign words are only words, and saying them costs nothing.

Titles, messages and cells hold what gateways, plans and files say, so nothing is read as markup, and no character of
theirs steers the terminal.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Any, Final, TextIO, cast

from rich.console import Console
from rich.text import Text

from soaklib.commands.process import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["handing_words_over", "new_console", "plain", "say", "say_at_last"]

_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
_MOST_WAITING: Final = 256  # panels and sentences; a panel has two kilobytes
_LAST_WORDS_WITHIN_S = 1.0
_handed_over: Final[list[_HandedOver]] = []


class _Console(Console):
    """A console that reads no markup, and leaves it to its user what to do when nobody reads any more."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as it is; a question is read as markup by default, whatever the console was made with."""
        super().print(*objects, **(options | {"markup": False, "emoji": False}))

    def on_broken_pipe(self) -> None:
        """Raise the error itself, where rich would end the process with code 1 and let go of standard output."""
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


def new_console(file: IO[str] | None = None) -> Console:
    """Give the console of a command, on which nothing is read as markup.

    Parameters
    ----------
    file
        Where to; None for standard error.
    """
    return _Console(file=file, stderr=True, markup=False, emoji=False, highlight=False)


def plain(text: str, style: str = "") -> Text:
    """Give words to be shown as they are."""
    return Text("".join(one if one.isprintable() or one == "\n" else _UNPRINTABLE for one in text), style)


def say(console: Console, text: str, style: str = "") -> None:
    """Say a sentence, its lines left as long as they are; where nobody can be told, go on."""
    # Whatever a closed, full or broken terminal raises, and whatever its library does: a run is worth more than words
    # about it, and there is no other place to say that they could not be said.
    with contextlib.suppress(Exception):
        console.print(plain(text, style), soft_wrap=True)


def say_at_last(console: Console, text: str) -> None:
    """Say a sentence before the process leaves, and wait a moment for those who write it."""
    say(console, text)
    for words in _handed_over:
        words.settle()


@contextlib.contextmanager
def handing_words_over() -> Iterator[None]:
    """Let a thread write what is said on standard error within, so that nobody who says it waits for a terminal.

    One that stands still (Ctrl-S, a frozen connection, a pager that is not read on) would hold up the event loop, with
    all that it does and the signals that it hears. What such a terminal is behind with is left out, the oldest words
    first; and so is what it has not taken a second after the end.
    """
    before = sys.stderr
    if not _is_a_file(before):
        yield
        return
    words = _HandedOver(before)
    _handed_over.append(words)
    sys.stderr = cast("TextIO", words)
    try:
        yield
    finally:
        sys.stderr = before
        _handed_over.remove(words)
        words.end()


def _is_a_file(stream: TextIO) -> bool:
    """Say whether a stream is one of the system's; behind any other nothing can stand still."""
    try:
        stream.fileno()
    except (OSError, ValueError):
        return False
    return True


class _Unbuffered:
    """A stream's descriptor: nothing waits in it, and none of the stream's locks is held while it is written to."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor, self._encoding = stream.fileno(), stream.encoding

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        left = text.encode(self._encoding, "backslashreplace")
        while left:
            left = left[os.write(self._descriptor, left) :]
        return len(text)


class _HandedOver:
    """Standard error, written by a thread that nobody waits for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._words = Words(cast("TextIO", _Unbuffered(stream)))
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._changed = threading.Condition()
        self._is_writing = self._is_over = False
        self.thread = threading.Thread(target=self._write, name="words", daemon=True)
        self.thread.start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._changed:
            self._waiting.append(text)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Keep nothing back, as the thread does."""

    def settle(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._is_writing, _LAST_WORDS_WITHIN_S)

    def end(self) -> None:
        self.settle()
        with self._changed:
            self._is_over = True
            self._waiting.clear()
            self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if self._is_over:
                    return
                text, self._is_writing = self._waiting.popleft(), True
            self._words.write(text)
