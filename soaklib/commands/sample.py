"""``soaklib sample``: the sample run, copied to where it can be looked at."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode
from soaklib.store.shipped import SAMPLE, copied_into, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main"]


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(prog="soaklib sample", description="Copy the sample run, a real rehearsal of a day, into a folder.")
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, default=Path("soaklib-sample"), help="[soaklib-sample]"
    )
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    folder: Path = flags().parse_args(arguments).folder
    if folder.exists():
        print(f"soaklib: {folder} is there already: name a folder that is not", file=sys.stderr)
        return ExitCode.USAGE
    try:
        copied_into(folder, shipped(SAMPLE).iterdir())
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)  # half of it is no run, and stands in the way of the next try
        raise
    print(folder.resolve())
    return ExitCode.OK
