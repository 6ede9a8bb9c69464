"""Answers that are kept for a while: each with a time of its own, the least recently used out first."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

Value = TypeVar("Value")


class Kept(NamedTuple, Generic[Value]):
    """A value and how long it is good, in wall seconds from when it is put into a cache."""

    data: Value
    ttl_s: float


def new_cache(*, capacity: int, monotonic: Callable[[], float]) -> "TLRUCache[bytes, Kept[Value]]":
    """Make an empty cache.

    Parameters
    ----------
    capacity
        Entries kept at most.
    monotonic
        The clock, in seconds.
    """
    return TLRUCache(capacity, ttu=lambda _, kept, now_s: now_s + kept.ttl_s, timer=monotonic)
