"""The one run of a fleet's files."""

import duckdb
import pytest
from lane_files import JOB, PLAN, QUOTA, clock_offset, read, read_all, tick, write_conductor, write_lane
from polars.testing import assert_frame_equal
from stored_rows import outcome

import soaklib
from soaklib.errors import RunError
from soaklib.fleet.job import lane_folder
from soaklib.fleet.lane_run import begin_or_resume, settle
from soaklib.fleet.lanes import Lane
from soaklib.fleet.merge import conductor_database, merge, unmerge
from soaklib.fleet.offset import offset_sql
from soaklib.records import Event, EventName, Kind, Outcome, RunStatus
from soaklib.runner.recovery import Past
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter


@pytest.fixture(scope="module")
def plain_lanes(tmp_path_factory):
    """Two lanes of a call each, for all that merge them: a merge leaves lanes as they are."""
    there = tmp_path_factory.mktemp("there")
    return [write_lane(there, n, [outcome(n, planned_at_us=1_000_000, lane=n)]) for n in (0, 1)]


def test_a_merge_made_again_gives_the_same_run(tmp_path, plain_lanes):
    """The conductor's own file is kept, so that a second merge has the same rows, and a run can go on with it."""
    write_conductor(tmp_path)
    merge(tmp_path, plain_lanes)
    first = read(tmp_path, "select * from outcomes")
    merge(tmp_path, plain_lanes)
    assert read(tmp_path, "select * from outcomes") == first
    assert conductor_database(tmp_path).parent == tmp_path / "lanes"
    unmerge(tmp_path)
    assert read(tmp_path, "select purpose from outcomes") == [("probe",)]
    assert conductor_database(tmp_path) == tmp_path / DATABASE_NAME


def test_times_of_a_lane_are_put_on_the_conductors_clock(tmp_path):
    """A lane that was 200 ms ahead at the start and 300 ms at the end has its times moved by what lies between."""
    write_conductor(tmp_path)
    row = outcome(0, planned_at_us=51_200_000, sent_at_us=51_200_010, done_at_us=51_200_400, lane=0)
    lanes = [
        write_lane(tmp_path, 0, [row], events=[clock_offset(1_200_000, 200_000), clock_offset(101_200_000, 300_000)],
              ticks=[tick(101_200_000)]),
        write_lane(tmp_path, 1, [outcome(1, planned_at_us=50_950_000, lane=1)]),
    ]  # fmt: skip
    merge(tmp_path, lanes)
    calls, ticks = read_all(
        tmp_path,
        "select slot, planned_at_us, sent_at_us, done_at_us from outcomes where purpose = 'load'",
        "select at_us from runner_health where lane = 0",
    )
    assert calls == [(0, 50_950_000, 50_950_010, 50_950_400), (1, 50_950_000, 1_010, 1_500)]
    assert ticks == [(100_900_000,)]


def test_an_offset_that_is_not_known_well_enough_is_not_applied(tmp_path):
    """A measurement with a bound over 50 ms stays a row, and moves nothing."""
    write_conductor(tmp_path)
    lanes = [
        write_lane(
            tmp_path, 0, [outcome(0, planned_at_us=5_000_000, lane=0)], events=[clock_offset(1, 9_000, bound_us=50_001)]
        ),
        write_lane(tmp_path, 1, [outcome(1, lane=1)]),
    ]
    merge(tmp_path, lanes)
    calls, measured = read_all(
        tmp_path,
        "select planned_at_us from outcomes where slot = 0 and lane = 0",
        "select count(*) from events where name = 'CLOCK_OFFSET'",
    )
    assert calls == [(5_000_000,)]
    assert measured == [(1,)]


@pytest.mark.parametrize(("us", "offset"), [(0, 10), (100, 10), (150, 15), (200, 20), (300, 0), (10**9, 0)])
def test_offsets_are_linear_between_two_measurements(us, offset):
    """Before the first and after the last an offset stays; between two it goes from the one to the other."""
    query = f"select {offset_sql([(100, 10), (200, 20), (300, 0)])} from (select {us} as us)"
    assert duckdb.sql(query).fetchall() == [(offset,)]


