"""The command line of the upstream, read into one frozen value that is checked before anything runs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.upstream.behaviour import MODES, Behaviour, BehaviourError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["UpstreamSettings", "flags", "parse_settings"]

TOOLS: Final = ("echo", "search", "send")


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """What an upstream is made with.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    seed
        Seed of every decision.
    behaviour
        How it behaves until it is told otherwise.
    tools
        Names of its tools on MCP's wire.
    exit_with_parent
        End when stdin reaches its end.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    tools: tuple[str, ...] = TOOLS
    exit_with_parent: bool = False


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65_535:  # noqa: PLR2004 - the range of a port
        message = f"a port is a number from 0 (any free one) to 65535, not {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def _behaviour(text: str) -> Behaviour:
    try:
        return Behaviour.read(orjson.loads(text), Behaviour())
    except (orjson.JSONDecodeError, BehaviourError) as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _tools(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names):
        message = f"names of tools are separated by single commas, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return names


def parse_settings(arguments: Sequence[str]) -> UpstreamSettings:
    """Read the command line; on a mistake print a sentence on stderr and exit with code 2."""
    return UpstreamSettings(**vars(flags().parse_args(arguments)))


class _Flags(argparse.ArgumentParser):
    """A parser that says a mistake in one line; the upstream stands alone, and so has one of its own."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def flags() -> argparse.ArgumentParser:
    """Give the flags of the mock upstream."""
    modes = "\n".join(f"  {name:16}{meaning}" for name, meaning in MODES.items())
    parser = _Flags(
        prog="soaklib upstream",
        description="A mock upstream: OpenAI's wire and MCP's. Prints one JSON line with its URL and pid on stdout "
        "when it is listening; PUT /control says how it is to behave.",
        epilog=f"modes, beside a status:\n{modes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="port to listen on; 0 is any free one (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of every decision (default: %(default)s)")
    add(
        "--behaviour",
        type=_behaviour,
        default=Behaviour(),
        metavar="JSON",
        help='how it behaves at the start, as in \'{"latency_ms": 50, "mode": "500", "share": 0.1}\'',
    )
    add(
        "--tools",
        type=_tools,
        default=TOOLS,
        metavar="NAME,NAME",
        help=f"names of its tools on MCP's wire (default: {','.join(TOOLS)})",
    )
    add("--exit-with-parent", action="store_true", help="end when stdin reaches its end")
    return parser
