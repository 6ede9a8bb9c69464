"""The run's event log: one line an event in soak-events.log, and one row in ``events``.

Some events have a key, and happen once in a run. The log knows which have happened, also before the run was resumed:
whether a thing is still to be done is asked of it and of nothing else.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import RecordingError
from soaklib.records import NOT_MADE, Event
from soaklib.records.moments import utc_stamp
from soaklib.safety.foreign_text import plain_text
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Self

    from pydantic import JsonValue

    from soaklib.runner.clock import RunClock

__all__ = ["EVENTS_SQL", "EventLog", "rendered", "write_event_log"]

EVENTS_SQL: Final = "select at_us, name, detail from events order by at_us, rowid"
"""The query of what stands in the log, line by line."""

_MOST_CHARACTERS: Final = 4000


class EventLog:
    """Writes events down, in order, as they happen.

    Parameters
    ----------
    path
        The log file; appended to.
    clock
        The run's clock.
    record
        Takes the row for the table ``events``.
    done
        Keys of the events that happened before, each with the name of its event.

    Attributes
    ----------
    last
        The last event's line, for the eye.
    error
        What keeps the file from being written; the run ends by it when what has to be done is done.
    """

    def __init__(
        self, path: Path, clock: RunClock, record: Callable[[Event], None], *, done: Mapping[str, str] | None = None
    ) -> None:
        self._clock = clock
        self._done = dict(done or {})
        self._record = record
        self._path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.last = ""
        self.error: RecordingError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError as exc:  # a line that a full disk did not take is tried once more
            self._cannot_write(exc)

    def is_done(self, key: str) -> bool:
        """Say whether the event of a key has happened: what it is about was made, or was tried in vain."""
        return key in self._done

    def is_made(self, key: str) -> bool:
        """Say whether what a key is about was really made."""
        return key in self._done and self._done[key] not in NOT_MADE

    def write(
        self,
        name: str,
        detail: str = "",
        *,
        key: str | None = None,
        change: str | None = None,
        subject: str | None = None,
        data: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Write an event.

        Parameters
        ----------
        name
            What happened, an :class:`~soaklib.records.EventName` or ``POLICY_UPDATED_...``.
        detail
            One line on it; empty for what :func:`rendered` makes of the data.
        key
            Names an event that happens once in a run; one whose key has been used is written without it.
        change, subject
            Which change of the plan (its ``do``) it is about, and what that is done to.
        data
            What else there is to know, free of secrets.
        """
        if key in self._done:
            key = None
        elif key is not None:
            self._done[key] = str(name)
        at_us = self._clock.now_us()
        detail = detail or rendered(data or {})
        line = plain_text(" ".join(detail.split()), most=_MOST_CHARACTERS)  # one, whatever a gateway's words hold
        try:
            self._file.write(_line(self._clock.utc(at_us), name, line))
        except OSError as exc:  # what has to be done goes on; the run ends by this when it is done
            self._cannot_write(exc)
        told = orjson.dumps(dict(data)).decode() if data else None
        self._record(Event(at_us, name, line, key, change, subject, told))
        self.last = f"{name} {line}".rstrip()

    def _cannot_write(self, exc: OSError) -> None:
        self.error = RecordingError(f"cannot write {self._path}: {exc.strerror}")


def rendered(data: Mapping[str, JsonValue]) -> str:
    """Give the line of an event from its data: ``name=value`` for each, in their order; numbers short."""
    return " ".join(f"{name}={f'{value:g}' if isinstance(value, float) else value}" for name, value in data.items())


def write_event_log(path: Path, anchor_utc: dt.datetime, rows: Iterable[tuple[int, str, str]]) -> None:
    """Write the log of a run that is to be resumed anew from its table, of which `rows` are what `EVENTS_SQL` gives.

    A line whose row was lost when the runner died tells of something that will happen again; it must not stand twice.
    """
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        for at_us, name, detail in rows:
            file.write(_line(anchor_utc + dt.timedelta(microseconds=at_us), name, detail))


def _line(at: dt.datetime, name: str, detail: str) -> str:
    return f"[{utc_stamp(at)}] {name} {detail}".rstrip() + "\n"
