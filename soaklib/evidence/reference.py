"""Keeps the day of a good run in the folder of another one, which is judged against it from then on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.run import find_run, glance_at, open_run
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, FIRST_TOKEN, endpoint_days
from soaklib.analysis.verdicts.reference import REFERENCE_NAME, Day, Reference, kept_reference
from soaklib.errors import RecordingError, SettingsError
from soaklib.evidence.comparison import other_load
from soaklib.records import RunStatus
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.whole import whole_file
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.analysis.sources.run import Run, RunInfo
    from soaklib.evidence.comparison import PlannedLoad

__all__ = ["keep_reference", "not_of_reference", "refuse_as_reference", "why_no_reference"]

_DAY_H: Final = 24.0


def why_no_reference(reference: RunInfo, judged: RunInfo | PlannedLoad) -> str | None:
    """Say why a run is no reference for a run of this load; None if it is one."""
    if (other := other_load(reference, judged)) is not None:
        return other
    if reference.status != RunStatus.COMPLETED:
        return f"it is {reference.status}"
    if reference.hours < _DAY_H:
        return f"it has {reference.hours:g} hours of the {_DAY_H:g} of a day"
    if reference.speed == 1 and not reference.follows_the_clock:
        return "it was cut off and went on, so that its soak time is no time of day"
    return None


def refuse_as_reference(reference: Path | str, judged: RunInfo | PlannedLoad) -> None:
    """Refuse a run that is no reference for a run of this load.

    Parameters
    ----------
    reference
        Folder or id of the run that is said to be good.
    judged
        What the other one is asked to do, or was.

    Raises
    ------
    SettingsError
        It is none, and why.
    RunError
        There is no such run.
    """
    why = why_no_reference(glance_at(find_run(reference)).info, judged)
    if why is not None:
        msg = f"--reference {reference}: {why}; pass a complete run of the same load and of a day at least"
        raise SettingsError(msg)


def keep_reference(folder: Path, reference: Path | str) -> tuple[str, ...]:
    """Keep the day of a good run with another run, and that it is judged against it.

    Parameters
    ----------
    folder
        Of the run that is judged; the caller holds its lock, and judges it anew if it was judged.
    reference
        Folder or id of the good run.

    Returns
    -------
    tuple of str
        The tools that have a day in it.

    Raises
    ------
    SettingsError
        It is no reference for that run, or is that run itself.
    RunError
        There is no such run.
    RecordingError
        It cannot be written.
    """
    with open_run(folder) as run:
        judged = run.info
    refuse_as_reference(reference, judged)
    if glance_at(find_run(reference)).info.run_id == judged.run_id:
        msg = f"--reference {reference} is the run itself, whose day is as its own whatever it did: pass another"
        raise SettingsError(msg)
    kept = _made(reference, judged)
    content = kept.model_dump_json(indent=1).encode() + b"\n"
    try:
        with whole_file(folder / REFERENCE_NAME) as part:
            part.write_bytes(content)
    except OSError as exc:
        msg = f"{folder / REFERENCE_NAME} cannot be written: {exc.strerror or exc}"
        raise RecordingError(msg) from exc
    writer = RunWriter(folder / DATABASE_NAME)
    writer.note_environment("reference", {"run_id": kept.run_id, "sha256": hashlib.sha256(content).hexdigest()})
    writer.close()
    return tuple(sorted({day.tool for day in kept.days}))


def not_of_reference(run: Run, reference: Path | str) -> str | None:
    """Say why a run was not judged against this good run; None if it was."""
    kept = kept_reference(run)
    if kept is None:
        return f"the run was judged by itself, and not against {reference}"
    if kept != _made(reference, run.info):
        return f"what the run was judged against is kept of {kept.run_id}, and is not what {reference} shows"
    return None


def _made(reference: Path | str, judged: RunInfo) -> Reference:
    with open_run(reference) as good:
        return Reference(
            run_id=good.info.run_id,
            days=tuple(
                Day(endpoint=endpoint.name, tool=tool, soak_s=tuple(day["soak_s"]), value=tuple(day["value"]))
                for endpoint in (*ENDPOINTS, FIRST_TOKEN)
                for tool, day in endpoint_days(good, endpoint, judged).items()
            ),
        )
