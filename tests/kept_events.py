"""An event log whose events are kept in a list, and go to no file."""

import datetime as dt
import io
import os
from pathlib import Path

from soaklib.runner.events import EventLog


class _StoppedClock:
    def now_us(self):
        return 0

    def utc(self, at_us):
        del at_us
        return dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


class KeptEvents(EventLog):
    """Events, kept: `written` has (name, detail, key) of each."""

    def __init__(self, done=None):
        self.written = []
        super().__init__(Path(os.devnull), _StoppedClock(), self._keep, done=done)
        self._file.close()
        self._file = io.StringIO()

    def _keep(self, event):
        self.written.append((str(event.name), event.detail, event.key))

    def names(self):
        return [name for name, *_ in self.written]
