"""The lock that says a live process owns a run; the kernel lets go of it however that process ends.

It is an exclusive ``flock`` on a file in the run's folder, and nothing but that lock is believed: it holds between all
processes of one kernel, those of containers that share the folder included. Between machines it holds as far as the
file system carries it, as NFS version 4 does and version 3 may not. What the file says (process id, host, boot, process
namespace) is for the words of a message alone, since a process id names another process in another container.

Asking takes a shared lock for a moment, so an owner to be asks again for a while before it believes that there is one.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from soaklib.errors import RecordingError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RunLock", "is_owned", "owned_since", "owning_process"]

_LOCK_NAME: Final = ".lock"
_ASKING_S: Final = 1.0  # far longer than anyone's look at the lock
_ASK_EVERY_S: Final = 0.01
_MOST_WORDS_BYTES: Final = 1024

_held: set[tuple[int, int]] = set()
"""Device and inode of the locks that this process holds."""


def is_owned(folder: Path) -> bool:
    """Say whether a live process owns the run in a folder."""
    return _owned_lock(folder) is not None


def owned_since(folder: Path) -> float | None:
    """Give since when another live process has owned the run in a folder, as a file time; None when none does."""
    lock = _owned_lock(folder)
    return None if lock is None or (lock.st_dev, lock.st_ino) in _held else lock.st_mtime


def owning_process(folder: Path) -> int | None:
    """Give the id of the live process that owns the run in a folder; None when none does, or none of this machine's.

    The id is of use to whoever would send it a signal, and read only while its lock is held, in the same namespace.
    """
    if not is_owned(folder):
        return None
    try:
        said = _said((folder / _LOCK_NAME).read_bytes()[:_MOST_WORDS_BYTES])
    except OSError:
        return None
    return None if said is None or said.place != (_boot(), _pid_namespace()) else said.pid


def _owned_lock(folder: Path) -> os.stat_result | None:
    """Give what is known of the lock's file while a live process holds it; None when none does."""
    try:
        descriptor = os.open(folder / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return None


class RunLock:
    """Holds a run's folder while the block lasts.

    Parameters
    ----------
    folder
        The run's folder.
    sleep, now_s
        How to wait between two tries, and a monotonic clock.

    Raises
    ------
    RunError
        Another process holds it.
    RecordingError
        The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = folder / _LOCK_NAME
        self._sleep = sleep
        self._now_s = now_s

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
                    break
                os.close(self._descriptor)  # its owner removed it between our opening and locking it: take the next
        except OSError as exc:
            msg = f"cannot write {self._path.parent}: {exc.strerror or exc}"
            raise RecordingError(msg) from exc
        _held.add(self._key())
        return self

    def _take(self) -> None:
        ends_s = self._now_s() + _ASKING_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if self._now_s() >= ends_s:
                    owner = _owner(os.pread(self._descriptor, _MOST_WORDS_BYTES, 0))
                    msg = f"the run in {self._path.parent} is owned by {owner}; wait for it or stop it first"
                    raise RunError(msg) from exc
            self._sleep(_ASK_EVERY_S)
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps(_oneself()).encode() + b"\n")

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))  # noqa: PTH116 - beside fstat
        except FileNotFoundError:
            return False

    def _key(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    def __exit__(self, *_: object) -> None:
        _held.discard(self._key())
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class _Said(NamedTuple):
    """Who owns a run, by its lock's file: a process, and what its id is to be read in."""

    pid: int
    host: str
    place: tuple[str, str]


def _said(words: bytes) -> _Said | None:
    """Read a lock's file; None for what nobody would have written, or has not written yet."""
    try:
        said = json.loads(words)
        return _Said(int(said["pid"]), said["host"], (said["boot"], said["pid namespace"]))
    except (ValueError, KeyError, TypeError):
        return None


def _oneself() -> dict[str, str]:
    """Give what names this process to a person: its id, and what that id is to be read in."""
    return {"pid": str(os.getpid()), "host": platform.node(), "boot": _boot(), "pid namespace": _pid_namespace()}


def _owner(words: bytes) -> str:
    """Word who owns a run by what its lock's file says, which an owner may not have written yet."""
    said = _said(words)
    if said is None:
        return "a live process"
    if said.place == (_boot(), _pid_namespace()):
        return f"a live process (pid {said.pid})"
    return (
        f"a live process elsewhere (pid {said.pid} on {said.host}: another machine, or another container of this one)"
    )


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:  # not this kernel's
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path: "pid:[4026531836]"
    except OSError:
        return ""
