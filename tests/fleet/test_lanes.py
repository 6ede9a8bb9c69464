"""How slots are divided among lanes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.errors import SettingsError
from soaklib.fleet.lanes import Lane
from soaklib.plan.model import load_plan
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload

_PLAN = load_plan()


def _schedule(slots, seed, arrivals):
    """Give the key, the due time and the tool of each call that one sender plans for some slots."""
    pacer, workload = Pacer(3.0, arrivals, seed), Workload(_PLAN, seed)
    return [
        (slot, step, pacer.due_s(slot), call.tool)
        for slot in slots
        for step, call in enumerate(workload.operation(slot)[0])
    ]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
@given(total=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_the_union_of_lanes_is_the_schedule_of_one_sender(of, arrivals, total, seed):
    """Whatever the number of lanes, their slots are those of one sender: keys, due times and tools."""
    lanes = [_schedule(Lane(number, of).slots(total), seed, arrivals) for number in range(of)]
    assert sorted(row for lane in lanes for row in lane) == _schedule(range(total), seed, arrivals)


@given(of=st.integers(1, 50), number=st.integers(0, 49), slot=st.integers(0, 10**9))
def test_the_first_slot_from_one_on_is_the_lanes_next(of, number, slot):
    """The first slot from one on is the lane's, does not come before it, and none of the lane's lies between."""
    lane = Lane(number % of, of)
    first = lane.first_from(slot)
    assert first % of == lane.number
    assert 0 <= first - slot < of


@given(of=st.integers(1, 50), total=st.integers(1, 10_000))
def test_shares_add_up_or_are_one_each(of, total):
    """Shares differ by one at most and add up to the whole; where there is not one for each, each has one."""
    shares = [Lane(number, of).share(total) for number in range(of)]
    assert sum(shares) == max(total, of)
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("text", ["", "2", "2/2", "-1/2", "0/0", "1/10001", "a/b", "1/2/3"])
def test_what_is_no_lane_is_refused(text):
    """A lane that is not there, or a text of another form, is refused with the form that is wanted."""
    with pytest.raises(SettingsError, match="i/N"):
        Lane.parse(text)


def test_a_lane_is_read_as_it_is_written():
    """What a lane is written as is read as the same lane."""
    assert Lane.parse("3/7") == Lane(3, 7)
    assert str(Lane(3, 7)) == "3/7"
