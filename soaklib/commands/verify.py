"""``python -m soaklib.verify BUNDLE``: is a bundle what it says it is? Needs no service and no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode, RunError
from soaklib.evidence.checking import VerifyCode, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main"]


def flags() -> Flags:
    """Give the command's flags."""
    codes = ", ".join(f"{code.value} {code.name.lower()}" for code in VerifyCode)
    parser = Flags(
        prog="soaklib verify",
        description="Check that a bundle is what it says it is, without any service or network.",
        epilog=f"Exit codes: 0 authentic, whatever its verdicts say; 2 bad usage; {codes}.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="soak-artifacts-<run-id>.tar.gz, or a folder")
    parser.add_argument(
        "--reference", metavar="RUN", type=Path,
        help="the good run that it says it was judged against: what is kept of it has to be what this one shows",
    )  # fmt: skip
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        problems, notes = verify(options.bundle, reference=options.reference)
    except RunError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    for note in notes:
        print(f"note: {note}")
    for problem in problems:
        print(f"{problem.code.name.lower()}: {problem.text}", file=sys.stderr)
    if problems:
        print(f"{options.bundle} is not authentic", file=sys.stderr)
        return problems[0].code
    print(f"{options.bundle} is authentic")
    return ExitCode.OK
