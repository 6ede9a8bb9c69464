"""A fleet of which a lane stands still, then the conductor, while a lane's disk takes no more: one run for them all."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
from rehearsals import Rehearsal
from running_fleet import Running, rows_of

import soaklib
from soaklib.commands.merge import main as merge

pytestmark = pytest.mark.slow

_SLOTS = 720


@pytest.fixture(scope="module")
def struck(tmp_path_factory):
    """Lane 0 stands still for two seconds; then the conductor until both have ended, lane 1 for want of disk."""
    run = Running(tmp_path_factory.mktemp("struck"), "--senders", "2", "--hours", "1", "--speed", "360", "--rps", "0.2")
    run.wait_for_lanes(0, 1)
    still = run.sender(0)
    os.kill(still, signal.SIGSTOP)
    time.sleep(2)  # for which it is to be late
    os.kill(still, signal.SIGCONT)
    for _ in range(2):
        before = _bytes_of(run, 1)
        run.wait_until(lambda: _bytes_of(run, 1) > before, "rows of lane 1")  # noqa: B023 - it is over before the next
    os.kill(run.process.pid, signal.SIGSTOP)
    try:
        sender = psutil.Process(run.sender(1))
        for process in (sender, *sender.children(recursive=True)):
            process.rlimit(psutil.RLIMIT_FSIZE, (1, 1))  # as a full disk: no file of theirs takes another byte
        run.wait_until(lambda: sender.status() == psutil.STATUS_ZOMBIE, "the end of the lane without a disk")
        run.wait_for("LANE_ENDED", log="lanes/0/soak-events.log")
    finally:
        os.kill(run.process.pid, signal.SIGCONT)
    said = run.end()
    assert run.process.returncode == 1, said
    return Rehearsal(subprocess.CompletedProcess([], run.process.returncode, said.strip()))


def _bytes_of(run, lane):
    return sum(path.stat().st_size for path in (run.folder / "lanes" / str(lane)).glob("run.duckdb*"))


def _missed(folder):
    return dict(
        rows_of(
            folder,
            "select lane, count(*) filter (kind = 'missed') from outcomes"
            " where purpose = 'load' and step = 0 group by lane",
        )
    )


def test_a_lane_that_stands_still_sends_late_while_the_other_keeps_its_pace(struck):
    """What was due while it stood still leaves late, in its own data; the other lane went on meanwhile."""
    [(lag_us, meanwhile)] = rows_of(
        struck.folder,
        """with sent as (
               select * from outcomes where purpose = 'load' and step = 0 and sent_at_us is not null),
           late as (
               select planned_at_us as due_us, sent_at_us from sent
               where lane = 0 and sent_at_us - due_us > 1500000 order by slot limit 1)
           select late.sent_at_us - due_us,
                  (select count(*) from sent where lane = 1 and sent.sent_at_us between due_us and late.sent_at_us)
           from late""",
    )
    assert lag_us > 1_500_000
    assert meanwhile > 10  # of some seventy


def test_lanes_need_no_conductor_that_moves(struck):
    """While the conductor stood still lane 0 sent all its slots, and the run came to its end with a row for each."""
    assert rows_of(struck.folder, "select status from run") == [("completed",)]
    assert _missed(struck.folder)[0] == 0
    assert rows_of(
        struck.folder, "select slot, lane from outcomes where purpose = 'load' and step = 0 order by slot"
    ) == [(slot, slot % 2) for slot in range(_SLOTS)]
    lost = rows_of(struck.folder, "select count(*) from events where name = 'LANE_LOST' and detail like 'lane 0%'")
    assert lost == [(0,)]
    [(unknown,)] = rows_of(struck.folder, "select detail from events where name = 'CLOCK_OFFSET_UNKNOWN'")
    assert re.fullmatch(r"lane=0 the conductor's desk at \S+ does not tell the time of the run: no answer", unknown)


def test_what_a_conductor_is_late_by_is_not_said_of_a_lane(struck):
    """That it stood still stands beside the shares of the lanes, and costs neither of them a window."""
    assert re.search(r"by lane: .* of 0.*; \d+\.\d % of the conductor", struck.verdicts["measurement valid"]["detail"])
    with soaklib.open_run(struck.folder) as run:
        late = run.sql("select max(lag_us) from generator_ticks where lane is null").item()
    assert late > 2_000_000


def test_a_lane_whose_disk_is_full_says_so(struck):
    """Its words reach the conductor, though its own log takes none any more."""
    [(lost,)] = rows_of(struck.folder, "select detail from events where name = 'LANE_LOST'")
    assert re.fullmatch(
        r"lane 1/2: ended with code 4: cannot write \S+/lanes/1/\S+: .*; its slots are missed from here", lost
    )


def test_a_merge_says_which_share_is_missing(struck, capsys):
    """The share of the lane's slots that have no call is told by the merge, by the event, and by the verdict."""
    missed = _missed(struck.folder)[1]
    share = f"{missed} of the {_SLOTS // 2} slots of lane 1 ({100 * missed / (_SLOTS // 2):.1f} %)"
    assert 0 < missed < _SLOTS // 2
    assert struck.verdicts["every slot accounted for"]["detail"].endswith(f"; missed: {share}")
    [(lost,)] = rows_of(  # from the last that was written on: one before it that was under way has its row by itself
        struck.folder,
        "select count(*) filter (slot > seen) from (select slot, max(slot) filter (kind <> 'missed') over () as seen"
        " from outcomes where purpose = 'load' and step = 0 and lane = 1)",
    )
    [(gap,)] = rows_of(struck.folder, "select detail from events where name = 'LANE_GAP'")
    assert gap.startswith(f"lane 1/2: {lost} slots missed up to H+1.000, {100 * lost / (_SLOTS // 2):.1f} % of its")
    assert merge(["--no-judge", str(struck.folder)]) == 0
    assert capsys.readouterr().err == f"soaklib: missed: {share}\n"
