"""``python -m soaklib.report RUN``: execute the notebooks on a run, and write its figures and its whitepaper.

Each notebook is executed by papermill in a kernel of its own, with the run's folder as its parameter ``run_id``, and is
kept with its outputs in ``notebooks/`` in that folder; the figures it saves go to ``figures/``. The first cell that
fails ends the report: the broken notebook is kept, and the error says which cell it was and why.

The whitepaper is written from claims, each with the query that gives it. Where claims.json is there already, every
claim in it has to follow from the run as it is; else nothing is touched, unless ``--renew`` says that new ones are
meant.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.run import find_run, open_run
from soaklib.commands.process import command, find_folder
from soaklib.commands.shipped import NOTEBOOKS, shipped
from soaklib.errors import ExitCode, RecordingError, SettingsError, SoaklibError
from soaklib.whitepaper.build import build_whitepaper, check_claims, made_claims
from soaklib.whitepaper.claims import CLAIMS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["build_report", "find_notebooks", "main"]

EXECUTED_FOLDER: Final = "notebooks"
_NUMBERED: Final = "[0-9][0-9]-*.ipynb"
_COMPARING: Final = "80-"  # takes a second run
_SHOWING_THE_PAPER: Final = "90-"  # when it is built
_PAPER_STEPS: Final = 3  # its claims, its HTML, its PDF
_CELL_LIMIT_S: Final = 1800
_KERNEL_LIMIT_S: Final = 300  # on a machine that is busy with something else
_SOCKET_PATH_BYTES: Final = 107  # the longest that the kernel of the system takes
_MOST_PLACE_BYTES: Final = _SOCKET_PATH_BYTES - len("/soaklib-12345678/kernel-ipc-5")
_SHORT_PLACES: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a private folder is made there


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
        Called with the name, the 0-based place and the number of steps before each: the claims, the notebooks, and the
        files of the whitepaper.

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

    step(CLAIMS_NAME)
    ledger = made_claims(folder, renew=renew)
    executed = folder / EXECUTED_FOLDER
    parameters = {"run_id": str(folder)}
    if against is not None:
        parameters["other_id"] = str(against.resolve())
    try:
        executed.mkdir(exist_ok=True)
        results = _execute_all([path for path in sources if not _shows_the_paper(path)], executed, parameters, step)
        lacking = None
        try:
            build_whitepaper(folder, ledger, started=step)
        except SettingsError as exc:
            lacking = exc
        results += _execute_all([path for path in sources if _shows_the_paper(path)], executed, parameters, step)
    except OSError as exc:  # of papermill's own writing, too
        msg = f"the notebooks cannot be written to {executed}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc
    if lacking is not None:
        raise lacking
    return results


def _shows_the_paper(source: Path) -> bool:
    return source.name.startswith(_SHOWING_THE_PAPER)


def _execute_all(
    sources: list[Path], executed: Path, parameters: dict[str, str], step: Callable[[str], None]
) -> list[Path]:
    for source in sources:
        step(source.stem)
        known = {
            name: value for name, value in parameters.items() if name == "run_id" or source.name.startswith(_COMPARING)
        }
        _execute(source, executed / source.name, known)
    return [executed / source.name for source in sources]


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """Give the numbered notebooks of a folder, in order; those that come with soaklib if None.

    Raises
    ------
    SettingsError
        There are none.
    """
    where = shipped(NOTEBOOKS) if folder is None else folder
    found = sorted(where.glob(_NUMBERED))
    if not found:
        msg = f"there are no notebooks in {where}: pass --notebooks with a folder that has some"
        raise SettingsError(msg)
    return found


def _execute(source: Path, target: Path, parameters: dict[str, str]) -> None:
    """Execute one notebook into `target`; one from before stays until its successor is whole."""
    # The notebook machinery takes a second to import: only a report pays for it.
    try:
        import papermill  # noqa: PLC0415
        from jupyter_client.kernelspec import NoSuchKernel  # noqa: PLC0415
        from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: PLC0415
        from papermill.exceptions import PapermillExecutionError  # noqa: PLC0415
        from traitlets.config import Config  # noqa: PLC0415
        from zmq import ZMQError  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        msg = f"a report needs {exc.name}, which is not installed: pip install 'soaklib[notebooks]'"
        raise SettingsError(msg) from exc
    part = target.with_name(f".{target.name}")  # written after every cell
    broken = target.with_stem(f"{target.stem}-broken") if target.exists() else target
    with _socket_folder() as sockets:
        # Sockets in a private folder instead of TCP ports, which any local user could connect to.
        kernel = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}})
        try:
            papermill.execute_notebook(
                source,
                part,
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=target.parent,
                execution_timeout=_CELL_LIMIT_S,
                start_timeout=_KERNEL_LIMIT_S,
                config=kernel,
                shutdown_kernel="immediate",  # a kernel reads; there is nothing that it would have to put away
            )
        except PapermillExecutionError as exc:
            why = f"failed in cell {exc.exec_count}: {exc.ename}: {exc.evalue}"
            raise SoaklibError(_broken(source, why, part, broken)) from exc
        # RuntimeError: a kernel that does not answer when it starts. ZMQError: its sockets cannot be had.
        except (CellTimeoutError, DeadKernelError, RuntimeError, ZMQError) as exc:
            why = f"did not come to its end: {_first_line(exc)}"
            raise SoaklibError(_broken(source, why, part, broken)) from exc
        except NoSuchKernel as exc:
            msg = "there is no Jupyter kernel 'python3': pip install 'soaklib[notebooks]'"
            raise SettingsError(msg) from exc
    part.replace(target)
    target.with_stem(f"{target.stem}-broken").unlink(missing_ok=True)


def _broken(source: Path, why: str, part: Path, kept: Path) -> str:
    """Keep a notebook that is broken, and say so."""
    part.replace(kept)
    return f"notebook {source.name} {why}; it is kept as {kept}"


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """Give a private folder for a kernel's sockets, elsewhere than in TMPDIR where that is too long for them.

    Raises
    ------
    SettingsError
        There is no other place.
    """
    given = tempfile.gettempdir()
    places = [place for place in (given, *_SHORT_PLACES) if len(os.fsencode(place)) <= _MOST_PLACE_BYTES]
    usable = [place for place in places if os.access(place, os.W_OK | os.X_OK)]
    if not usable:
        msg = (
            f"TMPDIR is {len(os.fsencode(given))} bytes long, and a notebook's kernel has its sockets there, for whose "
            f"path the system takes {_MOST_PLACE_BYTES} at most: set it to a shorter one ({given})"
        )
        raise SettingsError(msg)
    with tempfile.TemporaryDirectory(prefix="soaklib-", dir=usable[0]) as folder:
        yield Path(folder)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m soaklib.report",
        description="Execute the notebooks on a run, and write its figures and its whitepaper.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or id of a run, or 'latest'")
    parser.add_argument(
        "--notebooks", type=Path, metavar="FOLDER", help="other notebooks than those that come with soaklib"
    )
    parser.add_argument("--against", metavar="RUN", help="another run: compare the two as well")
    claims = parser.add_mutually_exclusive_group()
    claims.add_argument("--renew", action="store_true", help="replace recorded claims that do not follow any more")
    claims.add_argument(
        "--check-claims", action="store_true", help="only make every recorded claim anew; write nothing"
    )
    options = parser.parse_args(arguments)
    try:
        folder = find_folder(options.run)
        if options.check_claims:
            return _check_claims(folder)
        open_run(folder).close()  # what is no run gets no folder of notebooks
        against = None if options.against is None else find_run(options.against)
        with _progress() as started:
            build_report(folder, notebooks=options.notebooks, against=against, renew=options.renew, started=started)
    except SoaklibError as exc:
        print(f"soaklib.report: {exc}", file=sys.stderr)  # noqa: T201 - the command's own words
        return exc.exit_code
    print(folder.resolve())  # noqa: T201 - the last line of stdout is for scripts
    return ExitCode.OK


def _check_claims(folder: Path) -> int:
    """Say which recorded claims do not follow from a run any more; give the exit code."""
    recorded, broken = check_claims(folder)
    for claim in broken:
        print(f"soaklib.report: {claim}", file=sys.stderr)  # noqa: T201 - the command's own words
    if broken:
        return ExitCode.CRITERION_FAILED
    print(f"all {recorded:,} claims follow from the run")  # noqa: T201
    return ExitCode.OK


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being made: a bar on a terminal, otherwise a line each, on standard error."""
    if not sys.stderr.isatty():
        yield lambda name, place, total: print(f"[{place + 1}/{total}] {name}", file=sys.stderr)  # noqa: T201
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("report", total=None)
        yield lambda name, place, total: bar.update(task, description=name, completed=place, total=total)


def _first_line(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).strip().splitlines()[0]
