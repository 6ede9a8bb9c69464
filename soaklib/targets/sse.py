"""Server-sent events, read as they come: bytes in, the data of each whole event out.

Lines end in LF, CR or CRLF, also where a chunk was cut between the two. Nothing is decoded here, so that a chunk that
ends within a character is no matter: neither LF nor CR can be a part of one in UTF-8.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_EVENT_BYTES", "EventStream"]

MOST_EVENT_BYTES: Final = 1 << 20
"""Of one event; a line without end is refused."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EventStream:
    """Takes a stream of events apart.

    Attributes
    ----------
    is_too_large
        Whether an event was longer than it may be; the rest of the stream is not looked at.
    """

    def __init__(self) -> None:
        self.is_too_large = False
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._is_first_line = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a piece, and give the data of the events that end in it."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk or self.is_too_large:
            return []
        self._after_cr = chunk.endswith(b"\r")
        is_cut = not chunk.endswith((b"\n", b"\r"))
        lines = chunk.splitlines()
        rest = lines.pop() if is_cut else b""
        events: list[bytes] = []
        for line in lines:
            self._end_line(bytes(self._line) + line if self._line else line, events)
            self._line.clear()
        self._line += rest
        self.is_too_large = len(self._line) + self._data_bytes > MOST_EVENT_BYTES
        return events

    def rest(self) -> bytes | None:
        """Give the data of an event whose lines are whole but whose blank line never came; None without one."""
        return b"\n".join(self._data) if self._data else None

    def _end_line(self, line: bytes, events: list[bytes]) -> None:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
                self._data_bytes = 0
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value)
