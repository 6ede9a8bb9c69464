"""``soaklib watch RUN``: the page of a run, live in a browser while the run goes on, and final after it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.run import is_being_written, open_run
from soaklib.commands.flags import Flags, seconds_from_0
from soaklib.commands.process import command, find_folder, run_on_the_fastest_loop
from soaklib.errors import ExitCode
from soaklib.page.server import PageServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["flags", "main", "start_watching"]

_IDLE_S: Final = 600
_HIGHEST_PORT: Final = 65_535


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib watch",
        description="Serve the page of a run on the loopback: live while the run goes on, final after it.",
        epilog="The link has a token in it: who has the link can look. Ctrl-C ends it.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or id of a run, or 'latest'")
    parser.add_argument("--port", type=_port, default=0, metavar="P", help="port of the loopback [one that is free]")
    parser.add_argument(
        "--until-idle",
        type=seconds_from_0,
        metavar="S",
        help="end when the run has ended and nobody looked for S seconds",
    )
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    folder = find_folder(options.run)
    if not is_being_written(folder):  # of one that begins there may be nothing to see yet
        open_run(folder).close()
    run_on_the_fastest_loop(_serve(folder, options.port, options.until_idle))
    return ExitCode.OK


async def _serve(folder: Path, port: int, until_idle_s: float | None) -> None:
    """Serve until nobody looks any more, or for ever."""
    async with PageServer(folder, port=port) as server:
        print(server.url, flush=True)
        if until_idle_s is None:
            await asyncio.Event().wait()
        else:
            await server.wait_until_idle(until_idle_s)


def start_watching(folder: Path, tell: Callable[[str], None]) -> None:
    """Start ``soaklib watch`` on a run, in a process and a session of its own that outlives the run's.

    It ends when the run has ended and nobody has looked for ten minutes. A thread waits for its link, so that the run
    does not.

    Parameters
    ----------
    folder
        The run's folder.
    tell
        Takes a sentence with the link, or that there is none.
    """
    words = [sys.executable, "-m", "soaklib", "watch", str(folder), "--until-idle", str(_IDLE_S)]

    def wait_for_link() -> None:
        with process.stdout or contextlib.nullcontext() as said:
            link = "" if said is None else said.readline().strip()
        tell(f"the run's page: {link}" if link else f"the run's page is not served; soaklib watch {folder} says why")

    process = subprocess.Popen(  # noqa: S603 - our own module
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    threading.Thread(target=wait_for_link, name="link of the page", daemon=True).start()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        msg = f"{text!r} is no port: a whole number from 0 to {_HIGHEST_PORT}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
