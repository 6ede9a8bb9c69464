"""Requests that a caller may make in a window: fixed windows, from the caller's first request on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Limiter"]

_MOST_CALLERS: Final = 10_000


class Limiter:
    """Counts each caller's requests of the running window; the callers that were silent longest are forgotten."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def lets_through(self, caller: str, limit: int | None, window_s: float, now_s: float) -> bool:
        """Say whether a request is within the limit, and count it if so; what is refused is not counted."""
        if limit is None:
            return True
        began_s, count = self._windows.pop(caller, (now_s, 0))
        if now_s - began_s >= window_s:
            began_s, count = now_s, 0
        is_within = count < limit
        self._windows[caller] = (began_s, count + is_within)
        if len(self._windows) > _MOST_CALLERS:
            self._windows.popitem(last=False)
        return is_within

    def left_s(self, caller: str, window_s: float, now_s: float) -> float:
        """Give the seconds until a caller's window ends; 0 where none runs."""
        began_s, _ = self._windows.get(caller, (now_s - window_s, 0))
        return max(0.0, began_s + window_s - now_s)
