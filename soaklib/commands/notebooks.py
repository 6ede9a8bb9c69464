"""``soaklib notebooks``: the notebooks, copied to where they can be changed, and JupyterLab on them."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode
from soaklib.store.shipped import NOTEBOOKS, copied_into, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["copy_notebooks", "flags", "main"]


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the notebooks into a folder, made if it is not there; what is there already stays as it is.

    Returns
    -------
    list of pathlib.Path
        Those that were copied.
    """
    return copied_into(folder, sorted(shipped(NOTEBOOKS).glob("*.ipynb")))


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib notebooks", description="Copy the notebooks into a folder and open JupyterLab on them."
    )
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, default=Path("soaklib-notebooks"), help="[soaklib-notebooks]"
    )
    parser.add_argument("--copy-only", action="store_true", help="open nothing")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    folder: Path = options.folder
    copied = copy_notebooks(folder)
    print(f"{len(copied)} notebooks copied to {folder.resolve()}", file=sys.stderr)
    if options.copy_only:
        print(folder.resolve())
        return ExitCode.OK
    if find_spec("jupyterlab") is None:
        print("soaklib: JupyterLab is not installed: pip install 'soaklib[notebooks]'", file=sys.stderr)
        return ExitCode.USAGE
    return _become_jupyterlab(folder)


def _become_jupyterlab(folder: Path) -> NoReturn:
    sys.stderr.flush()
    # it takes this process's place: what stops it, a key or a signal, is its own to answer, and no kernel is lost by us
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder)])  # noqa: S606 - our own words
