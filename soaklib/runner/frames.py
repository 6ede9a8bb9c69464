"""What goes from the runner to the recorder's process: frames, each a line of JSON and then as many bytes as it says.

A frame holds rows, as a JSON object of table name -> list of rows, or the text of a scrape beside the row of
``scrapes`` that it belongs to. A text goes as it came: to make JSON of some megabytes would hold up the loop that keeps
the schedule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from soaklib.records import Scrape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Frame", "FrameReader", "dump", "rows_frame", "scrape_header"]


_MOST_LEVELS: Final = 8
"""Of lists in lists: a batch, a table, a row and a sample's labels are five; what is deeper is text."""


class Frame(NamedTuple):
    """One frame as read.

    Attributes
    ----------
    rows
        Rows by table.
    scrape, text
        The row of a scrape of /metrics and what was scraped; None and nothing in a frame of rows.
    """

    rows: dict[str, list[Sequence[Any]]]
    scrape: Scrape | None = None
    text: bytes = b""


def rows_frame(batch: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """Give rows as a frame; a value that JSON cannot hold goes as escaped text, and its row with it."""
    payload = dump(batch)
    return b'{"bytes":%d}\n%b' % (len(payload), payload)


def scrape_header(scrape: Scrape, text: bytes) -> bytes:
    """Give what has to come before the text of a scrape to make a frame of the two."""
    return dump({"bytes": len(text), "scrape": tuple(scrape)}) + b"\n"


def dump(value: object) -> bytes:
    """Give JSON of any value, whatever it is and however deep."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_sendable(value, _MOST_LEVELS))


def _sendable(value: object, levels: int) -> object:
    """Give a value as JSON can hold it: the parts that it can hold as they are, all others as text."""
    try:
        orjson.dumps(value)
    except TypeError:
        if levels and isinstance(value, dict):
            return {_escaped(key): _sendable(held, levels - 1) for key, held in value.items()}
        if levels and isinstance(value, list | tuple):
            return [_sendable(held, levels - 1) for held in value]
        return _escaped(value)
    return value


def _escaped(value: object) -> str:
    try:
        text = hex(value) if isinstance(value, int) else str(value)  # Python writes no decimal of over 4,300 digits
    except Exception as exc:  # noqa: BLE001 - it is the value's own code that raises, and its row has others
        text = f"a {type(value).__name__} that cannot be shown: {type(exc).__name__}"
    return text.encode("utf-8", "backslashreplace").decode()


class FrameReader:
    """Puts frames together from chunks of bytes; what is left of one that never became whole is nobody's."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._header: dict[str, Any] | None = None

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take a chunk and give the frames that are whole with it."""
        self._came += chunk
        while True:
            if self._header is None:
                end = self._came.find(b"\n")
                if end < 0:
                    return
                self._header = orjson.loads(self._take(end + 1))
            length = self._header["bytes"]
            if len(self._came) < length:
                return
            header, self._header = self._header, None
            payload = self._take(length)
            if "scrape" in header:
                yield Frame({}, Scrape(*header["scrape"]), payload)
            else:
                yield Frame(orjson.loads(payload))

    def _take(self, length: int) -> bytes:
        taken = bytes(memoryview(self._came)[:length])
        del self._came[:length]
        return taken
