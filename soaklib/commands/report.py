"""``python -m soaklib.report RUN``: execute the notebooks on a run, and write its figures and its whitepaper.

Each notebook is executed by papermill in a kernel of its own, with the run's folder as its parameter ``run_id``, and is
kept with its outputs in ``notebooks/`` in that folder; the figures it saves go to ``figures/``. As many run side by
side as there are cores, and memory for them. A cell that fails ends the report: the broken notebook is kept, and the
error says which cell it was and why.

The whitepaper is written from claims, each with the query that gives it. Where claims.json is there already, every
claim in it has to follow from the run as it is; else nothing is touched, unless ``--renew`` says that new ones are
meant.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.run import find_run, open_run
from soaklib.commands.flags import Flags
from soaklib.commands.forked import KernelServer
from soaklib.commands.kernels import execute_all
from soaklib.commands.process import command, find_folder
from soaklib.errors import ExitCode, RecordingError, SettingsError, SoaklibError
from soaklib.evidence.judging import judge_folder, judged_before
from soaklib.evidence.reference import keep_reference
from soaklib.page.data import board
from soaklib.page.html import PAGE_NAME, write_page
from soaklib.plan.given import refuse_no_file
from soaklib.reports.pipeline import tell_pipeline
from soaklib.store.lock import RunLock
from soaklib.store.partials import sharing_partials
from soaklib.store.shipped import NOTEBOOKS, shipped
from soaklib.whitepaper.build import build_whitepaper, check_claims, made_claims
from soaklib.whitepaper.claims import CLAIMS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from soaklib.whitepaper.ledger import Ledger

__all__ = ["build_report", "find_notebooks", "flags", "main"]

EXECUTED_FOLDER: Final = "notebooks"
_NUMBERED: Final = "[0-9][0-9]-*.ipynb"
_COMPARING: Final = "80-"  # takes a second run
_OF_MANY: Final = "85-"  # about kept runs of many gateways, whatever this run is: no report has it
_SHOWING_THE_PAPER: Final = "90-"  # when it is built
_PAPER_STEPS: Final = 4  # its claims, the page, its HTML, its PDF


def build_report(
    folder: Path,
    *,
    notebooks: Path | None = None,
    against: Path | None = None,
    renew: bool = False,
    started: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Execute the numbered notebooks on a run, in order, and build its whitepaper from the figures.

    Parameters
    ----------
    folder
        The run's folder.
    notebooks
        Folder of the notebooks; None for those that come with soaklib.
    against
        Folder of another run; with it the notebook that compares two runs is executed too.
    renew
        Whether claims that are recorded already are replaced, whatever they say: the run itself has changed.
    started
        Called with the name, the 0-based place and the number of steps before each: the claims, the notebooks, the page
        and the files of the whitepaper. The claims and the page are made beside the notebooks.

    Returns
    -------
    list of pathlib.Path
        The executed notebooks, in ``folder/notebooks``.

    Raises
    ------
    SettingsError
        There are no notebooks, or what executes them is not installed; or what renders the whitepaper is not, and
        everything else is written.
    ClaimError
        A recorded claim does not follow from the run any more; nothing was touched.
    RecordingError
        The notebooks cannot be written.
    SoaklibError
        A cell failed, took longer than half an hour, or its kernel died.
    """
    folder = folder.resolve()
    sources = [
        path for path in find_notebooks(notebooks) if against is not None or not path.name.startswith(_COMPARING)
    ]
    steps = iter(range(len(sources) + _PAPER_STEPS))

    def step(name: str) -> None:
        if started is not None:
            started(name, next(steps), len(sources) + _PAPER_STEPS)

    parameters = {"run_id": str(folder)}
    if against is not None:
        parameters["other_id"] = str(against.resolve())
    executed = folder / EXECUTED_FOLDER
    beside = _Beside(folder, renew=renew, step=step)
    with sharing_partials(), KernelServer() as server:  # which imports meanwhile
        if not renew and (folder / CLAIMS_NAME).exists():
            beside.claim()  # before anything is touched: they may not follow any more
        try:
            executed.mkdir(exist_ok=True)
            results = execute_all(
                _given(sources, parameters, shows_the_paper=False), executed, server,
                started=step, meanwhile=beside.make,
            )  # fmt: skip
            try:
                build_whitepaper(folder, beside.ledger, started=step)
            except SettingsError as exc:
                beside.lacking.append(exc)
            results += execute_all(_given(sources, parameters, shows_the_paper=True), executed, server, started=step)
        except OSError as exc:  # of papermill's own writing, too
            msg = f"the notebooks cannot be written to {executed}: {exc.strerror or exc}"
            raise RecordingError(msg) from exc
    if beside.lacking:
        raise beside.lacking[-1]
    return results


