"""The conductor's desk: what time it is, and when the soak starts."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

import soaklib.fleet.desk
from soaklib.errors import SettingsError, TargetError
from soaklib.fleet.desk import ClockOffset, Desk, address, ask_start, measure_offset


@given(ahead_us=st.integers(-(10**9), 10**9), there_us=st.integers(0, 10**5), back_us=st.integers(0, 10**5))
def test_an_offset_is_never_further_off_than_its_bound(ahead_us, there_us, back_us):
    """However a round trip is divided between its two ways, the true offset lies within the bound."""
    asked_us = 1_000_000
    said_us = asked_us + there_us - ahead_us
    measured = ClockOffset.of(asked_us, said_us, asked_us + there_us + back_us)
    assert abs(measured.offset_us - ahead_us) <= measured.bound_us
    assert measured.bound_us == -(-(there_us + back_us) // 2)


@pytest.mark.parametrize(
    ("offset_us", "bound_us", "before_us", "applied_us"),
    [
        (200_000, 40, 0, 200_000),
        (300, 20, 0, 0),
        (-700, 20, 0, -700),
        (-700, 900, 0, 0),
        (200_300, 40, 200_000, 200_000),
        (200_900, 40, 200_000, 200_900),
    ],
)
def test_what_is_applied_changes_only_where_it_is_told_from_what_was(offset_us, bound_us, before_us, applied_us):
    """An offset within its bound, or half a millisecond, of the one before it is the one before it."""
    assert ClockOffset(offset_us, bound_us).applied_us(before_us) == applied_us


def test_the_shortest_of_the_round_trips_counts():
    """Of several round trips, the offset is that of the shortest, with half of it as its bound."""

    async def run():
        clock = itertools.chain([0, 900, 1000, 1010, 2000, 2500], itertools.repeat(0))
        async with Desk("r1", lambda: 5) as desk:
            return await measure_offset(desk.address, "r1", lambda: next(clock), k=3)

    assert asyncio.run(run()) == ClockOffset(1000, 5)


def test_all_lanes_are_told_the_same_start_once_it_is_known():
    """A lane that is ready waits for the word, and all hear the same."""

    async def run():
        async with Desk("r1", lambda: 5) as desk:
            asking = [asyncio.create_task(ask_start(desk.address, "r1", lane)) for lane in (0, 1)]
            while desk.ready != {0, 1}:
                await desk.arrived.wait()
                desk.arrived.clear()
            assert not any(task.done() for task in asking)
            desk.start_us.set_result(77)
            return await asyncio.gather(*asking)

    assert asyncio.run(run()) == [77, 77]


def test_another_run_is_told_nothing():
    """A lane of another run is not told this run's time."""

    async def run():
        async with Desk("r1", lambda: 5) as desk:
            await measure_offset(desk.address, "r2", lambda: 0)

    with pytest.raises(TargetError, match="does not tell the time"):
        asyncio.run(run())


def test_a_desk_that_is_gone_is_said():
    """A conductor that is gone before it said when the soak starts ends its lane with a sentence."""

    async def run():
        async with Desk("r1", lambda: 5) as desk:
            where = desk.address
        await ask_start(where, "r1", 0)

    with pytest.raises(TargetError, match="was gone"):
        asyncio.run(run())


def test_a_conductor_that_never_says_when_is_not_waited_for_for_ever(monkeypatch):
    """A lane whose conductor falls silent before the start, as over a network that was cut, ends with a sentence."""
    monkeypatch.setattr(soaklib.fleet.desk, "_STARTS_WITHIN_S", 0.05)

    async def run():
        async with Desk("r1", lambda: 5) as desk:
            await ask_start(desk.address, "r1", 0)

    with pytest.raises(TargetError, match="before it said when the soak starts"):
        asyncio.run(run())


def test_an_address_has_a_host_and_a_port():
    """What has no port is refused with the form that is wanted."""
    assert address("[::1]:80") == ("::1", 80)
    with pytest.raises(SettingsError, match="HOST:PORT"):
        address("here")
