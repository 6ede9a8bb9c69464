"""Deadlines under one timer: each is over at its own time, and means what asyncio's timeout means."""

import asyncio

import pytest
from virtual_time import run_virtually

from soaklib.runner.deadlines import Deadlines


async def ended(deadlines, *, after_s=0.0, lasting_s=1000.0, move=None):
    """Give how something ended that took so long, and when."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(after_s)
    deadline = deadlines.begin()
    try:
        with deadline:
            if move is not None:
                move(deadline)
            await asyncio.sleep(lasting_s)
    except TimeoutError:
        assert deadline.has_expired
        return "timeout", round(loop.time(), 3)
    assert not deadline.has_expired
    return "done", round(loop.time(), 3)


def test_each_is_over_at_its_own_time():
    """Those that end in time leave the others theirs, whether they began before or after."""

    async def main(loop):
        deadlines, began_s = Deadlines(10.0), loop.time()
        ends = await asyncio.gather(
            ended(deadlines, lasting_s=1.0),
            ended(deadlines, after_s=0.5),
            ended(deadlines, after_s=2.0, lasting_s=9.0),
            ended(deadlines, after_s=2.0),
            ended(deadlines, after_s=3.25),
            ended(deadlines, after_s=50.0),
        )
        return [(how, at_s - began_s) for how, at_s in ends]

    assert run_virtually(main) == [
        ("done", 1.0), ("timeout", 10.5), ("done", 11.0), ("timeout", 12.0), ("timeout", 13.25), ("timeout", 60.0),
    ]  # fmt: skip


def test_one_that_is_moved_is_over_then_and_one_that_is_lifted_never():
    """Sooner and later; the others stay where they are."""

    async def main(loop):
        deadlines, began_s = Deadlines(10.0), loop.time()
        ends = await asyncio.gather(
            ended(deadlines, move=lambda deadline: deadline.move(began_s + 40.0)),
            ended(deadlines, move=lambda deadline: deadline.move(began_s + 4.0)),
            ended(deadlines),
            ended(deadlines, lasting_s=100.0, move=lambda deadline: deadline.lift()),
            ended(deadlines, lasting_s=1.0, move=lambda deadline: deadline.move(began_s + 2.0)),
        )
        await asyncio.sleep(200.0)
        return [(how, at_s - began_s) for how, at_s in ends]

    assert run_virtually(main) == [
        ("timeout", 40.0), ("timeout", 4.0), ("timeout", 10.0), ("done", 100.0), ("done", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("cancels_at_s", [5.0, 10.0])
def test_who_cancels_the_task_is_not_answered_with_a_timeout(cancels_at_s):
    """Also where both come at once; the task knows of one cancellation then, and not of two."""

    async def main(loop):
        deadlines = Deadlines(10.0)
        task = asyncio.create_task(ended(deadlines))
        loop.call_later(cancels_at_s, task.cancel)
        await asyncio.wait({task})
        return task.cancelled(), task.cancelling()

    assert run_virtually(main) == (True, 1)


def test_a_task_goes_on_after_a_timeout():
    """It is not thought to be cancelled, and its next deadline is one of its own."""

    async def main(loop):
        deadlines, began_s = Deadlines(10.0), loop.time()
        first, second = await ended(deadlines), await ended(deadlines)
        return first[1] - began_s, second[1] - began_s, asyncio.current_task().cancelling()

    assert run_virtually(main) == (10.0, 20.0, 0)


def test_one_that_was_not_needed_ends_nothing_later():
    """Neither at its own time nor at the one it was moved to."""

    async def main(loop):
        deadlines = Deadlines(10.0)
        await ended(deadlines, lasting_s=1.0)
        await ended(deadlines, lasting_s=1.0, move=lambda deadline: deadline.move(loop.time() + 20.0))
        await asyncio.sleep(1000)
        return asyncio.current_task().cancelling()

    assert run_virtually(main) == 0


def test_another_error_stays_what_it_is():
    """Also one that comes of the cancellation itself."""

    async def main(_loop):
        with Deadlines(10.0).begin():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        run_virtually(main)


def test_a_timer_is_there_while_one_is_open_and_none_when_they_are_closed():
    """However many were begun, the loop has one."""

    async def main(loop):
        deadlines = Deadlines(10.0)
        for _ in range(5):
            await ended(deadlines, lasting_s=0.5)
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        deadlines.close()
        return len(timers), [timer for timer in loop._scheduled if not timer.cancelled()]

    assert run_virtually(main) == (1, [])
