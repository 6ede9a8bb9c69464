"""Deadlines of the calls under way: one timer of the loop for all of them.

:func:`asyncio.timeout` makes a timer for every call and closes it again, which takes three times as long as this. All
calls of a load have the same limit, so the first that was begun is the first that is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Deadline", "Deadlines"]

_ROUNDED_S: Final = 1e-6
"""A timer may be early by what its time was rounded by."""


class Deadlines:
    """Begins deadlines that are all as far ahead.

    Parameters
    ----------
    limit_s
        How far, in seconds of the loop's clock.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        # in the order in which they are over; a plain dict would be slow to give the first after many were taken out
        self._open: OrderedDict[Deadline, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """Give a deadline that counts from now, to be entered at once by the task that it ends."""
        loop = asyncio.get_running_loop()
        deadline = Deadline(loop, self._open, loop.time() + self._limit_s)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.at_s, self._look, loop)
        return deadline

    def close(self) -> None:
        """Let go of the timer, once no deadline is open."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now_s = loop.time() + _ROUNDED_S
        while self._open:
            first = next(iter(self._open))
            if first.at_s > now_s:
                self._timer = loop.call_at(first.at_s, self._look, loop)
                return
            first.expire()


class Deadline:
    """Cancels the task that entered it when its time has come, and makes a TimeoutError of that, as asyncio's does.

    Attributes
    ----------
    at_s
        When it is over, by the loop's clock.
    has_expired
        Whether it has ended what its task did.
    """

    __slots__ = ("_cancelling", "_loop", "_open", "_task", "_timer", "at_s", "has_expired")

    def __init__(self, loop: asyncio.AbstractEventLoop, open_: OrderedDict[Deadline, None], at_s: float) -> None:
        self._loop, self._open, self.at_s = loop, open_, at_s
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.has_expired = False

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task(self._loop)
        if task is None:
            msg = "a deadline is entered by a task"
            raise RuntimeError(msg)
        self._cancelling = task.cancelling()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if (
            self.has_expired
            and self._task is not None
            and self._task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc

    def move(self, at_s: float) -> None:
        """Let it be over at another time; it then has a timer of its own."""
        self._open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self.at_s = at_s
        self._timer = self._loop.call_at(at_s, self.expire)

    def lift(self) -> None:
        """Let it never be over."""
        self._open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self) -> None:
        """Cancel its task."""
        self._open.pop(self, None)
        self._timer = None
        self.has_expired = True
        if self._task is not None:
            self._task.cancel()
