"""Quota counters of policies, in windows aligned to the clock.

A window of one hour starts on the full hour UTC, of a day at midnight UTC, of a week on Sunday midnight UTC; at
a speed of S the same grid is S times finer. A counter belongs to a policy, so all agents of a role share it, and
it survives a change of the limit. ``resetStrategy`` is accepted and answered but changes nothing, as there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

WINDOWS_S = {"1h": 3_600.0, "24h": 86_400.0, "7d": 604_800.0}
"""Length of each window, soak seconds."""

_SUNDAY_S = 259_200.0  # the epoch was a Thursday; weeks are counted from the first Sunday after it


class QuotaKey(NamedTuple):
    """What a counter counts."""

    policy_id: str
    action: str
    window: str


@dataclass(slots=True)
class _Counter:
    resets_at_s: float
    used: int


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """The state of a counter: calls used and when it starts again (epoch seconds)."""

    used: int
    resets_at_s: float


class QuotaCounters:
    """All counters; one a key, so their number is bounded by the policies that exist.

    Parameters
    ----------
    speed
        Soak seconds in a wall second.
    wall
        The clock, epoch seconds.
    """

    __slots__ = ("_counters", "_speed", "_wall")

    def __init__(self, *, speed: float, wall: Callable[[], float]) -> None:
        self._speed = speed
        self._wall = wall
        self._counters: dict[QuotaKey, _Counter] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def use(self, key: QuotaKey) -> QuotaUse:
        """Return how far the current window of ``key`` is used, without counting."""
        counter = self._current(key)
        return QuotaUse(counter.used, counter.resets_at_s)

    def count(self, key: QuotaKey) -> None:
        """Count one call."""
        self._current(key).used += 1

    def forget(self, policy_id: str) -> None:
        """Drop the counters of a policy that was deleted."""
        for key in [key for key in self._counters if key.policy_id == policy_id]:
            del self._counters[key]

    def _current(self, key: QuotaKey) -> _Counter:
        now_s = self._wall()
        counter = self._counters.get(key)
        if counter is None or counter.resets_at_s <= now_s:
            length_s = WINDOWS_S[key.window] / self._speed
            origin_s = _SUNDAY_S / self._speed if key.window == "7d" else 0.0
            windows_passed = (now_s - origin_s) // length_s
            counter = _Counter(resets_at_s=origin_s + (windows_passed + 1) * length_s, used=0)
            self._counters[key] = counter
        return counter
