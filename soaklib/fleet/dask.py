"""Lanes placed by Dask: each a child process of a task that is pinned to a worker.

Dask may neither run such a task again nor move it: a lane that was lost is lost until somebody resumes the run, or it
would send in a burst what is past. So tasks are pinned with no retry, and a scheduler that would run the task of a dead
worker again, or let workers steal, is refused. What a sender tells comes back as Dask's own structured events, and the
word to stop goes out as one of Dask's ``Event``s; when either way is cut, the sender goes on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from distributed import Client, Event, get_worker

from soaklib.errors import SettingsError, TargetError
from soaklib.fleet.children import ending, lane_command
from soaklib.fleet.job import JOB_NAME
from soaklib.fleet.report import LaneReport

if TYPE_CHECKING:
    from soaklib.fleet.lanes import Lane

__all__ = ["DaskPlaces", "desk_host", "refuse_unfit", "run_lane"]

_CONNECT_WITHIN_S: Final = 30.0
_ANSWERS_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.5
_LOG_NAME: Final = "sender.log"


def desk_host(scheduler: str) -> str:
    """Give the address of this machine by which the workers of a scheduler can reach the conductor's desk.

    Raises
    ------
    SettingsError
        The scheduler's address is none.
    """
    host, port = _host_and_port(scheduler)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))  # sends nothing: it only chooses the way
            return str(probe.getsockname()[0])
    except OSError as exc:
        msg = f"--scheduler {scheduler}: there is no way to it: {exc.strerror}"
        raise SettingsError(msg) from exc


def _host_and_port(scheduler: str) -> tuple[str, int]:
    """Take a scheduler's address apart; raise `SettingsError` where it is none."""
    try:
        parts = urlsplit(scheduler)
        host, port = parts.hostname, parts.port
    except ValueError:  # a bracket that is not closed, a port that is no number or beyond 65535
        host = port = None
    if not host or not port:
        msg = f"--scheduler {scheduler}: must have the form tcp://HOST:PORT"
        raise SettingsError(msg)
    return host, port


def refuse_unfit(scheduler: str) -> None:
    """Refuse a scheduler that lanes cannot be left to; nothing is placed.

    Raises
    ------
    SettingsError
        The address is none, or the scheduler would run or move a lane again.
    TargetError
        It does not answer, or has no worker.
    """

    async def look() -> None:
        async with DaskPlaces(scheduler, "look") as places:
            await places.connected()

    desk_host(scheduler)
    try:  # Dask asks one that is not there again and again for half a minute
        socket.create_connection(_host_and_port(scheduler), _ANSWERS_WITHIN_S).close()
    except OSError as exc:
        msg = f"--scheduler {scheduler} does not answer: {exc.strerror or exc}"
        raise TargetError(msg) from exc
    asyncio.run(look())


