"""The runner's end of the guard: the process that clears chaos should the runner be killed.

The other end is :mod:`soaklib.runner.guard`, which says what the lines between them mean.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from yarl import URL

from soaklib.errors import TargetError
from soaklib.runner.guard import DONE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ChaosGuard"]

_ENDS_WITHIN_S: Final = 5.0


class ChaosGuard:
    """The guard of a run; its process lives from the first :meth:`watch` to the :meth:`dismiss` of the last URL.

    It is in a session of its own, so that what is sent to the runner's process group does not reach it, and it is no
    subprocess of asyncio's, which kills what still runs when the loop ends: just then it may have its work to do.

    Parameters
    ----------
    headers
        What the DELETE needs to be let in; handed over through the pipe, never on a command line.
    ca_file
        Further authorities to verify TLS by.
    dies_with_runner
        Whether the gateway ends with the runner, so that there is nothing to clear.
    """

    def __init__(self, headers: Mapping[str, str], *, ca_file: str | None, dies_with_runner: bool) -> None:
        self._with = {"headers": dict(headers), "ca_file": ca_file, "dies_with_runner": dies_with_runner}
        self._urls: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    async def watch(self, url: str) -> None:
        """Watch over a URL, beside those that are watched already; it is what to DELETE.

        Raises
        ------
        TargetError
            No guard can be started: chaos must not be switched on.
        """
        url = _on_the_wire(url)
        if url not in self._urls:
            self._urls.append(url)
        if self._process is not None and self._process.poll() is None and self._tell(self._order(url)):
            return
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - see above; it is started in no time
                [sys.executable, "-m", "soaklib.runner.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # who waits for the end of the runner's is not to wait for the guard
                bufsize=0,
                start_new_session=True,
            )
        except OSError as exc:
            self._urls.remove(url)
            msg = f"the process that guards the chaos cannot be started: {exc.strerror or exc}"
            raise TargetError(msg) from exc
        for one in self._urls:
            self._tell(self._order(one))

    async def dismiss(self, url: str | None = None) -> None:
        """Stop watching over a URL, or over all: the chaos is off. With nothing left to watch the guard ends."""
        gone = None if url is None else _on_the_wire(url)
        self._urls = [] if gone is None else [one for one in self._urls if one != gone]
        if self._process is None:
            return
        if self._urls:
            self._tell(f"{DONE} {gone}")
            return
        self._tell(DONE)
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.to_thread(process.wait, _ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def hand_over(self) -> None:
        """Let the guard begin now, for the run ends and what is watched may be on; it outlives this process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _order(self, url: str) -> str:
        return json.dumps({"url": url, **self._with})

    def _tell(self, line: str) -> bool:
        """Write a line to the guard; say whether it is there to read it."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(f"{line}\n".encode())
        except (BrokenPipeError, ValueError):  # it is gone, or has been handed over
            return False
        return True


def _on_the_wire(url: str) -> str:
    """Give a URL as it is asked for: its host in ASCII, its path quoted."""
    return str(URL(url))
