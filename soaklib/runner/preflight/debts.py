"""What a preflight owes its end: on disk before it is made, and with the guard while this process lives.

Each preflight has a folder of its own in the user's folder for state, by gateway, with a journal and a lock. A folder
whose lock nobody holds was left by one that was killed, its guard with it: the next preflight of the same gateway, on
this machine, pays what stands there.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import RecordingError, SoaklibError, TargetError
from soaklib.runner.journal import Debt, UndoJournal
from soaklib.runner.preflight.findings import Standing
from soaklib.safety.own_runs import state_folder
from soaklib.store.lock import RunLock, is_owned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Generator, Iterable
    from pathlib import Path

    from soaklib.runner.chaos_guard import ChaosGuard
    from soaklib.runner.preflight.findings import Found
    from soaklib.targets.base import Wire

__all__ = ["Debts", "Left", "journal_folder", "left_behind", "own_journal"]

_PRIVATE: Final = 0o700


class Left(NamedTuple):
    """What a preflight that was killed has left: its id, its journal, and where that is."""

    check_id: str
    journal: UndoJournal
    folder: Path


def journal_folder(base_url: str) -> Path:
    """Give the folder of the preflights of one gateway."""
    return state_folder() / "preflight" / hashlib.sha256(base_url.encode()).hexdigest()[:16]


@contextmanager
def own_journal(folder: Path, check_id: str) -> Generator[UndoJournal]:
    """Give the journal of this preflight; its folder goes with it when nothing is owed any more.

    Raises
    ------
    RecordingError
        There is no place for it.
    """
    own = folder / check_id
    try:
        own.mkdir(mode=_PRIVATE, parents=True)
    except OSError as exc:
        msg = f"{own}, which would hold what is to be taken back, cannot be made: {exc.strerror}; set XDG_STATE_HOME"
        raise RecordingError(msg) from exc
    journal = UndoJournal(own)
    try:
        with RunLock(own):
            yield journal
    finally:
        if not journal:
            shutil.rmtree(own)


@contextmanager
def left_behind(folder: Path) -> Generator[list[Left]]:
    """Give what others have left that do not live any more; what is paid while the block lasts is removed."""
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    all_ = [Left(own.name, UndoJournal(own), own) for own in folders if not is_owned(own)]
    found = [left for left in all_ if left.journal]  # another one that only begins owes nothing yet
    yield found
    for left in found:
        if not left.journal:
            shutil.rmtree(left.folder, ignore_errors=True)  # another preflight may have found it too


class Debts:
    """What one preflight owes.

    Parameters
    ----------
    journal, guard
        Where it is kept, and who pays it should this process be killed.
    send
        Sends a request and gives the status of its answer.
    """

    def __init__(self, journal: UndoJournal, guard: ChaosGuard, send: Callable[[Wire], Awaitable[int]]) -> None:
        self._journal = journal
        self._guard = guard
        self._send = send
        self._owed: dict[Debt, Wire] = {}

    def begin(self, check_id: str) -> None:
        """Write down that this preflight may have left what bears its id."""
        self._journal.owe(Debt("preflight", check_id))

    def end(self, check_id: str) -> None:
        """Write down that nothing is left that bears its id."""
        self._journal.settle(Debt("preflight", check_id))

    async def owe(self, do: str, subject: str, undoing: Wire) -> None:
        """Owe a request, from before what it takes back is made.

        Raises
        ------
        TargetError
            It cannot be written down, or guarded: what it would take back must not be made.
        """
        debt = Debt(do, subject)
        if self._owed.get(debt) == undoing:
            return
        self._journal.owe(debt, undoing)
        self._owed[debt] = undoing
        await self._guard.watch(undoing)

    async def owe_each(self, do: str, undoings: Iterable[Wire]) -> None:
        """Owe requests that are their own subjects, with their bodies: one route may remove one thing after another.

        Raises
        ------
        TargetError
            As in :meth:`owe`.
        """
        for undoing in undoings:
            body = "" if undoing.body is None else f" {undoing.body.decode()}"
            await self.owe(do, f"{undoing.method} {undoing.path}{body}", undoing)

    async def pay(self, do: str) -> list[str]:
        """Send what is owed for one thing, the last first; give a line for each that is not known to be taken back."""
        said = []
        for debt, undoing in reversed([(debt, wire) for debt, wire in self._owed.items() if debt.do == do]):
            try:
                status = await self._send(undoing)
            except SoaklibError as exc:
                said.append(str(exc))
                continue
            if not (HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_FOUND):
                said.append(f"{undoing.method} {undoing.path} was answered with {status}")
                continue
            await self.forget(debt)
        return said

    async def forget(self, debt: Debt) -> None:
        """Take off what was taken back."""
        if (undoing := self._owed.pop(debt, None)) is not None:
            self._journal.settle(debt)
            await self._guard.dismiss(undoing)

    async def pay_all(self, *, but: str | None = None) -> list[str]:
        """Send everything that is owed, but for one thing; give a line for each that is not known to be taken back."""
        dos = dict.fromkeys(debt.do for debt in self._owed if debt.do != but)
        return [line for do in dos for line in await self.pay(do)]

    async def forget_gone(self, do: str, *, still: Collection[Wire]) -> None:
        """Take off what was taken back otherwise: all that is owed for one thing, but what is there still."""
        for debt, undoing in tuple(self._owed.items()):
            if debt.do == do and undoing not in still:
                await self.forget(debt)

    async def hand_over(self, found: Found) -> None:
        """Leave what is owed still to the guard, and to the journal; another one has the place of a guard that died."""
        if not self._owed:
            return
        try:
            died = self._guard.revive()
        except TargetError as exc:
            said = f"the guard has died, and nobody takes back what stays on: {exc}"
            found.add("clean-up", Standing.PROBLEM, said)
        else:
            if died is not None:
                found.add("clean-up", Standing.NOTE, f"the guard had died (exit {died}): another one has its place")
        await self._guard.hand_over()
