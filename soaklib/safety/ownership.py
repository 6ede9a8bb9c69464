"""Whose a run's folder is: what a stranger wrote into one must not say what is read here, nor where it is sent."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_own_folder"]

_DATABASE: Final = "run.duckdb"


def is_own_folder(folder: Path) -> bool:
    """Say whether a run's folder and database are this user's, and nobody else may write to either.

    That the database's own mode lets others write counts only where the folder lets them in. It does not say who wrote
    them: what was unpacked from somebody else's archive is the unpacker's.
    """
    try:
        of_folder, of_database = folder.stat(), (folder / _DATABASE).stat()
    except OSError:
        return False
    let_in = stat.S_IMODE(of_folder.st_mode) & (stat.S_IXGRP | stat.S_IXOTH)
    written_by_others = of_folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) | of_database.st_mode & (let_in << 1)
    return {of_folder.st_uid, of_database.st_uid} == {os.geteuid()} and not written_by_others
