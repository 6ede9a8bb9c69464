"""A bounded cache whose entries are good for a while: least recently used out first."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class TtlCache(Generic[Value]):
    """Values by key, each with its own time to live.

    Parameters
    ----------
    capacity
        Entries kept at most.
    monotonic
        The clock, in seconds.
    """

    __slots__ = ("_capacity", "_entries", "_monotonic")

    def __init__(self, *, capacity: int, monotonic: Callable[[], float]) -> None:
        self._capacity = capacity
        self._monotonic = monotonic
        self._entries: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Value | None:
        """Return the value while it is good, else None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        good_until_s, value = entry
        if self._monotonic() >= good_until_s:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: Value, ttl_s: float) -> None:
        """Keep ``value`` for ``ttl_s`` wall seconds."""
        self._entries[key] = (self._monotonic() + ttl_s, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
