"""A folder of hourly /metrics snapshots as one samples frame, and what each file was worth."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.sources.event_log import read_events
from soaklib.analysis.sources.samples import AT, canonical_names, parse_source, samples_frame, utc_us
from soaklib.errors import ExpositionError, RunError
from soaklib.exposition.ending import NO_EOF, Wholeness, ends_in_eof
from soaklib.exposition.kinds import kinds_of
from soaklib.records import EventName

if TYPE_CHECKING:
    from soaklib.exposition.text import Exposition

__all__ = ["SNAPSHOTS_SCHEMA", "exposed_kinds", "read_snapshots", "snapshot_files"]

SNAPSHOTS_SCHEMA: Final = pl.Schema(
    [
        ("at", AT),
        ("file", pl.String()),
        ("ok", pl.Boolean()),
        ("samples", pl.Int64()),
        ("repairs", pl.Int64()),
        ("detail", pl.String()),
    ],
)
"""Columns and types of :func:`snapshot_files`."""

EVENT_LOG: Final = "soak-events.log"

_TAIL_BYTES: Final = 128
_FINAL: Final = "soak-final.prom"
_NUMBERED: Final = re.compile(r"(?:soak-)?h([0-9]{1,6})\.prom")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Snapshot(NamedTuple):
    path: Path
    at: dt.datetime
    read: Exposition | None
    problem: str | None


def read_snapshots(folder: Path | str, *, canonical: bool = False) -> pl.DataFrame:
    """Read a folder's snapshots in the order of the number in their names.

    They are a run's ``soak-h<N>.prom`` and ``soak-final.prom``, or a capture's ``h<N>.prom``.

    The time of a snapshot is the one that ``soak-events.log`` has for it (the last ``METRICS_SNAPSHOT`` line that names
    the file). If the log lacks any of the files with samples, or there is no log (a warning says so of one that is none
    by its form), no time of the folder is known well enough to order by, and every snapshot gets an ordinal one
    instead: 1970-01-01T00:00Z and its number in hours; the final snapshot comes an hour after the highest number. File
    times and the order of names are never used.

    A file that is empty, no exposition, or cut short is a failed scrape: it contributes no samples and no zeros, and
    :func:`snapshot_files` tells of it. It is cut short if it lacks the end that others of the folder have
    (:mod:`soaklib.exposition.ending`).

    Parameters
    ----------
    folder
        The run's folder, or any folder of such files.
    canonical
        Give names as documented instead of as exposed.

    Returns
    -------
    polars.DataFrame
        A samples frame (see :mod:`soaklib.analysis.sources.samples`), ordered by snapshot and then as in the text.
        Samples that have a timestamp of their own keep it.

    Raises
    ------
    RunError
        There is no such folder, or no snapshot in it.
    """
    whole = [
        (utc_us(snapshot.at), snapshot.read.samples) for snapshot in _snapshots(folder) if snapshot.read is not None
    ]
    rows = [(at_us, sample) for at_us, samples in whole for sample in samples]
    frame = samples_frame(
        [at_us if sample.timestamp_us is None else sample.timestamp_us for at_us, sample in rows],
        [sample.metric for _, sample in rows],
        [sample.labels for _, sample in rows],
        [sample.value for _, sample in rows],
    )
    return canonical_names(frame) if canonical else frame


def snapshot_files(folder: Path | str) -> pl.DataFrame:
    """Tell what each snapshot of a folder was worth: the failed scrapes that :func:`read_snapshots` leaves out, too.

    Parameters
    ----------
    folder
        As for :func:`read_snapshots`.

    Returns
    -------
    polars.DataFrame
        A row a file in the order of the numbers: ``at`` (as in the samples), ``file``, ``ok`` (false for a failed
        scrape), ``samples`` and ``repairs`` (how many it held; null when it failed), ``detail`` (why it failed).

    Raises
    ------
    RunError
        As for :func:`read_snapshots`.
    """
    rows = [
        (
            snapshot.at,
            snapshot.path.name,
            snapshot.read is not None,
            len(snapshot.read.samples) if snapshot.read else None,
            len(snapshot.read.repairs) if snapshot.read else None,
            snapshot.problem,
        )
        for snapshot in _snapshots(folder)
    ]
    return pl.DataFrame(rows, schema=SNAPSHOTS_SCHEMA, orient="row")


def exposed_kinds(folder: Path | str) -> dict[str, str]:
    """Give family -> TYPE, both as exposed, as the snapshots of a folder have them; the newest counts."""
    try:
        files = _numbered(Path(folder))
    except RunError:  # a run need not have any
        return {}
    kinds: dict[str, str] = {}
    for _, path in files:
        try:
            kinds |= kinds_of(path.read_bytes())
        except OSError:  # what is wrong with it is told by snapshot_files
            continue
    return kinds


def _snapshots(folder: Path | str) -> list[_Snapshot]:
    folder = Path(folder)
    files = _numbered(folder)
    expects_eof = any(_ends_in_eof(path) for _, path in files)
    wholeness = Wholeness()
    read = [(number, path, *_read(path, wholeness, expects_eof=expects_eof)) for number, path in files]
    recorded = _recorded(folder / EVENT_LOG)
    is_recorded = all(path.name in recorded for _, path, exposition, _ in read if exposition is not None)
    snapshots = []
    for number, path, exposition, problem in read:
        ordinal = _EPOCH + dt.timedelta(hours=number)
        at = recorded.get(path.name, ordinal) if is_recorded else ordinal
        snapshots.append(_Snapshot(path, at, exposition, problem))
    return snapshots


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """List the snapshots with their numbers; a run's names win over a capture's."""
    if not folder.is_dir():
        message = f"{folder} is no folder: pass the folder of a run"
        raise RunError(message)
    files = [(int(match[1]), path) for path in folder.iterdir() if (match := _NUMBERED.fullmatch(path.name))]
    if any(path.name.startswith("soak-") for _, path in files):
        files = [(number, path) for number, path in files if path.name.startswith("soak-")]
    files.sort()
    last = files[-1][0] if files else -1
    if (folder / _FINAL).is_file():
        files.append((last + 1, folder / _FINAL))
    if not files:
        message = f"{folder} holds no snapshots: pass a folder with soak-h<N>.prom, soak-final.prom or h<N>.prom files"
        raise RunError(message)
    numbers = [number for number, _ in files]
    if len(set(numbers)) < len(numbers):
        message = f"{folder} holds two snapshots of one number: leave one of each"
        raise RunError(message)
    return files


def _recorded(log: Path) -> dict[str, dt.datetime]:
    """Map file names to the times that the event log has for them; the last one counts."""
    if not log.is_file():
        return {}
    try:
        events = read_events(log).filter(pl.col("name") == EventName.METRICS_SNAPSHOT)
    except RunError as error:
        warnings.warn(f"{error}; the snapshots go by the numbers in their names", UserWarning, stacklevel=4)
        return {}
    names = events["detail"].str.split(" ").list.first()
    return dict(zip(names.to_list(), events["at"].to_list(), strict=True))


def _ends_in_eof(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return ends_in_eof(file.read())
    except OSError:  # what is wrong with it is told when it is read
        return False


def _read(path: Path, wholeness: Wholeness, *, expects_eof: bool) -> tuple[Exposition | None, str | None]:
    """Read a file; if it cannot be read or is cut short, give why."""
    try:
        read = parse_source(path)
        data = path.read_bytes()
    except ExpositionError as error:
        return None, str(error)
    except OSError as error:
        return None, f"cannot read {path}: {error.strerror}"
    cut = NO_EOF if expects_eof and not ends_in_eof(data) else wholeness.judged(data, read.samples).cut
    return (read, None) if cut is None else (None, f"{path}: {cut}")
