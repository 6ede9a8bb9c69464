"""A bulkhead: so many calls at once to one tool, the rest wait in order."""

import asyncio
from collections import deque


class Bulkhead:
    """Slots of one tool, first come first served.

    Parameters
    ----------
    slots
        Calls that may run at once.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return sum(not waiter.done() for waiter in self._waiting)

    def try_enter(self) -> bool:
        """Take a slot if one is free at this moment; the path of nearly every call."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Wait for a slot and take it."""
        if self.try_enter():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()  # the slot was handed over in the same loop turn: pass it on
            else:
                self._waiting.remove(waiter)
            raise

    def leave(self) -> None:
        """Give the slot to the next in the queue, or back."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
