"""Judges a run in its folder: verdicts into its database, the summary beside it, and the exit code they call for.

To judge takes as long as reading every row a dozen times. So what a run holds is judged once a process: at the end of a
run its verdicts are written, and then its evidence is to be of a run whose verdicts follow from it.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from soaklib.analysis.sources.kept_log import REQUEST_LOG_NAME
from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.criteria import judge
from soaklib.analysis.verdicts.summary import summary
from soaklib.errors import ExitCode, RecordingError
from soaklib.records import JUDGING, State
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.tables import DATABASE_NAME, TABLES
from soaklib.store.whole import whole_file
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from soaklib.analysis.sources.run import Run
    from soaklib.records import Verdict

__all__ = ["exit_code", "judge_folder", "judged_before", "settle", "settled", "verdicts_on"]

_MOST_REMEMBERED: Final = 8
_RUN_WITHOUT_JUDGING: Final = (
    """(select * replace (json_merge_patch(environment, '{"judged": null}')::VARCHAR as environment) from run)"""
)
_remembered: dict[str, list[Verdict]] = {}


def verdicts_on(run: Run) -> list[Verdict]:
    """Judge a run, or give the verdicts of when the same content was judged by this process.

    Parameters
    ----------
    run
        The run; what stands in its table of verdicts does not matter.
    """
    content = _content(run)
    if content not in _remembered:
        while len(_remembered) >= _MOST_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        _remembered[content] = judge(run)
    return list(_remembered[content])


def judged_before(run: Run) -> list[Verdict] | None:
    """Give a run's verdicts if this process has judged the same content; None, at once, where it has judged nothing."""
    return list(known) if _remembered and (known := _remembered.get(_content(run))) is not None else None


def _content(run: Run) -> str:
    """Give a digest of all that verdicts rest on: every row of the other tables, and the kept request log."""
    digest = hashlib.sha256()
    for table in TABLES:
        if table != "verdicts":
            source = _RUN_WITHOUT_JUDGING if table == "run" else table
            rows = run.sql(f"select count(*) as n, sum(hash(r)::HUGEINT)::VARCHAR as hashes from {source} as r")  # noqa: S608 - ours
            digest.update(repr((table, rows.rows())).encode())
    for path in sorted(run.folder.glob(f"{REQUEST_LOG_NAME.removesuffix('.parquet')}*.parquet")):
        with path.open("rb") as file:
            digest.update(repr((path.name, hashlib.file_digest(file, "sha256").hexdigest())).encode())
    return digest.hexdigest()


def judge_folder(folder: Path) -> tuple[list[Verdict], dict[str, Any]]:
    """Judge the run in a folder; write its verdicts and soak-summary.json; give both.

    Raises
    ------
    RecordingError
        They cannot be written.
    """
    with open_run(folder) as run:
        verdicts = verdicts_on(run)
    writer = RunWriter(folder / DATABASE_NAME)
    writer.replace_verdicts(verdicts)
    writer.close()
    with open_run(folder) as run:  # as it is now: it says by which way it was judged
        summed_up = summary(run, verdicts)
    try:
        with whole_file(folder / SUMMARY_NAME) as part:
            part.write_text(json.dumps(summed_up, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as exc:
        msg = f"cannot write {folder / SUMMARY_NAME}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc
    return verdicts, summed_up


def settle(folder: Path) -> None:
    """See to a run as :func:`settled` does, for who reads no more of it."""
    settled(folder).close()


def settled(folder: Path) -> Run:
    """Fold a dead recorder's log into the database, and judge the run if its verdicts are not those of its data.

    Returns
    -------
    Run
        The run, open as it is then.

    Raises
    ------
    RunError
        The run cannot be read.
    RecordingError
        The verdicts cannot be written.
    """
    database = folder / DATABASE_NAME
    if database.with_name(f"{DATABASE_NAME}.wal").exists():
        RunWriter(database).close()
    with ExitStack() as stack:
        run = stack.enter_context(open_run(folder))
        follows = run.verdicts().rows() == [tuple(verdict) for verdict in verdicts_on(run)]
        if follows and run.info.judged_by == JUDGING and (folder / SUMMARY_NAME).is_file():
            stack.pop_all()
            return run
    judge_folder(folder)
    return open_run(folder)


def exit_code(verdicts: Iterable[Verdict], *, strict: bool) -> ExitCode:
    """Give the exit code that verdicts call for; `strict` lets everything but a pass fail."""
    failing = {State.FAIL, State.INSUFFICIENT, State.NOT_APPLICABLE} if strict else {State.FAIL}
    failed = any(State(verdict.state) in failing for verdict in verdicts)
    return ExitCode.CRITERION_FAILED if failed else ExitCode.OK
