"""``soaklib schedules``: what starts a weekly soak, and a dashboard for Grafana, copied to be changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode
from soaklib.store.shipped import SCHEDULES, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main"]


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib schedules",
        description="Copy systemd unit and timer, cron line, GitHub workflow and Grafana dashboard into a folder.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, default=Path("soaklib-schedules"), help="[soaklib-schedules]"
    )
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    folder: Path = flags().parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCHEDULES:
        source = shipped(name)
        if not (folder / source.name).exists():  # what was changed there stays
            shutil.copyfile(source, folder / source.name)
    print(folder.resolve())
    return ExitCode.OK
