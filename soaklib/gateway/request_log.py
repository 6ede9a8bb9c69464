"""Rows on their way to the database: written in batches by a thread, off the request path, none lost in silence.

While the database is away rows wait, up to `CAPACITY_ROWS`; what comes after that is dropped and counted. The loss
of the database, its return and every loss of rows are logged, and ``/ready`` says that the database is away.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from soaklib.gateway.database import Database, DatabaseError
from soaklib.gateway.records import Row

CAPACITY_ROWS = 200_000
"""Rows that wait at most; some 100 MB."""

BATCH_ROWS = 256
INTERVAL_S = 0.1
RETRY_S = 1.0

_LOGGER = logging.getLogger(__name__)


class RequestLog:
    """The queue and its writer.

    Parameters
    ----------
    database
        Where the rows go.
    capacity_rows
        Rows that may wait.
    monotonic
        The clock of the retries, in seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        capacity_rows: int = CAPACITY_ROWS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._capacity_rows = capacity_rows
        self._monotonic = monotonic
        self._waiting: deque[Row] = deque()
        self._batch: list[Row] = []
        self._retry_at_s = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.problem: str | None = None
        """Why the database is away; None while it is there."""
        self.lost_rows = 0
        """Rows dropped because too many were waiting, or left at the end."""

    @property
    def path(self) -> Path | None:
        """The SQLite file that the rows go to; None where it is a server, or has not been opened."""
        return self._database.path

    def start(self) -> None:
        """Open the database and start the writer.

        Raises
        ------
        DatabaseError
            When the database cannot be opened.
        """
        self._database.open()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def append(self, row: Row) -> None:
        """Hand over a row; returns at once."""
        waiting = len(self._waiting)
        if waiting >= self._capacity_rows:
            if not self.lost_rows:
                _LOGGER.error("request log: %d rows wait for the database, rows are dropped from now on", waiting)
            self.lost_rows += 1
            return
        self._waiting.append(row)
        if waiting == BATCH_ROWS:
            self._wake.set()

    def close(self) -> None:
        """Write what is left, stop the writer and close the database."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        left = len(self._batch) + len(self._waiting)
        self.lost_rows += left
        if self.lost_rows:
            _LOGGER.error("request log: %d rows were not written", self.lost_rows)
        self._database.close()

    def flush(self) -> bool:
        """Write all that waits; False when the database is away. Called by the writer, and by tests without one."""
        while self._batch or self._waiting:
            if not self._batch:
                while self._waiting and len(self._batch) < BATCH_ROWS:
                    self._batch.append(self._waiting.popleft())
            try:
                self._database.write(self._batch)
            except DatabaseError as problem:
                if self.problem is None:
                    _LOGGER.error("request log: the database is away, rows wait: %s", problem)  # noqa: TRY400 - known
                self.problem = str(problem)
                self._retry_at_s = self._monotonic() + RETRY_S
                return False
            self._batch = []
            if self.problem is not None:
                _LOGGER.warning("request log: the database is back")
                self.problem = None
        return True

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait(INTERVAL_S)
                self._wake.clear()
                if self._monotonic() >= self._retry_at_s:
                    self.flush()
            self.flush()
        finally:
            if not self._stopping:  # an error that nobody foresaw is on its way out: /ready has to know
                self.problem = "the writer has ended"