_EIGHT_HOURS_US = 8 * 3600 * 10**6


@pytest.mark.parametrize(
    ("us", "offset"),
    [(0, 0), (1_800_000_000, 0), (3_599_999_999, 0), (3_600_000_000, -_EIGHT_HOURS_US), (10**10, -_EIGHT_HOURS_US)],
)
def test_what_no_clock_drifts_by_in_the_time_is_a_step(us, offset):
    """A machine slept between two measurements an hour apart: no time is stretched by it."""
    query = f"select {offset_sql([(0, 0), (3_600_000_000, -_EIGHT_HOURS_US)])} from (select {us} as us)"
    assert duckdb.sql(query).fetchall() == [(offset,)]


def test_a_call_under_way_at_a_step_takes_as_long_as_it_took(tmp_path):
    """All its times are corrected by the offset at its planned one."""
    write_conductor(tmp_path)
    row = outcome(0, planned_at_us=51_000_000, sent_at_us=51_000_100, done_at_us=51_900_100, lane=0)
    lanes = [
        write_lane(tmp_path, 0, [row], events=[clock_offset(1_000_000, 0), clock_offset(51_500_000, -9_000_000)]),
        write_lane(tmp_path, 1, [outcome(1, lane=1)]),
    ]
    merge(tmp_path, lanes)
    times = "select planned_at_us, sent_at_us, done_at_us from outcomes where slot = 0 and purpose = 'load'"
    assert read(tmp_path, times) == [(51_000_000, 51_000_100, 51_900_100)]


def test_calls_while_a_quota_was_cut_may_be_denied(tmp_path):
    """From the gate before the cut on a call of that role and action may be denied; others stay as planned."""
    change = PLAN.changes[QUOTA]
    tool, action = change.action.split(":")
    write_conductor(
        tmp_path,
        events=[
            Event(49_000_000, EventName.HEALTH_GATE_PASSED, "before update-policy: healthy", None),
            Event(50_000_000, EventName.POLICY_UPDATED_OPENAI_QUOTA_REDUCED, "cut", f"change:{QUOTA}:update-policy"),
        ],
    )

    def call(slot, done_us, **of):
        return outcome(slot, planned_at_us=done_us - 9, done_at_us=done_us, lane=slot % 2,
                       **({"role": change.role, "tool": tool, "action": action} | of))  # fmt: skip

    lanes = [
        write_lane(tmp_path, 0, [call(0, 48_999_999), call(2, 49_000_000), call(4, 60_000_000, tool="serpapi")]),
        write_lane(tmp_path, 1, [call(1, 60_000_000)]),
    ]
    merge(tmp_path, lanes)
    assert set(read(tmp_path, "select expected from outcomes where purpose = 'load'")) == {("allow",)}
    with soaklib.open_run(tmp_path) as run:
        expected = dict(run.sql("select slot, expected from calls where purpose = 'load'").rows())
    assert expected == {0: "allow", 1: "either", 2: "either", 4: "allow"}


def test_what_a_lane_does_by_a_key_is_its_own(tmp_path):
    """Keys of lanes' events do not stand for the conductor's, and the log of the run tells all in order."""
    write_conductor(tmp_path, events=[Event(3, EventName.TOKENS_ROTATED, "generation=1", "rotation:1")])
    lanes = [
        write_lane(tmp_path, n, [outcome(n, lane=n)],
              events=[Event(4 + n, EventName.LANE_TOKENS_ROTATED, "generation=1", "rotation:1")])
        for n in (0, 1)
    ]  # fmt: skip
    merge(tmp_path, lanes)
    assert read(tmp_path, "select event_key, detail from events order by at_us") == [
        ("rotation:1", "generation=1"),
        ("lane0:rotation:1", "lane=0 generation=1"),
        ("lane1:rotation:1", "lane=1 generation=1"),
    ]
    log = (tmp_path / "soak-events.log").read_text().splitlines()
    assert [line.split("] ")[1] for line in log] == [
        "TOKENS_ROTATED generation=1", "LANE_TOKENS_ROTATED lane=0 generation=1",
        "LANE_TOKENS_ROTATED lane=1 generation=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "words"), [((0,), "lacks lane 1"), ((0, 0, 1), "has lane 0 twice"), ((), "no lane to merge")]
)
def test_all_lanes_are_merged_each_once(tmp_path, plain_lanes, numbers, words):
    """A lane that lacks, or is there twice, is named and nothing is merged."""
    write_conductor(tmp_path)
    with pytest.raises(RunError, match=words):
        merge(tmp_path, [plain_lanes[n] for n in numbers])
    assert not (tmp_path / "lanes" / "conductor.duckdb").exists()


