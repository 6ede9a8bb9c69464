"""The rate limit: so many calls of an agent in a window that starts with its first counted call."""

import math
from collections.abc import Callable


class RateLimiter:
    """Windows of all agents; a window that has ended is forgotten.

    Parameters
    ----------
    limit
        Calls an agent may make in a window.
    window_s
        Length of the window, wall seconds.
    monotonic
        The clock, in seconds.
    """

    __slots__ = ("_limit", "_monotonic", "_sweep_at_s", "_window_s", "_windows")

    def __init__(self, *, limit: int, window_s: float, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._window_s = window_s
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}
        self._sweep_at_s = monotonic() + window_s

    def __len__(self) -> int:
        return len(self._windows)

    def refuse(self, agent_id: str) -> int | None:
        """Count a call.

        Returns
        -------
        int or None
            None when the call may go on, else whole wall seconds (at least 1) until the window ends.
        """
        now_s = self._monotonic()
        if now_s >= self._sweep_at_s:
            self._windows = {agent: window for agent, window in self._windows.items() if window[0] > now_s}
            self._sweep_at_s = now_s + self._window_s
        ends_at_s, used = self._windows.get(agent_id, (0.0, 0))
        if ends_at_s <= now_s:
            ends_at_s, used = now_s + self._window_s, 0
        if used >= self._limit:
            return max(1, math.ceil(ends_at_s - now_s))
        self._windows[agent_id] = (ends_at_s, used + 1)
        return None
