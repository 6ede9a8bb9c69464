"""Ends a command by a signal in order: what is open is closed, what is temporary removed, and one sentence is said."""

from __future__ import annotations

import functools
import signal
import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn

__all__ = ["STOPPING_SIGNALS", "Stopped", "stoppable", "stopping_signals"]

STOPPING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asks for the end; like KeyboardInterrupt no error, so that nothing handles it as one.

    Attributes
    ----------
    number
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def stopping_signals() -> list[signal.Signals]:
    """Give the signals that ask for the end; not SIGHUP where it is ignored, as under ``nohup``."""
    return [
        number
        for number in STOPPING_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]


class _Command(Protocol):
    """A command: takes its arguments, those of the process if there are none, and gives its exit code."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def stoppable(main: _Command) -> _Command:
    """Let a command end by SIGINT, SIGTERM or SIGHUP with a sentence and the code 128 + n, without a traceback."""

    @functools.wraps(main)
    def command(arguments: Sequence[str] | None = None) -> int:
        before = {number: signal.signal(number, _stop) for number in stopping_signals()}
        try:
            return main(arguments)
        except Stopped as exc:
            print(f"soaklib: stopped by {exc.number.name}", file=sys.stderr)  # noqa: T201 - the command's own words
            return 128 + exc.number
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return command


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise Stopped(number)
