from collections import Counter

import pytest

from soaklib.plan.counting import count_operations
from soaklib.plan.model import load_plan
from soaklib.plan.workload import Workload
from soaklib.records import Expected

SLOTS = 20_000


@pytest.fixture(scope="module")
def workload():
    return Workload(load_plan(), seed=1)


def test_the_mix_is_the_plans(workload):
    """60 % of the slots search, 30 % fetch and then summarise, 10 % send mail."""
    chains = Counter(tuple(f"{call.tool}:{call.action}" for call in workload.operation(n)[0]) for n in range(SLOTS))
    shares = {chain: count / SLOTS for chain, count in chains.items()}
    assert shares == {
        ("serpapi:search",): pytest.approx(0.6, abs=0.015),
        ("http_fetch:get", "openai:chat"): pytest.approx(0.3, abs=0.015),
        ("gmail_send:send",): pytest.approx(0.1, abs=0.01),
    }


def test_a_slot_depends_on_seed_and_number_alone(workload):
    """Another workload of the same seed does the same in any order; another seed does not."""
    numbers = [workload.operation(n)[1] for n in range(500)]
    again = Workload(load_plan(), seed=1)
    assert [again.operation(n)[1] for n in reversed(range(500))] == numbers[::-1]
    tools = [workload.operation(n)[0][0].tool for n in range(100)]
    assert [Workload(load_plan(), seed=2).operation(n)[0][0].tool for n in range(100)] != tools


def test_one_search_in_ten_repeats_a_recent_one_and_nothing_else_repeats(workload):
    """A repeat carries the number of an earlier search that was itself fresh and not long ago."""
    searches, repeats = set(), Counter()
    for slot in range(SLOTS):
        calls, number = workload.operation(slot)
        if calls[0].tool != "serpapi":
            assert number == slot
        elif number != slot:
            repeats[number] += 1
            assert number in searches
            assert slot - number <= 101
        else:
            searches.add(slot)
    assert sum(repeats.values()) / (SLOTS * 0.6) == pytest.approx(0.1, abs=0.01)


def test_probes_are_expected_to_be_denied_and_the_load_to_be_allowed(workload):
    """The scraper's mail is a probe."""
    assert [(probe.role, probe.tool, probe.expected) for probe in workload.probes] == [
        ("scraper", "gmail_send", Expected.DENY)
    ]
    assert workload.operation(0)[0][0].expected is Expected.ALLOW


@pytest.mark.parametrize("seed", [0, 7, 2**63])
@pytest.mark.parametrize("slots", [0, 1, 70_000])
def test_operations_are_counted_as_the_slots_draw_them(seed, slots):
    """The count at one go is that of the slots one by one, past a part's end too."""
    load = Workload(load_plan(), seed)
    one_by_one = Counter(load._operations.index(load.operation(slot)[0]) for slot in range(slots))
    assert count_operations(load, slots) == one_by_one
