"""The folder of a run that begins, and the link that names the latest one."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import shutil
from typing import TYPE_CHECKING

from soaklib.errors import SettingsError
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["make_private", "name_latest", "new_folder"]


def make_private(folder: Path, flag: str) -> None:
    """Make a folder, private to its user, with all that is above it; one that is there stays as it is.

    Parameters
    ----------
    folder
        The folder.
    flag
        What named it.

    Raises
    ------
    SettingsError
        There can be no such folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"{flag} {folder} cannot be made a folder: {exc.strerror or exc}"
        raise SettingsError(msg) from exc


@contextlib.contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """Make the run's folder, private to its user; take it away again if the run never begins."""
    folder = out.absolute() / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as exc:
        msg = f"--out {out}: cannot make the run's folder: {exc}"
        raise SettingsError(msg) from exc
    try:
        yield folder
    finally:
        if not (folder / DATABASE_NAME).exists():
            shutil.rmtree(folder)


def name_latest(folder: Path, tell: Callable[[str], None]) -> None:
    """Let ``latest`` beside a run's folder name it; where that cannot be, a sentence says so and the run goes on.

    Parameters
    ----------
    folder
        The run's folder.
    tell
        Takes the sentence.
    """
    latest, link = folder.parent / "latest", folder.parent / f".latest-{folder.name}"
    try:
        link.symlink_to(folder.name, target_is_directory=True)
        link.replace(latest)
    except OSError as exc:  # it is a folder, as a copy makes of a link; or these disks have no links
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)
        tell(f"{latest} does not name this run, {folder.name}: {exc.strerror or exc}")
