"""What is made of lanes that were lost, of clocks that were set meanwhile, and of folders that are no run."""

import datetime as dt
from dataclasses import replace

import duckdb
import pytest
from lane_files import clock_offset
from stored_rows import ANCHOR, outcome

import soaklib.fleet.lane_run
from soaklib.commands.merge import main
from soaklib.errors import TargetError
from soaklib.fleet.desk import ClockOffset
from soaklib.fleet.job import LaneJob, lane_folder
from soaklib.fleet.lane_run import catch_up, lane_manifest
from soaklib.fleet.lanes import Lane
from soaklib.fleet.merge import merge
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.records import RunStatus
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

_SETTINGS = load_settings(
    ["--gateway-url", "http://127.0.0.1:1", "--hours", "2", "--speed", "60", "--rps", "0.01", "--senders", "2"]
)
_SLOTS = 72
_JOB = LaneJob(
    run_id="r1", anchor_utc=ANCHOR, lanes=2, start_us=1_000_000, target="http://127.0.0.1:1",
    settings=_SETTINGS.model_dump(mode="json"), plan=load_plan(),
)  # fmt: skip
_EVERY_US = round(100 * 1e6 / 60)


def _whole(lane):
    return Segment(
        segment=0, started_at_us=1_000_000, soak_started_s=0.0, ended_at_us=121_000_000, soak_ended_s=7200.0, lane=lane
    )


def _lane(folder, number, *, sent=_SLOTS, status=RunStatus.COMPLETED, events=(), job=_JOB):
    """Write a lane that sent its slots below `sent`, or of no status: was killed then."""
    home = lane_folder(folder, number)
    home.mkdir(parents=True)
    whole = _whole(number) if status is not None else replace(_whole(number), ended_at_us=None, soak_ended_s=None)
    at = [(slot, 1_000_000 + slot * _EVERY_US) for slot in range(number, sent, 2)]
    writer = RunWriter(home / DATABASE_NAME)
    writer.begin_run(lane_manifest(job, Lane(number, 2)))
    writer.append(
        {
            "segments": [segment_row(whole, runner_pid=2)],
            "outcomes": [
                outcome(slot, planned_at_us=us, sent_at_us=us, done_at_us=us + 9, lane=number) for slot, us in at
            ],
            "events": [tuple(event) for event in events],
        }
    )
    if status is not None:
        writer.end_run(status, completed_utc=ANCHOR, duration_s=120.0)
    writer.close()
    return home


def _read(folder, query):
    with duckdb.connect(str(folder / DATABASE_NAME), read_only=True) as connection:
        return connection.execute(query).fetchall()


_MISSED = "select lane, kind = 'missed', count(*) from outcomes where step = 0 group by all order by 1, 2"


def _merged(*arguments):
    return main([str(argument) for argument in (*arguments, "--no-judge")])


def test_a_lane_that_was_killed_and_had_no_conductor_is_settled(tmp_path):
    """What a killed lane did not send is missed up to the end that the other came to, and the run is complete."""
    folders = [_lane(tmp_path / "there", 0), _lane(tmp_path / "there", 1, sent=30, status=None)]
    assert _merged(*folders, "--out", tmp_path / "run") == 0
    assert _read(tmp_path / "run", _MISSED) == [(0, False, 36), (1, False, 15), (1, True, 21)]
    assert _read(tmp_path / "run", "select status from run") == [("completed",)]


def test_lanes_that_were_all_stopped_have_nothing_missed(tmp_path):
    """Lanes that may all go on are merged as they are."""
    folders = [_lane(tmp_path / "there", n, sent=30, status=RunStatus.INTERRUPTED) for n in (0, 1)]
    assert _merged(*folders, "--out", tmp_path / "run") == 0
    assert _read(tmp_path / "run", _MISSED) == [(0, False, 15), (1, False, 15)]
    assert _read(tmp_path / "run", "select status from run") == [("interrupted",)]


def test_a_lane_whose_files_are_gone_is_missed_when_that_is_said(tmp_path, capsys):
    """Without a word the lane that lacks is named, and so is the word; with it each of its slots is missed."""
    folder = _lane(tmp_path / "there", 0)
    assert _merged(folder, "--out", tmp_path / "run") == 2
    assert "lacks lane 1" in capsys.readouterr().err
    assert _merged(folder, "--out", tmp_path / "run", "--lost", "1") == 0
    assert _read(tmp_path / "run", _MISSED) == [(0, False, 36), (1, True, 36)]


def _conductor(folder):
    """Write what a conductor leaves that came to the run's end."""
    folder.mkdir(exist_ok=True)
    _JOB.write(folder)
    conductor = RunWriter(folder / DATABASE_NAME)
    conductor.begin_run(
        Manifest(
            run_id="r1", soaklib_version="0", anchor_utc=ANCHOR, speed=60.0, rps=0.01, hours=2.0, seed=_SETTINGS.seed,
            target="http://127.0.0.1:1", embedded=False, settings=_SETTINGS.public_json(),
            plan=_JOB.plan.model_dump_json(), environment="{}",
        )
    )  # fmt: skip
    conductor.append({"segments": [segment_row(_whole(None), runner_pid=1)]})
    conductor.end_run(RunStatus.COMPLETED, completed_utc=ANCHOR, duration_s=120.0)
    conductor.close()


