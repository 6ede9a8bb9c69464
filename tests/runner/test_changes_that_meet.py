"""Two changes of which one begins as the other ends: neither is ended by the end of the other."""

import asyncio

import pytest
from virtual_gateway import TIMEOUT_S
from virtual_soak import FOUR_HOURS, World

from soaklib.plan.model import Plan, load_plan

FIRST_S, SECOND_S, LASTS_S = 120.0, 150.0, 30.0  # of four hours at speed 60, wall seconds
ONE = {"do": "chaos", "tool": "openai", "at": 0.5, "lasts": 0.125, "phase": "one", "phase_after": "after one"}
OTHER = ONE | {"at": 0.625, "phase": "other", "phase_after": "after other"}


def _plan(*changes):
    return Plan.model_validate(load_plan().model_dump() | {"changes": changes})


@pytest.fixture
def world():
    """A run in which chaos on a tool begins as chaos on the same tool ends."""
    made = World(*FOUR_HOURS)
    made.plan = _plan(ONE, OTHER)
    yield made
    made.close()


def _hold_up(gateway, monkeypatch, *, is_done_first):
    """Let the first request for an end take a second, before it is done or after."""
    exchange, held = gateway.exchange, []

    async def slow(method, path, body):
        if method != "DELETE" or "chaos" not in path or held:
            return await exchange(method, path, body)
        held.append(path)
        reply = await exchange(method, path, body) if is_done_first else None
        await asyncio.sleep(1.0)
        return reply or await exchange(method, path, body)

    monkeypatch.setattr(gateway, "exchange", slow)


@pytest.mark.parametrize("is_done_first", [True, False], ids=["answered late", "done late"])
def test_a_slow_end_of_one_chaos_is_not_the_end_of_the_next(world, monkeypatch, is_done_first):
    """The next comes on when the one before is off, is guarded, and is taken back when its own time is over."""
    _hold_up(world.gateway, monkeypatch, is_done_first=is_done_first)
    world.start()
    world.live(SECOND_S + LASTS_S / 2)
    assert world.gateway.chaos == {"openai"}
    assert any("chaos" in url for url in world.guard.urls)
    world.live(LASTS_S)
    assert world.gateway.chaos == set()
    world.finish()
    told = [(name, key) for name, _, key in world.events() if name.startswith("CHAOS")]
    assert told == [
        ("CHAOS_MODE_ON", "change:0:chaos"),
        ("CHAOS_MODE_OFF", "change:0:chaos:off"),
        ("CHAOS_MODE_ON", "change:1:chaos"),
        ("CHAOS_MODE_OFF", "change:1:chaos:off"),
    ]


def test_chaos_that_a_stop_takes_back_is_taken_back_once(world):
    """Two changes of the plan bring it on: the end is that of the one that was on, and no event says it twice."""
    world.start()
    world.live(FIRST_S + 1.0)
    world.stop()
    assert world.gateway.chaos == set()
    assert [key for name, _, key in world.events() if name == "CHAOS_MODE_OFF"] == [None]
    assert sum(route.startswith("DELETE /api/admin/chaos") for route in world.gateway.seen) == 1
    world.start()
    world.live(SECOND_S - FIRST_S + 1.0)
    world.stop()
    ends = [key for name, _, key in world.events() if name == "CHAOS_MODE_OFF"]
    assert ends == [None, "change:0:chaos:off", None]


def test_an_end_that_comes_late_after_a_resume_is_no_change_that_failed(world):
    """Chaos that was made, and whose end no gateway confirmed for long, has its end when it is off, and no failure."""
    world.plan = _plan(ONE)
    world.start()
    world.live(SECOND_S - 1.0)
    world.gateway.fault, world.gateway.hits = "down", "DELETE /api/admin/chaos"
    world.live(3.0)
    world.kill(everything=True)
    world.start()
    world.live(15.0)
    world.gateway.fault = None
    world.finish()
    assert world.gateway.chaos == set()
    assert [key for name, _, key in world.events() if name == "CHAOS_MODE_OFF"] == ["change:0:chaos:off"]
    assert not [detail for _, detail, _ in world.events("CHANGE_FAILED") if "its time was over" in detail]


def test_a_change_is_not_made_while_the_one_before_it_is_still_undone(world):
    """Whatever each is done to: two requests may be to one thing, and the later undo would end what is made then."""
    rotation = {"do": "rotate-credentials", "tool": "openai", "at": 0.625, "phase": "other"}
    world.plan = _plan(ONE, rotation)
    world.start()
    world.live(SECOND_S - 1.0)
    world.gateway.fault, world.gateway.hits = "lost", "DELETE /api/admin/chaos"
    world.live(1.5)
    world.gateway.fault = None
    world.finish()
    names = [name for name, *_ in world.events() if name.startswith(("CHAOS", "CREDENTIALS"))]
    assert names == ["CHAOS_MODE_ON", "CHAOS_MODE_OFF", "CREDENTIALS_ROTATED_SUCCESSFULLY"]
    ended, rotated = (
        world.gateway.seen.index(route)
        for route in ("DELETE /api/admin/chaos/tool/openai", "POST /api/admin/creds/set")
    )
    assert ended < rotated
    assert world.gateway.seen[ended + 1 : rotated].count("DELETE /api/admin/chaos/tool/openai") == 1


def test_a_change_that_is_kept_from_its_time_by_one_that_stays_on_is_said_to_have_failed(world):
    """Where an end is never confirmed the soak comes to its own, and the change after it was not made."""
    world.plan = _plan(ONE, {"do": "rotate-credentials", "tool": "openai", "at": 0.7, "phase": "other"})
    world.start()
    world.live(SECOND_S - 1.0)
    world.gateway.fault, world.gateway.hits = "down", "DELETE /api/admin/chaos"
    world.live(4 * 60.0 - SECOND_S + 1.0 + TIMEOUT_S)
    world.gateway.fault = None
    world.finish()
    assert world.gateway.chaos == set()
    assert world.is_completed
    failed = [(detail, key) for _, detail, key in world.events("CHANGE_FAILED") if key is not None]
    assert failed == [("rotate-credentials: its time was over when it came to it", "change:1:rotate-credentials")]


def test_of_two_cuts_a_resumed_run_takes_up_the_later_one(world):
    """Whichever of them the plan's file names first."""
    cut = {"do": "update-policy", "role": "enricher", "action": "openai:chat", "planned_ratio": 0.5, "at": 0.3}
    later = cut | {"planned_ratio": 0.25, "at": 0.6, "phase": "less still"}
    world.plan = _plan(later, cut | {"phase": "less"})
    world.start()
    world.live(0.7 * 240.0)
    world.stop()
    cuts = [limit for _, limit in world.gateway.cuts]
    world.start()
    world.finish()
    again = [limit for _, limit in world.gateway.cuts[len(cuts) :]]
    assert len(set(cuts)) == 3
    assert set(again) == {cuts[-1]}