def test_lanes_of_two_runs_are_refused(tmp_path, plain_lanes):
    """Lanes of another seed, and so of another schedule, do not make a run with these."""
    other = JOB.model_copy(update={"settings": JOB.settings | {"seed": 2}})
    with pytest.raises(RunError, match="of another run"):
        merge(tmp_path, [plain_lanes[0], write_lane(tmp_path, 1, [outcome(1, lane=1)], job=other)])


def test_a_lane_that_still_sends_is_not_merged(tmp_path, plain_lanes):
    """A lane whose sender lives is waited for, in words."""
    write_conductor(tmp_path)
    with RunLock(plain_lanes[1].parent), pytest.raises(RunError, match="still being written"):
        merge(tmp_path, plain_lanes)


def test_lanes_alone_make_a_run(tmp_path, plain_lanes):
    """Without a conductor the lanes make the run: its clock, its length and its state are theirs."""
    merge(tmp_path, plain_lanes)
    with soaklib.open_run(tmp_path) as run:
        assert run.info.status == RunStatus.COMPLETED
        assert [(one.started_at_us, one.soak_ended_s, one.lane) for one in run.info.segments] == [
            (1_000_000, 7200.0, None)
        ]
        assert run.sql("select slot, soak_s from calls order by slot").rows() == [(0, 0.0), (1, 0.0)]


def test_lanes_alone_merged_twice_have_each_row_once(tmp_path, plain_lanes):
    """What a merge without a conductor left is no conductor's file of the next."""
    for _ in range(2):
        merge(tmp_path, plain_lanes)
    assert read(tmp_path, "select slot from outcomes order by slot") == [(0,), (1,)]
    assert not (tmp_path / "lanes").exists()


def test_a_merged_run_whose_conductors_file_is_gone_is_not_merged_again(tmp_path, plain_lanes):
    """Probes and events of a conductor are not lost over a second merge: it says what it lacks, and changes nothing."""
    write_conductor(tmp_path)
    merge(tmp_path, plain_lanes)
    conductor_database(tmp_path).unlink()
    with pytest.raises(RunError, match=r"conductor\.duckdb is not there"):
        merge(tmp_path, plain_lanes)
    assert read(tmp_path, "select count(*) from outcomes where purpose = 'probe'") == [(1,)]


def test_lanes_of_a_conducted_run_begin_where_they_sent(tmp_path):
    """Without the conductor's file the start is what the lanes' first seconds say, each by its own clock's offset."""
    job = JOB.model_copy(update={"start_us": None})
    lanes = [
        write_lane(tmp_path, 0, [outcome(0, planned_at_us=1_000_000, lane=0)], job=job,
              events=[clock_offset(1_000_000, 0)]),
        write_lane(tmp_path, 1, [outcome(1, planned_at_us=1_200_000, lane=1)], job=job, began_us=1_200_000,
              events=[clock_offset(1_200_000, 200_000)]),
    ]  # fmt: skip
    merge(tmp_path, lanes)
    with soaklib.open_run(tmp_path) as run:
        assert [(one.started_at_us, one.soak_started_s) for one in run.info.segments] == [(1_000_000, 0.0)]
        assert run.sql("select soak_s from calls").rows() == [(0.0,), (0.0,)]


def test_a_lane_that_was_killed_before_it_began_is_named(tmp_path, plain_lanes):
    """A file without a manifest is no lane, and the words say which file that is."""
    write_conductor(tmp_path)
    path = lane_folder(tmp_path, 0) / DATABASE_NAME
    path.parent.mkdir(parents=True)
    RunWriter(path).close()
    with pytest.raises(RunError, match=r"lanes/0/run.duckdb: .*no manifest"):
        merge(tmp_path, [path, plain_lanes[1]])


