"""The lock that says a live process owns a run; the kernel lets go of it however that process ends."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final, Self

from soaklib.errors import RecordingError, RunError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunLock", "is_owned", "owned_since"]

_LOCK_NAME: Final = ".lock"


def is_owned(folder: Path) -> bool:
    """Say whether a live process owns the run in a folder."""
    try:
        descriptor = os.open(folder / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def owned_since(folder: Path) -> float | None:
    """Give since when another live process has owned the run in a folder, as a file time; None when none does."""
    lock = folder / _LOCK_NAME
    try:
        if not is_owned(folder) or lock.read_text("ascii").strip() == str(os.getpid()):
            return None
        return lock.stat().st_mtime
    except FileNotFoundError:  # it has just let go
        return None


class RunLock:
    """Holds a run's folder while the block lasts.

    Parameters
    ----------
    folder
        The run's folder.

    Raises
    ------
    RunError
        Another process holds it.
    RecordingError
        The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LOCK_NAME

    def __enter__(self) -> Self:
        try:
            while True:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    self._take()
                except BaseException:
                    os.close(self._descriptor)
                    raise
                if self._is_in_place():
                    return self
                os.close(self._descriptor)  # its owner removed it between our opening and locking it: take the next
        except OSError as exc:
            msg = f"cannot write {self._path.parent}: {exc.strerror or exc}"
            raise RecordingError(msg) from exc

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii").strip()
            msg = (
                f"the run in {self._path.parent} is owned by a live process (pid {owner}); wait for it or stop it first"
            )
            raise RunError(msg) from exc
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))  # noqa: PTH116 - beside fstat
        except FileNotFoundError:
            return False

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
