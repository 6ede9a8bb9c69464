"""A log of fixed length: the newest entries, nothing that grows with the run."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Ring(Generic[Entry]):
    """The newest ``capacity`` entries.

    Parameters
    ----------
    capacity
        Entries kept.
    """

    __slots__ = ("_entries",)

    def __init__(self, capacity: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry) -> None:
        """Add an entry; the oldest one goes when the ring is full."""
        self._entries.append(entry)

    def newest(self, limit: int, wanted: Callable[[Entry], bool] | None = None) -> list[Entry]:
        """Return up to ``limit`` entries that are wanted, newest first."""
        entries: Iterator[Entry] = reversed(self._entries)
        return list(islice(filter(wanted, entries) if wanted else entries, limit))
