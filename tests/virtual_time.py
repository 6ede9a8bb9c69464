"""An event loop whose clock jumps to the next timer instead of waiting for it: hours of schedule in no time at all."""

from __future__ import annotations

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that waits for nothing and moves the loop's clock instead."""

    loop: VirtualTimeLoop

    def select(self, timeout=None):
        """Look for what is ready now; with nothing ready, be where the next timer is."""
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.loop.advance(timeout)
        elif not ready and timeout is None:
            msg = "nothing is left that could ever happen: the test would wait forever"
            raise RuntimeError(msg)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` is virtual and starts at 0."""

    def __init__(self) -> None:
        self._now_s = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self):
        """Give the virtual time in seconds."""
        return self._now_s

    def run_in_executor(self, executor, func, *args):
        """Do at once what a thread would do: it takes no virtual time, and virtual time must not run away from it."""
        del executor
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except OSError as exc:
            done.set_exception(exc)
        return done

    def advance(self, seconds):
        """Move the clock, as a stall of the whole process does."""
        self._now_s += seconds

    def monotonic_ns(self):
        """Give the virtual time as time.monotonic_ns would."""
        return round(self._now_s * 1e9)


def run_virtually(main):
    """Run `main(loop)` on a virtual clock and give its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_with_loop(main))


async def _with_loop(main):
    return await main(asyncio.get_running_loop())