def test_lanes_of_a_conducted_run_that_are_elsewhere_are_settled_as_those_in_its_folder(tmp_path, capsys):
    """One was killed and one is gone for good: each slot has its row, in whichever folders they lay."""
    home, killed = tmp_path / "home", _lane(tmp_path / "there", 0, sent=30, status=None)
    _conductor(home)
    assert _merged(home, killed) == 2
    assert f"soaklib merge {home} --lost 1" in capsys.readouterr().err
    assert _merged(home, killed, "--lost", "1") == 0
    assert _read(home, _MISSED) == [(0, False, 15), (0, True, 21), (1, True, 36)]
    assert _merged(home, _lane(tmp_path / "again", 1)) == 2
    assert "lane 1/2 is in " in capsys.readouterr().err
    assert _merged(killed, lane_folder(home, 1), "--out", tmp_path / "run") == 0
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_lane_of_a_conducted_run_that_is_on_another_machine_is_not_taken_for_lost(tmp_path, capsys):
    """A lane that left no folder here has no row missed: the words say where to bring it, or how to say it is gone."""
    _lane(tmp_path, 0)
    _conductor(tmp_path)
    assert _merged(tmp_path) == 2
    said = capsys.readouterr().err
    assert "bring its folder there" in said
    assert f"soaklib merge {tmp_path} --lost 1" in said
    assert not lane_folder(tmp_path, 1).exists()
    assert _merged(tmp_path, "--lost", "1") == 0
    assert _read(tmp_path, _MISSED) == [(0, False, 36), (1, True, 36)]


def test_a_run_without_its_conductors_file_is_merged_and_says_so(tmp_path, capsys):
    """Lanes alone make the run, and a word says what such a run has not."""
    for number in (0, 1):
        _lane(tmp_path, number)
    _JOB.write(tmp_path)
    assert _merged(tmp_path) == 0
    assert "without probes, changes and scrapes" in capsys.readouterr().err
    assert _read(tmp_path, _MISSED) == [(0, False, 36), (1, False, 36)]


def test_a_run_that_somebody_works_on_is_not_merged(tmp_path, capsys):
    """While a conductor, or another merge, has the run's folder, a merge is refused."""
    for number in (0, 1):
        _lane(tmp_path, number)
    with RunLock(tmp_path):
        assert _merged(tmp_path) == 2
    assert "is owned by a live process" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["nothing", "text"])
def test_a_folder_that_is_no_lane_is_named(tmp_path, capsys, what):
    """A folder without a run, or with a file that is none, is named in one sentence."""
    odd = tmp_path / "odd"
    odd.mkdir()
    if what == "text":
        (odd / DATABASE_NAME).write_text("no database")
    assert _merged(odd, "--out", tmp_path / "run") == 2
    assert str(odd) in capsys.readouterr().err


# -- clocks that were set while nobody sent


@pytest.fixture
def at(monkeypatch):
    """Give a function that sets what the desk says of the lane's clock, and what time it is by it, in microseconds."""

    def is_it(now_us, offset_us):
        async def measured(*_):
            if offset_us is None:
                msg = "nobody there"
                raise TargetError(msg)
            return ClockOffset(offset_us, 40)

        class At(soaklib.fleet.lane_run.RunClock):
            def __init__(self, anchor_utc, *, not_before_us=0):
                utc = anchor_utc + dt.timedelta(microseconds=now_us)
                super().__init__(anchor_utc, not_before_us=not_before_us, monotonic_ns=lambda: 0, utc_now=lambda: utc)

        monkeypatch.setattr(soaklib.fleet.lane_run, "measure_offset", measured)
        monkeypatch.setattr(soaklib.fleet.lane_run, "RunClock", At)

    return is_it


_WITH_DESK = _JOB.model_copy(update={"desk": "there:1"})


@pytest.mark.parametrize("offset_us", [10_000_000, -10_000_000])
def test_a_lane_that_comes_late_with_a_clock_that_is_off_misses_what_was_due(tmp_path, at, offset_us):
    """What is missed is what the conductor's clock says was due, and stands in the merged run when it was."""
    home = lane_folder(tmp_path, 1)
    home.mkdir(parents=True)
    at(51_000_000 + offset_us, offset_us)
    catch_up(_WITH_DESK, Lane(1, 2), home)
    merge(tmp_path, [_lane(tmp_path, 0) / DATABASE_NAME, home / DATABASE_NAME])
    rows = _read(tmp_path, "select slot, planned_at_us from outcomes where lane = 1 and step = 0 order by slot")
    due = [(slot, 1_000_000 + round(slot * 100 * 1e6 / 60)) for slot in range(1, 30, 2)]
    assert rows == due


def test_a_clock_that_was_set_while_a_lane_was_dead_moves_nothing_of_before(tmp_path, at):
    """Rows of before keep the offset of before, and what was missed since stands when it was due."""
    before = clock_offset(1_000_000, 0)
    home = _lane(tmp_path, 1, sent=24, status=None, events=[before], job=_WITH_DESK)
    at(61_000_000 + 30_000_000, 30_000_000)
    catch_up(_WITH_DESK, Lane(1, 2), home)
    merge(tmp_path, [_lane(tmp_path, 0) / DATABASE_NAME, home / DATABASE_NAME])
    rows = _read(tmp_path, "select slot, planned_at_us from outcomes where lane = 1 and step = 0 order by slot")
    apart_us = [abs(at_us - 1_000_000 - slot * 100 * 1e6 / 60) for slot, at_us in rows]
    assert len(rows) == 18
    assert max(apart_us) <= 30


def test_a_lane_that_nobody_tells_the_time_goes_by_its_own(tmp_path, at):
    """With no desk that answers, what was due is what the lane's own clock says."""
    home = lane_folder(tmp_path, 1)
    home.mkdir(parents=True)
    at(51_000_000, None)
    catch_up(_WITH_DESK, Lane(1, 2), home)
    assert _read(home, "select count(*) from outcomes where step = 0") == [(15,)]
    assert _read(home, "select count(*) from events where name = 'CLOCK_OFFSET'") == [(0,)]
