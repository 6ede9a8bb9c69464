"""``soaklib COMMAND``: one door to all commands; ``soaklib run`` and ``python -m soaklib.run`` are the same thing."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from soaklib.commands.streams import lasting_streams
from soaklib.errors import ExitCode, MissingExtraError, near_miss, needing_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["COMMANDS", "door", "main"]


class _Command(NamedTuple):
    """A command: the module whose ``main`` takes its arguments, the extra that it needs, and what it is for."""

    module: str
    extra: str
    purpose: str

    @property
    def flags(self) -> str:
        """The module whose ``flags()`` are those of the command: its own, but for three."""
        apart = {
            "soaklib.commands.run": "soaklib.plan.loading",
            "soaklib.gateway.server": "soaklib.gateway.settings",
            "soaklib.upstream.server": "soaklib.upstream.settings",
        }
        return apart.get(self.module, self.module)


COMMANDS: Final = {
    "run": _Command(
        "soaklib.commands.run", "all", "soak a gateway; without --gateway-url, rehearse the whole day in two minutes"
    ),
    "send": _Command("soaklib.commands.send", "all", "send one lane of a soak, as a fleet's sender"),
    "merge": _Command("soaklib.commands.merge", "all", "make one run of the folders of a fleet's lanes"),
    "report": _Command("soaklib.commands.report", "all", "draw a run's figures and write its whitepaper"),
    "collect": _Command("soaklib.commands.collect", "all", "pack a run's evidence into one bundle"),
    "verify": _Command("soaklib.commands.verify", "all", "check that a bundle is what it says it is"),
    "watch": _Command("soaklib.commands.watch", "all", "look at a run in a browser while it goes on"),
    "compare": _Command("soaklib.commands.compare", "statistics", "hold runs against each other"),
    "changes": _Command(
        "soaklib.commands.changes", "runner", "make a change by hand: credentials, a quota, chaos, a health check"
    ),
    "weekly": _Command(
        "soaklib.commands.weekly", "all", "a soak, its report, and how it compares with the last good one"
    ),
    "gateway": _Command("soaklib.gateway.server", "gateway", "start the reference gateway"),
    "upstream": _Command(
        "soaklib.upstream.server", "gateway", "start the mock upstream: OpenAI and MCP wire, misbehaving on demand"
    ),
    "notebooks": _Command(
        "soaklib.commands.notebooks", "notebooks", "copy the notebooks into a folder and open JupyterLab on them"
    ),
    "sample": _Command("soaklib.commands.sample", "all", "copy the sample run into a folder"),
    "completion": _Command(
        "soaklib.commands.completion", "completion", "print what completes commands and flags in a shell"
    ),
    "schedules": _Command(
        "soaklib.commands.schedules", "all", "copy what starts a weekly soak, and a Grafana dashboard"
    ),
}

_OWN_FLAGS: Final = ("--help", "--version")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        return _print(_help()) or (ExitCode.OK if words else ExitCode.USAGE)
    if words[0] in {"-V", "--version"}:
        return _print(f"soaklib {version('soaklib')}")
    name, *rest = words
    if name not in COMMANDS:
        return _say(
            f"there is no command {name!r}{near_miss(name, [*COMMANDS, *_OWN_FLAGS])}; soaklib --help lists them all"
        )
    return door(name)(rest)


def door(name: str) -> Callable[..., int]:
    """Give a command that imports what it is made of when it is called, with arguments or by those of the process."""

    def run(arguments: Sequence[str] | None = None) -> int:
        try:
            with needing_extra(name, COMMANDS[name].extra), _ended_by_interrupts():
                command = cast("Callable[[Sequence[str] | None], int]", import_module(COMMANDS[name].module).main)
        except MissingExtraError as exc:
            return _say(str(exc))
        return command(arguments)

    return run


@contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process by its signal: there is nothing to say yet, and no trace of an import to show."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: soaklib COMMAND [...]   (soaklib COMMAND --help tells its flags)",
            "",
            "Long-run evidence about AI-agent gateways.",
            "",
            *(f"  {name:{width}}  {command.purpose}" for name, command in COMMANDS.items()),
            "",
            "  --version  say which soaklib this is",
        ]
    )


def _print(text: str) -> int:
    """Print what was asked for; a reader that is gone, as of ``| head``, costs nothing, a full disk is an error."""
    try:
        with lasting_streams(is_urgent=lambda: False):
            print(text)
    except OSError as exc:
        _say(exc.strerror or str(exc))
        return ExitCode.RECORDING
    return ExitCode.OK


def _say(text: str) -> int:
    print(f"soaklib: {text}", file=sys.stderr)
    return ExitCode.USAGE
