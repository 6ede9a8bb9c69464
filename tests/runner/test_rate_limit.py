"""How many agents a load needs under a limit."""

import math

import pytest

from soaklib.plan.model import load_plan
from soaklib.plan.workload import Workload
from soaklib.runner.rate_limit import busiest_role

MINUTES, SLOTS_A_MINUTE = 1440, 600


def test_the_advice_leaves_room_for_the_minutes_of_a_day_in_which_most_slots_fall_to_a_role():
    """Ten slots a second plan 360 calls a minute of a role; no minute of a day has more than is said."""
    plan = load_plan()
    planned, most = busiest_role(plan, SLOTS_A_MINUTE)
    assert planned == pytest.approx(360)
    workload = Workload(plan, 1)
    calls = [0] * MINUTES
    for slot in range(MINUTES * SLOTS_A_MINUTE):
        steps, _ = workload.operation(slot)
        if steps[0].role == "enricher":
            calls[slot // SLOTS_A_MINUTE] += len(steps)
    assert planned * 1.1 < max(calls) <= most
    assert math.ceil(most / 5) > 73  # so many agents were advised when the draw was left out, and 429 went on


def test_a_role_of_every_slot_has_no_spread():
    """Nothing is drawn where there is one operation."""
    plan = load_plan()
    only = plan.operations[0].model_copy(update={"share": 1.0})
    assert busiest_role(plan.model_copy(update={"operations": (only,)}), 600) == (600, 600)
