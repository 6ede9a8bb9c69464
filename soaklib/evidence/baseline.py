"""Which earlier run a new one is held against: the last good one.

*Good* is a run that is complete, fails no criterion, got worse in no endpoint, and whose bundle verifies.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.sources.run import open_run
from soaklib.errors import ExitCode, RunError, SoaklibError
from soaklib.evidence.checking import verify
from soaklib.evidence.comparison import other_load, read_comparison
from soaklib.evidence.judging import exit_code
from soaklib.evidence.retention import bundle_of, run_folders
from soaklib.records import RunStatus, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.analysis.sources.run import Run, RunInfo

__all__ = ["Baseline", "choose_baseline", "good_runs", "verdicts_code", "why_unverified"]

_MOST_KEPT: Final = 6


class Baseline(NamedTuple):
    """The run to compare with, None if there is none; and why."""

    folder: Path | None
    why: str


def choose_baseline(out: Path, info: RunInfo, against: Path | None) -> Baseline:
    """Choose the run to compare the run with this manifest with.

    Parameters
    ----------
    out
        The folder that holds the runs.
    info
        Of the run that is to be compared; only earlier ones count.
    against
        The run that was asked for; None for the last good one.
    """
    if against is not None:
        return Baseline(against, "as --against says")
    passed_over = []
    for folder in run_folders(out):
        if folder.name >= info.run_id:
            continue
        why_not = _why_not_good(folder, info)
        if why_not is None:
            return Baseline(folder, "the last good run")
        passed_over.append(f"{folder.name}: {why_not}")
    why = "; ".join(passed_over) or "it is the first"
    return Baseline(None, f"there is no good run before it ({why})")


def good_runs(out: Path, info: RunInfo) -> list[Path]:
    """Give the good runs before the run with this manifest, the newest first, at most six."""
    earlier = (folder for folder in run_folders(out) if folder.name < info.run_id)
    return list(islice((folder for folder in earlier if _why_not_good(folder, info) is None), _MOST_KEPT))


def _why_not_good(folder: Path, info: RunInfo) -> str | None:
    """Say why a run is no measure of the run with this manifest; None if it is one."""
    try:
        with open_run(folder) as run:
            if (other := other_load(run.info, info)) is not None:
                return other
            if run.info.status != RunStatus.COMPLETED:
                return f"it is {run.info.status}"
            if verdicts_code(run) != ExitCode.OK:
                return "a criterion failed"
        comparison = read_comparison(folder)
    except SoaklibError as exc:
        return str(exc)
    if comparison is not None and comparison.regressions:
        return f"it is worse than {comparison.against}"
    return why_unverified(folder, also_folder=False)


def why_unverified(folder: Path, *, also_folder: bool = True) -> str | None:
    """Say why a run's bundle does not hold all that its folder does; None if it does.

    Parameters
    ----------
    folder
        The run's folder.
    also_folder
        Whether to hold the folder itself to its manifest too, so that what was added to it after it was packed counts.
    """
    try:
        for evidence in [bundle_of(folder), *[folder] * also_folder]:
            problems, _ = verify(evidence)
            if problems:
                return problems[0].text
    except RunError as exc:
        return str(exc)
    return None


def verdicts_code(run: Run) -> ExitCode:
    """Give the exit code that a run's verdicts call for."""
    verdicts = [Verdict(*row) for row in run.verdicts().rows()]
    return exit_code(verdicts, strict=bool(run.info.settings.get("strict")))
