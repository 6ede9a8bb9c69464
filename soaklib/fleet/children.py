"""Lanes as child processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from soaklib.fleet.report import LaneReport

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.fleet.lanes import Lane

__all__ = ["Child", "Children", "ending", "lane_command"]

_LOG_NAME: Final = "sender.log"
_MOST_LINE_BYTES: Final = 1 << 20


def lane_command(job: Path, lane: Lane, folder: Path) -> list[str]:
    """Give the command that sends a lane."""
    return [
        sys.executable, "-m", "soaklib", "send", "--lane", str(lane), "--job", os.fspath(job),
        "--folder", os.fspath(folder),
    ]  # fmt: skip


def ending(code: int, last: LaneReport | None, *, is_told: bool, logged: str = "") -> str:
    """Word how a lane's process ended; empty where it ended well.

    Parameters
    ----------
    code
        Its exit code; of one that a signal ended, the signal's number below 0.
    last
        What it said last: why it failed, if it could still say that.
    is_told
        Whether it was told to stop.
    logged
        The last line of its standard error, which a full disk does not take.
    """
    if code == 0 or (is_told and code == 128 + signal.SIGTERM):
        return ""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    words = (last and last.error) or logged
    return f"ended with code {code}{f': {words}' if words else ''}"


class Children:
    """Starts lanes as children, each in a session of its own: a key at the terminal stops the conductor alone."""

    async def start(self, job: Path, lane: Lane, folder: Path) -> Child:
        """Start one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once a lane, before the soak starts
        with (folder / _LOG_NAME).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *lane_command(job, lane, folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=log, start_new_session=True, limit=_MOST_LINE_BYTES,
            )  # fmt: skip
        return Child(process, folder / _LOG_NAME)

    async def close(self) -> None:
        """Nothing is held."""


class Child:
    """A lane's process.

    Parameters
    ----------
    process
        The process, whose standard output tells how it does.
    log
        Where its standard error goes.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._is_told = False
        self._last: deque[LaneReport] = deque(maxlen=1)
        self._listening = asyncio.create_task(self._listen())

    def report(self) -> LaneReport | None:
        """Give what it said last."""
        return self._last[0] if self._last else None

    def ended(self) -> str | None:
        """Give how it ended, once all that it said has been read; None while it lives."""
        code = self._process.returncode
        if code is None or not self._listening.done():
            return None
        words = self._log.read_text("utf-8", "replace").strip().splitlines()
        return ending(code, self.report(), is_told=self._is_told, logged=words[-1] if words else "")

    async def stop(self) -> None:
        """Tell it to stop, as SIGTERM does."""
        self._is_told = True
        self._signal(signal.SIGTERM)

    def drop(self) -> None:
        """Tell it to stop; nobody waits for it."""
        self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        await self._process.wait()
        self._listening.cancel()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _listen(self) -> None:
        output = self._process.stdout
        while output is not None and (line := await output.readline()):
            with suppress(ValueError):  # two lines run into one where the pipe was full: the next one says it all
                self._last.append(LaneReport.read(line))
        await self._process.wait()