def test_a_run_goes_on_after_a_merge_that_died_while_it_kept_the_conductors_file(tmp_path):
    """The file has two names then; going on leaves one, so that no later merge takes a file that was left behind."""
    write_conductor(tmp_path)
    kept = tmp_path / "lanes" / "conductor.duckdb"
    kept.parent.mkdir()
    kept.hardlink_to(tmp_path / DATABASE_NAME)
    unmerge(tmp_path)
    assert not kept.exists()
    assert read(tmp_path, "select purpose from outcomes") == [("probe",)]


def test_what_a_killed_judge_left_of_a_merged_run_is_none_of_the_conductors(tmp_path):
    """A log beside the merged file would be taken for that of the file that takes its place."""
    write_conductor(tmp_path)
    kept = tmp_path / "lanes" / "conductor.duckdb"
    kept.parent.mkdir()
    (tmp_path / DATABASE_NAME).rename(kept)
    (tmp_path / DATABASE_NAME).write_text("merged")
    (tmp_path / f"{DATABASE_NAME}.wal").write_text("of the merged file")
    unmerge(tmp_path)
    assert not (tmp_path / f"{DATABASE_NAME}.wal").exists()
    assert read(tmp_path, "select purpose from outcomes") == [("probe",)]


def test_a_late_lane_invalidates_its_own_share_alone(tmp_path):
    """Calls of a lane that was late are left out where it was; those of the other lane in the same minute are not."""
    write_conductor(tmp_path)
    second, at_us = 1_000_000, 1_500_000
    lanes = [
        write_lane(tmp_path, 0, [outcome(0, planned_at_us=at_us, sent_at_us=at_us, done_at_us=at_us, lane=0)],
              ticks=[tick(2 * second, lag_us=500_000), tick(60 * second)]),
        write_lane(tmp_path, 1, [outcome(1, planned_at_us=at_us, sent_at_us=at_us, done_at_us=at_us, lane=1)],
              ticks=[tick(2 * second), tick(3 * second)]),
    ]  # fmt: skip
    merge(tmp_path, lanes)
    with soaklib.open_run(tmp_path) as run:
        assert run.sql("select slot, lane from valid_calls where purpose = 'load'").rows() == [(1, 1)]
        [valid] = soaklib.criteria(run, "measurement valid").iter_rows(named=True)
    assert "by lane: " in valid["detail"]
    assert " of 0, 0.0 % of 1" in valid["detail"]


def _valid(folder):
    with soaklib.open_run(folder) as run:
        [verdict] = soaklib.criteria(run, "measurement valid").iter_rows(named=True)
    return verdict


@pytest.mark.parametrize(("late_lanes", "state"), [((0,), "pass"), ((0, 1), "insufficient")])
def test_a_lane_that_is_late_throughout_leaves_the_others_share_valid(tmp_path, late_lanes, state):
    """Short lateness in each minute of one lane of two costs half of the run's minutes; of both it costs all."""
    write_conductor(tmp_path)
    ticks = [
        (tick(1_000_000 + n * 100_000 + 10_000), tick(1_000_000 + n * 100_000 + 10_500, lag_us=500_000))
        for n in range(0, 1200, 10)
    ]
    lanes = [
        write_lane(tmp_path, lane, [outcome(lane, planned_at_us=1_500_000, lane=lane)],
              ticks=[calm if lane not in late_lanes else tick for pair in ticks for calm, tick in
                     ((pair[0], pair[0]), (pair[1]._replace(schedule_lag_max_us=0), pair[1]))])
        for lane in (0, 1)
    ]  # fmt: skip
    merge(tmp_path, lanes)
    verdict = _valid(tmp_path)
    assert verdict["state"] == state, verdict["detail"]
    assert " of 0" in verdict["detail"]


