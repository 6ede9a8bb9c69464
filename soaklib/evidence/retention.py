"""Which of the weekly soak's runs may go: an old one, whose evidence holds, and which nothing holds on to.

Whatever is not known for certain to be such a run stays: what was not made by the weekly soak, what is going on, what
``latest`` names, the last good run and the oldest of its level, and every run whose bundle does not verify, since its
folder is then the only evidence of it. Links are never followed.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import RecordingError
from soaklib.evidence.comparison import COMPARISON_NAME
from soaklib.store.bundle import bundle_name
from soaklib.store.lock import RunLock, is_owned
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Fate", "bundle_of", "fates", "remove_run", "run_folders"]

_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_LATEST: Final = "latest"
_REMOVING: Final = ".removing-"


class Fate(NamedTuple):
    """What is to become of a run of the weekly soak, and why; `is_old` if it is not one of the newest."""

    folder: Path
    is_old: bool
    goes: bool
    why: str


def run_folders(out: Path) -> list[Path]:
    """Give the folders of runs directly in `out`, newest first: named as a run's id, and with its database.

    Links are left out, whatever they point to.
    """
    if not out.is_dir():
        return []
    found = [
        path
        for path in out.iterdir()
        if _RUN_ID.fullmatch(path.name)
        and not path.is_symlink()
        and path.is_dir()
        and (path / DATABASE_NAME).is_file()
        and not (path / DATABASE_NAME).is_symlink()
    ]
    return sorted(found, key=lambda path: path.name, reverse=True)  # an id begins with its time


def bundle_of(folder: Path) -> Path:
    """Give where the bundle of the run in a folder is, or would be."""
    return folder / bundle_name(folder.name)


def fates(
    out: Path,
    *,
    keep: int,
    held: Iterable[Path],
    why_unverified: Callable[[Path], str | None],
    is_of_series: Callable[[Path], bool] = lambda _: True,
) -> list[Fate]:
    """Say of each run of the weekly soak whether it may go; nothing is touched.

    Parameters
    ----------
    out
        The folder that holds the runs.
    keep
        How many of the newest stay in any case; at least 1.
    held
        Folders of runs that others are measured by: the last good one, and the oldest of its level.
    why_unverified
        Says of a run's folder why its evidence does not hold, None if it does. Asked of those only that would go.
    is_of_series
        Says of a run's folder whether it is one of the series in question; those of others have fates of their own.

    Returns
    -------
    list of Fate
        Newest first.
    """
    latest = _latest(out)
    held = frozenset(held)

    def why_kept(folder: Path) -> str | None:
        if is_owned(folder):
            return "it is going on"
        if folder in held:
            return "it is a good run that others are compared with"
        if folder == latest:
            return f"{_LATEST!r} names it"
        why = why_unverified(folder)
        return None if why is None else f"its evidence does not verify: {why}"

    def fate(place: int, folder: Path) -> Fate:
        if place < keep:
            return Fate(folder, is_old=False, goes=False, why=f"it is one of the newest {keep}")
        why = why_kept(folder)
        return Fate(
            folder, is_old=True, goes=why is None, why=why or f"the newest {keep} stay, and its bundle verifies"
        )

    weekly = [folder for folder in run_folders(out) if (folder / COMPARISON_NAME).is_file() and is_of_series(folder)]
    return [fate(place, folder) for place, folder in enumerate(weekly)]


def remove_run(folder: Path) -> None:
    """Remove a run's folder: first its name, in one step, so that half a run is never taken for one.

    Raises
    ------
    RunError
        A live process owns the run.
    RecordingError
        It cannot be removed.
    """
    doomed = folder.with_name(f"{_REMOVING}{folder.name}")
    try:
        with RunLock(folder):
            folder.rename(doomed)
        for left in folder.parent.glob(f"{_REMOVING}*"):  # one of an earlier time that was cut off, too
            shutil.rmtree(left)
    except OSError as exc:
        msg = f"{folder} cannot be removed: {exc.strerror or exc}"
        raise RecordingError(msg) from exc


def _latest(out: Path) -> Path | None:
    link = out / _LATEST
    return out / link.readlink().name if link.is_symlink() else None
