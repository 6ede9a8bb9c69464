"""Work that is left off when somebody says so."""

import asyncio

import pytest

from soaklib.runner.side_by_side import heeding


def test_work_that_is_done_gives_what_it_gives():
    """Though nobody ever says a word."""

    async def work():
        return 7

    async def main():
        return (await heeding(asyncio.Event(), work())).result()

    assert asyncio.run(main()) == 7


def test_work_that_is_told_to_stop_is_left_off():
    """It is over when that is said: nothing of it goes on behind."""
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_soon(stop.set)
        return await heeding(stop, work())

    assert asyncio.run(main()) is None
    assert ended == [True]


def test_what_the_work_raises_is_raised():
    """As if it had been waited for."""

    async def work():
        msg = "no"
        raise OSError(msg)

    with pytest.raises(OSError, match="no"):
        asyncio.run(heeding(asyncio.Event(), work()))
