import asyncio

import pytest

from soaklib.gateway.bulkhead import Bulkhead


def test_so_many_enter_and_the_next_waits():
    """The eleventh call waits until one of the ten leaves."""

    async def scenario():
        bulkhead = Bulkhead(10)
        assert [bulkhead.try_enter() for _ in range(11)] == [True] * 10 + [False]
        eleventh = asyncio.create_task(bulkhead.enter())
        await asyncio.sleep(0)
        assert (bulkhead.waiting, eleventh.done()) == (1, False)
        bulkhead.leave()
        await asyncio.sleep(0)
        assert (bulkhead.waiting, eleventh.done()) == (0, True)

    asyncio.run(scenario())


def test_first_come_first_served():
    """Waiting calls enter in the order they came."""

    async def scenario():
        bulkhead, entered = Bulkhead(1), []

        async def call(number):
            await bulkhead.enter()
            entered.append(number)
            await asyncio.sleep(0)
            bulkhead.leave()

        await asyncio.gather(*(call(number) for number in range(5)))
        assert entered == [0, 1, 2, 3, 4]
        assert bulkhead.try_enter()

    asyncio.run(scenario())


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_cancelled_call_loses_no_slot(handed_over):
    """A call cancelled in the queue, or at the moment it gets its slot, leaves the slot to others."""

    async def scenario():
        bulkhead = Bulkhead(1)
        bulkhead.try_enter()
        waiting = asyncio.create_task(bulkhead.enter())
        await asyncio.sleep(0)
        if handed_over:
            bulkhead.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not handed_over:
            bulkhead.leave()
        assert bulkhead.try_enter()
        assert not bulkhead.try_enter()

    asyncio.run(scenario())
