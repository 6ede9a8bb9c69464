"""Notes for a run that is going on: another process tells of what it did, and the runner writes it down as events.

A note is a small JSON file in ``inbox/`` of the run's folder, put there whole by a rename. Its name gives its place in
the order and the key of its event, so that a note is written down exactly once, also when the runner dies between
writing it down and removing it. Who leaves a note does not touch the run's database.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.records import EventName
from soaklib.safety.foreign_json import json_of
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from soaklib.runner.events import EventLog

__all__ = ["leave_note", "watch_inbox"]

_FOLDER: Final = "inbox"
_LOOK_EVERY_S: Final = 1.0
_MOST_BYTES: Final = 16 << 10
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


def leave_note(folder: Path, name: str, detail: str) -> Path:
    """Leave a note in a run's folder.

    Parameters
    ----------
    folder
        The run's folder.
    name
        Name of the event, an :class:`~soaklib.records.EventName` or ``POLICY_UPDATED_...``.
    detail
        One line of text, free of secrets.

    Returns
    -------
    pathlib.Path
        The note, which is gone when the runner has written it down.

    Raises
    ------
    OSError
        It cannot be written.
    """
    inbox = folder / _FOLDER
    inbox.mkdir(mode=0o700, exist_ok=True)
    note = inbox / f"{time.time_ns()}-{os.getpid()}.json"
    with whole_file(note) as part:
        part.write_bytes(orjson.dumps({"name": str(name), "detail": detail}))
    return note


async def watch_inbox(
    folder: Path,
    events: EventLog,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Write notes down as events, looking once a wall second, until cancelled.

    A note that is none is written down as a change that failed, and removed like any other. One that cannot be read or
    removed, and an inbox that cannot be looked into, do not end the run: an event says so once of each, and it is tried
    again; the notes behind it are taken.

    Parameters
    ----------
    folder
        The run's folder.
    events
        The run's event log.
    sleep
        Injected by tests.
    """
    inbox, left, has_failed = folder / _FOLDER, set[str](), False
    while True:
        try:
            notes = sorted(inbox.glob("[0-9]*.json"))
        except OSError as exc:
            notes = []
            if not has_failed:
                events.write(EventName.CHANGE_FAILED, f"notes of changes by hand cannot be taken: {exc}")
            has_failed = True
        left &= {note.name for note in notes}
        for note in notes:
            try:
                _take(note, events)
            except OSError as exc:
                if note.name not in left:
                    said = f"the note {note.name} of a change by hand cannot be taken, and is left: {exc}"
                    events.write(EventName.CHANGE_FAILED, said)
                left.add(note.name)
        await sleep(_LOOK_EVERY_S)


def _take(note: Path, events: EventLog) -> None:
    """Write a note down, and remove it."""
    key = f"inbox:{note.stem}"
    if not events.is_done(key):
        name, detail = _read(note)
        events.write(name, detail, key=key)
    note.unlink()


def _read(note: Path) -> tuple[str, str]:
    """Give name and detail of a note's event."""
    with note.open("rb") as file:
        text = file.read(_MOST_BYTES)
    content = json_of(text) or {}
    name, detail = content.get("name"), content.get("detail")
    if not isinstance(name, str) or not isinstance(detail, str) or not _NAME.fullmatch(name):
        return EventName.CHANGE_FAILED, f"the note {note.name} of a change by hand cannot be read"
    return name, detail
