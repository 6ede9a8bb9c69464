"""A lane's own database: begun, taken up again, ended, and settled when its sender is gone for good."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import os
import platform
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from soaklib.errors import RunError, TargetError
from soaklib.fleet.desk import MOST_BOUND_US, ClockOffset, measure_offset
from soaklib.fleet.job import LaneJob
from soaklib.fleet.lanes import Lane
from soaklib.plan.model import Plan
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload
from soaklib.records import Event, EventName, RunStatus
from soaklib.runner.clock import RunClock, SoakClock
from soaklib.runner.events import rendered
from soaklib.runner.gaps import ROWS_AT_A_TIME, missed_slots
from soaklib.runner.recovery import Past, recover
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.fleet.sender import SenderResult

__all__ = ["applied_before", "begin_or_resume", "catch_up", "end_lane", "job_of", "lane_manifest", "lane_of", "settle"]

_MEMORY_MB = 1024  # it looks at every slot of the lane, once, and no load is waiting


def begin_or_resume(job: LaneJob, lane: Lane, folder: Path) -> Past:
    """Begin a lane's database, or settle what an earlier sender of the lane left; the folder must be locked.

    Raises
    ------
    RunError
        The folder holds another run, another lane, or one that is complete.
    """
    path = folder / DATABASE_NAME
    is_new = not path.exists()
    writer = RunWriter(path, memory_limit_mb=_MEMORY_MB)
    try:
        if is_new or not writer.read("select 1 from run"):
            writer.begin_run(lane_manifest(job, lane))
            return Past()
        _refuse_another(writer, job, lane, folder)
        settings = job.settings_of(lane, is_sending=False)
        own_plan = job.plan.model_copy(update={"probes": ()})  # probes are the conductor's, sent and missed
        past = recover(writer, settings, own_plan, slots=lane.slots(settings.total_slots))
        if (applied_us := _applied_us(writer)) is not None:
            _hold_offset(writer, past.last_us, applied_us)  # up to here; what the clock was set to since is another's
        [(last_slot,)] = writer.read("select coalesce(max(slot), -1) from outcomes")
        return replace(past, first_slot=max(past.first_slot, last_slot + 1))  # also where only its gaps have rows
    finally:
        writer.close()


def end_lane(folder: Path, result: SenderResult) -> None:
    """Finish a lane's manifest."""
    writer = RunWriter(folder / DATABASE_NAME)
    for segment in result.segments:
        writer.end_segment(segment)
    [(lived_us,)] = writer.read("select coalesce(sum(ended_at_us - started_at_us), 0) from segments")
    writer.end_run(result.status, completed_utc=dt.datetime.now(dt.UTC), duration_s=lived_us / 1e6)
    writer.close()


def applied_before(folder: Path) -> int:
    """Give the offset in microseconds that a lane applied last, which holds until it is measured again."""
    writer = RunWriter(folder / DATABASE_NAME, memory_limit_mb=_MEMORY_MB)
    applied_us = _applied_us(writer)
    writer.close()
    return applied_us or 0


def _applied_us(writer: RunWriter) -> int | None:
    """Give the offset that a lane applied last; None where it never measured one."""
    rows = writer.read(
        "select (data->>'applied_us')::BIGINT from events where name = ? order by at_us desc, rowid desc limit 1",
        [EventName.CLOCK_OFFSET],
    )
    return rows[0][0] if rows else None


def _hold_offset(writer: RunWriter, at_us: int, applied_us: int) -> None:
    """Say that an offset held at a moment: a merge takes it to change evenly between two that are said."""
    told = ClockOffset(applied_us, 0).told(applied_us)
    held = Event(at_us, EventName.CLOCK_OFFSET, rendered(told), None, data=json.dumps(told))
    writer.append({"events": [tuple(held)]})


