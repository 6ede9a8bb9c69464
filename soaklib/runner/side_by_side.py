"""Runs what a soak is made of beside what watches over it, until the one is over or the other sees something wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from soaklib.runner.clock import ClockJumpedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from soaklib.runner.clock import RunClock
    from soaklib.runner.load import Load

__all__ = ["End", "heeding", "run_side_by_side"]

_T = TypeVar("_T")


class End(NamedTuple):
    """How it ended.

    Attributes
    ----------
    completed
        Whether what was scheduled ran to its end.
    at_us
        When no more load was sent, on the run's clock.
    error
        What went wrong; None otherwise.
    """

    completed: bool
    at_us: int
    error: BaseException | None


async def run_side_by_side(
    scheduled: Sequence[Coroutine[object, object, None]],
    watchers: Sequence[Coroutine[object, object, None]],
    *,
    load: Load,
    stop: asyncio.Event,
    drain_s: float,
    clock: RunClock,
    ended: Callable[[End], None] = lambda _: None,
) -> End:
    """Run until all that is scheduled is over, `stop` is set, or a watcher raises; then wait for open calls.

    Parameters
    ----------
    scheduled, watchers
        What the soak is made of; what watches over it and never ends by itself.
    load
        Whose open calls are waited for, and cut off after that.
    stop
        Ends it early.
    drain_s
        For how long open calls are waited for, wall seconds; not at all when something went wrong.
    clock
        The run's clock.
    ended
        Is told how it ended as soon as no more load is sent, before open calls are waited for.
    """
    stopping = asyncio.create_task(stop.wait())
    main = asyncio.create_task(_all(scheduled))
    around = asyncio.create_task(_all(watchers))
    try:
        await asyncio.wait({stopping, main, around}, return_when=asyncio.FIRST_COMPLETED)
        completed = main.done()
        error = _error_of(around) or _error_of(main)
        await _cancel(main)
        at_us = clock.now_us()
        ended(End(completed and error is None, at_us, error))
        if error is None or isinstance(error, ClockJumpedError):
            await load.drain(drain_s)
            error = error or _error_of(around)
        return End(completed and error is None, at_us, error)
    finally:
        await _cancel(stopping, main)
        await load.drain(0.0)
        await _cancel(around)


async def heeding(stop: asyncio.Event, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T] | None:
    """Do what may take long, unless `stop` is set first; give the task that did it, None where it was left off.

    What the work raises is raised here.
    """
    stopping, working = asyncio.create_task(stop.wait()), asyncio.create_task(work)
    try:
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return None
        working.result()
        return working
    finally:
        await _cancel(stopping, working)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


async def _all(works: Sequence[Coroutine[object, object, None]]) -> None:
    """Wait for all; the first failure cancels the rest and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are gone; what they raised has been looked at before."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
