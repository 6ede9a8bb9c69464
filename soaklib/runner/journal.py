"""The undo journal: what is owed its end, on disk before it is made, and gone when it is taken back.

``undo-journal.json`` stands in the run's folder while a change that lasts may be on, and is removed with the last. It
holds, for each, what it is, what it is done to, and the request that takes it back, without headers: a secret may stand
in those, and the plan or the environment says them. A runner that resumes reads it, and a person may.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from soaklib.errors import TargetError
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soaklib.targets.base import Wire

__all__ = ["Debt", "UndoJournal"]

_NAME: Final = "undo-journal.json"


class Debt(NamedTuple):
    """What is owed its end: a change of the plan by what it does, and to what."""

    do: str
    subject: str


class _Entry(BaseModel):
    do: str
    subject: str
    method: str | None = None
    path: str | None = None
    body: str | None = None
    since_ns: int = 0
    """When it was written down, which tells a thing that was made again from what it was before."""


class _File(BaseModel):
    owed: list[_Entry] = []


class UndoJournal:
    """The journal of one run; a thread may write to it while others look.

    Parameters
    ----------
    folder
        The run's folder.

    Attributes
    ----------
    path
        The file, which is there while something is owed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._entries: dict[Debt, _Entry] = {_debt(entry): entry for entry in self._read().owed}
        self._one_at_a_time = threading.Lock()

    def __iter__(self) -> Iterator[Debt]:
        return iter(tuple(self._entries))

    def __contains__(self, debt: Debt) -> bool:
        return debt in self._entries

    def __bool__(self) -> bool:
        return bool(self._entries)

    def undoing(self, debt: Debt) -> tuple[str, str, bytes | None] | None:
        """Give method, path and body of the request that takes a thing back; None where none was written down."""
        entry = self._entries[debt]
        if entry.method is None or entry.path is None:
            return None
        return entry.method, entry.path, None if entry.body is None else entry.body.encode()

    def owe(self, debt: Debt, undoing: Wire | None = None) -> None:
        """Write down that a change may be on from now on.

        Raises
        ------
        TargetError
            It cannot be written down: the change must not be made.
        """
        entry = _Entry(do=debt.do, subject=debt.subject, since_ns=time.time_ns())
        if undoing is not None:
            entry.method, entry.path = undoing.method, undoing.path
            entry.body = None if undoing.body is None else undoing.body.decode()
        with self._one_at_a_time:
            before = self._entries.get(debt)
            self._entries[debt] = entry
            try:
                self._write()
            except OSError as exc:
                if before is None:
                    del self._entries[debt]
                else:  # it may be on already, and its end stays owed
                    self._entries[debt] = before
                msg = f"that it is about to come on cannot be written down: {self.path}: {exc.strerror}"
                raise TargetError(msg) from exc

    def settle(self, debt: Debt) -> None:
        """Write down that a change is off; a journal that says too much costs one request more, and no run."""
        with self._one_at_a_time:
            if self._entries.pop(debt, None) is not None:
                try:
                    self._write()
                except OSError:
                    return

    def _read(self) -> _File:
        try:
            return _File.model_validate_json(self.path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _File()
        except (OSError, ValidationError):  # the events say the same, and what they say is undone
            return _File()

    def _write(self) -> None:
        if not self._entries:
            self.path.unlink(missing_ok=True)
            return
        with whole_file(self.path) as part, part.open("w", encoding="utf-8") as file:
            file.write(_File(owed=list(self._entries.values())).model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _debt(entry: _Entry) -> Debt:
    return Debt(entry.do, entry.subject)
