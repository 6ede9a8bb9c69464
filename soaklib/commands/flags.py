"""The flags of a command: a mistake is answered with one line that says the nearest that is right."""

from __future__ import annotations

import argparse
import math
import re
import sys
from typing import TYPE_CHECKING, Any

from soaklib.errors import ExitCode, near_miss

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

__all__ = ["Flags", "number_from_0", "seconds_from_0"]


class Flags(argparse.ArgumentParser):
    """A parser that tells a wrong flag in one line, before whatever else is missing, and not its whole usage."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # one form for argparse's three
        """Parse arguments, those of the process if there are none; a mistake ends the process with code 2."""
        given = list(sys.argv[1:] if args is None else args)
        known = sorted(set(_options(self)))
        for word in given[: given.index("--")] if "--" in given else given:
            flag = word.partition("=")[0]
            if flag.startswith("--") and not any(option.startswith(flag) for option in known):
                self.error(f"there is no flag {flag}{near_miss(flag, known)}")
        return super().parse_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, in one line, and end with the code for bad usage."""
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}; --help tells more\n")


def seconds_from_0(text: str) -> float:
    """Read a time in seconds: a number from 0 that is not infinite."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        msg = f"{text!r} is no time in seconds: a number from 0"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def number_from_0(text: str) -> int:
    """Read a whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        msg = f"{text!r} is no whole number from 0"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Give every flag of a parser, and of the parsers of its own commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
            for inner in action.choices.values():
                yield from _options(inner)