class _Beside:
    """What of a report is made beside its notebooks, of the run alone: the claims, then the page.

    Attributes
    ----------
    ledger
        The claims, once they are made.
    lacking
        What is not installed, in sentences.
    """

    ledger: Ledger

    def __init__(self, folder: Path, *, renew: bool, step: Callable[[str], None]) -> None:
        self._folder = folder
        self._renew = renew
        self._step = step
        self._is_claimed = False
        self.lacking: list[SettingsError] = []

    def claim(self) -> None:
        self._step(CLAIMS_NAME)
        with open_run(self._folder) as run:
            verdicts = judged_before(run)  # by whoever soaks and reports in one go
        self.ledger = made_claims(self._folder, renew=self._renew, verdicts=verdicts)
        self._is_claimed = True

    def make(self) -> None:
        if not self._is_claimed:
            self.claim()
        self._step(PAGE_NAME)
        try:
            with open_run(self._folder) as run:
                write_page(run)
        except SettingsError as exc:
            self.lacking.append(exc)


def _given(sources: list[Path], parameters: dict[str, str], *, shows_the_paper: bool) -> dict[Path, dict[str, str]]:
    """Give notebooks with the parameters that each takes: those that show the paper, or all others."""
    return {
        source: {
            name: value for name, value in parameters.items() if name == "run_id" or source.name.startswith(_COMPARING)
        }
        for source in sources
        if source.name.startswith(_SHOWING_THE_PAPER) is shows_the_paper
    }


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """Give the notebooks of a report in a folder, the numbered ones in order; those that come with soaklib if None.

    The one about kept runs of many gateways is left out: it says nothing of a run, and takes none.

    Raises
    ------
    SettingsError
        There are none.
    """
    where = shipped(NOTEBOOKS) if folder is None else folder
    found = sorted(path for path in where.glob(_NUMBERED) if not path.name.startswith(_OF_MANY))
    if not found:
        msg = f"there are no notebooks in {where}: pass --notebooks with a folder that has some"
        raise SettingsError(msg)
    return found


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib report",
        description="Execute the notebooks on a run, and write its figures, its page and its whitepaper.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or id of a run, or 'latest'")
    parser.add_argument(
        "--notebooks", type=Path, metavar="FOLDER", help="other notebooks than those that come with soaklib"
    )
    parser.add_argument("--against", metavar="RUN", help="another run: compare the two as well")
    parser.add_argument(
        "--reference", metavar="RUN",
        help="judge the run anew against the day of this good run, and keep that with it; claims are renewed",
    )  # fmt: skip
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the criteria as JUnit XML, for a pipeline")
    claims = parser.add_mutually_exclusive_group()
    claims.add_argument("--renew", action="store_true", help="replace recorded claims that do not follow any more")
    claims.add_argument(
        "--check-claims", action="store_true", help="only make every recorded claim anew; write nothing"
    )
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        _refuse_what_cannot_be_written(options.junit)
        folder = find_folder(options.run)
        if options.check_claims:
            return _check_claims(folder)
        open_run(folder).close()  # what is no run gets no folder of notebooks
        against = None if options.against is None else find_run(options.against)
        if against is not None:
            open_run(against).close()  # before ten notebooks are executed
        if options.reference is not None:
            _judge_against(folder, options.reference)
        renew = options.renew or options.reference is not None
        with _progress() as started:
            build_report(folder, notebooks=options.notebooks, against=against, renew=renew, started=started)
        with open_run(folder) as run:
            tell_pipeline(
                run.info.run_id, board(run), junit=options.junit, strict=bool(run.info.settings.get("strict"))
            )
    except SoaklibError as exc:
        print(f"soaklib.report: {exc}", file=sys.stderr)
        return exc.exit_code
    print(folder.resolve())
    return ExitCode.OK


def _refuse_what_cannot_be_written(junit: Path | None) -> None:
    """Say now what would be said after the notebooks."""
    if junit is not None:
        try:
            refuse_no_file("--junit", junit)
        except ValueError as exc:
            raise SettingsError(str(exc)) from exc


def _judge_against(folder: Path, reference: str) -> None:
    """Keep the day of a good run with a run, and judge it against that."""
    good = find_run(reference)
    with RunLock(folder):
        tools = keep_reference(folder, good)
        judge_folder(folder)
    print(
        f"judged against {good.resolve().name}: {', '.join(tools) or 'no tool of it ends the day as it began'}",
        file=sys.stderr,
    )


def _check_claims(folder: Path) -> int:
    """Say which recorded claims do not follow from a run any more; give the exit code."""
    recorded, broken = check_claims(folder)
    for claim in broken:
        print(f"soaklib.report: {claim}", file=sys.stderr)
    if broken:
        return ExitCode.CRITERION_FAILED
    print(f"all {recorded:,} claims follow from the run")
    return ExitCode.OK


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being made: a bar on a terminal, otherwise a line each, on standard error."""
    if not sys.stderr.isatty():
        yield lambda name, place, total: print(f"[{place + 1}/{total}] {name}", file=sys.stderr)
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - only who waits at a terminal pays for it

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("report", total=None)
        yield lambda name, place, total: bar.update(task, description=name, completed=place, total=total)
