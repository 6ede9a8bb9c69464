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
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from soaklib.errors import RecordingError
from soaklib.plan.limits import MOST_QUEUED_ROWS
from soaklib.runner.frames import rows_frame, scrape_header
from soaklib.store.tables import NOTHING_SAID, OUTCOME_ALWAYS
from soaklib.store.writer import segment_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from soaklib.records import Event, HealthTick, Outcome, Sample, Scrape
    from soaklib.store.views import Segment

__all__ = ["MOST_QUEUED_TEXT_BYTES", "Recorder"]

_FLUSH_EVERY_S: Final = 0.1
MOST_QUEUED_TEXT_BYTES: Final = 32 << 20
_CLOSE_WITHIN_S: Final = 120.0
_WRITTEN_WITHIN_S: Final = 30.0
_TELLS_WITHIN_S: Final = 5.0
"""How long a process that has closed a pipe may take to end, and so to say why."""
_LOOK_EVERY_S: Final = 0.005
_MOST_GARBAGE: Final = 100


class _Handed(NamedTuple):
    """A frame that was handed over and is not acknowledged: rows and bytes of text in it, and when it was."""

    rows: int
    text_bytes: int
    at_s: float


class Recorder:
    """Queues rows and streams them to the process that appends them.

    Parameters
    ----------
    database
        The run's DuckDB file.
    most_queued_rows
        Rows handed over and not yet acknowledged at most; past that recording has failed, because a queue that only
        grows loses more the longer it is kept.
    most_queued_text_bytes
        Bytes of /metrics handed over and not yet acknowledged at most; past that a scrape's samples are left out, and
        its row says so.
    on_warning
        Takes what the process has to say that does not end the recording.
    """

    def __init__(
        self,
        database: Path,
        *,
        most_queued_rows: int = MOST_QUEUED_ROWS,
        most_queued_text_bytes: int = MOST_QUEUED_TEXT_BYTES,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._database = database
        self._most_queued_rows = most_queued_rows
        self._most_queued_text_bytes = most_queued_text_bytes
        self._on_warning = on_warning
        self._pending: dict[str, list[tuple[object, ...]]] = {}
        self._queued_rows = 0
        self._queued_text_bytes = 0
        self._handed_over: deque[_Handed] = deque()
        self._frames_handed_over = 0
        self._frames_acknowledged = 0
        self._rows_on_disk = 0
        self._error: str | None = None
        self._has_given_up = False
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._is_closing = False

    async def start(self) -> None:
        """Start the process and wait until it holds the file.

        Raises
        ------
        RecordingError
            It cannot be started, or cannot write the file.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "soaklib.runner.recorder_process", os.fspath(self._database),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # what is typed at the terminal is for the runner, from the first moment on
            )  # fmt: skip
        except OSError as exc:
            msg = f"the recorder of {self._database} cannot be started: {exc.strerror}"
            raise RecordingError(msg) from exc
        self._acknowledging = asyncio.create_task(self._read_acknowledgements())
        self._acknowledging.add_done_callback(lambda _: self._ready.set())
        await self._ready.wait()
        self._raise_if_failed()

    @property
    def queued_rows(self) -> int:
        """Rows taken and not yet on disk; the text of a scrape counts as the one row that it belongs to."""
        return self._queued_rows

    @property
    def lag_s(self) -> float:
        """How long ago the oldest frame was handed over that is not yet on disk, in seconds; 0 when all are."""
        return time.monotonic() - self._handed_over[0].at_s if self._handed_over else 0.0

    @property
    def rows_on_disk(self) -> int:
        """Rows that are safe whatever happens now, the samples of scrapes among them."""
        return self._rows_on_disk

    async def is_written_down(self) -> bool:
        """Wait until everything taken so far is on disk; say whether it is, or not within a while."""
        if not self._flush():
            return False
        frames, ends = self._frames_handed_over, time.monotonic() + _WRITTEN_WITHIN_S
        while self._frames_acknowledged < frames:
            if self._error is not None or time.monotonic() > ends:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return self._error is None

    def outcome(self, row: Outcome) -> None:
        """Take a row for ``outcomes``; what its gateway says nothing of is not sent: NULLs take as long as values."""
        self._take("outcomes", row[:OUTCOME_ALWAYS] if row[OUTCOME_ALWAYS:] == NOTHING_SAID else tuple(row))

    def event(self, row: Event) -> None:
        """Take a row for ``events``, and hand it over at once: what has happened must not happen again on resume."""
        self._take("events", tuple(row))
        self._flush()

    def scrape(self, row: Scrape) -> None:
        """Take a row for ``scrapes``."""
        self._take("scrapes", tuple(row))

    def metrics(self, row: Scrape, text: bytes) -> None:
        """Take the text of a scrape that was answered with 200; ``ok`` and ``detail`` of its row come of reading it.

        The text is handed over at once, in one copy of it: what does not fit into the pipe is sent as there is room.
        """
        queued = self._queued_text_bytes
        if not self._flush() or queued + len(text) > self._most_queued_text_bytes:
            detail = (
                f"{len(text)} bytes left out: {queued} bytes of earlier scrapes wait to be read "
                f"(at most {self._most_queued_text_bytes} may)"
            )
            self.scrape(row._replace(ok=False, detail=detail))
            return
        self._queued_rows += 1
        self._hand_over(scrape_header(row, text), text, rows=1)

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
        self._queued_rows += 1

    async def run(self) -> None:
        """Stream rows until cancelled.

        Raises
        ------
        RecordingError
            The process ended or failed, refused a row, or the queue is full.
        """
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            self._raise_if_failed()
            if not self._flush():
                self._raise_if_failed()
                await self._wait_for_its_end()
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
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                # a warning that comes now is an event, which is still written
                while self._flush() and self._handed_over and not self._acknowledging.done():  # noqa: ASYNC110 - 3 facts
                    await asyncio.sleep(_LOOK_EVERY_S)
                self._is_closing = True
                with suppress(BrokenPipeError, ConnectionResetError):  # told below, by what was not acknowledged
                    self._process.stdin.close()
                    await self._process.stdin.wait_closed()
                await asyncio.wait({self._acknowledging})
                code = await self._process.wait()
        except TimeoutError:
            self._fail(f"the recorder of {self._database} did not finish within {_CLOSE_WITHIN_S:g} s")
            self._process.kill()
            await self._process.wait()
        else:
            if code:
                self._fail(f"the recorder of {self._database} {_ending(code)}")
        if self.queued_rows:
            self._fail(f"{self.queued_rows} rows were not written to {self._database}")
        self._raise_if_failed()

    # -- to the process

    def _flush(self) -> bool:
        """Hand over the rows taken; say whether none is left. They stay here when the process takes nothing more."""
        if self._process is None or self._process.stdin is None:
            return not self._pending
        if self._has_given_up or self._process.stdin.is_closing():
            return False
        if self._pending:
            rows = sum(map(len, self._pending.values()))
            try:
                frame = rows_frame(self._pending)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the rows stay, and the run ends by its words
                self._fail(f"{rows} rows cannot be handed to the recorder of {self._database}: {exc!r}")
                return False
            self._pending = {}
            self._hand_over(frame, rows=rows)
        return True

    def _hand_over(self, frame: bytes, text: bytes = b"", *, rows: int) -> None:
        if self._process is None or self._process.stdin is None:
            return
        self._handed_over.append(_Handed(rows, len(text), time.monotonic()))
        self._frames_handed_over += 1
        self._queued_text_bytes += len(text)
        self._process.stdin.write(frame)  # buffered by the transport, never awaited
        if text:
            self._process.stdin.write(text)

    async def _wait_for_its_end(self) -> None:
        """Raise what the process, which takes nothing more, has to say for itself; or that it has nothing to say."""
        await asyncio.wait({self._acknowledging}, timeout=_TELLS_WITHIN_S)
        self._fail(f"the recorder of {self._database} takes no more rows")
        self._raise_if_failed()

    # -- from the process

    async def _read_acknowledgements(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # it is longer than any that is meant
                line = b"a line without end"
            if not line:
                break
            self._understand(line)
        if self._is_closing:
            return
        try:
            async with asyncio.timeout(_TELLS_WITHIN_S):
                code = await self._process.wait()
        except TimeoutError:
            self._fail(f"the recorder of {self._database} acknowledges nothing more")
        else:
            self._fail(f"the recorder of {self._database} {_ending(code)}")

    def _understand(self, line: bytes) -> None:
        """Take what the process says; what cannot be understood ends the run, for it may have been a failure."""
        try:
            match orjson.loads(line):
                case {"frames": int(frames), "rows": int(rows), **others}:
                    self._acknowledge(frames, rows)
                    if "refused" in others:  # whatever else may stand there is for a later reader
                        self._fail(_refusal(self._database, others))
                case {"warning": str(text)}:
                    self._warn(text)
                case {"error": str(text)}:
                    self._has_given_up = True
                    self._fail(text)
                case _:
                    self._fail(_garbage(self._database, line))
        except orjson.JSONDecodeError:
            self._fail(_garbage(self._database, line))
        self._ready.set()

    def _acknowledge(self, frames: int, rows: int) -> None:
        self._rows_on_disk = rows
        while self._frames_acknowledged < frames and self._handed_over:
            handed = self._handed_over.popleft()
            self._frames_acknowledged += 1
            self._queued_rows -= handed.rows
            self._queued_text_bytes -= handed.text_bytes

    def _warn(self, text: str) -> None:
        if self._on_warning is not None and not self._is_closing:
            self._on_warning(text)
        else:
            sys.stderr.write(f"{text}\n")  # no row can be written of it any more

    def _fail(self, error: str) -> None:
        """Take note of why the run ends; the first reason is the one."""
        if self._error is None:
            self._error = error

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise RecordingError(self._error)
        if self._acknowledging.done():
            self._acknowledging.result()


def _refusal(database: Path, told: Mapping[object, object]) -> str:
    """Say which rows could not be stored."""
    reasons = told.get("refused")
    words = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    return f"{told.get('refused_rows')} rows could not be written to {database}: {words}"


def _garbage(database: Path, line: bytes) -> str:
    start = line[:_MOST_GARBAGE].decode("utf-8", "replace").strip()
    return f"the recorder of {database} says what is no acknowledgement: {start!r}"


def _ending(code: int) -> str:
    """Say how a process ended that was to go on, by its return code."""
    if code >= 0:
        return f"ended by itself with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}{', as the kernel does when memory runs out' if name == 'SIGKILL' else ''}"
