"""``soaklib completion``: what a shell needs to complete commands and flags."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main", "whole_parser"]

SHELLS: Final = ("bash", "zsh", "tcsh")


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib completion",
        description="Print what completes commands and flags in a shell. For bash: "
        'eval "$(soaklib completion bash)", in ~/.bashrc to keep it; for zsh: soaklib completion zsh > a folder of '
        "$fpath/_soaklib.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    shell: str = flags().parse_args(arguments).shell
    try:
        import shtab  # noqa: PLC0415 - of an extra
    except ModuleNotFoundError:
        print("soaklib: completion needs shtab: pip install 'soaklib[completion]'", file=sys.stderr)
        return ExitCode.USAGE
    print(shtab.complete(whole_parser(), shell=shell))
    return ExitCode.OK


def whole_parser() -> argparse.ArgumentParser:
    """Give one parser of all commands with all their flags; a command whose extra is missing has its name alone."""
    from soaklib.commands.main import COMMANDS  # noqa: PLC0415 - the door knows this command, too

    whole = argparse.ArgumentParser(prog="soaklib")
    whole.add_argument("--version", action="store_true", help="say which soaklib this is")
    commands = whole.add_subparsers()
    for name, told in COMMANDS.items():
        commands.add_parser(name, help=told.purpose, parents=_flags_of(told.flags), add_help=False)
    return whole


def _flags_of(module: str) -> list[argparse.ArgumentParser]:
    try:
        found: argparse.ArgumentParser = import_module(module).flags()
    except ModuleNotFoundError:
        return []
    return [found]