def run_lane(job: str, lane: str, folder: str, topic: str, stop: str) -> int:
    """Run a lane's sender as a child process to its end; the task of a worker.

    Parameters
    ----------
    job, lane, folder
        The fleet's job as text, i/N, and where the lane records.
    topic, stop
        The events' topic that it tells by, and the name of the ``Event`` that tells it to stop.
    """
    from soaklib.fleet.lanes import Lane as _Lane  # noqa: PLC0415 - what a worker needs, and no client's name for a type

    worker, home = get_worker(), Path(folder)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / JOB_NAME
    path.write_text(job, "utf-8")
    with (
        (home / _LOG_NAME).open("ab") as log,
        subprocess.Popen(  # noqa: S603 - our own module
            lane_command(path, _Lane.parse(lane), home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        output = process.stdout
        looked_s = time.monotonic()
        while output is not None and (line := output.readline()):
            with contextlib.suppress(Exception):  # whatever Dask raises when its scheduler is away: the lane sends on
                worker.log_event(topic, line.decode())
                if time.monotonic() - looked_s > _LOOK_EVERY_S:
                    looked_s = time.monotonic()
                    if Event(stop, client=worker._get_client()).is_set():  # noqa: SLF001 - a worker has no other way
                        process.terminate()
        return process.wait()


class DaskPlaces:
    """Starts lanes on the workers of a scheduler, one after the other in turn.

    Parameters
    ----------
    scheduler
        Its address.
    run_id
        The run, by which its tasks are named.
    """

    def __init__(self, scheduler: str, run_id: str) -> None:
        self._scheduler = scheduler
        self._run_id = run_id
        self._client: Client | None = None
        self._workers: list[str] = []

    async def connected(self) -> Client:
        """Give the scheduler's client; raise what :func:`refuse_unfit` does."""
        if self._client is None:
            try:
                self._client = await Client(self._scheduler, asynchronous=True, timeout=_CONNECT_WITHIN_S)
            except (OSError, TimeoutError) as exc:
                msg = f"--scheduler {self._scheduler} does not answer: {exc}"
                raise TargetError(msg) from exc
            await self._refuse_what_runs_again(self._client)
            self._workers = await self._client.run_on_scheduler(_workers)
            if not self._workers:
                msg = f"--scheduler {self._scheduler} has no worker"
                raise TargetError(msg)
        return self._client

    async def _refuse_what_runs_again(self, client: Client) -> None:
        failures, steals = await client.run_on_scheduler(_habits)
        if failures or steals:
            msg = (
                f"--scheduler {self._scheduler} would run or move a lane again: start it with "
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0 and DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING=False"
            )
            raise SettingsError(msg)

    async def start(self, job: Path, lane: Lane, folder: Path) -> _DaskPlace:
        """Start a lane on the worker whose turn it is."""
        client = await self.connected()
        name = f"soaklib-{self._run_id}-lane-{lane.number}-{os.urandom(4).hex()}"
        place = _DaskPlace(Event(f"{name}-stop", client=client))
        client.subscribe_topic(name, place.heard)
        text = await asyncio.to_thread(job.read_text, "utf-8")
        place.follow(
            client.submit(
                run_lane, text, str(lane), os.fspath(folder), name, f"{name}-stop", key=name, pure=False, retries=0,
                workers=[self._workers[lane.number % len(self._workers)]], allow_other_workers=False,
            )
        )  # fmt: skip
        return place

    async def close(self) -> None:
        """Leave the scheduler."""
        if self._client is not None:
            await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _habits(dask_scheduler: Any) -> tuple[int, bool]:
    """Give how often a scheduler runs the task of a dead worker again, and whether its workers steal."""
    stealing = dask_scheduler.extensions.get("stealing")
    is_on = stealing is not None and "stealing" in dask_scheduler.periodic_callbacks
    return int(dask_scheduler.allowed_failures), is_on


def _workers(dask_scheduler: Any) -> list[str]:
    """Give the addresses of a scheduler's workers."""
    return sorted(dask_scheduler.workers)


class _DaskPlace:
    """A lane's task."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._report: LaneReport | None = None
        self._ended: str | None = None
        self._is_told = False
        self._future: Any = None

    def follow(self, future: Any) -> None:
        """Watch the task from now on."""
        self._future = future
        self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        try:
            code = await self._future
        except Exception as exc:  # noqa: BLE001 - whatever ended the task is how the lane ended, as far as one knows
            self._ended = f"its task ended: {type(exc).__name__}: {exc}".splitlines()[0]
        else:
            self._ended = ending(code, self._report, is_told=self._is_told)

    def heard(self, event: tuple[float, str]) -> None:
        """Take what the lane told."""
        with contextlib.suppress(ValueError):  # two lines run into one: the next says it all
            self._report = LaneReport.read(event[1])

    def report(self) -> LaneReport | None:
        """Give what it said last."""
        return self._report

    def ended(self) -> str | None:
        """Give how its task ended; None while it runs."""
        return self._ended

    async def stop(self) -> None:
        """Tell it to stop."""
        self._is_told = True
        await self._stop.set()

    def drop(self) -> None:
        """Nothing can be told to a scheduler without waiting: its lanes send on to their end."""

    async def kill(self) -> None:
        """Tell it to stop, and wait for it no longer."""
        await self._stop.set()
        self._following.cancel()
