"""Hands rows to the recorder's process without ever making the loop wait."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import RecordingError
from soaklib.store import segment_row

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.records import Event, HealthTick, Outcome, Sample, Scrape
    from soaklib.store import Segment

__all__ = ["MOST_QUEUED_ROWS", "Recorder"]

_FLUSH_EVERY_S: Final = 0.1
MOST_QUEUED_ROWS: Final = 500_000
_CLOSE_WITHIN_S: Final = 120.0
_WRITTEN_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.005


class Recorder:
    """Queues rows and streams them to the process that appends them.

    Parameters
    ----------
    database
        The run's DuckDB file.
    most_queued_rows
        Rows handed over and not yet acknowledged at most; past that recording has failed, because a queue that only
        grows loses more the longer it is kept.
    """

    def __init__(self, database: Path, *, most_queued_rows: int = MOST_QUEUED_ROWS) -> None:
        self._database = database
        self._most_queued_rows = most_queued_rows
        self._pending: dict[str, list[tuple[object, ...]]] = {}
        self._rows_taken = 0
        self._rows_on_disk = 0
        self._handed_over: deque[tuple[int, float]] = deque()  # (rows taken, when) of batches not yet on disk
        self._error: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._is_closing = False

    async def start(self) -> None:
        """Start the process and wait until it holds the file."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "soaklib.runner.recorder_process", os.fspath(self._database),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._acknowledging = asyncio.create_task(self._read_acknowledgements())
        await self._ready.wait()
        self._raise_if_failed()

    @property
    def queued_rows(self) -> int:
        """Rows handed over and not yet on disk."""
        return self._rows_taken - self._rows_on_disk

    @property
    def lag_s(self) -> float:
        """How long ago the oldest batch was handed over that is not yet on disk, in seconds; 0 when all are."""
        return time.monotonic() - self._handed_over[0][1] if self._handed_over else 0.0

    @property
    def rows_on_disk(self) -> int:
        """Rows that are safe whatever happens now."""
        return self._rows_on_disk

    async def is_written_down(self) -> bool:
        """Wait until everything taken so far is on disk; say whether it is, or not within a while."""
        self._flush()
        taken, ends = self._rows_taken, time.monotonic() + _WRITTEN_WITHIN_S
        while self._rows_on_disk < taken:
            if self._error is not None or time.monotonic() > ends:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    def outcome(self, row: Outcome) -> None:
        """Take a row for ``outcomes``."""
        self._take("outcomes", tuple(row))

    def event(self, row: Event) -> None:
        """Take a row for ``events``, and hand it over at once: what has happened must not happen again on resume."""
        self._take("events", tuple(row))
        self._flush()

    def scrape(self, row: Scrape) -> None:
        """Take a row for ``scrapes``."""
        self._take("scrapes", tuple(row))

    def health_tick(self, row: HealthTick) -> None:
        """Take a row for ``runner_health``."""
        self._take("runner_health", tuple(row))

    def segment(self, segment: Segment, runner_pid: int) -> None:
        """Take the row for ``segments`` of a segment that begins."""
        self._take("segments", segment_row(segment, runner_pid=runner_pid))

    def samples(self, rows: list[Sample]) -> None:
        """Take rows for ``samples``."""
        for row in rows:
            # JSON has no NaN and no infinity; the store reads them back from their names
            value = row.value if math.isfinite(row.value) else repr(row.value)
            self._take("samples", (row.at_us, row.metric, row.labels, value))

    def _take(self, table: str, row: tuple[object, ...]) -> None:
        rows = self._pending.get(table)
        if rows is None:
            rows = self._pending[table] = []
        rows.append(row)
        self._rows_taken += 1

    async def run(self) -> None:
        """Stream rows until cancelled.

        Raises
        ------
        RecordingError
            The process ended or failed, or the queue is full.
        """
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            self._raise_if_failed()
            self._flush()
            if self.queued_rows > self._most_queued_rows:
                msg = (
                    f"the disk does not keep up: {self.queued_rows} rows wait to be written to {self._database} "
                    f"(at most {self._most_queued_rows} may)"
                )
                raise RecordingError(msg)

    async def close(self) -> None:
        """Hand over what is left, wait until it is on disk, and let the process end.

        Raises
        ------
        RecordingError
            Not everything that was handed over could be written.
        """
        if self._process is None or self._process.stdin is None:
            return
        self._flush()
        self._is_closing = True
        with suppress(BrokenPipeError, ConnectionResetError):  # told below, by what was not acknowledged
            self._process.stdin.close()
            await self._process.stdin.wait_closed()
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._acknowledging
                await self._process.wait()
        except TimeoutError:
            self._error = f"the recorder did not finish within {_CLOSE_WITHIN_S:g} s"
            self._process.kill()
            await self._process.wait()
        if self.queued_rows and self._error is None:
            self._error = f"{self.queued_rows} rows were not written to {self._database}"
        self._raise_if_failed()

    def _flush(self) -> None:
        if not self._pending or self._process is None or self._process.stdin is None:
            return
        if self._error is not None or self._process.stdin.is_closing():
            return  # the process is gone: the rows stay queued, and the run ends by what it said
        batch, self._pending = self._pending, {}
        self._handed_over.append((self._rows_taken, time.monotonic()))
        self._process.stdin.write(orjson.dumps(batch) + b"\n")  # buffered by the transport, never awaited

    async def _read_acknowledgements(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        async for line in self._process.stdout:
            message = orjson.loads(line)
            self._rows_on_disk = message.get("rows", self._rows_on_disk)
            self._error = message.get("error", self._error)
            while self._handed_over and self._handed_over[0][0] <= self._rows_on_disk:
                self._handed_over.popleft()
            self._ready.set()
        if self._error is None and not self._is_closing:
            self._error = f"the recorder of {self._database} {_ending(await self._process.wait())}"
        self._ready.set()

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise RecordingError(self._error)


def _ending(code: int) -> str:
    """Say how a process ended that was to go on, by its return code."""
    if code >= 0:
        return f"ended by itself with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{', as the kernel does when memory runs out' if name == 'SIGKILL' else ''}"
