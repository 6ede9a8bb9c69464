"""A run's fleet, before and after: which lanes are to be started, and their files brought together at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from soaklib.errors import RunError, SettingsError
from soaklib.fleet.children import Children
from soaklib.fleet.conductor import Fleet
from soaklib.fleet.job import JOB_NAME, LaneJob, lane_folder
from soaklib.fleet.lane_run import job_of, settle
from soaklib.fleet.lanes import Lane
from soaklib.fleet.merge import conductor_database, merge, read_source
from soaklib.records import RunStatus
from soaklib.store.lock import is_owned, owning_process
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from soaklib.fleet.conductor import Placing
    from soaklib.runner.job import SoakJob

__all__ = [
    "bring_together",
    "fleeted",
    "homes_of",
    "refuse_unfit_scheduler",
    "settle_what_is_lost",
    "settle_without_conductor",
]


def fleeted(job: SoakJob) -> SoakJob:
    """Give a soak's job with the senders that its settings ask for; as it is where they ask for none.

    Of a run that goes on, only those lanes are started whose sender neither lives nor has come to its end; of one that
    still lives now the fleet itself sees whether it goes on.
    """
    settings = job.settings
    if settings.senders is None:
        return job
    before = LaneJob.read(job.folder / JOB_NAME) if (job.folder / JOB_NAME).exists() else None
    lane_job = LaneJob(
        run_id=job.run_id, anchor_utc=job.anchor_utc, lanes=settings.senders,
        start_us=None if before is None else before.start_us, target=job.target, ends_with_conductor=settings.embedded,
        settings=json.loads(settings.public_json()), plan=job.plan,
    )  # fmt: skip
    folders = [lane_folder(job.folder, number) for number in range(settings.senders)]
    to_start = frozenset(
        number
        for number, folder in enumerate(folders)
        if not is_owned(folder) and _status(folder) != RunStatus.COMPLETED
    )
    placing, host = _placing(job)
    fleet = Fleet(
        job=lane_job, run_folder=job.folder, folder_of=folders.__getitem__, placing=placing, to_start=to_start,
        desk_host=host,
        living=lambda number: is_owned(folders[number]), pid_of=lambda number: owning_process(folders[number]),
        complete=lambda number: _status(folders[number]) == RunStatus.COMPLETED,
    )  # fmt: skip
    return replace(job, senders=fleet)


def _placing(job: SoakJob) -> tuple[Placing, str]:
    """Give what starts the lanes, and the address of this machine that they reach."""
    scheduler = job.settings.scheduler
    if scheduler is None:
        return Children(), "127.0.0.1"
    from soaklib.fleet.dask import DaskPlaces, desk_host  # noqa: PLC0415 - an extra that most fleets do without

    host = desk_host(scheduler)
    if job.settings.embedded and not host.startswith("127."):
        msg = "--scheduler: the embedded gateway is on this machine's loopback alone: pass --gateway-url"
        raise SettingsError(msg)
    return DaskPlaces(scheduler, job.run_id), host


def refuse_unfit_scheduler(scheduler: str) -> None:
    """Refuse a Dask scheduler that lanes cannot be left to, as :func:`soaklib.fleet.dask.refuse_unfit` says."""
    from soaklib.fleet.dask import refuse_unfit  # noqa: PLC0415 - an extra that most fleets do without

    refuse_unfit(scheduler)


def bring_together(fleet: Fleet) -> None:
    """Write rows for what no lane has sent, and merge the lanes' files with the conductor's."""
    folder, job = fleet.run_folder, fleet.job
    merge(folder, settle_what_is_lost(folder, job))


def homes_of(lanes: Sequence[Path], folder: Path) -> dict[int, Path]:
    """Give the folders of lanes that are elsewhere than in the run's folder, by their numbers.

    Raises
    ------
    RunError
        One of the files is no lane's, or a lane is there twice.
    """
    homes: dict[int, Path] = {}
    for path in lanes:
        lane = read_source(path).lane
        if lane is None:
            msg = f"{path} is no lane's"
            raise RunError(msg)
        beside = homes.get(lane.number, lane_folder(folder, lane.number))
        if (beside / DATABASE_NAME).exists():
            msg = f"lane {lane} is in {beside} and in {path.parent}: pass each lane once"
            raise RunError(msg)
        homes[lane.number] = path.parent
    return homes


def settle_what_is_lost(
    folder: Path, job: LaneJob, lost: Collection[int] = (), homes: Mapping[int, Path] | None = None
) -> list[Path]:
    """Write rows for slots of lanes whose sender was lost, up to where the conductor ended.

    A lane that was told to stop in a run that was has nothing to settle: it may go on like any run that is interrupted.

    Parameters
    ----------
    folder, job
        The run's folder, and what its lanes were told.
    lost
        Numbers of the lanes whose files are gone for good, so that nothing is known of what they sent.
    homes
        Folders of lanes that are elsewhere than in the run's folder.

    Returns
    -------
    list of pathlib.Path
        The databases of all lanes.

    Raises
    ------
    RunError
        A lane left nothing here, and it is not said that its files are gone.
    """
    homes = {number: lane_folder(folder, number) for number in range(job.lanes)} | dict(homes or {})
    writer = RunWriter(conductor_database(folder))
    [(status, until_s)] = writer.read(
        "select (select status from run), coalesce((select max(soak_ended_s) from segments where lane is null), 0)"
    )
    writer.close()
    for number, home in homes.items():
        if number not in lost and not home.exists():
            msg = (
                f"lane {number} left nothing in {home}: bring its folder there from the machine "
                f"that it ran on; if it is gone for good, say so: soaklib merge {folder} --lost {number}"
            )
            raise RunError(msg)
        lane_status = _status(home)
        is_told_to_stop = lane_status == RunStatus.INTERRUPTED and status == RunStatus.INTERRUPTED
        if lane_status != RunStatus.COMPLETED and not is_told_to_stop and not is_owned(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            settle(job, Lane(number, job.lanes), home, zero_us=job.start_us or 0, until_s=until_s)
    return [home / DATABASE_NAME for home in homes.values()]


def settle_without_conductor(lanes: Sequence[Path], out: Path, lost: Collection[int] = ()) -> list[Path]:
    """Write rows for slots of lanes that were lost while another came to its end; no conductor tells where that was.

    Parameters
    ----------
    lanes
        The lanes' databases.
    out
        The folder of the run that is to be, where lanes that are gone for good get a database that says so.
    lost
        Their numbers.

    Returns
    -------
    list of pathlib.Path
        The databases of all lanes.
    """
    sources = [read_source(path) for path in lanes]
    whole = next((source for source in sources if source.status == RunStatus.COMPLETED), None)
    if whole is None:
        if lost:
            msg = f"no lane came to its end, so that nobody knows where the slots of lane {min(lost)} ended"
            raise RunError(msg)
        return list(lanes)
    job = job_of(whole.path)
    homes = {
        source.lane.number: source.path.parent
        for source in sources
        if source.lane is not None and source.identity == whole.identity and source.status != RunStatus.COMPLETED
    } | {number: lane_folder(out, number) for number in lost}
    for number, home in homes.items():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_owned(home):  # one that still sends is the merge's to refuse
            length_s = job.settings_of(Lane(number, job.lanes), is_sending=False).duration_s
            settle(job, Lane(number, job.lanes), home, zero_us=job.start_us or 0, until_s=length_s)
    return [*lanes, *(homes[number] / DATABASE_NAME for number in sorted(lost))]


def _status(folder: Path) -> str | None:
    """Give how a lane's run stands; None where it has none."""
    path = folder / DATABASE_NAME
    if not path.exists():
        return None
    writer = RunWriter(path)  # which takes up what a killed sender left in the write-ahead log
    rows = writer.read("select status from run")
    writer.close()
    return str(rows[0][0]) if rows else None