def test_merged_quantiles_are_those_of_the_union(tmp_path):
    """Quantiles and rates of a merged run are those of the rows of all lanes in one run."""
    rows = [
        outcome(n, planned_at_us=1_000_000 + n * 10_000, sent_at_us=1_000_000 + n * 10_000,
                done_at_us=1_000_000 + n * 10_000 + 1000 + (n * n) % 7919)
        for n in range(1000)
    ]  # fmt: skip
    lane_at = Outcome._fields.index("lane")

    def of(lane, some):
        return [(*row[:lane_at], lane, *row[lane_at + 1 :]) for row in some]

    merged, union = tmp_path / "merged", tmp_path / "union"
    merged.mkdir()
    union.mkdir()
    # the lanes do not overlap in time: one has the first six hundred, the other the rest
    write_conductor(merged)
    merge(merged, [write_lane(merged, 0, of(0, rows[:600])), write_lane(merged, 1, of(1, rows[600:]))])
    write_conductor(union)
    writer = RunWriter(union / DATABASE_NAME)
    writer.append({"outcomes": of(None, rows)})
    writer.close()
    with soaklib.open_run(merged) as two, soaklib.open_run(union) as one:
        for every in ("1m", "all"):
            assert_frame_equal(soaklib.latency(two, every), soaklib.latency(one, every))
            assert_frame_equal(soaklib.success_rate(two, every), soaklib.success_rate(one, every))


@pytest.mark.parametrize("until_s", [3600.0, 7200.0])
def test_what_a_lost_lane_left_unsent_is_missed(tmp_path, until_s):
    """Slots that a lost lane had not dealt with are missed up to where the run ended, and settled once."""
    home = lane_folder(tmp_path, 1)
    home.mkdir(parents=True)
    lane, zero_us = Lane(1, 2), 1_000_000
    assert begin_or_resume(JOB, lane, home) == Past()
    first = settle(JOB, lane, home, zero_us=zero_us, until_s=until_s)
    again = settle(JOB, lane, home, zero_us=zero_us, until_s=until_s)
    planned = range(1, round(until_s / 10), 2)
    assert (first, again) == (len(planned), 0)
    rows = read(home, "select slot, kind, planned_at_us, lane from outcomes where step = 0 order by slot")
    assert rows == [(n, "missed", zero_us + round(n * 10 * 1e6 / 60), 1) for n in planned]


def test_a_folder_of_another_lane_is_refused(tmp_path):
    """A sender does not record into what another lane recorded."""
    home = lane_folder(tmp_path, 1)
    home.mkdir(parents=True)
    begin_or_resume(JOB, Lane(1, 2), home)
    with pytest.raises(RunError, match=r"holds lane 1/2 of run r1, not lane 0/2"):
        begin_or_resume(JOB, Lane(0, 2), home)


def test_a_denial_while_the_cut_was_under_way_is_explained_by_it(tmp_path):
    """A lane's call that was denied between the gate and the event of a cut was not denied before the cut."""
    change = PLAN.changes[QUOTA]
    tool, action = change.action.split(":")
    write_conductor(
        tmp_path,
        events=[
            Event(49_000_000, EventName.HEALTH_GATE_PASSED, "before update-policy: healthy", None),
            Event(
                50_000_000, EventName.POLICY_UPDATED_OPENAI_QUOTA_REDUCED,
                f"role={change.role} action={change.action} limit=5 window=1h", f"change:{QUOTA}:update-policy",
            ),
        ],
    )  # fmt: skip
    denied = {
        "role": change.role, "tool": tool, "action": action, "kind": Kind.DENIED, "reason": "quota", "status": 403,
    }  # fmt: skip
    lanes = [
        write_lane(tmp_path, 0, [outcome(0, planned_at_us=49_500_000, done_at_us=49_900_000, lane=0, **denied)]),
        write_lane(tmp_path, 1, [outcome(1, planned_at_us=60_000_000, done_at_us=60_000_500, lane=1, **denied)]),
    ]
    merge(tmp_path, lanes)
    with soaklib.open_run(tmp_path) as run:
        [cut] = soaklib.criteria(run, "quota cut works").iter_rows(named=True)
    assert (cut["state"], cut["detail"]) == ("pass", "0 quota denials before the cut, 1 after")
