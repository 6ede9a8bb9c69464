"""Every exception soaklib raises on purpose.

::

    SoaklibError                    anything below; catch this one to catch them all
    ├── SettingsError               a setting, flag, environment variable or plan is wrong        (exit code 2)
    ├── TargetError                 the gateway cannot be used                                    (exit code 3)
    ├── RecordingError              outcomes can no longer be written                             (exit code 4)
    ├── AbortedError                 the run was ended by the condition of --abort-when           (exit code 1)
    ├── RunError                    a run folder or bundle cannot be opened or is not what it says
    │   ├── BusyError               the run's process has its file to itself; look again in a moment
    │   └── SchemaError             its tables are of another schema version
    ├── ExpositionError             text that is not a metrics exposition
    ├── SourceError                 another source (Prometheus, the gateway's database) cannot be read
    └── MissingExtraError           what is asked for needs an extra of soaklib's; a ModuleNotFoundError, too

One warning beside them: PartialAnswerWarning, a source that gave less than it was asked for and said so.

A failed request is not an exception: it is an outcome (see :mod:`soaklib.records`).
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "AbortedError",
    "BusyError",
    "ExitCode",
    "ExpositionError",
    "MissingExtraError",
    "PartialAnswerWarning",
    "RecordingError",
    "RunError",
    "SchemaError",
    "SettingsError",
    "SoaklibError",
    "SourceError",
    "TargetError",
    "first_line",
    "near_miss",
    "needing_extra",
]


class ExitCode(IntEnum):
    """What a command tells the shell; the same numbers for every command."""

    OK = 0
    CRITERION_FAILED = 1
    USAGE = 2
    TARGET = 3
    RECORDING = 4
    SIGINT = 130
    SIGTERM = 143


class SoaklibError(Exception):
    """Root of the tree; its text is one sentence for the person at the terminal."""

    exit_code = ExitCode.CRITERION_FAILED

    def _render_traceback_(self) -> list[str]:
        """Give what a notebook shows in place of a traceback: IPython asks an exception for this."""
        return [f"{type(self).__name__}: {self}"]


class SettingsError(SoaklibError):
    """A setting, flag, environment variable or plan is wrong; says what to pass instead."""

    exit_code = ExitCode.USAGE


class TargetError(SoaklibError):
    """The gateway cannot be used: unreachable, unhealthy, or refusing what the soak needs."""

    exit_code = ExitCode.TARGET


class RecordingError(SoaklibError):
    """Outcomes can no longer be written; everything acknowledged before is on disk."""

    exit_code = ExitCode.RECORDING


class AbortedError(SoaklibError):
    """The run was ended by the condition that ``--abort-when`` states."""


class RunError(SoaklibError):
    """A run folder or bundle cannot be opened, or is not what it says it is."""

    exit_code = ExitCode.USAGE


class BusyError(RunError):
    """A run's process has the file to itself: it starts, ends or judges the run. Look again in a moment."""


class SchemaError(RunError):
    """The tables of a run are of another schema than this version reads."""


class ExpositionError(SoaklibError):
    """The text is not a metrics exposition (an HTML page, a binary file, nothing at all)."""

    exit_code = ExitCode.USAGE


class SourceError(SoaklibError):
    """Another source (a Prometheus server, the gateway's database) cannot be read."""

    exit_code = ExitCode.USAGE


class MissingExtraError(SoaklibError, ModuleNotFoundError):
    """What is asked for needs a package that an extra brings; says which, and how to have it."""

    exit_code = ExitCode.USAGE


_EXTRAS: Final = {
    "aiohttp": "runner", "bokeh": "page", "cachetools": "gateway", "distributed": "fleet", "fontTools": "charts",
    "font_roboto": "charts",
    "jinja2": "whitepaper", "jupyter_client": "notebooks", "jupyterlab": "notebooks", "matplotlib": "charts",
    "nbclient": "notebooks", "nbformat": "notebooks", "numpy": "statistics", "orjson": "runner",
    "papermill": "notebooks", "prometheus_api_client": "prometheus", "psutil": "runner", "psycopg": "database",
    "rich": "runner", "scipy": "statistics", "tenacity": "runner", "typst": "whitepaper", "yarl": "runner",
}  # fmt: skip
"""Package -> the least extra that brings it."""


@contextmanager
def needing_extra(what: str, extra: str | None = None) -> Iterator[None]:
    """Say of a package that is missing within which extra brings it.

    Parameters
    ----------
    what
        What it is needed for, as the user calls it.
    extra
        The extra that brings all of it; None for the one that brings the package.

    Raises
    ------
    MissingExtraError
        A package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        msg = f"{what} needs {package}, which is not installed: pip install 'soaklib[{extra or _EXTRAS[package]}]'"
        raise MissingExtraError(msg, name=package) from exc


class PartialAnswerWarning(UserWarning):
    """A source gave less than it was asked for, and said so."""


def first_line(exc: BaseException) -> str:
    """Word any exception as one line: ours as it is, another's with the name of its type."""
    said = str(exc).strip().splitlines()
    if isinstance(exc, SoaklibError) and said:
        return said[0]
    return f"{type(exc).__name__}: {said[0]}" if said else type(exc).__name__


_LONG: Final = 5  # of a shorter name two letters that changed places are a third


def near_miss(name: str, known: Iterable[str]) -> str:
    """Give ``: did you mean x?`` for the known name that is nearest to an unknown one; nothing if none is near."""
    [*near] = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6 if len(name) < _LONG else 0.7)
    return f": did you mean {near[0]}?" if near else ""
