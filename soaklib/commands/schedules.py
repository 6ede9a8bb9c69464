"""``soaklib schedules``: what starts a weekly soak, and a dashboard for Grafana, copied to be changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode
from soaklib.store.shipped import SCHEDULES, copied_into, shipped

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
    copied_into(folder, map(shipped, SCHEDULES))
    print(folder.resolve())
    return ExitCode.OK
