"""The recorder's process: reads rows from its standard input, appends them to the run's file, acknowledges.

``python -m soaklib.runner.recorder_process RUN.duckdb`` is started by :class:`soaklib.runner.recorder.Recorder`. It is
a process of its own so that neither the database nor the reading of /metrics ever holds the interpreter lock of the
loop that keeps the schedule. Its input is frames (:mod:`soaklib.runner.frames`). Each line of its output is a JSON
object:

================================== ================================================================================
keys                               meaning
================================== ================================================================================
``frames``, ``rows``               frames dealt with and rows on disk, both since the start
``refused_rows``, ``refused``      beside them, when rows could not be stored: how many, and "table: reason" of some
``warning``                        one line for the person who looks after the run; it goes on
``error``                          why recording has ended
================================== ================================================================================

It ends when its input ends, with everything it was given written down, also when the runner is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import ExitCode, RecordingError
from soaklib.exposition.ending import Wholeness
from soaklib.runner.frames import FrameReader, dump
from soaklib.runner.scraped import judge_whole, read_scrape
from soaklib.runner.storing import store
from soaklib.store.live import Publisher
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.runner.frames import Frame
    from soaklib.runner.storing import Refusal

_STDIN: Final = 0
_STDOUT: Final = 1
_READ_BYTES: Final = 1 << 20
_IGNORED_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_TOLD: Final = 5
_MOST_WORDS: Final = 400


class Voice:
    """Tells the runner what it must know, a line at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def acknowledge(self, frames: int, rows: int, refused: Sequence[Refusal] = ()) -> None:
        """Say what is dealt with and what is on disk, and which rows never will be."""
        message: dict[str, object] = {"frames": frames, "rows": rows}
        if refused:
            told = dict.fromkeys(f"{refusal.table}: {refusal.reason}"[:_MOST_WORDS] for refusal in refused)
            message |= {"refused_rows": len(refused), "refused": [*told][:_MOST_TOLD]}
        self._say(message)

    def warn(self, text: str, *, of: str | None = None) -> None:
        """Say something that does not end the recording; the same thing, or one thing `of` a kind, once."""
        if (of or text) not in self._warned:
            self._warned.add(of or text)
            self._say({"warning": text[:_MOST_WORDS]})

    def fail(self, text: str) -> None:
        """Say why nothing more is recorded."""
        self._say({"error": text[:_MOST_WORDS]})

    def _say(self, message: dict[str, object]) -> None:
        with self._lock, suppress(BrokenPipeError):  # the runner is gone; what it handed over is still written
            os.write(_STDOUT, dump(message) + b"\n")


def main(database: Path) -> int:
    """Record until standard input ends; give the exit code."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the end of the input is the only end
    voice = Voice()
    try:
        writer = RunWriter(database)
        publisher = Publisher(database.parent, writer.cursor, warn=voice.warn)
        publisher.start()
        record(writer, voice)
        publisher.stop()
        writer.close()
    except RecordingError as exc:
        voice.fail(str(exc))
        return ExitCode.RECORDING
    except MemoryError:
        voice.fail(f"cannot write {database}: the recorder is out of memory")
        return ExitCode.RECORDING
    except Exception as exc:
        voice.fail(f"cannot write {database}: {exc!r}")
        raise
    return ExitCode.OK


def record(writer: RunWriter, voice: Voice) -> None:
    """Store what comes in until the input ends."""
    frames_stored = rows_stored = 0
    wholeness = Wholeness()
    voice.acknowledge(frames_stored, rows_stored)
    for frames in _frame_groups(_STDIN):
        stored = store(writer, _merge(frames, wholeness, voice))
        frames_stored += len(frames)
        rows_stored += stored.rows
        voice.acknowledge(frames_stored, rows_stored, stored.refused)


def _frame_groups(descriptor: int) -> Iterator[list[Frame]]:
    """Give all whole frames that came in since the last time: a slow disk makes larger transactions, no queue."""
    reader = FrameReader()
    while chunk := os.read(descriptor, _READ_BYTES):
        if frames := list(reader.feed(chunk)):
            yield frames


def _merge(frames: list[Frame], wholeness: Wholeness, voice: Voice) -> dict[str, list[Sequence[object]]]:
    """Put the rows of some frames together; the samples of a scrape go with its row."""
    merged: dict[str, list[Sequence[object]]] = {}
    for frame in frames:
        for table, rows in frame.rows.items():
            merged.setdefault(table, []).extend(rows)
        if frame.scrape is not None:
            read = judge_whole(read_scrape(frame.scrape, frame.text), frame.text, wholeness)
            if read.fault is not None:
                voice.warn(read.fault)
            for kind, words in read.left_out:
                voice.warn(f"/metrics, {words}; this kind is not said again", of=kind)
            merged.setdefault("scrapes", []).append(read.scrape)
            if read.samples:
                merged.setdefault("samples", []).extend(read.samples)
    return merged


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
