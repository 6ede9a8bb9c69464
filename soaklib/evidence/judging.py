"""Judges a run in its folder: verdicts into its database, the summary beside it, and the exit code they call for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.criteria import judge
from soaklib.analysis.verdicts.summary import summary
from soaklib.errors import ExitCode, RecordingError
from soaklib.records import State
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from soaklib.records import Verdict

__all__ = ["exit_code", "judge_folder"]


def judge_folder(folder: Path) -> tuple[list[Verdict], dict[str, Any]]:
    """Judge the run in a folder; write its verdicts and soak-summary.json; give both.

    Raises
    ------
    RecordingError
        They cannot be written.
    """
    with open_run(folder) as run:
        verdicts = judge(run)
        summed_up = summary(run, verdicts)
    writer = RunWriter(folder / DATABASE_NAME)
    writer.replace_verdicts(verdicts)
    writer.close()
    part = folder / f".{SUMMARY_NAME}.part"
    try:
        part.write_text(json.dumps(summed_up, indent=2, allow_nan=False) + "\n", "utf-8")
        part.replace(folder / SUMMARY_NAME)
    except OSError as exc:
        msg = f"cannot write {folder / SUMMARY_NAME}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc
    return verdicts, summed_up


def exit_code(verdicts: Iterable[Verdict], *, strict: bool) -> ExitCode:
    """Give the exit code that verdicts call for; `strict` lets everything but a pass fail."""
    failing = {State.FAIL, State.INSUFFICIENT, State.NOT_APPLICABLE} if strict else {State.FAIL}
    failed = any(State(verdict.state) in failing for verdict in verdicts)
    return ExitCode.CRITERION_FAILED if failed else ExitCode.OK
