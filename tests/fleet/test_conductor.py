"""What a conductor tells lanes that it did not start, and those that cannot be told."""

import asyncio
import datetime as dt
import signal
from collections import Counter
from types import SimpleNamespace

import pytest
from kept_events import KeptEvents
from virtual_time import run_virtually

from soaklib.fleet.conductor import Fleet, LaneState
from soaklib.fleet.job import LaneJob
from soaklib.fleet.lanes import Lane
from soaklib.fleet.report import LaneReport
from soaklib.plan.model import load_plan
from soaklib.runner.vitals import Vitals

JOB = LaneJob(
    run_id="r1", anchor_utc=dt.datetime(2026, 11, 28, tzinfo=dt.UTC), lanes=2, target="http://127.0.0.1:1",
    settings={"drain_s": 10.0}, plan=load_plan(),
)  # fmt: skip


class Placing:
    """Holds nothing."""

    async def close(self):
        """Let go of it."""


class Place:
    """A lane's process that ends when it is told to, or cannot be told."""

    def __init__(self, *, hears=True):
        self.told, self._hears = [], hears

    def report(self):
        return None

    def ended(self):
        return "" if self.told else None

    async def stop(self):
        if not self._hears:
            msg = "the scheduler is away"
            raise OSError(msg)
        self.told.append("stop")

    def drop(self):
        self.told.append("drop")

    async def kill(self):
        if not self._hears:
            await asyncio.Event().wait()
        self.told.append("kill")


@pytest.fixture
def sent(monkeypatch):
    """The signals that were sent: (process, signal)."""
    sent = []
    monkeypatch.setattr("soaklib.fleet.conductor.os.kill", lambda pid, number: sent.append((pid, number)))
    return sent


def _fleet(tmp_path, *places, living=lambda _: False, pid_of=lambda _: None):
    """Give a fleet in the middle of its run."""
    fleet = Fleet(
        job=JOB, run_folder=tmp_path, folder_of=lambda number: tmp_path / str(number), placing=Placing(),
        to_start=frozenset(), living=living, pid_of=pid_of,
    )  # fmt: skip
    fleet._vitals, fleet._events = Vitals(), KeptEvents()
    fleet.lanes += [LaneState(Lane(number, len(places)), place) for number, place in enumerate(places)]
    return fleet


def _end(fleet):
    async def main(loop):
        await fleet.end()
        return loop.time()

    return run_virtually(main)


def test_a_lane_that_outlived_its_conductor_is_told_to_stop_by_the_next(tmp_path, sent):
    """By a signal to its process, whose end is waited for."""
    fleet = _fleet(tmp_path, None, living=lambda _: not sent, pid_of=lambda _: 4711)
    assert _end(fleet) < 5
    assert sent == [(4711, signal.SIGTERM)]
    assert fleet._events.written == []


def test_a_lane_that_somebody_started_again_is_told_as_well(tmp_path, sent):
    """The process that was started here is dead, and another sends the lane."""
    place = Place()
    place.told.append("died")
    fleet = _fleet(tmp_path, place, living=lambda _: not sent, pid_of=lambda _: 4711)
    assert _end(fleet) < 5
    assert sent == [(4711, signal.SIGTERM)]


def test_a_lane_that_does_not_stop_is_ended(tmp_path, sent):
    """After its calls had time to come back."""
    fleet = _fleet(tmp_path, None, living=lambda _: True, pid_of=lambda _: 4711)
    assert _end(fleet) == pytest.approx(70, abs=1)
    assert sent == [(4711, signal.SIGTERM), (4711, signal.SIGKILL)]
    assert fleet._events.names() == ["LANE_LOST"]


def test_a_lane_on_another_machine_is_said_to_go_on(tmp_path, sent):
    """Nobody here can stop it, and nobody waits for it: whoever stopped the run is told."""
    fleet = _fleet(tmp_path, None, living=lambda _: True)
    assert _end(fleet) < 5
    assert sent == []
    [(name, detail, _)] = fleet._events.written
    assert name == "LANE_LOST"
    assert detail.startswith("lane 0/1: it goes on sending and cannot be told to stop (its sender is none of this ")
    assert detail.endswith("; stop it where it runs")


def test_a_lane_that_cannot_be_told_keeps_no_other_from_being_told(tmp_path):
    """Its scheduler is away: that is said, the other ends, and so does the fleet."""
    lost, heard = Place(hears=False), Place()
    fleet = _fleet(tmp_path, lost, heard)
    assert _end(fleet) < 100
    assert heard.told == ["stop"]
    said = [detail for _, detail, _ in fleet._events.written]
    assert said == [
        "lane 0/2: it cannot be told to end: OSError: the scheduler is away", "lanes that do not stop are ended",
        "lane 0/2: it cannot be told to end: TimeoutError",
    ]  # fmt: skip


