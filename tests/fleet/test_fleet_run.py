"""Whole fleets on one machine: the same run as one sender's, and what is left when one of them dies."""

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from rehearsals import REHEARSAL, Rehearsal, run_command, side_by_side, states_to_compare
from running_fleet import PATIENCE_S, Running, rows_of
from running_gateway import running_gateway

import soaklib
from soaklib.commands.merge import main as merge
from soaklib.evidence.checking import verify

pytestmark = pytest.mark.slow


_SCHEDULE = """
    select purpose, slot, step, tool,
           case when step = 0 then planned_at_us - (select min(started_at_us) from segments) end as planned_us
    from outcomes order by all"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A rehearsal as the others' one, by two senders."""
    ended = run_command(*REHEARSAL, "--senders", "2", "--out", str(tmp_path_factory.mktemp("fleet")))
    return Rehearsal(ended)


def test_two_senders_send_what_one_sends(fleet, rehearsal):
    """Two senders leave the rows of one: the same keys and tools, at the same planned times to a millisecond."""
    two, one = rows_of(fleet.folder, _SCHEDULE), rows_of(rehearsal.folder, _SCHEDULE)
    assert [row[:4] for row in two] == [row[:4] for row in one]
    apart = [abs(a[4] - b[4]) for a, b in zip(two, one, strict=True) if a[4] is not None]
    assert max(apart) <= 1_000
    shares = dict(
        rows_of(fleet.folder, "select lane, count(distinct slot) from outcomes where purpose = 'load' group by 1")
    )
    assert max(shares.values()) - min(shares.values()) <= 1
    assert sorted(shares) == [0, 1]


def test_two_senders_are_judged_as_one(fleet, rehearsal):
    """Every verdict that does not rest on the times of a busy machine is that of one sender."""
    by_name = {name: verdict["state"] for name, verdict in fleet.verdicts.items()}
    assert set(by_name) == set(rehearsal.verdicts)
    assert fleet.ended.returncode == max(state == "fail" for state in by_name.values())
    two, one = states_to_compare(fleet.verdicts, rehearsal.verdicts)
    assert two == one


def test_lanes_are_seen_in_the_terminal(fleet):
    """The lines of the terminal say how many lanes live."""
    assert "2 of 2 lanes live" in fleet.ended.stderr + fleet.ended.stdout


def test_the_bundle_of_a_fleet_is_what_it_says(fleet):
    """A fleet's bundle, with the lanes' own files in it, stands its check."""
    [bundle] = fleet.folder.glob("*.tar.gz")
    assert verify(bundle).problems == []


def test_a_merge_from_the_files_alone_gives_the_same_rows(fleet, tmp_path, capsys):
    """Merged once more by hand, from a copy of the folder, the run has the same rows."""
    copy = tmp_path / fleet.folder.name
    subprocess.run(["cp", "-r", str(fleet.folder), str(copy)], check=True)  # noqa: S607 - the machine's own
    (copy / "run.duckdb").unlink()
    assert merge(["--no-judge", str(copy)]) == 0
    assert capsys.readouterr().out.strip() == str(copy)
    query = "select * from outcomes order by all"
    assert rows_of(copy, query) == rows_of(fleet.folder, query)


# -- faults


_TWO = ("--senders", "2", "--hours", "1", "--speed", "360", "--rps", "0.1")
_SLOTS = 360


def _lane_killed(out):
    run = Running(out, *_TWO)
    run.wait_for_lanes(1)
    time.sleep(2)
    os.kill(run.sender(1), signal.SIGKILL)
    return run, run.end()


def _conductor_killed(out):
    run = Running(out, *_TWO)
    run.wait_for_lanes(0, 1)
    time.sleep(2)
    return _resumed_after_a_kill(run)


def _conductor_of_another_gateway_killed(out):
    with running_gateway("--speed", "360") as own:
        # long and dense enough for many calls after the moment from which none may meet chaos
        run = Running(out, *_TWO, "--hours", "2", "--rps", "0.2", "--gateway-url", own.url)
        run.wait_for("CHAOS_MODE_ON")
        return _resumed_after_a_kill(run)


def _resumed_after_a_kill(run):
    """Kill a conductor, and resume its run once its lanes have ended; give the folder, their logs and what was said."""
    run.process.kill()
    run.end()
    _wait_until_free(run.folder)
    logs = [(run.folder / "lanes" / lane / "soak-events.log").read_text() for lane in "01"]
    ended = run_command("--resume", str(run.folder), "--no-report")
    return run.folder, logs, ended.stdout + ended.stderr


