"""A private folder of this process for what is only there for a while; nobody else of the machine may look into it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["scratch_folder"]

_folders: dict[int, Path] = {}


def scratch_folder() -> Path:
    """Give the folder, under the system's for temporary files (``TMPDIR``); it goes when the process ends."""
    owner = os.getpid()  # a forked child has one of its own, and leaves its parent's alone
    folder = _folders.get(owner)
    if folder is None or not folder.is_dir():
        folder = _folders[owner] = Path(tempfile.mkdtemp(prefix="soaklib-scratch-"))  # mode 0700
        atexit.register(_remove, folder, owner)
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
