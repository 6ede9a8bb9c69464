"""The end of a run, after its last row: manifest, request log, verdicts, report and bundle, then the exit code.

The rows are on disk by now, and every step can be taken again by a command of its own. So whatever goes wrong in a step
costs what that step makes, is said in one sentence, and keeps none of the others from being taken.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soaklib.analysis.sources.kept_log import keep_request_log
from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.summary import refused_probes
from soaklib.commands.process import Stopped, keeping_stops
from soaklib.commands.terminal import say
from soaklib.commands.verdict_table import show_verdicts
from soaklib.errors import RecordingError, SoaklibError, first_line
from soaklib.evidence.judging import exit_code, judge_folder
from soaklib.plan.named import named_secrets
from soaklib.records import RunStatus
from soaklib.reports.pipeline import tell_pipeline
from soaklib.runner.gateway_facts import ask_gateway
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from rich.console import Console

    from soaklib.records import Verdict
    from soaklib.runner.job import SoakJob, SoakResult

__all__ = ["conclude", "costing"]


def conclude(
    job: SoakJob,
    result: SoakResult,
    *,
    log_url: str | None,
    signal_number: int | None,
    console: Console,
    gather: Callable[[], None] | None = None,
) -> int:
    """Take every step of the end of a run, and give its exit code.

    Parameters
    ----------
    job, result
        The soak, and how it ended.
    log_url
        The gateway's database, whose request log is kept, and of which a snapshot is taken; None where it is not known.
    signal_number
        The signal that was heard while the soak went on, if one was; it stopped none that is complete.
    console
        Where to say what.
    gather
        Brings together what was recorded in several places; None where it was in one.

    Raises
    ------
    SoaklibError
        The soak had failed, its end cannot be written down, or it could not be judged.
    Stopped
        A signal asks for the end at once.
    """
    folder = job.folder
    error = result.error
    if result.status is RunStatus.COMPLETED:  # it came with the last calls or later: nothing is left to go on with
        signal_number = None
    try:
        try:
            with keeping_stops():
                _end(job, result)
                if gather is not None:
                    gather()
        except SoaklibError as exc:
            error = error or exc
        except OSError as exc:
            error = error or RecordingError(f"the run's end cannot be written down: {exc.strerror or exc}")
        judged = _draw_and_pack(job, log_url, console)
    except Stopped:
        say(console, f"everything recorded is in {folder}; python -m soaklib.collect packs it, soaklib.report draws it")
        raise
    if signal_number is not None:
        say(console, f"go on with: python -m soaklib.run --resume {folder}")
    _name_folder(folder, console)
    if error is None and judged is None and signal_number is None:
        error = RecordingError(f"the run is recorded and was not judged; python -m soaklib.collect {folder} does so")
    if error is not None:
        raise error
    if signal_number is not None or judged is None:
        return 128 + (signal_number or 0)
    return exit_code(judged[0], strict=job.settings.strict)


def _draw_and_pack(job: SoakJob, log_url: str | None, console: Console) -> tuple[list[Verdict], dict[str, Any]] | None:
    """Make everything that follows from a run; give its verdicts and its summary, None where it cannot be judged."""

    def lacking(what: str) -> Callable[[str], None]:
        return lambda why: say(console, f"no {what}: {why}", "yellow")

    judged = None
    with costing(lacking("word of the gateway on itself")):
        _note_gateway(job)
    if log_url is not None:
        with costing(lacking("request log")), open_run(job.folder) as run:
            keep_request_log(run, log_url)
    with costing(lacking("verdicts")):
        judged = judge_folder(job.folder)
    if judged is not None:
        with costing(lacking("table of verdicts")):
            with open_run(job.folder) as run:
                refused = refused_probes(run)
            show_verdicts(*judged, console, refused_probes=refused)
        with costing(lacking("word to the pipeline")):
            criteria = [verdict._asdict() for verdict in judged[0]]
            tell_pipeline(job.run_id, criteria, junit=job.settings.junit, strict=job.settings.strict)
    if job.settings.report:
        with costing(lacking("report")):
            _report(job.folder, console)
    with costing(lacking("bundle")):
        from soaklib.evidence.collecting import collect  # noqa: PLC0415 - a soak can be run without what packing needs

        secrets = named_secrets(job.settings.header_env, job.plan)
        collect(job.folder, database_url=log_url, secrets=secrets)  # the manifest's has no password
    return judged


@contextmanager
def costing(tell: Callable[[str], None]) -> Iterator[None]:
    """Let whatever goes wrong in a step cost what it makes, and nothing else.

    Parameters
    ----------
    tell
        Takes, in one line, what went wrong.
    """
    try:
        with keeping_stops():
            yield
    except Exception as exc:  # noqa: BLE001 - These steps run kernels, drawing, typesetting, database drivers and
        # statistics on data that nobody has seen before, and any of them may raise anything. A day was spent on the
        # rows: a defect here must not cost the other steps, nor the exit code. A signal is no such exception.
        tell(first_line(exc))


def _note_gateway(job: SoakJob) -> None:
    """Keep what the gateway says of itself as the run ends: it may be another than the one that the run began with."""
    said = ask_gateway(job.settings, job.plan, job.target)
    writer = RunWriter(job.folder / DATABASE_NAME)
    writer.note_environment("gateway", {"end": said})
    writer.close()


def _report(folder: Path, console: Console) -> None:
    from soaklib.commands.report import build_report  # noqa: PLC0415 - it brings the notebook machinery, needed by none else

    def started(name: str, place: int, count: int) -> None:
        say(console, f"report {place + 1}/{count}: {name}", "dim")

    build_report(folder, started=started)


def _end(job: SoakJob, result: SoakResult) -> None:
    """Finish the manifest.

    Raises
    ------
    RecordingError
        It cannot be written.
    """
    writer = RunWriter(job.folder / DATABASE_NAME)
    for segment in result.segments:
        writer.end_segment(segment)
    [(lived_us,)] = writer.read("select coalesce(sum(ended_at_us - started_at_us), 0) from segments")
    writer.end_run(result.status, completed_utc=dt.datetime.now(dt.UTC), duration_s=lived_us / 1e6)
    writer.close()


def _name_folder(folder: Path, console: Console) -> None:
    """Name the run's folder on the last line of standard output, for scripts."""
    try:
        print(folder, flush=True)
    except OSError as exc:  # a full disk under a script's own file: the run's exit code says more than that
        say(console, f"standard output does not take the folder's name, {folder}: {exc.strerror or exc}", "yellow")