def _lane_begun_twice(out):
    run = Running(out, *_TWO, "--hours", "4")  # longer than a busy machine takes to refuse the second
    run.wait_for_lanes(1)
    second = subprocess.run(
        [sys.executable, "-m", "soaklib", "send", "--lane", "1/2", "--job", str(run.folder / "fleet.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    run.process.terminate()
    run.end()
    return run, second


def _lanes_of_an_engine(out):
    start = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=10)).isoformat()
    with running_gateway("--speed", "360") as own:
        lanes = [
            subprocess.Popen(
                [sys.executable, "-m", "soaklib", "send", "--lane", f"{lane}/2", "--start-at", start, "--run-id", "r7",
                 "--gateway-url", own.url, "--hours", "0.5", "--speed", "360", "--rps", "0.1", "--out", str(out)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            for lane in (0, 1)
        ]  # fmt: skip
        said = [process.communicate(timeout=PATIENCE_S)[1] for process in lanes]
    return [process.returncode for process in lanes], said


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What each of these gives, all of which are tried at the same time, and its folder."""
    trials = (
        _lane_killed, _conductor_killed, _conductor_of_another_gateway_killed, _lane_begun_twice, _lanes_of_an_engine,
    )  # fmt: skip
    folders = {trial: tmp_path_factory.mktemp(trial.__name__) for trial in trials}
    tried = side_by_side({trial: partial(trial, folder) for trial, folder in folders.items()})
    return lambda trial: (*tried[trial].result(), folders[trial])


def test_a_lane_that_is_killed_costs_its_own_slots_alone(broken):
    """After SIGKILL of a lane its slots are missed; the other lane sends on, and the run comes to its end."""
    run, said, _ = broken(_lane_killed)
    kinds = rows_of(
        run.folder,
        "select lane, kind = 'missed', count(*) from outcomes where step = 0 and purpose = 'load' group by all",
    )
    counts = {(lane, missed): n for lane, missed, n in kinds}
    assert (0, True) not in counts, said
    assert counts[0, False] == _SLOTS // 2
    assert counts[1, True] > 0
    assert counts[1, True] + counts[1, False] == _SLOTS // 2
    events = [name for (name,) in rows_of(run.folder, "select name from events")]
    assert {"LANE_LOST", "LANE_GAP", "SOAK_TEST_COMPLETED"} <= set(events)
    assert run.process.returncode == 1  # success was not what it should have been, and that is the verdict


def test_senders_of_an_embedded_gateway_stop_with_their_conductor(broken):
    """A conductor that is killed takes its gateway with it; the senders stop in order, and the run can go on."""
    folder, logs, said, _ = broken(_conductor_killed)
    assert ["LANE_ENDED interrupted" in log for log in logs] == [True, True]
    assert _slots(folder) == list(range(_SLOTS)), said
    assert rows_of(folder, "select status from run") == [("completed",)]


def test_senders_finish_when_their_conductor_is_killed_and_chaos_goes_off(broken):
    """With a gateway that goes on senders send to their end; the guard clears chaos; the run is resumed."""
    folder, logs, said, _ = broken(_conductor_of_another_gateway_killed)
    assert ["LANE_ENDED completed" in log for log in logs] == [True, True]
    assert _slots(folder) == list(range(1440)), said
    # a killed conductor's chaos, cleared by the guard at once: the lanes' later calls do not meet it
    late = rows_of(
        folder,
        "select count(*) from outcomes where kind in ('upstream_error', 'fast_fail') and lane is not null"
        " and planned_at_us > (select min(at_us) from events where name = 'CHAOS_MODE_ON') + 4000000",
    )
    assert late == [(0,)]
    started = rows_of(folder, "select detail from events where name = 'LANE_STARTED' and detail like '%started=%'")
    assert [re.search(r"started=(\d+)", detail)[1] for (detail,) in started] == ["2", "0"]


def test_the_same_lane_is_not_started_twice(broken):
    """A second sender of a lane whose sender lives is refused, and the first sends on."""
    run, second, _ = broken(_lane_begun_twice)
    assert second.returncode == 2
    assert "is owned by a live process" in second.stderr
    assert run.process.returncode == 143
    assert rows_of(run.folder, "select count(*) from events where name = 'LANE_LOST'") == [(0,)]


def test_lanes_of_an_engine_make_a_run_without_a_conductor(broken):
    """Senders that an engine starts by their index, with a start and no more, leave lanes that make a run."""
    codes, said, out = broken(_lanes_of_an_engine)
    assert codes == [0, 0], said
    folders = [str(out / "r7" / "lanes" / lane) for lane in "01"]
    assert merge(["--no-judge", *folders, "--out", str(out / "merged")]) == 0
    assert _slots(out / "merged") == list(range(180))
    with soaklib.open_run(out / "merged") as opened:
        [spans] = opened.sql("select min(soak_s), max(soak_s) from calls where step = 0").rows()
    assert spans == pytest.approx((0, 1790), abs=0.01)  # the start is known to a microsecond of wall time


def _slots(folder):
    return [
        n for (n,) in rows_of(folder, "select slot from outcomes where purpose = 'load' and step = 0 order by slot")
    ]


def _wait_until_free(folder):
    ends = time.monotonic() + PATIENCE_S
    while any((folder / "lanes" / lane / ".lock").exists() for lane in "01"):
        assert time.monotonic() < ends
        time.sleep(0.1)
