"""Files that come with soaklib and are no code: notebooks, the sample run, kept runs of gateways, schedules.

In a wheel they lie in the package; in a checkout, where an editable install runs from, they lie beside it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GATEWAYS", "NOTEBOOKS", "SAMPLE", "SCHEDULES", "copied_into", "shipped"]

NOTEBOOKS: Final = "notebooks"
SAMPLE: Final = "data/sample"
GATEWAYS: Final = "data/gateways"
SCHEDULES: Final = (
    "scripts/soak-weekly.service",
    "scripts/soak-weekly.timer",
    "scripts/soak-weekly.cron",
    "scripts/soak-weekly.yml",
    "scripts/grafana-dashboard.json",
)

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Give where one of the files or folders is that come with soaklib.

    Parameters
    ----------
    name
        Its place in a checkout: one of this module's constants.
    """
    in_wheel = _PACKAGE / "shipped_files" / name
    return in_wheel if in_wheel.exists() else _PACKAGE.parent / name


def copied_into(folder: Path, sources: Iterable[Path]) -> list[Path]:
    """Copy files into a folder, made if it is not there; what is there already stays as it is.

    Returns
    -------
    list of pathlib.Path
        Those that were copied.

    Raises
    ------
    SettingsError
        There can be no such folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as exc:
        msg = f"{folder} cannot be made a folder: {exc.strerror}"
        raise SettingsError(msg) from exc
    targets = {folder / source.name: source for source in sources}
    new = [target for target in targets if not target.exists()]
    for target in new:
        shutil.copyfile(targets[target], target)
    return new
