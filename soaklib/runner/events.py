"""The run's event log: one line an event in soak-events.log, and one row in ``events``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from soaklib.errors import RecordingError
from soaklib.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from soaklib.runner.clock import RunClock
    from soaklib.store import RunWriter

__all__ = ["EVENT_LOG_NAME", "EventLog", "write_event_log"]

EVENT_LOG_NAME = "soak-events.log"


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
    """

    def __init__(self, path: Path, clock: RunClock, record: Callable[[Event], None]) -> None:
        self._clock = clock
        self._record = record
        self._path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.last = ""
        self.error: RecordingError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, name: str, detail: str = "", *, key: str | None = None) -> None:
        """Write an event; `key` names one that must happen exactly once in a run."""
        at_us = self._clock.now_us()
        line = " ".join(detail.split())  # one line, whatever a gateway's message holds
        try:
            self._file.write(_line(self._clock.utc(at_us), name, line))
        except OSError as exc:  # what has to be done goes on; the run ends by this when it is done
            self.error = RecordingError(f"cannot write {self._path}: {exc.strerror}")
        self._record(Event(at_us, name, line, key))
        self.last = f"{name} {line}".rstrip()


def write_event_log(path: Path, anchor_utc: dt.datetime, writer: RunWriter) -> None:
    """Write the log of a run that is to be resumed anew from its table.

    A line whose row was lost when the runner died tells of something that will happen again; it must not stand twice.
    """
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        for at_us, name, detail in writer.read("select at_us, name, detail from events order by at_us, rowid"):
            file.write(_line(anchor_utc + dt.timedelta(microseconds=at_us), name, detail))
    part.replace(path)


def _line(at: dt.datetime, name: str, detail: str) -> str:
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"[{stamp}] {name} {detail}".rstrip() + "\n"
