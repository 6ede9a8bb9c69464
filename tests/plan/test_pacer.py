from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.plan.pacer import Pacer


@pytest.mark.parametrize(("rps", "slot", "due_s"), [(1, 0, 0.0), (1, 86_399, 86_399.0), (10, 5, 0.5), (0.5, 3, 6.0)])
def test_constant_arrivals_are_due_at_slot_over_rate(rps, slot, due_s):
    """Slot n is due at n / r."""
    assert Pacer(rps).due_s(slot) == due_s


@given(rps=st.floats(0.01, 1000), slots=st.integers(2, 4000), seed=st.integers(0, 2**32))
def test_poisson_arrivals_are_ordered_and_keep_their_mean_rate(rps, slots, seed):
    """Due times never go back, and stay within a block of where constant arrivals would be."""
    pacer = Pacer(rps, "poisson", seed)
    due = [pacer.due_s(slot) for slot in range(slots)]
    assert all(earlier <= later for earlier, later in pairwise(due))
    assert all(abs(at_s - slot / rps) <= 1000 / rps for slot, at_s in enumerate(due))


@given(slots=st.integers(1, 3000), seed=st.integers(0, 2**32))
def test_the_last_poisson_arrivals_are_due_before_the_end(slots, seed):
    """Whatever the number of slots: none is due after the load's end, and full blocks are as those of any load."""
    pacer = Pacer(0.5, "poisson", seed, slots)
    due = [pacer.due_s(slot) for slot in range(slots + 1)]
    assert all(earlier <= later for earlier, later in pairwise(due))
    assert due[-1] == slots / 0.5
    full = slots // 1000 * 1000
    endless = Pacer(0.5, "poisson", seed)
    assert due[:full] == [endless.due_s(slot) for slot in range(full)]
    middle = pacer.first_slot_from(slots)
    assert due[middle] >= slots
    assert not middle or due[middle - 1] < slots


def test_poisson_arrivals_fill_the_time_to_the_end():
    """The last of 360 slots is as near to the end as the mean gap, and not some 16 gaps before or after it."""
    left = [360 - Pacer(1, "poisson", seed, 360).due_s(359) for seed in range(400)]
    assert sum(left) / len(left) == pytest.approx(1, abs=0.2)


def test_poisson_arrivals_depend_on_the_seed_alone():
    """Asked in any order, the same slots are due at the same times; another seed gives others."""
    forwards = [Pacer(5, "poisson", 7).due_s(slot) for slot in range(3000)]
    pacer = Pacer(5, "poisson", 7)
    assert [pacer.due_s(slot) for slot in reversed(range(3000))] == forwards[::-1]
    assert Pacer(5, "poisson", 8).due_s(1500) != forwards[1500]


def test_poisson_gaps_vary_as_an_exponential_does():
    """The gaps' standard deviation is their mean, within sampling error."""
    pacer = Pacer(1, "poisson", 3)
    gaps = [pacer.due_s(slot + 1) - pacer.due_s(slot) for slot in range(20_000)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1, rel=0.02)
    assert deviation == pytest.approx(1, rel=0.04)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
@pytest.mark.parametrize("soak_s", [0.0, 0.05, 99.99, 100.0, 2500.3])
def test_the_first_slot_from_a_time_is_the_first_that_is_not_due_before_it(arrivals, soak_s):
    """The slot is due at or after the time, and the one before it is due earlier."""
    pacer = Pacer(10, arrivals, 1)
    slot = pacer.first_slot_from(soak_s)
    assert pacer.due_s(slot) >= soak_s
    assert slot == 0 or pacer.due_s(slot - 1) < soak_s
