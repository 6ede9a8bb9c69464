"""What changes by hand replaced, kept on disk so that a later command can put it back."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from soaklib.errors import SettingsError
from soaklib.safety.own_runs import state_folder
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

__all__ = ["Replaced", "UndoLog", "default_undo_path"]

_LOOK_EVERY_S: Final = 0.05
_WAITS_S: Final = 300.0
_PRIVATE: Final = 0o600


class Replaced(BaseModel):
    """What was in force at one gateway before it was first changed by hand.

    Attributes
    ----------
    credentials
        Tool -> id of the credential that was active; None where there was none.
    limits
        Policy id -> action -> limit of the quota.
    """

    credentials: dict[str, str | None] = {}
    limits: dict[str, dict[str, int | float]] = {}


class _File(BaseModel):
    gateways: dict[str, Replaced] = {}


def default_undo_path() -> Path:
    """Give the file, in the user's folder for state."""
    return state_folder() / "changes-by-hand.json"


class UndoLog:
    """What was in force at a gateway before it was first changed by hand.

    It belongs to one change at a time, from reading what is active to saying what came of it (:meth:`held`): two
    commands that read, change and write side by side would lose what one of them replaced.

    Parameters
    ----------
    path
        The file; made when something is saved, for the user alone.
    gateway
        Base URL of the gateway.
    """

    def __init__(self, path: Path, gateway: str) -> None:
        self._path = path
        self._gateway = gateway

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Replaced]:
        """Give what is kept of the gateway, and keep every other command from it until the block ends.

        Raises
        ------
        SettingsError
            The file is damaged or cannot be written, or another command holds it for minutes.
        """
        descriptor = self._opened_lock()
        try:
            loop = asyncio.get_running_loop()
            ends_s = loop.time() + _WAITS_S
            while not _is_taken(descriptor):
                if loop.time() > ends_s:
                    msg = (
                        f"another change by hand is under way, and has been for {_WAITS_S / 60:g} minutes: wait for it"
                    )
                    raise SettingsError(msg)
                await asyncio.sleep(_LOOK_EVERY_S)
            self._file = self._read()
            yield self._file.gateways.setdefault(self._gateway, Replaced())
        finally:
            os.close(descriptor)  # and with it the lock

    def save(self) -> None:
        """Write the file, whole or not at all, while it is held; gateways with nothing to restore are left out."""
        kept = {url: one for url, one in self._file.gateways.items() if one.credentials or one.limits}
        with self._written(), whole_file(self._path) as part:
            part.unlink(missing_ok=True)  # an earlier one's mode is not ours
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_File(gateways=kept).model_dump_json(indent=2) + "\n")

    def _opened_lock(self) -> int:
        """Open the file beside ours that is locked in its place, since ours is replaced by each save."""
        with self._written():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._path.with_name(f".{self._path.name}.lock")
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)

    def _read(self) -> _File:
        try:
            return _File.model_validate_json(self._path.read_bytes()) if self._path.exists() else _File()
        except (OSError, ValidationError) as exc:
            msg = f"{self._path}, which holds what to restore, cannot be read: remove it, and restore by hand"
            raise SettingsError(msg) from exc

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            msg = f"{self._path}, which holds what to restore, cannot be written: {exc.strerror}; set XDG_STATE_HOME"
            raise SettingsError(msg) from exc


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
