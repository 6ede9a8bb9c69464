"""One sender on virtual time: its schedule, its gaps, its clock."""

import asyncio
from collections import Counter

import pytest
from virtual_soak import ANCHOR, MemoryRecorder, World, _Virtual

import soaklib.fleet.offset
from soaklib.errors import TargetError
from soaklib.fleet.desk import ClockOffset
from soaklib.fleet.job import LaneJob
from soaklib.fleet.lanes import Lane
from soaklib.fleet.sender import Sender
from soaklib.plan.pacer import Pacer
from soaklib.records import Outcome, Purpose, RunStatus
from soaklib.runner.clock import RunClock
from soaklib.runner.recovery import Past
from soaklib.runner.tokens import AgentPool
from soaklib.targets.admin import AdminError
from soaklib.targets.fourrunr.admin import FourRunrAdmin

_START_US = 10_000_000
_SPEED = 60.0


@pytest.fixture
def world():
    """Give a gateway, and time, for two soak-hours in two minutes, a slot every soak second."""
    made = World("--hours", "2", "--speed", str(_SPEED), "--rps", "0.1", "--agents-per-role", "4")
    made.is_alive = True
    yield made
    made.is_alive = False
    made.close()


def _send(world, lane, *, start_us=_START_US, desk=None, past=None, applied_us=0, during=None):
    """Let a sender run from now to its end; give its result, its outcomes and its events."""
    world.recorder = MemoryRecorder(world.loop)
    job = LaneJob(
        run_id="r1", anchor_utc=ANCHOR, lanes=lane.of, start_us=start_us, desk=desk, target="http://gateway",
        settings=world.settings.model_dump(mode="json"), plan=world.plan,
    )  # fmt: skip
    sender = Sender(
        job=job, lane=lane, folder=world.folder, surroundings=_Virtual(world), past=past or Past(),
        applied_us=applied_us,
    )  # fmt: skip
    stop = asyncio.Event()

    async def both():
        if during is None:
            return await sender.run(stop)
        task = asyncio.create_task(during(sender, stop))
        result = await sender.run(stop)
        await task
        return result

    result = world.loop.run_until_complete(both())
    tables = world.recorder.take_rows(outlives_runner=True)
    return result, [Outcome(*row) for row in tables.get("outcomes", [])], tables.get("events", [])


def _due_us(slot):
    return _START_US + round(Pacer(0.1).due_s(slot) * 1e6 / _SPEED)


def test_a_lane_sends_its_slots_at_the_times_of_the_plan(world):
    """Every slot of the lane has its rows, planned when one sender would have planned it, and no other slot has one."""
    result, rows, _ = _send(world, Lane(1, 3))
    assert (result.status, result.error) == (RunStatus.COMPLETED, None)
    first_steps = {row.slot: row for row in rows if row.step == 0}
    assert sorted(first_steps) == list(range(1, 720, 3))
    assert {slot: row.planned_at_us for slot, row in first_steps.items()} == {n: _due_us(n) for n in range(1, 720, 3)}
    assert {row.lane for row in rows} == {1}
    assert {row.purpose for row in rows} == {Purpose.LOAD}


def test_agents_are_divided_among_lanes(world):
    """A lane makes its share of the agents: of four for each role, two lanes make two each."""
    _, _, events = _send(world, Lane(0, 2))
    [made] = [detail for _, name, detail, *_ in events if name == "AGENTS_CREATED"]
    assert made == f"{2 * len(world.plan.roles)} of lane 0/2"


def test_tokens_are_rotated_by_the_plans_clock(world):
    """The lane rotates at every quarter of a soak-hour but the first, each once."""
    _, _, events = _send(world, Lane(0, 2))
    rotated = [(round((at_us - _START_US) * _SPEED / 1e6), key) for at_us, name, _, key, *_ in events
               if name == "LANE_TOKENS_ROTATED"]  # fmt: skip
    assert rotated == [(900 * n, f"rotation:{n}") for n in range(1, 8)]


