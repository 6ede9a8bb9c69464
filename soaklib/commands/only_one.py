"""The lock by which the weekly soaks of a folder are one at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from soaklib.errors import RunError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["only_one"]

_LOCK_NAME: Final = ".weekly.lock"


@contextmanager
def only_one(out: Path) -> Generator[None]:
    """Hold the lock of the weekly soak in a folder, which is made if need be.

    Raises
    ------
    RunError
        Another process holds it.
    SettingsError
        The folder cannot be written.
    """
    path = out / _LOCK_NAME
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        msg = f"--out {out}: cannot be written: {exc.strerror or exc}"
        raise SettingsError(msg) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        msg = f"the weekly soak of {out} is going on already (pid {path.read_text('ascii').strip()})"
        raise RunError(msg) from exc
    try:
        try:
            os.truncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except OSError as exc:
            msg = f"--out {out}: cannot be written: {exc.strerror or exc}"
            raise SettingsError(msg) from exc
        yield
    finally:
        os.close(descriptor)  # the file stays: removing it would let two processes hold two of the same name
