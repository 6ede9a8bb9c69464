"""Which earlier run a new one is held against: the last good one.

*Good* is a run that is complete, fails no criterion, got worse in no endpoint, and whose bundle verifies.

The last good run alone would let a level creep: each week a little worse than the one before, and each the next one's
measure. So a run is held against an *anchor* too, the oldest good run of the level that stands. A level stands from the
last good run on that was held against one by ``--against``, else from the first.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.sources.run import glance_at
from soaklib.errors import ExitCode, RunError, SoaklibError
from soaklib.evidence.checking import verify
from soaklib.evidence.comparison import AS_ASKED, other_load, read_comparison
from soaklib.evidence.judging import exit_code
from soaklib.evidence.retention import bundle_of, run_folders
from soaklib.records import RunStatus

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.analysis.sources.run import Glance, RunInfo

__all__ = ["Baseline", "EarlierRuns", "verdicts_code", "why_unverified"]

_MOST_KEPT: Final = 6


class Baseline(NamedTuple):
    """The run to compare with, None if there is none; and why."""

    folder: Path | None
    why: str

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody named it, and accepts its level."""
        return self.why == AS_ASKED


class EarlierRuns:
    """The runs before one, each looked at once: to verify a bundle takes long.

    Parameters
    ----------
    out
        The folder that holds the runs.
    info
        The manifest of the run that is to be compared; only earlier ones count.
    """

    def __init__(self, out: Path, info: RunInfo) -> None:
        self._info = info
        self._folders = [folder for folder in run_folders(out) if folder.name < info.run_id]
        self._why_not: dict[Path, str | None] = {}

    def baseline(self, against: Path | None = None) -> Baseline:
        """Choose the run to compare with: the one that was asked for, else the last good one."""
        if against is not None:
            return Baseline(against, AS_ASKED)
        passed_over = []
        for folder in self._folders:
            why_not = self._why_not_good(folder)
            if why_not is None:
                return Baseline(folder, "the last good run")
            passed_over.append(f"{folder.name}: {why_not}")
        why = "; ".join(passed_over) or "it is the first"
        return Baseline(None, f"there is no good run before it ({why})")

    def good(self) -> list[Path]:
        """Give the good runs of the level that stands, the newest first, at most six."""
        of_level = (folder for folder in self._of_level() if self._why_not_good(folder) is None)
        return list(islice(of_level, _MOST_KEPT))

    def oldest(self) -> Path | None:
        """Give the oldest good run of the level that stands; None if there is none."""
        return next((folder for folder in reversed(self._of_level()) if self._why_not_good(folder) is None), None)

    def anchor(self, baseline: Baseline) -> Path | None:
        """Give the oldest good run, where it is another than the baseline; None beside one that was asked for."""
        oldest = None if baseline.is_asked_for else self.oldest()
        return None if oldest == baseline.folder else oldest

    def _of_level(self) -> list[Path]:
        """Give the runs since a level was accepted, the newest first: those before say nothing of this one."""
        for place, folder in enumerate(self._folders):
            if _accepts(folder) and self._why_not_good(folder) is None:
                return self._folders[: place + 1]
        return self._folders

    def _why_not_good(self, folder: Path) -> str | None:
        if folder not in self._why_not:
            self._why_not[folder] = _why_not_good(folder, self._info)
        return self._why_not[folder]


def _why_not_good(folder: Path, info: RunInfo) -> str | None:
    """Say why a run is no measure of the run with this manifest; None if it is one."""
    try:
        seen = glance_at(folder)
        if (other := other_load(seen.info, info)) is not None:
            return other
        if seen.info.status != RunStatus.COMPLETED:
            return f"it is {seen.info.status}"
        if verdicts_code(seen) != ExitCode.OK:
            return "a criterion failed" if seen.verdicts else "it was not judged"
        comparison = read_comparison(folder)
    except SoaklibError as exc:
        return str(exc)
    if comparison is not None and (comparison.regressions or comparison.crept):
        return f"it is worse than {comparison.against if comparison.regressions else comparison.anchor}"
    return why_unverified(folder, also_folder=False)


def _accepts(folder: Path) -> bool:
    with suppress(SoaklibError):  # damaged: it is no good run either, and whoever asks for its comparison says so
        comparison = read_comparison(folder)
        return comparison is not None and comparison.accepts
    return False


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


def verdicts_code(seen: Glance) -> ExitCode:
    """Give the exit code that a run's verdicts call for; without any it is recorded, and was not judged."""
    if not seen.verdicts:
        return ExitCode.RECORDING
    return exit_code(seen.verdicts, strict=bool(seen.info.settings.get("strict")))