def test_a_rotation_is_tried_no_longer_than_the_soak_lasts(world, monkeypatch):
    """The last of a soak that is no whole number of intervals long; each other until the next is due."""
    seen, rotate = [], AgentPool.rotate

    async def rotates(pool, *, within_s):
        seen.append(within_s)
        return await rotate(pool, within_s=within_s)

    monkeypatch.setattr(AgentPool, "rotate", rotates)
    world.settings = world.settings.model_copy(update={"hours": 2 + 120 / 3600})
    _send(world, Lane(0, 2))
    assert seen[1:] == pytest.approx([15.0] * 7 + [2.0])


def test_a_rotation_that_is_due_while_the_one_before_is_tried_is_made(world, monkeypatch):
    """A gateway that gave no tokens until the next rotation was due gives them then, and not an interval later."""
    rotate, down_until_s = AgentPool.rotate, _START_US / 1e6 + 31.0

    async def rotates(pool, *, within_s):
        if world.loop.time() > _START_US / 1e6 and world.loop.time() + within_s < down_until_s:
            await asyncio.sleep(within_s + 0.005)  # an answer is waited for, however late it was asked for
            msg = "no answer"
            raise AdminError(msg)
        return await rotate(pool, within_s=within_s)

    monkeypatch.setattr(AgentPool, "rotate", rotates)
    _, rows, events = _send(world, Lane(0, 2))
    told = [
        (name.removeprefix("LANE_TOKENS_"), key) for _, name, _, key, *_ in events if name.startswith("LANE_TOKENS")
    ]
    assert told == [("ROTATION_FAILED", "rotation:1"), *(("ROTATED", f"rotation:{n}") for n in range(2, 8))]
    expired = [row.planned_at_us for row in rows if row.reason == "token_expired"]
    assert max(expired) < _START_US + 31_000_000


def test_a_lane_that_comes_late_misses_what_was_due_and_makes_up_for_nothing(world):
    """Slots that were due before a lane came are missed, told as its gap, and no slot leaves late."""
    world.loop.run_until_complete(asyncio.sleep(69.9))  # half of the two minutes, but for the set-up
    result, rows, events = _send(world, Lane(0, 2))
    kinds = Counter(row.kind for row in rows if row.step == 0)
    assert result.status == RunStatus.COMPLETED
    assert kinds["missed"] == 180
    assert sorted(row.slot for row in rows if row.step == 0) == list(range(0, 720, 2))
    assert max(row.sent_at_us - row.planned_at_us for row in rows if row.sent_at_us and row.step == 0) < 2_000
    [gap] = [detail for _, name, detail, *_ in events if name == "LANE_GAP"]
    assert gap == "lane 0/2: 180 slots missed from H+0.000 to H+0.994"


def test_a_lane_goes_on_where_its_past_ends(world):
    """A lane that has dealt with some slots deals with the others, each once."""
    _, rows, _ = _send(world, Lane(1, 2), past=Past(segment=1, first_slot=100, was_begun=True, last_us=5))
    assert sorted(row.slot for row in rows if row.step == 0) == list(range(101, 720, 2))


def test_a_word_to_stop_ends_it_in_order(world):
    """A lane that is told to stop comes to its end, with no row for what was not due."""

    async def later(_, stop):
        await asyncio.sleep(39.95)  # just before a slot is due
        stop.set()

    result, rows, _ = _send(world, Lane(0, 2), during=later)
    assert result.status == RunStatus.INTERRUPTED
    assert sorted(row.slot for row in rows if row.step == 0) == list(range(0, 180, 2))


def test_a_word_to_stop_is_heard_before_the_start(world):
    """A lane that waits for a start an hour ahead ends when it is told to, and nothing was sent."""

    async def later(_, stop):
        await asyncio.sleep(60)
        stop.set()

    result, rows, _ = _send(world, Lane(0, 2), start_us=3_600_000_000, during=later)
    assert (result.status, rows) == (RunStatus.INTERRUPTED, [])
    assert world.loop.time() < 70


