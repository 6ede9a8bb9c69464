"""How many agents a load needs under a limit."""

import asyncio
import math
import re

import pytest
from thoroughness import examples

from soaklib.plan.model import load_plan
from soaklib.plan.settings import SoakSettings
from soaklib.plan.workload import Workload
from soaklib.runner.rate_limit import busiest_role, say_rate_limit

MINUTES, SLOTS_A_MINUTE = examples(1440), 600


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


def first_429(role, settings=None, stated=None):
    """Give what is said of a 429 that a role got: name, detail and data of the event."""
    said = []

    class Log:
        def write(self, name, detail, *, data=None):
            said.append((name, detail, data))

    async def say():
        limited = asyncio.get_running_loop().create_future()
        limited.set_result(role)
        task = asyncio.create_task(say_rate_limit(limited, Log(), load_plan(), SoakSettings(**settings or {}), stated))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(say())
    (event,) = said
    return event


@pytest.mark.parametrize(
    ("settings", "stated", "data", "agents"),
    [
        ({}, "5/60s", {"calls": 5, "window_s": 60 / 720}, "--agents-per-role 16 "),
        ({"agent_limit": "20/30s"}, "5/60s", {"calls": 20, "window_s": 30 / 720}, "--agents-per-role 4 "),
        (
            {"gateway_url": "http://127.0.0.1:1", "agent_limit": "500/60s"},
            None,
            {"calls": 500, "window_s": 60.0},
            "--agents-per-role 2 ",
        ),
        ({}, None, None, "divide that by what the gateway allows"),
    ],
)
def test_the_first_429_is_said_with_the_limit_that_is_known(settings, stated, data, agents):
    """The setting's, else the target's; in wall seconds, which the reference gateway shortens by its speed."""
    name, detail, told = first_429("enricher", settings, stated)
    assert (name, told) == ("RATE_LIMITED", data)
    assert agents in detail


def test_the_role_that_was_refused_is_told_with_what_it_needs_itself():
    """The busiest role needs more agents, and need not be the one that the gateway refuses."""
    _, detail, _ = first_429("engager", stated="5/60s")
    assert "a call of the role engager was answered with 429; in 60 s it plans " in detail
    assert "the busiest role 36 calls, up to 71 as its slots are drawn" in detail
    assert re.search(r"--agents-per-role \d for it, and 16 for the busiest, where", detail)


@pytest.mark.parametrize("text", ["5", "5/60", "0/60s", "5/0s", "5/60s per agent"])
def test_a_limit_of_another_form_is_refused(text):
    """One that cannot be read would be a limit that nobody knows."""
    with pytest.raises(ValueError, match="5/60s"):
        SoakSettings(agent_limit=text)
