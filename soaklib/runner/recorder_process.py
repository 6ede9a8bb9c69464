"""The recorder's process: reads rows from its standard input, appends them to the run's file, acknowledges.

``python -m soaklib.runner.recorder_process RUN.duckdb`` is started by :class:`soaklib.runner.recorder.Recorder`. It is
a process of its own so that the database never holds the interpreter lock of the loop that keeps the schedule. Each
line of its input is a JSON object, table name -> list of rows; each line of its output says how many rows are on disk,
or what went wrong. It ends when its input ends, with everything it was given written down, also when the runner is
killed.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import ExitCode, RecordingError
from soaklib.live import Publisher
from soaklib.store import RunWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDIN: Final = 0
_STDOUT: Final = 1
_READ_BYTES: Final = 1 << 20
_IGNORED_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(database: Path) -> int:
    """Record until standard input ends; give the exit code."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the end of the input is the only end
    try:
        writer = RunWriter(database)
        publisher = Publisher(database.parent, writer.cursor)
        publisher.start()
        _say({"rows": 0})
        rows_written = 0
        for lines in _line_groups(_STDIN):
            rows_written += writer.append(_merge(lines))
            _say({"rows": rows_written})
        publisher.stop()
        writer.close()
    except RecordingError as exc:
        _say({"error": str(exc)})
        return ExitCode.RECORDING
    except MemoryError:
        _say({"error": f"cannot write {database}: the recorder is out of memory"})
        return ExitCode.RECORDING
    return ExitCode.OK


def _line_groups(descriptor: int) -> Iterator[list[bytes]]:
    """Give all whole lines that came in since the last time: a slow disk makes larger transactions, no queue."""
    rest = b""
    while chunk := os.read(descriptor, _READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines


def _merge(lines: list[bytes]) -> dict[str, list[list[object]]]:
    merged: dict[str, list[list[object]]] = {}
    for line in lines:
        for table, rows in orjson.loads(line).items():
            merged.setdefault(table, []).extend(rows)
    return merged


def _say(message: dict[str, object]) -> None:
    with suppress(BrokenPipeError):  # the runner is gone; what it handed over is still written
        os.write(_STDOUT, orjson.dumps(message) + b"\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