def test_rows_for_a_long_gap_are_written_as_they_are_made(world, monkeypatch):
    """A lane that slept through thousands of slots does not hold them all at once; a disk that takes none is said."""
    monkeypatch.setattr(soaklib.fleet.sender, "ROWS_AT_A_TIME", 20)
    written = []

    async def is_written_down(recorder):
        written.append(len(recorder._pending))
        recorder._flush()
        return len(written) < 4

    monkeypatch.setattr(MemoryRecorder, "is_written_down", is_written_down)

    async def sleeps(*_):
        await asyncio.sleep(40)
        world.sleep(60)

    result, _, _ = _send(world, Lane(0, 2), during=sleeps)
    assert len(written) == 4
    assert max(written) < 40
    assert "the disk does not keep up with rows for the" in str(result.error)


def test_a_machine_that_slept_misses_its_slots(world):
    """What was due while the machine slept is missed; what comes after it leaves on time."""

    async def sleeps(*_):
        await asyncio.sleep(40)
        world.sleep(30)

    result, rows, _ = _send(world, Lane(0, 2), during=sleeps)
    slots = sorted(row.slot for row in rows if row.step == 0)
    assert result.status == RunStatus.COMPLETED
    assert slots == list(range(0, 720, 2))
    assert 85 <= sum(row.kind == "missed" for row in rows) <= 95
    assert len(result.segments) == 2


@pytest.mark.parametrize("ahead_us", [200_000, -200_000])
def test_a_clock_that_is_off_starts_with_the_others(world, monkeypatch, ahead_us):
    """A lane whose clock is 200 ms off plans by the offset that it measured, and writes that down."""

    async def measured(*_):
        return ClockOffset(ahead_us, 40)

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    _, rows, events = _send(world, Lane(0, 2), desk="there:1")
    assert {row.slot: row.planned_at_us for row in rows if row.step == 0} == {
        n: _due_us(n) + ahead_us for n in range(0, 720, 2)
    }
    said = {detail for _, name, detail, *_ in events if name == "CLOCK_OFFSET"}
    assert said == {f"offset_us={ahead_us} bound_us=40 applied_us={ahead_us}"}


def test_a_clock_that_is_not_known_well_enough_refuses_the_start(world, monkeypatch):
    """A bound over 50 ms refuses the start, before any call is sent."""

    async def measured(*_):
        return ClockOffset(0, 50_001)

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    result, rows, _ = _send(world, Lane(0, 2), desk="there:1")
    assert result.status == RunStatus.FAILED
    assert isinstance(result.error, TargetError)
    assert "50 ms" in str(result.error)
    assert rows == []


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_lane_that_goes_on_is_not_given_up_for_a_slow_desk(world, monkeypatch, is_answered):
    """It plans by the offset that it applied last, which holds until it is measured again; that is written down."""

    async def measured(*_):
        if not is_answered:
            msg = "no answer"
            raise TargetError(msg)
        return ClockOffset(0, 50_001)

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    past = Past(segment=1, was_begun=True, last_us=5)
    result, rows, events = _send(world, Lane(0, 2), desk="there:1", past=past, applied_us=200_000)
    assert (result.status, result.error) == (RunStatus.COMPLETED, None)
    assert {row.slot: row.planned_at_us for row in rows if row.step == 0} == {
        n: _due_us(n) + 200_000 for n in range(0, 720, 2)
    }
    said = [detail for _, name, detail, *_ in events if name == "CLOCK_OFFSET_UNKNOWN"]
    assert said[0].endswith("it goes on by what was applied last, 200 ms" if is_answered else "no answer")


def test_a_clock_at_the_bound_is_taken(world, monkeypatch):
    """A bound of 50 ms is good enough."""

    async def measured(*_):
        return ClockOffset(0, 50_000)

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    result, _, _ = _send(world, Lane(0, 2), desk="there:1")
    assert result.status == RunStatus.COMPLETED