def settle(
    job: LaneJob, lane: Lane, folder: Path, *, zero_us: int, until_s: float, offset_us: int | None = None
) -> int:
    """Write rows for the slots of a lane that nobody sent and that were due before a soak second; give how many.

    Parameters
    ----------
    job, lane, folder
        The lane; one that never began has rows for all of them.
    zero_us
        Soak second 0 on the run's clock.
    until_s
        Where the run ended, in soak seconds.
    offset_us
        How far the lane's clock is ahead of that; as it was last known where it is None.
    """
    settings = job.settings_of(lane, is_sending=False)
    past = begin_or_resume(job, lane, folder)
    pacer = Pacer.of(settings)
    first = lane.first_from(past.first_slot)
    end = settings.total_slots if until_s >= settings.duration_s else pacer.first_slot_from(until_s)
    due = range(first, end, lane.of)
    writer = RunWriter(folder / DATABASE_NAME, memory_limit_mb=_MEMORY_MB)
    zero_us += (_applied_us(writer) or 0) if offset_us is None else offset_us
    clock = SoakClock(Segment(segment=0, started_at_us=zero_us, soak_started_s=0.0), settings.speed)
    rows = missed_slots(
        due, workload=Workload(job.plan, settings.seed), pacer=pacer, soak_clock=clock,
        phases=job.plan.phase_starts(settings.duration_s),
    )  # fmt: skip
    while chunk := list(itertools.islice(rows, ROWS_AT_A_TIME)):
        writer.append({"outcomes": [tuple(row._replace(lane=lane.number)) for row in chunk]})
    if due:
        said = (
            f"lane {lane}: {len(due)} slots missed up to H+{until_s / 3600:.3f}, "
            f"{100 * len(due) / len(lane.slots(settings.total_slots)):.1f} % of its slots: "
            "nobody sent them, or what was sent was not written down any more"
        )
        at_us = max(past.last_us, clock.at_us(pacer.due_s(first)))
        writer.append({"events": [tuple(Event(at_us, EventName.LANE_GAP, said, None))]})
        if offset_us is not None:
            _hold_offset(writer, at_us, offset_us)
    writer.end_run(RunStatus.INTERRUPTED, completed_utc=dt.datetime.now(dt.UTC), duration_s=0.0)
    writer.close()
    return len(due)


def catch_up(job: LaneJob, lane: Lane, folder: Path) -> None:
    """Write rows for what a lane has missed by now; what comes due while its sender gets ready, that writes itself.

    Now is what the conductor says, where it can be asked: a clock that is ahead of it would miss what is still to come.
    """
    if job.start_us is None:
        return
    clock = RunClock(job.anchor_utc, not_before_us=begin_or_resume(job, lane, folder).last_us + 1)
    offset_us = asyncio.run(_offset_us(job, clock))
    late_s = (clock.now_us() - job.start_us - (offset_us or 0)) / 1e6
    if late_s > 0:
        settle(
            job, lane, folder, zero_us=job.start_us, until_s=late_s * float(job.settings["speed"]), offset_us=offset_us
        )


async def _offset_us(job: LaneJob, clock: RunClock) -> int | None:
    """Measure how far a clock is ahead of the conductor's; None where nobody tells, or not well enough."""
    if job.desk is None:
        return None
    try:
        measured = await measure_offset(job.desk, job.run_id, clock.now_us)
    except TargetError:
        return None
    return measured.applied_us() if measured.bound_us <= MOST_BOUND_US else None


def job_of(path: Path) -> LaneJob:
    """Give the job that a lane's database was made by, as far as it can be known from that: the desk is not.

    Raises
    ------
    RunError
        It is no lane's.
    """
    connection = open_read_only(path, is_glance=True)
    [row] = connection.execute(
        """select run_id, anchor_utc, target, embedded, settings, plan, environment,
                  (select (started_at_us - soak_started_s * 1e6 / speed)::BIGINT from segments order by segment limit 1)
           from run"""
    ).fetchall()
    connection.close()
    run_id, anchor_utc, target, embedded, settings, plan, environment, began_us = row
    lane = lane_of(environment)
    if lane is None:
        msg = f"{path} is no lane's"
        raise RunError(msg)
    start_us = json.loads(environment)["start_us"]
    return LaneJob(
        run_id=run_id, anchor_utc=anchor_utc, lanes=lane.of, start_us=began_us if start_us is None else start_us,
        target=target, ends_with_conductor=embedded, settings=json.loads(settings), plan=Plan.model_validate_json(plan),
    )  # fmt: skip


def lane_of(environment: str) -> Lane | None:
    """Give the lane that a database's manifest says it is of; None where it is a whole run's, or the conductor's."""
    said = json.loads(environment).get("lane")
    return None if said is None else Lane.parse(str(said))


def lane_manifest(job: LaneJob, lane: Lane) -> Manifest:
    """Give what a lane's database is begun with."""
    settings = job.settings_of(lane, is_sending=False)
    environment = {
        "lane": str(lane), "host": platform.node(),
        "platform": f"{platform.system()}-{platform.release()}-{platform.machine()}",
        "python": platform.python_version(), "cpus": os.cpu_count(), "start_us": job.start_us,
    }  # fmt: skip
    return Manifest(
        run_id=job.run_id, soaklib_version=version("soaklib"), anchor_utc=job.anchor_utc, speed=settings.speed,
        rps=settings.rps, hours=settings.hours, seed=settings.seed, target=job.target, embedded=job.ends_with_conductor,
        settings=json.dumps(job.settings), plan=job.plan.model_dump_json(), environment=json.dumps(environment),
    )  # fmt: skip


def _refuse_another(writer: RunWriter, job: LaneJob, lane: Lane, folder: Path) -> None:
    [(run_id, environment)] = writer.read("select run_id, environment from run")
    if (run_id, lane_of(environment)) != (job.run_id, lane):
        msg = f"{folder} holds lane {lane_of(environment)} of run {run_id}, not lane {lane} of {job.run_id}"
        raise RunError(msg)
