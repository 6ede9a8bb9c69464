"""The event log of a run, ``soak-events.log``, as a frame."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Final

import polars as pl

from soaklib.analysis.sources.samples import AT
from soaklib.errors import RunError

__all__ = ["EVENTS_SCHEMA", "read_events"]

EVENTS_SCHEMA: Final = pl.Schema([("at", AT), ("name", pl.String()), ("detail", pl.String())])
"""Columns and types of :func:`read_events`."""

_LINE: Final = re.compile(r"\[(?P<at>[0-9T:.+Z-]+)\] (?P<name>[A-Z][A-Z0-9_]*)(?: (?P<detail>.*))?")


def read_events(path: Path | str) -> pl.DataFrame:
    """Read an event log, one line an event: ``[ISO-8601 UTC] NAME detail``.

    Parameters
    ----------
    path
        The file, usually ``soak-events.log`` in a run's folder.

    Returns
    -------
    polars.DataFrame
        ``at`` (UTC), ``name``, ``detail`` (empty when there is none), in the order of the file. A line of another form,
        such as one that a crash cut short, is kept whole in ``detail`` with null in ``at`` and ``name``.

    Raises
    ------
    RunError
        The file cannot be read, or no line of it is an event.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; pass the soak-events.log of a run"
        raise RunError(message) from error
    rows = [_row(line) for line in lines if line.strip()]
    if rows and all(at is None for at, _, _ in rows):
        message = f"{path} is no event log: none of its {len(rows)} lines has the form [ISO-8601 UTC] NAME detail"
        raise RunError(message)
    return pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row")


def _row(line: str) -> tuple[dt.datetime | None, str | None, str]:
    event = _LINE.fullmatch(line)
    if event is None:
        return None, None, line
    try:
        at = dt.datetime.fromisoformat(event["at"])
    except ValueError:
        return None, None, line
    return at.replace(tzinfo=at.tzinfo or dt.UTC).astimezone(dt.UTC), event["name"], event["detail"] or ""
