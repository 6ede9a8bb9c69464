"""What a command says to the person at its terminal: foreign words are only words, and saying them costs nothing.

Titles, messages and cells hold what gateways, plans and files say, so nothing is read as markup, and no character of
theirs steers the terminal.
"""

from __future__ import annotations

import contextlib
from typing import IO, Any, Final

from rich.console import Console
from rich.text import Text

from soaklib.commands.streams import settle_words

__all__ = ["new_console", "plain", "say", "say_at_last"]

_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"


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
    """Say a sentence before the process leaves, and wait a moment until it is written."""
    say(console, text)
    settle_words()
