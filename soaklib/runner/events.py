"""The run's event log: one line an event in soak-events.log, and one row in ``events``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from soaklib.runner.clock import RunClock

__all__ = ["EVENT_LOG_NAME", "EventLog"]

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
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, name: str, detail: str = "", *, key: str | None = None) -> None:
        """Write an event; `key` names one that must happen exactly once in a run."""
        at_us = self._clock.now_us()
        line = " ".join(detail.split())  # one line, whatever a gateway's message holds
        stamp = self._clock.utc(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._file.write(f"[{stamp}] {name} {line}".rstrip() + "\n")
        self._record(Event(at_us, name, line, key))
        self.last = f"{name} {line}".rstrip()
