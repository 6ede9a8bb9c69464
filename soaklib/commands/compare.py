"""``soaklib compare RUN RUN``: what has changed from one run to another, and how sure that is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.compare import compare
from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode, SoaklibError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

__all__ = ["flags", "main"]

_DIGITS = 4


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib compare",
        description="Compare two runs, endpoint by endpoint, outside their planned windows.",
        epilog="Exit codes: 0 nothing differs; 1 something does; 2 bad usage, or no run.",
    )
    parser.add_argument("earlier", metavar="EARLIER", help="folder, bundle or id of a run, or 'latest'")
    parser.add_argument("later", metavar="LATER", help="the run that is held against it")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        with open_run(options.earlier) as earlier, open_run(options.later) as later:
            found = compare(earlier, later)
            names = earlier.info.run_id, later.info.run_id
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)  # noqa: T201 - the command's own words
        return exc.exit_code
    print(f"{names[1]} held against {names[0]}\n\n{_table(found)}")  # noqa: T201
    return ExitCode.CRITERION_FAILED if (found["state"] == "different").any() else ExitCode.OK


def _table(found: pl.DataFrame) -> str:
    """Give the comparison as lines of text."""
    heads = ("endpoint", "earlier", "later", "difference (90 % interval)", "margin", "")
    rows = [
        (
            f"{row['endpoint']} [{row['unit']}]", _number(row["a"]), _number(row["b"]),
            f"{_number(row['difference'])} ({_number(row['low'])} to {_number(row['high'])})",
            _number(row["margin"]), str(row["state"]),
        )
        for row in found.iter_rows(named=True)
    ]  # fmt: skip
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.{_DIGITS}g}"
