"""``python -m soaklib.report RUN``: execute the notebooks on a run and so write its figures.

Each notebook is executed by papermill in a kernel of its own, with the run's folder as its parameter ``run_id``, and is
kept with its outputs in ``notebooks/`` in that folder; the figures it saves go to ``figures/``. The first cell that
fails ends the report: the broken notebook is kept, and the error says which cell it was and why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.load import find_run
from soaklib.errors import ExitCode, SettingsError, SoaklibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["build_report", "find_notebooks", "main"]

EXECUTED_FOLDER: Final = "notebooks"
_CHECKOUT_NOTEBOOKS: Final = Path(__file__).resolve().parents[1] / "notebooks"
_NUMBERED: Final = "[0-9][0-9]-*.ipynb"
_COMPARING: Final = "80-"  # takes a second run
_CELL_LIMIT_S: Final = 1800


def build_report(
    folder: Path,
    *,
    notebooks: Path | None = None,
    against: Path | None = None,
    started: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Execute the numbered notebooks on a run, in order.

    Parameters
    ----------
    folder
        The run's folder.
    notebooks
        Folder of the notebooks; None for ``notebooks/`` of the checkout that soaklib is installed from.
    against
        Folder of another run; with it the notebook that compares two runs is executed too.
    started
        Called with the name, the 0-based place and the number of notebooks before each is executed.

    Returns
    -------
    list of pathlib.Path
        The executed notebooks, in ``folder/notebooks``.

    Raises
    ------
    SettingsError
        There are no notebooks, or what executes them is not installed.
    SoaklibError
        A cell failed, took longer than half an hour, or its kernel died.
    """
    sources = [
        path for path in find_notebooks(notebooks) if against is not None or not path.name.startswith(_COMPARING)
    ]
    executed = folder.resolve() / EXECUTED_FOLDER
    executed.mkdir(exist_ok=True)
    results = []
    for place, source in enumerate(sources):
        if started is not None:
            started(source.stem, place, len(sources))
        parameters = {"run_id": str(folder.resolve())}
        if against is not None and source.name.startswith(_COMPARING):
            parameters["other_id"] = str(against.resolve())
        results.append(executed / source.name)
        _execute(source, results[-1], parameters)
    return results


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """Give the numbered notebooks of a folder, in order; of the checkout's if None.

    Raises
    ------
    SettingsError
        There are none.
    """
    where = _CHECKOUT_NOTEBOOKS if folder is None else folder
    found = sorted(where.glob(_NUMBERED))
    if not found:
        msg = f"there are no notebooks in {where}: pass --notebooks with the folder notebooks/ of a checkout of soaklib"
        raise SettingsError(msg)
    return found


def _execute(source: Path, target: Path, parameters: dict[str, str]) -> None:
    """Execute one notebook into `target`, which is written after every cell."""
    # The notebook machinery takes a second to import: only a report pays for it.
    try:
        import papermill  # noqa: PLC0415
        from jupyter_client.kernelspec import NoSuchKernel  # noqa: PLC0415
        from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: PLC0415
        from papermill.exceptions import PapermillExecutionError  # noqa: PLC0415
        from traitlets.config import Config  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        msg = f"a report needs {exc.name}, which is not installed: pip install 'soaklib[notebooks]'"
        raise SettingsError(msg) from exc
    with tempfile.TemporaryDirectory(prefix="soaklib-") as sockets:
        # Sockets in a private folder instead of TCP ports, which any local user could connect to.
        kernel = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}})
        try:
            papermill.execute_notebook(
                source,
                target,
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=target.parent,
                execution_timeout=_CELL_LIMIT_S,
                config=kernel,
                shutdown_kernel="immediate",  # a kernel reads; there is nothing that it would have to put away
            )
        except PapermillExecutionError as exc:
            why = f"cell {exc.exec_count}: {exc.ename}: {exc.evalue}"
            msg = f"notebook {source.name} failed in {why}; it is kept as {target}"
            raise SoaklibError(msg) from exc
        except (CellTimeoutError, DeadKernelError) as exc:
            msg = f"notebook {source.name} did not come to its end: {_first_line(exc)}; it is kept as {target}"
            raise SoaklibError(msg) from exc
        except NoSuchKernel as exc:
            msg = "there is no Jupyter kernel 'python3': pip install 'soaklib[notebooks]'"
            raise SettingsError(msg) from exc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m soaklib.report", description="Execute the notebooks on a run and write its figures."
    )
    parser.add_argument("run", metavar="RUN", help="folder or id of a run, or 'latest'")
    parser.add_argument("--notebooks", type=Path, metavar="FOLDER", help="other notebooks than the checkout's")
    parser.add_argument("--against", metavar="RUN", help="another run: compare the two as well")
    options = parser.parse_args(arguments)
    try:
        folder = find_run(options.run)
        against = None if options.against is None else find_run(options.against)
        with _progress() as started:
            build_report(folder, notebooks=options.notebooks, against=against, started=started)
    except SoaklibError as exc:
        print(f"soaklib.report: {exc}", file=sys.stderr)  # noqa: T201 - the command's own words
        return exc.exit_code
    print(folder.resolve())  # noqa: T201 - the last line of stdout is for scripts
    return ExitCode.OK


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show which notebook is being executed: a bar on a terminal, otherwise a line each, on standard error."""
    if not sys.stderr.isatty():
        yield lambda name, place, total: print(f"[{place + 1}/{total}] {name}", file=sys.stderr)  # noqa: T201
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("notebooks", total=None)
        yield lambda name, place, total: bar.update(task, description=name, completed=place, total=total)


def _first_line(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
