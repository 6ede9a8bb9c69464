"""The files of a fleet, written by hand: a conductor's, and a lane's."""

import functools
import json
import tempfile
from pathlib import Path

import duckdb
from stored_rows import ANCHOR, outcome

from soaklib.fleet.desk import ClockOffset
from soaklib.fleet.job import LaneJob, lane_folder
from soaklib.fleet.lane_run import lane_manifest
from soaklib.fleet.lanes import Lane
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName, HealthTick, Kind, Purpose, RunStatus
from soaklib.runner.events import rendered
from soaklib.store.foreign import FileState
from soaklib.store.tables import DATABASE_NAME, SCHEMA_VERSION
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

SETTINGS = load_settings(
    ["--gateway-url", "http://127.0.0.1:1", "--hours", "2", "--speed", "60", "--rps", "0.1", "--senders", "2"]
)
PLAN = load_plan()
JOB = LaneJob(
    run_id="r1", anchor_utc=ANCHOR, lanes=2, start_us=1_000_000, target="http://127.0.0.1:1",
    settings=SETTINGS.model_dump(mode="json"), plan=PLAN,
)  # fmt: skip
QUOTA = next(number for number, change in enumerate(PLAN.changes) if change.do == "update-policy")


def tick(at_us, lag_us=0):
    return HealthTick(at_us, 1, 1, 1, 0, 0, lag_us, 0, 0, 100, 1.0, 5, 10**9, 0)


def clock_offset(at_us, applied_us, bound_us=40):
    """The event of a lane that measured its clock."""
    told = ClockOffset(applied_us, bound_us).told(applied_us)
    return Event(at_us, EventName.CLOCK_OFFSET, rendered(told), None, data=json.dumps(told))


def read_all(folder, *queries):
    """The rows of queries, each, of the run in a folder."""
    with duckdb.connect(str(folder / DATABASE_NAME), read_only=True) as connection:
        return [connection.execute(query).fetchall() for query in queries]


def read(folder, query):
    """The rows of one query of the run in a folder."""
    [rows] = read_all(folder, query)
    return rows


@functools.cache
def _plain_conductor():
    """The file of a conductor without events, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return _written_conductor(Path(folder), ()).read_bytes()


def write_conductor(folder, *, events=()):
    if events:
        _written_conductor(folder, events)
        return
    path = folder / DATABASE_NAME
    path.write_bytes(_plain_conductor())
    FileState.of(path).remember(SCHEMA_VERSION)  # as its writer does


def _written_conductor(folder, events):
    writer = RunWriter(folder / DATABASE_NAME)
    writer.begin_run(
        Manifest(
            run_id="r1", soaklib_version="0", anchor_utc=ANCHOR, speed=60.0, rps=0.1, hours=2.0, seed=1,
            target="http://127.0.0.1:1", embedded=False, settings=SETTINGS.public_json(),
            plan=PLAN.model_dump_json(), environment='{"host": "here"}',
        )
    )  # fmt: skip
    whole = Segment(
        segment=0, started_at_us=1_000_000, soak_started_s=0.0, ended_at_us=121_000_000, soak_ended_s=7200.0
    )
    writer.append(
        {
            "segments": [segment_row(whole, runner_pid=1)],
            "outcomes": [outcome(0, purpose=Purpose.PROBE, planned_at_us=1_000_000, kind=Kind.DENIED, status=403)],
            "events": [tuple(event) for event in events],
            "runner_health": [tuple(tick(2_000_000))],
        }
    )
    writer.end_run(RunStatus.COMPLETED, completed_utc=ANCHOR, duration_s=120.0)
    writer.close()
    return writer.path


def write_lane(folder, number, rows, *, events=(), ticks=(), job=JOB, status=RunStatus.COMPLETED, began_us=1_000_000):
    home = lane_folder(folder, number)
    home.mkdir(parents=True, exist_ok=True)
    writer = RunWriter(home / DATABASE_NAME)
    writer.begin_run(lane_manifest(job, Lane(number, job.lanes)))
    writer.append(
        {
            "outcomes": rows,
            "events": [tuple(event) for event in events],
            "runner_health": [tuple(tick._replace(lane=number)) for tick in ticks],
            "segments": [
                segment_row(
                    Segment(
                        segment=0, started_at_us=began_us, soak_started_s=0.0, ended_at_us=began_us + 120_000_000,
                        soak_ended_s=7200.0, lane=number,
                    ),
                    runner_pid=2,
                )
            ],
        }
    )  # fmt: skip
    if status is not None:
        writer.end_run(status, completed_utc=ANCHOR, duration_s=120.0)
    writer.close()
    return home / DATABASE_NAME
