"""Server-sent events, read as they come: bytes in, the data and the name of each whole event out.

Lines end in LF, CR or CRLF, also where a chunk was cut between the two. Nothing is decoded here, so that a chunk that
ends within a character is no matter: neither LF nor CR can be a part of one in UTF-8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["MOST_EVENT_BYTES", "Event", "EventStream"]

MOST_EVENT_BYTES: Final = 16 << 20
"""Of one event; a line without end is refused."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


_MOST_NAME_BYTES: Final = 64
"""Of an event's name, which is looked up and not kept."""


class Event(NamedTuple):
    """A whole event: its data, and its name (``event:``), which is empty where it has none."""

    data: bytes
    name: str


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
        self._data: bytearray | None = None  # of one event's lines: each of them alone would weigh more than it says
        self._name = b""
        self._after_cr = False
        self._is_first_line = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Take a piece, and give the events that end in it."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk or self.is_too_large:
            return []
        self._after_cr = chunk.endswith(b"\r")
        is_cut = not chunk.endswith((b"\n", b"\r"))
        lines = chunk.splitlines()
        rest = lines.pop() if is_cut else b""
        events: list[Event] = []
        for line in lines:
            self._end_line(bytes(self._line) + line if self._line else line, events)
            self._line.clear()
        self._line += rest
        self.is_too_large = len(self._line) + len(self._data or b"") > MOST_EVENT_BYTES
        return events

    def rest(self) -> Event | None:
        """Give an event whose lines are whole but whose blank line never came; None without one."""
        return None if self._data is None else self._event(self._data)

    def _event(self, data: bytearray) -> Event:
        return Event(bytes(data), self._name.decode("utf-8", "replace"))

    def _end_line(self, line: bytes, events: list[Event]) -> None:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            if self._data is not None:
                events.append(self._event(self._data))
                self._data = None
            self._name = b""
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            if self._data is None:
                self._data = bytearray()
            else:
                self._data += b"\n"
            self._data += value.removeprefix(b" ")
        elif field == b"event":
            self._name = value.removeprefix(b" ")[:_MOST_NAME_BYTES]
