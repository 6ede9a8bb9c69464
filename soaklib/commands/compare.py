"""``soaklib compare RUN RUN...``: what has changed from one run to another, and how sure that is."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.compare import compare_tools, worst_tools
from soaklib.analysis.verdicts.criteria import judged_anew, known_verdicts
from soaklib.commands.flags import Flags
from soaklib.commands.process import command
from soaklib.errors import ExitCode, RecordingError, SettingsError, SoaklibError
from soaklib.evidence.comparison import other_load
from soaklib.evidence.weeks import changes_over_weeks, measure_name, table_over_weeks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["flags", "main"]

_NOT_KNOWN: Final = (
    "how far runs differ by themselves is not known, and what is called different may be no more than that: "
    "it takes three good runs to tell, --kept RUN for each"
)

_DIGITS = 4
_FEWEST_KEPT = 3


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib compare",
        description="Compare runs, endpoint by endpoint, outside their planned windows.",
        epilog="Exit codes: 0 no endpoint differs, whatever the criteria; 1 one does; 2 bad usage, or no run.",
    )
    parser.add_argument("earlier", metavar="EARLIER", help="folder, bundle or id of a run, or 'latest'")
    parser.add_argument("later", metavar="LATER", help="the run that is held against it")
    parser.add_argument("more", metavar="RUN", nargs="*", help="further runs, each held against the earliest")
    parser.add_argument(
        "--kept", action="append", default=[], metavar="RUN",
        help="a good run of the same load, EARLIER or another; three or more say how far runs differ by themselves",
    )  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of the runs on the same axes")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    differs = False
    try:
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(open_run(name)) for name in (options.earlier, options.later, *options.more)]
            kept = _kept([stack.enter_context(open_run(name)) for name in options.kept], runs[0])
            values: dict[str, list[tuple[str, float]]] = {}
            for later in runs[1:]:
                of_tools = compare_tools(runs[0], later, kept=kept)
                _add(values, runs[0], later, of_tools)
                found = worst_tools(of_tools)
                differs = differs or bool((found["state"] == "different").any())
                print(f"{later.info.run_id} held against {runs[0].info.run_id}\n\n{_table(found)}\n")
            if differs and len(kept) < _FEWEST_KEPT:
                print(_NOT_KNOWN)
            _say_changes(runs)
            said = list(changes_over_weeks(values)) if len(runs) > 2 else []  # noqa: PLR2004 - two runs are no series
            for text in said:
                print(text)
            if options.html is not None:
                weeks = {"table": table_over_weeks(values), "said": said} if len(runs) > 2 else None  # noqa: PLR2004 - as above
                _write(options.html, runs, weeks)
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    return ExitCode.CRITERION_FAILED if differs else ExitCode.OK


def _kept(good: Sequence[Run], earliest: Run) -> list[Run]:
    """Give the good runs, each once.

    Raises
    ------
    SettingsError
        One is of another load, and says nothing of these.
    """
    for run in good:
        if (why := other_load(run.info, earliest.info)) is not None:
            msg = f"--kept {run.info.run_id} does not say how far runs like {earliest.info.run_id} differ: {why}"
            raise SettingsError(msg)
    return list({run.info.run_id: run for run in good}.values())


def _add(values: dict[str, list[tuple[str, float]]], earliest: Run, later: Run, found: pl.DataFrame) -> None:
    """Add what a comparison says to the series of each endpoint and tool, which begin with the earliest run."""
    for endpoint, tool, unit, first, value in found.select("endpoint", "tool", "unit", "a", "b").iter_rows():
        if first is not None and value is not None:
            series = values.setdefault(measure_name(endpoint, tool, unit), [(earliest.info.run_id, first)])
            series.append((later.info.run_id, value))


def _say_changes(runs: list[Run]) -> None:
    """Say which criteria were judged otherwise in one of the runs than in another, all by one way of judging."""
    states = [
        dict(known_verdicts(run).select("name", "state").iter_rows()) if run.verdicts().height else {} for run in runs
    ]
    for run in runs:
        if anew := judged_anew(run):
            print(f"{run.info.run_id} is {anew}")
    for name in dict.fromkeys(name for judged in states for name in judged):
        found = [judged.get(name, "not judged") for judged in states]
        if len(set(found)) > 1:
            print(f"criterion changed: {name}: {', '.join(found)}")


def _write(path: Path, runs: list[Run], weeks: dict[str, Any] | None) -> None:
    from soaklib.page.data import page_data  # noqa: PLC0415 - only for the page
    from soaklib.page.html import html_page  # noqa: PLC0415 - only a page pays for it

    text = html_page([page_data(run) for run in runs], weeks=weeks)
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        msg = f"cannot write {path}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc


def _table(found: pl.DataFrame) -> str:
    """Give the comparison as lines of text."""
    heads = ("endpoint", "earlier", "later", "difference (90 % interval)", "margin", "")
    rows = [
        (
            measure_name(row["endpoint"], row["tool"], row["unit"]), _number(row["a"]), _number(row["b"]),
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
