"""The runner's end of the guard: the process that takes changes back should the runner be killed.

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
from soaklib.runner.guard import DONE, Order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from soaklib.targets.base import Wire

__all__ = ["ChaosGuard"]

_ENDS_WITHIN_S: Final = 5.0


class ChaosGuard:
    """The guard of a run; its process lives from the first :meth:`watch` to the :meth:`dismiss` of the last request.

    It is in a session of its own, so that what is sent to the runner's process group does not reach it, and it is no
    subprocess of asyncio's, which kills what still runs when the loop ends: just then it may have its work to do.

    Parameters
    ----------
    base_url
        The gateway's base URL, which the paths of requests are relative to.
    headers
        What every request needs to be let in; handed over through the pipe, never on a command line.
    ca_file
        Further authorities to verify TLS by.
    dies_with_runner
        Whether the gateway ends with the runner, so that there is nothing to clear at it.
    journal
        Where the run writes down what it owes: once a later runner does, it is for that one to take back.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        ca_file: str | None,
        dies_with_runner: bool,
        journal: Path | None = None,
    ) -> None:
        self._base_url = base_url
        self._headers = dict(headers)
        self._ca_file = ca_file
        self._dies_with_runner = dies_with_runner
        self._journal = None if journal is None else str(journal.absolute())
        self._orders: dict[str, Order] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_handed_over = False
        self._died: int | None = None

    async def watch(self, undoing: Wire) -> None:
        """Watch over a change, beside those that are watched already; it is what to ask for to take it back.

        Raises
        ------
        TargetError
            No guard can be started: the change must not be made.
        """
        order = self._order(undoing)
        self._orders[order.name] = order
        if self._process is not None and self._process.poll() is None and self._tell(_line(order)):
            return
        try:
            self._start()
        except TargetError:
            del self._orders[order.name]
            raise

    def revive(self) -> int | None:
        """Start another guard where the one that is to watch has died; give how that ended, once.

        Returns
        -------
        int | None
            How one ended that has been replaced since this was asked last, also by :meth:`watch`; None for none.

        Raises
        ------
        TargetError
            No other can be started: nobody would take back what is on.
        """
        if self._orders and not self._is_handed_over and self._process is not None and self._process.poll() is not None:
            self._start()
        died, self._died = self._died, None
        return died

    def _start(self) -> None:
        """Start the process, and tell it of all that is watched."""
        before = self._process
        try:
            self._process = subprocess.Popen(  # it is started in no time
                [sys.executable, "-m", "soaklib.runner.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # who waits for the end of the runner's is not to wait for the guard
                bufsize=0,
                start_new_session=True,
            )
        except OSError as exc:
            msg = f"the process that guards the chaos cannot be started: {exc.strerror or exc}"
            raise TargetError(msg) from exc
        if before is not None and not self._is_handed_over:
            self._died = before.poll()
        self._is_handed_over = False
        if before is not None and before.stdin is not None:
            before.stdin.close()
        for one in self._orders.values():
            self._tell(_line(one))

    async def dismiss(self, undoing: Wire | None = None) -> None:
        """Stop watching over a change, or over all: it is taken back. With nothing left to watch the guard ends."""
        gone = None if undoing is None else self._order(undoing).name
        self._orders = {} if gone is None else {name: one for name, one in self._orders.items() if name != gone}
        if self._process is None:
            return
        if self._orders:
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
        self._is_handed_over = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _order(self, undoing: Wire) -> Order:
        """Give a request as the guard needs it; a path that is a whole URL is asked for there, without our headers.

        An upstream that stands somewhere else goes on when a gateway of the runner's own is gone with it.
        """
        is_elsewhere = undoing.path.startswith(("http://", "https://"))
        url = URL(undoing.path if is_elsewhere else self._base_url + undoing.path)
        dies_with_runner = self._dies_with_runner and url.origin() == URL(self._base_url).origin()
        return Order(
            str(url),  # as it is asked for: its host in ASCII, its path quoted
            dict(undoing.headers) if is_elsewhere else self._headers | dict(undoing.headers),
            self._ca_file, dies_with_runner, undoing.method,
            None if undoing.body is None else undoing.body.decode(), self._journal, undoing.path,
        )  # fmt: skip

    def _tell(self, line: str) -> bool:
        """Write a line to the guard; say whether it is there to read it."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(f"{line}\n".encode())
        except (BrokenPipeError, ValueError):  # it is gone, or has been handed over
            return False
        return True


def _line(order: Order) -> str:
    return json.dumps(order._asdict())