def test_a_conductor_that_dies_is_not_missed(world, monkeypatch):
    """A lane whose conductor is gone measures in vain, says so, and sends to its end."""
    answers = iter([ClockOffset(0, 40)])

    async def measured(*_):
        try:
            return next(answers)
        except StopIteration:
            msg = "gone"
            raise TargetError(msg) from None

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    result, rows, events = _send(world, Lane(0, 2), desk="there:1")
    assert result.status == RunStatus.COMPLETED
    assert len({row.slot for row in rows}) == 360
    assert [detail for _, name, detail, *_ in events if name == "CLOCK_OFFSET_UNKNOWN"] == ["gone"]


@pytest.mark.parametrize(
    ("before_us", "after_us", "first_us"),
    [(-30_000_000, 0, 0), (-30_000_000, 250_000, 250_000)],
    ids=["in step", "a quarter of a second ahead"],
)
def test_a_lane_that_slept_goes_on_by_the_conductors_clock(world, monkeypatch, before_us, after_us, first_us):
    """What was due while the machine slept is missed, and what comes after leaves when the conductor's clock says."""
    answers = iter([ClockOffset(0, 40), ClockOffset(before_us, 40)])

    async def measured(*_):
        return next(answers, ClockOffset(after_us, 40))

    async def sleeps(*_):
        await asyncio.sleep(40)
        world.sleep(30)

    monkeypatch.setattr(soaklib.fleet.offset, "measure_offset", measured)
    result, rows, events = _send(world, Lane(0, 2), desk="there:1", during=sleeps)
    assert result.status == RunStatus.COMPLETED
    assert 85 <= sum(row.kind == "missed" for row in rows) <= 95
    last = max((row for row in rows if row.step == 0), key=lambda row: row.slot)
    assert last.planned_at_us == _due_us(last.slot) + first_us
    told = [detail.rpartition("=")[2] for _, name, detail, *_ in events if name == "CLOCK_OFFSET"]
    assert told == ["0", "0", str(after_us), str(after_us)]  # it held up to the sleep, and no longer


@pytest.mark.parametrize("how", ["completed", "interrupted", "failed"])
def test_a_lane_takes_back_what_its_agents_were_given(world, monkeypatch, how):
    """Sessions, keys and tokens of a lane are its own to end, however it ends; that it failed is told, and no more."""
    cleared = []

    async def clear(admin):
        cleared.append(admin)
        msg = "no such token"
        raise LookupError(msg)

    async def later(_, stop):
        await asyncio.sleep(40)
        if how == "interrupted":
            stop.set()
        if how == "failed":
            monkeypatch.setattr(RunClock, "raise_if_jumped", _fail)

    monkeypatch.setattr(FourRunrAdmin, "clear", clear)
    result, _, events = _send(world, Lane(0, 2), during=later)
    assert result.status == how
    assert len(cleared) == 1
    assert [detail for _, name, detail, *_ in events if name == "CHANGE_FAILED"] == [
        "clean-up: LookupError: no such token"
    ]


def _fail(_):
    msg = "the disk is full"
    raise TargetError(msg)


@pytest.mark.parametrize(("fault", "key"), [("403", "rotation:2"), ("lost", None)])
def test_no_answer_of_a_gateway_as_the_machine_wakes_up_ends_a_lane(world, monkeypatch, fault, key):
    """It refuses tokens, or gives no answer: that is told, and the lane goes on and gets them later."""
    monkeypatch.setattr(soaklib.fleet.sender, "_AWAKE_WITHIN_S", 0.0)  # of real time

    async def sleeps(*_):
        await asyncio.sleep(20)
        world.gateway.fault, world.gateway.hits = fault, "generate-token"
        world.sleep(5)
        await asyncio.sleep(8)
        world.gateway.fault = None

    result, _, events = _send(world, Lane(0, 2), during=sleeps)
    assert (result.status, result.error) == (RunStatus.COMPLETED, None)
    told = [(name, key) for _, name, _, key, *_ in events if name.startswith("LANE_TOKENS_ROT")]
    assert told[0] == ("LANE_TOKENS_ROTATION_FAILED", None)
    assert next(key for name, key in told if name == "LANE_TOKENS_ROTATED") == key