def test_a_conductor_that_leaves_at_once_drops_a_word(tmp_path, sent):
    """To each lane that lives, and waits for none."""
    place = Place()
    fleet = _fleet(tmp_path, place, None, living=lambda number: number == 1, pid_of=lambda _: 4711)
    fleet.drop()
    assert (place.told, sent) == (["drop"], [(4711, signal.SIGTERM)])


# -- what it sees of lanes


def _watch(fleet, doing, *, seconds, stops_by_s=-1.0, ends_s=60.0):
    """Let a fleet watch its lanes for a while, or until what it does beside that is over; give how long that took."""
    fleet.job = JOB.model_copy(update={"start_us": 0})
    fleet._stops_by_us, fleet._last_us = round(stops_by_s * 1e6), round((ends_s + 60) * 1e6)

    async def main(loop):
        fleet._clock = SimpleNamespace(now_us=lambda: round(loop.time() * 1e6))
        watching = asyncio.create_task(fleet.watch())
        await asyncio.wait({asyncio.create_task(doing())}, timeout=seconds)
        assert not watching.done()
        watching.cancel()
        return loop.time()

    return run_virtually(main)


async def _nothing():
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("is_complete", "said"),
    [
        (True, []),
        (False, ["lane 0/1: its sender, which was not started here, has ended; its slots are missed from here"]),
    ],
)
def test_a_lane_of_another_conductor_that_ends_is_said_to_unless_it_is_complete(tmp_path, is_complete, said):
    """Long after the resume it was told to by nobody who would start it again."""
    fleet = _fleet(tmp_path, None)
    fleet.complete = lambda _: is_complete
    _watch(fleet, _nothing, seconds=5)
    assert [detail for _, detail, _ in fleet._events.written] == said


def test_a_lane_that_cannot_be_started_again_is_lost(tmp_path):
    """That is said, and the soak goes on."""

    async def start(*_):
        msg = "no more processes"
        raise OSError(msg)

    fleet = _fleet(tmp_path, None)
    fleet.placing.start, fleet._path = start, tmp_path / "fleet.json"
    _watch(fleet, _nothing, seconds=5, stops_by_s=70)
    [(name, detail, _)] = fleet._events.written
    assert name == "LANE_LOST"
    assert detail == (
        "lane 0/1: its sender ended after the resume, and cannot be started: OSError: no more processes; "
        "its slots are missed from here"
    )


def test_that_no_lane_lives_any_more_is_said_and_the_plan_comes_to_its_end(tmp_path):
    """Once; somebody may start one by hand up to then."""
    fleet = _fleet(tmp_path, None, None)
    took_s = _watch(fleet, fleet.sent, seconds=600, ends_s=40)
    assert took_s == pytest.approx(40, abs=1)
    assert [detail for _, detail, _ in fleet._events.written if "no lane lives" in detail] == [
        "no lane lives any more: nothing is sent from here on; stop the run and resume it"
    ]


def test_what_a_lane_has_behind_it_when_it_is_heard_is_counted_and_no_news(tmp_path):
    """The rule that ends a hopeless run goes by what happens from then on."""
    place = Place()
    fleet = _fleet(tmp_path, place)
    past = Counter({("load", "jira", "timeout"): 900, ("load", "jira", "ok"): 100})
    for more in (0, 5):
        report = LaneReport(lane=0, outcomes=past + Counter({("load", "jira", "ok"): more}))
        place.report = lambda report=report: report
        fleet._take_in()
    assert fleet._vitals.kinds == {"timeout": 900, "ok": 105}
    assert fleet._vitals.seen_kinds == {"timeout": 0, "ok": 5}


def test_how_far_the_slots_are_stays_told_when_the_lanes_have_ended(tmp_path):
    """While any sends, it is where the last of them is; then where they ended, and not the beginning again."""
    places = [Place(), Place()]
    fleet, seen = _fleet(tmp_path, *places), []
    for place, number in zip(places, (0, 1), strict=True):
        place.report = lambda number=number: LaneReport(lane=number, slots_passed=719 + number)
    for place in (None, *places):
        if place is not None:
            place.drop()
        fleet._take_in()
        seen.append(fleet._vitals.slots_passed)
    assert seen == [719, 720, 720]
