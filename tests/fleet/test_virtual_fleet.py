"""Fleets on virtual time: judged as one sender is, and what becomes of them when something dies."""

import asyncio

import duckdb
import pytest
from virtual_fleet import FleetWorld, VirtualDesk

import soaklib
import soaklib.fleet.sender
from soaklib.analysis.verdicts.criteria import judge
from soaklib.errors import TargetError

_SPEED = 120.0  # a minute for the whole run
_RPS = 0.1
_FLAGS = ("--hours", "2", "--speed", str(_SPEED), "--rps", str(_RPS), "--agents-per-role", "2")
_SLOTS = 720


@pytest.fixture
def world(monkeypatch):
    """A fleet of two lanes that has not begun."""
    made = FleetWorld(*_FLAGS, "--senders", "2")
    with made.patched(monkeypatch):
        yield made
    made.close()


def _rows(folder, query):
    with duckdb.connect(str(folder / "run.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def _verdicts(folder):
    with soaklib.open_run(folder) as run:
        return {verdict.name: verdict.state for verdict in judge(run)}


@pytest.fixture(scope="module")
def one():
    """The verdicts and the schedule of one sender."""
    world = FleetWorld(*_FLAGS)
    world.begin()
    folder = world.gather()
    yield folder
    world.is_alive = False
    world.close()


_SCHEDULE = """
    select purpose, slot, step, role, tool, "action", kind, expected, reason, phase,
           case when step = 0 then planned_at_us - (select min(started_at_us) from segments where lane is null) end
    from outcomes order by all"""


def test_two_senders_are_judged_as_one(world, one):
    """Every criterion of a run of two lanes has the state that it has of one sender, and every call its row."""
    world.begin()
    folder = world.gather()
    assert _rows(folder, _SCHEDULE) == _rows(one, _SCHEDULE)
    assert _verdicts(folder) == _verdicts(one)


@pytest.mark.parametrize("lanes", [1, 3, 7])
def test_the_rows_of_any_number_of_lanes_are_those_of_one_sender(monkeypatch, one, lanes):
    """However many lanes there are, their merged rows are those of one sender, to the microsecond."""
    world = FleetWorld(*_FLAGS, "--senders", str(lanes))
    with world.patched(monkeypatch):
        world.begin()
        folder = world.gather()
        assert _rows(folder, _SCHEDULE) == _rows(one, _SCHEDULE)
        assert _rows(folder, "select count(distinct lane) from outcomes") == [(lanes,)]
    world.is_alive = False
    world.close()


# -- clocks


def _apart_us(folder, lane):
    """Give how far the planned times of a lane's slots are, at most, from where the plan has them."""
    [(apart,)] = _rows(
        folder,
        f"""select max(abs(planned_at_us - (select min(started_at_us) from segments where lane is null)
                           - round(slot / {_RPS} * 1e6 / {_SPEED})))
            from outcomes where lane = {lane} and step = 0""",
    )
    return apart


_SET_S = {2: 10, 3: -10, 4: 0.5}
"""By lane, by how many seconds its wall clock is set in the middle of the run."""


@pytest.fixture(scope="module")
def off():
    """The folder of a run of five lanes: the clock of one is ahead, and those of three are set."""
    world = FleetWorld(*_FLAGS, "--senders", "5")
    world.ahead_us[1] = lambda _: 200_000
    with pytest.MonkeyPatch.context() as monkeypatch, world.patched(monkeypatch):
        world.begin()
        world.live(30)
        world.set_s.update(_SET_S)
        yield world.gather()
    world.close()


def test_a_clock_that_is_off_by_a_fifth_of_a_second_sends_and_is_merged_with_the_others(off):
    """A lane whose clock is 200 ms ahead sends when the plan says, and its merged times are the plan's."""
    assert _apart_us(off, 0) <= 1
    assert _apart_us(off, 1) <= 1_000  # what the way to the desk leaves unknown
    assert _rows(off, "select max(abs(sent_at_us - planned_at_us)) < 2000 from outcomes where lane = 1") == [(True,)]


def test_a_clock_that_drifts_is_corrected_at_the_merge(world, monkeypatch):
    """A day's drift of 50 ppm, 4.3 s, sends early by that and is merged to when it did, to a millisecond."""
    drift, length_s = 4.32, 60
    monkeypatch.setattr(soaklib.fleet.sender, "_MEASURE_EVERY_S", length_s / 24)
    world.ahead_us[1] = lambda now_s: 1e6 * drift * now_s / length_s
    world.begin()
    folder = world.gather()
    assert _apart_us(folder, 0) <= 1
    rows = _rows(
        folder,
        """select slot, planned_at_us - (select min(started_at_us) from segments where lane is null)
            from outcomes where lane = 1 and step = 0 order by slot""",
    )
    pace = 1 + drift / length_s
    off = [at_us - slot / _RPS * 1e6 / _SPEED / pace for slot, at_us in rows]
    assert max(off) - min(off) <= 5_000
    assert rows[-1][1] < (_SLOTS - 1) / _RPS * 1e6 / _SPEED - 4_000_000
    told = _rows(folder, "select count(*) from events where name = 'CLOCK_OFFSET' and detail like 'lane=1 %'")
    assert told[0][0] >= 24


@pytest.mark.parametrize(("lane", "segments"), [(2, 2), (3, 1), (4, 1)], ids=["10 s", "10 s back", "half a second"])
def test_a_clock_that_is_set_in_the_middle_misses_nothing(off, lane, segments):
    """A lane whose wall clock is set sends on by the time that has passed; a step that may be a sleep it looks into."""
    assert _rows(off, "select count(*) from outcomes where kind = 'missed'") == [(0,)]
    assert _apart_us(off, lane) <= 1
    assert _rows(off, f"select count(*) from segments where lane = {lane}") == [(segments,)]


def test_a_fleet_whose_machine_sleeps_misses_its_slots_and_keeps_the_plans_clock(world):
    """Conductor and lanes sleep side by side: no lane takes itself for awake by a desk that has slept as well."""
    world.begin()
    world.live(20)
    world.sleep(10)
    folder = world.gather()
    for lane in (0, 1):
        assert _apart_us(folder, lane) <= 1_000
    missed = dict(_rows(
        folder, "select lane, count(*) filter (kind = 'missed') from outcomes where step = 0 and lane is not null"
                " group by lane"
    ))  # fmt: skip
    assert missed == {lane: pytest.approx(10 * _SPEED * _RPS / 2, abs=10) for lane in (0, 1)}
    service = "select max(done_at_us - sent_at_us) from outcomes where lane is not null"
    assert _rows(folder, service) == [(5_000,)]


# -- what dies


def test_a_way_to_the_desk_that_is_cut_for_a_while_holds_nothing_up(world, monkeypatch):
    """While the conductor cannot be reached the lanes send on; what is not measured then is said."""
    monkeypatch.setattr(soaklib.fleet.sender, "_MEASURE_EVERY_S", 10)
    world.begin()
    world.live(15)
    [desk] = VirtualDesk.by_address.values()
    desk.is_cut = True
    world.live(30)
    desk.is_cut = False
    folder = world.gather()
    assert _apart_us(folder, 1) <= 1
    assert _rows(folder, "select count(*) from outcomes where kind <> 'ok' and lane is not null"
                         " and phase = 'baseline'") == [(0,)]  # fmt: skip
    told = [name for (name,) in _rows(
        folder, "select name from events where name like 'CLOCK_OFFSET%' and detail like 'lane=1 %' order by at_us"
    )]  # fmt: skip
    unknown, known = "CLOCK_OFFSET_UNKNOWN", "CLOCK_OFFSET"
    assert told == [known, known, unknown, unknown, unknown, known, known, known]


def test_a_conductor_that_dies_and_is_resumed_finds_its_lanes_sending(world):
    """While no conductor lives the lanes send; one that is resumed starts none of them, and the run is whole."""
    world.begin()
    world.live(25)
    world.kill_conductor()
    assert world.gateway.policies, "the lanes that send on need them"
    dead_s = world.loop.time() - 25
    world.begin()
    folder = world.gather()
    assert world.started == [0, 1]
    assert _rows(folder, "select count(*) from outcomes where kind = 'missed' and lane is not null") == [(0,)]
    assert _rows(folder, "select count(*), count(distinct slot) from outcomes where purpose = 'load' and step = 0") == [
        (_SLOTS, _SLOTS)
    ]
    assert _apart_us(folder, 0) <= 1
    [(missed,)] = _rows(folder, "select count(*) from outcomes where kind = 'missed' and purpose = 'probe'")
    assert missed == pytest.approx(dead_s * _SPEED / 60, abs=1)  # one a soak-minute: the conductor's alone


def test_a_word_to_stop_is_heard_while_lanes_get_ready(world, monkeypatch):
    """They may take two minutes; whoever stops the run then does not wait for them, and they are told to stop."""

    async def never(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(soaklib.fleet.sender, "ask_start", never)
    world.begin()
    world.live(5)
    world.stop()
    assert world.loop.time() < 30
    assert world.results[-1].status == "interrupted"
    assert all(place.task.done() for place in world.places.values())


def test_only_the_lanes_that_are_missing_are_started_again(world):
    """A resumed conductor starts the lane that was killed and not the one that sends; that misses what was due."""
    world.begin()
    world.live(20)
    world.kill_lane(1)
    world.live(5)
    world.kill_conductor()
    dead_s = world.loop.time() - 20
    world.begin()
    folder = world.gather()
    assert world.started == [0, 1, 1]
    missed = dict(_rows(
        folder, "select lane, count(*) filter (kind = 'missed') from outcomes where step = 0 and lane is not null"
                " group by lane"
    ))  # fmt: skip
    assert missed[0] == 0
    assert missed[1] == pytest.approx(dead_s * _SPEED * _RPS / 2, abs=2)  # half of the slots
    keys = "select count(*) - count(distinct (purpose, slot, step)) from outcomes"
    assert _rows(folder, keys) == [(0,)]
    assert _rows(folder, "select count(*), count(distinct slot) from outcomes where purpose = 'load' and step = 0") == [
        (_SLOTS, _SLOTS)
    ]


def test_a_lost_lane_is_settled_once(world):
    """A lane that nobody starts again has a missed row for each of its slots, and no row of the conductor's probes."""
    world.begin()
    world.live(20)
    world.kill_lane(1)
    folder = world.gather()
    assert world.started == [0, 1]
    of_lane = _rows(
        folder,
        "select purpose, lane, count(*), count(distinct slot) from outcomes"
        " where step = 0 and purpose in ('load', 'probe') group by all order by 2",
    )
    assert of_lane == [("load", 0, 360, 360), ("load", 1, 360, 360), ("probe", None, 120, 120)]


def test_a_lane_that_stands_still_for_good_does_not_hold_up_the_end(world):
    """A minute after the plan's end it is waited for no longer and is ended; what it did not send is missed."""
    world.begin()
    world.live(20)
    world.loop.run_until_complete(world.places[1].stand_still())
    folder = world.gather()
    told = [detail for (detail,) in _rows(folder, "select detail from events where name = 'LANE_LOST' order by at_us")]
    assert told == [
        "lane 1/2: 60 s after its end it still sends; it is waited for no longer", "lanes that do not stop are ended",
    ]  # fmt: skip
    missed = dict(_rows(
        folder, "select lane, count(*) filter (kind = 'missed') from outcomes where step = 0 and lane is not null"
                " group by lane"
    ))  # fmt: skip
    assert missed[0] == 0
    assert missed[1] == pytest.approx(40 * _SPEED * _RPS / 2, abs=10)


def test_a_lane_that_comes_late_misses_its_slots_and_sends_no_burst(world):
    """A lane that is started again late sends nothing that was due before, and nothing late."""
    world.begin()
    world.live(10)
    world.kill_lane(0)
    world.kill_conductor()
    world.begin()
    folder = world.gather()
    [(late_us, most)] = _rows(
        folder,
        """select max(lag), max(n) from (
               select max(sent_at_us - planned_at_us) as lag, count(sent_at_us) as n from outcomes
               where lane = 0 and step = 0 group by planned_at_us // 1000000)""",
    )
    assert late_us <= 2_000
    assert most <= 7  # six slots a second


def test_a_lane_that_somebody_starts_again_is_waited_for(world):
    """A lane that was started again by hand misses what it was dead for, and the run waits for it."""
    world.begin()
    world.live(20)
    world.kill_lane(1)
    world.live(10)
    dead_s = 10
    world.start_by_hand(1)
    folder = world.gather()
    [(missed,)] = _rows(folder, "select count(*) from outcomes where step = 0 and lane = 1 and kind = 'missed'")
    assert missed == pytest.approx(dead_s * _SPEED * _RPS / 2, abs=5)
    slots = _rows(folder, "select count(*), count(distinct slot) from outcomes where purpose = 'load' and step = 0")
    assert slots == [(_SLOTS, _SLOTS)]
    told = [detail for (detail,) in _rows(folder, "select detail from events where name = 'LANE_STARTED'")]
    assert "lane 1/2: somebody started it again; it is unheard" in told


def _is_whole(folder):
    """Say whether each slot has its one row, and almost none was missed."""
    [(rows, slots, missed)] = _rows(
        folder,
        "select count(*), count(distinct slot), count(*) filter (kind = 'missed') from outcomes"
        " where purpose = 'load' and step = 0",
    )
    return (rows, slots) == (_SLOTS, _SLOTS) and missed <= 2 * _SPEED * _RPS


def test_a_run_that_is_resumed_while_its_lanes_stop_starts_them_again(world):
    """They were told by the conductor that left at once: they live as the next one comes, and not much longer."""
    world.begin()
    world.live(20)
    world.kill_conductor()
    for place in world.places.values():
        place._stop.set()
    world.begin()
    folder = world.gather()
    assert world.started == [0, 1, 0, 1]
    assert _is_whole(folder)
    told = [detail for (detail,) in _rows(folder, "select detail from events where name = 'LANE_STARTED'")]
    for lane in (0, 1):
        assert f"lane {lane}/2: its sender of before the resume has ended; it is started again" in told


def test_a_run_whose_conductor_died_before_the_start_is_resumed_with_all_its_lanes(world, monkeypatch):
    """They wait for a word that nobody will say, and end by that while the next conductor waits for them."""
    is_gone, asked, ask = asyncio.Event(), [], soaklib.fleet.sender.ask_start

    async def asks(*arguments):
        asked.append(arguments)
        if len(asked) > 2:
            return await ask(*arguments)
        await is_gone.wait()
        msg = "the conductor's desk was gone before it said when the soak starts"
        raise TargetError(msg)

    monkeypatch.setattr(soaklib.fleet.sender, "ask_start", asks)
    world.begin()
    while len(asked) < 2:
        world.live(0.01)
    world.kill_conductor()
    is_gone.set()
    world.begin()
    folder = world.gather()
    assert world.started == [0, 1, 0, 1]
    assert _is_whole(folder)
