"""A circuit breaker: after enough failures a tool is left alone for a while.

States::

    CLOSED --(threshold failures inside the window)--> OPEN --(open_s passed, next call)--> HALF_OPEN
    HALF_OPEN --(the one probe succeeds)--> CLOSED        HALF_OPEN --(it fails)--> OPEN

The state changes only when a call arrives or ends, never by itself: an open breaker without traffic stays open.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum


class BreakerState(IntEnum):
    """The state; its value is what the gauge ``gateway_breaker_state`` shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """The breaker of one tool.

    Parameters
    ----------
    threshold
        Failures that open it.
    window_s
        Wall seconds after which a failure is forgotten while closed; None never forgets (as the real one).
    open_s
        Wall seconds it stays open before it lets one probe through.
    monotonic
        The clock, in seconds.
    """

    __slots__ = ("_epoch", "_failures", "_monotonic", "_opened_at_s", "_threshold", "_window_s", "open_s", "state")

    def __init__(
        self, *, threshold: int, window_s: float | None, open_s: float, monotonic: Callable[[], float]
    ) -> None:
        self.state = BreakerState.CLOSED
        self.open_s = open_s
        self._threshold = threshold
        self._window_s = window_s
        self._monotonic = monotonic
        self._failures: deque[float] = deque()
        self._opened_at_s = 0.0
        self._epoch = 0

    @property
    def failures(self) -> int:
        """Failures that count at present."""
        return len(self._failures)

    def admit(self) -> int | None:
        """Ask whether a call may go on.

        Returns
        -------
        int or None
            A permit to hand back to `record`, or None: fail fast.
        """
        if self.state is BreakerState.CLOSED:
            return self._epoch
        if self.state is BreakerState.OPEN and self._monotonic() - self._opened_at_s >= self.open_s:
            self._change(BreakerState.HALF_OPEN)
            return self._epoch
        return None

    def record(self, permit: int, *, success: bool) -> None:
        """Take in how a call ended; a call admitted before the last change of state no longer counts."""
        if permit != self._epoch:
            return
        if success:
            if self.state is BreakerState.HALF_OPEN:
                self._change(BreakerState.CLOSED)
            return
        now_s = self._monotonic()
        self._failures.append(now_s)
        if self.state is BreakerState.CLOSED and self._window_s is not None:
            while self._failures[0] <= now_s - self._window_s:
                self._failures.popleft()
        if self.state is BreakerState.HALF_OPEN or len(self._failures) >= self._threshold:
            failures = self._failures
            self._change(BreakerState.OPEN)
            self._failures = failures  # an open breaker tells how many failures opened it
            self._opened_at_s = now_s

    def abandon(self, permit: int) -> None:
        """Take back a permit whose call never ended (it was cancelled): a lost probe opens the breaker again."""
        if permit == self._epoch and self.state is BreakerState.HALF_OPEN:
            self.record(permit, success=False)

    def _change(self, state: BreakerState) -> None:
        self.state = state
        self._failures = deque()
        self._epoch += 1
