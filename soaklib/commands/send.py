"""``soaklib send``: one sender of a fleet, for whatever starts processes by a number: a lane of a run, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from soaklib.commands.flags import Flags
from soaklib.commands.folder import make_private
from soaklib.commands.process import command, run_on_the_fastest_loop, stopping_signals
from soaklib.errors import ExitCode, SettingsError, SoaklibError, first_line
from soaklib.fleet.job import BEFORE_START, LaneJob, lane_folder
from soaklib.fleet.lane_run import applied_before, begin_or_resume, catch_up, end_lane
from soaklib.fleet.lanes import Lane
from soaklib.fleet.report import LaneReport
from soaklib.fleet.sender import Sender, SenderResult
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.records import RunStatus
from soaklib.runner.surroundings import Surroundings
from soaklib.store.lock import RunLock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

__all__ = ["flags", "main"]

_REPORT_EVERY_S: Final = 1.0
_SAY: Final = "soaklib send: {}"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    try:
        options, rest = flags().parse_known_args(sys.argv[1:] if arguments is None else arguments)
        lane = Lane.parse(options.lane)
        job = _given_job(options, lane, rest) if options.job is not None else _own_job(options, lane, rest)
        folder: Path = options.folder or lane_folder(_home(options, job, rest), lane.number)
        make_private(folder, "--folder")
        with RunLock(folder):
            return _send(job, lane, folder)
    except SoaklibError as exc:
        print(_SAY.format(exc), file=sys.stderr)
        return exc.exit_code


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib send",
        description="Send one lane of a soak. All other flags are those of soaklib run, the same for every lane.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--lane", required=True, metavar="i/N", help="send slots n with n mod N = i, for i from 0 to N - 1")
    add("--start-at", metavar="T", help="ISO-8601 time with its zone at which the soak starts, the same for every lane")
    add("--run-id", metavar="ID", help="the run's name, the same for every lane [from --start-at]")
    add("--desk", metavar="HOST:PORT", help="where a conductor tells the time, if it can be reached from here")
    add("--job", type=Path, metavar="FILE", help="fleet.json of your own run, in place of --start-at and the rest")
    add("--folder", type=Path, metavar="FOLDER", help="where the lane records [OUT/RUN-ID/lanes/i]")
    return parser


def _given_job(options: argparse.Namespace, lane: Lane, rest: Sequence[str]) -> LaneJob:
    """Give the job that a file holds."""
    if rest or options.start_at is not None:
        msg = f"--job says everything: leave out {' '.join(rest) or '--start-at'}"
        raise SettingsError(msg)
    job = LaneJob.read(options.job)
    if job.lanes != lane.of:
        msg = f"--lane {lane}: {options.job} has {job.lanes} lanes"
        raise SettingsError(msg)
    return job


def _own_job(options: argparse.Namespace, lane: Lane, rest: Sequence[str]) -> LaneJob:
    """Make the job of flags: the same flags make the same job for every lane."""
    if options.start_at is None:
        msg = "pass --start-at T, the same for every lane, or --job FILE"
        raise SettingsError(msg)
    settings = load_settings(rest)
    if settings.gateway_url is None:
        msg = "pass --gateway-url: senders share a gateway, and none of them starts it"
        raise SettingsError(msg)
    if settings.max_in_flight is not None and settings.max_in_flight < lane.of:
        msg = f"--max-in-flight {settings.max_in_flight} leaves none for some of {lane.of} lanes; raise it"
        raise SettingsError(msg)
    start = start_time(options.start_at)
    anchor = start - BEFORE_START
    plan = load_plan(settings.plan)
    try:
        return LaneJob(
            run_id=options.run_id or f"{start:%Y%m%dT%H%M%SZ}-fleet", anchor_utc=anchor, lanes=lane.of,
            start_us=(start - anchor) // dt.timedelta(microseconds=1), desk=options.desk, target=settings.gateway_url,
            settings=json.loads(settings.public_json()), plan=plan,
        )  # fmt: skip
    except ValidationError as exc:
        [wrong, *_] = exc.errors()
        msg = f"--{str(wrong['loc'][0]).replace('_', '-')} {wrong['input']!r}: {wrong['msg']}"
        raise SettingsError(msg) from exc


def start_time(text: str) -> dt.datetime:
    """Read a start.

    Raises
    ------
    SettingsError
        It is no time, or it says no zone.
    """
    try:
        start = dt.datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        msg = f"--start-at {text!r}: must be an ISO-8601 time with its zone, such as 2026-11-28T20:00:00Z"
        raise SettingsError(msg)
    return start.astimezone(dt.UTC)


def _home(options: argparse.Namespace, job: LaneJob, rest: Sequence[str]) -> Path:
    """Give the folder of the run; one that is not there is made private to its user, as that of any run."""
    if options.job is not None:
        home: Path = options.job.parent
        return home
    out = load_settings(rest).out
    home = out / job.run_id
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"--out {out} cannot be made a folder: {exc.strerror or exc}"
        raise SettingsError(msg) from exc
    make_private(home, "--run-id")
    return home


def _send(job: LaneJob, lane: Lane, folder: Path) -> int:
    """Send the lane to its end, and finish its database; give the exit code."""
    settings = job.settings_of(lane)
    headers = settings.headers()
    catch_up(job, lane, folder)
    past = begin_or_resume(job, lane, folder)
    applied_us = applied_before(folder)
    stopped_by: list[int] = []

    async def sending() -> tuple[SenderResult, BaseException | None]:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(number: int) -> None:
            stopped_by.append(number)
            stop.set()

        for number in stopping_signals():
            loop.add_signal_handler(number, on_signal, number)
        sender = Sender(
            job=job, lane=lane, folder=folder, past=past, applied_us=applied_us,
            surroundings=Surroundings(
                settings, job.target, headers=headers, secret=os.environ.get(ADMIN_TOKEN_VARIABLE)
            ),
        )  # fmt: skip
        if job.ends_with_conductor:
            _stop_when_closed(sys.stdin.fileno(), stop)
        with _held_up_by_nobody(sys.stdout.fileno()):
            reporting = asyncio.create_task(_report(sender))
            try:
                result = await sender.run(stop)
            finally:
                reporting.cancel()
                await asyncio.wait({reporting})
            untold = None if reporting.cancelled() else reporting.exception()
            if untold is None:
                _tell(LaneReport.of(sender, error=result.error).line())
        return result, untold

    result, untold = run_on_the_fastest_loop(sending())
    end_lane(folder, result)
    if result.error is not None:
        raise result.error
    if isinstance(untold, MemoryError):
        raise untold
    if untold is not None:
        traceback.print_exception(untold)
        msg = f"lane {lane} no longer told how it does, by a defect: {first_line(untold)}; all that it sent is on disk"
        raise SoaklibError(msg) from untold
    if result.status is RunStatus.COMPLETED:
        return ExitCode.OK
    return 128 + (stopped_by[0] if stopped_by else signal.SIGTERM)


def _stop_when_closed(descriptor: int, stop: asyncio.Event) -> None:
    """Set a word to stop when a pipe on which nothing is ever said is closed."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(descriptor)  # which would be called without end: there is nothing to be read off it
        stop.set()

    loop.add_reader(descriptor, closed)


@contextlib.contextmanager
def _held_up_by_nobody(descriptor: int) -> Iterator[None]:
    """Wait for no conductor that stands still; afterwards it is as before, for others may write to the same pipe."""
    was_waiting = os.get_blocking(descriptor)
    os.set_blocking(descriptor, os.isatty(descriptor))
    try:
        yield
    finally:
        os.set_blocking(descriptor, was_waiting)


async def _report(sender: Sender) -> None:
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        _tell(LaneReport.of(sender).line())


def _tell(line: bytes) -> None:
    """Say a line to whoever started this; when nobody listens, or nobody any more, the sending goes on."""
    with contextlib.suppress(OSError):  # a pipe that is full or has no reader: the next line may get through
        os.write(sys.stdout.fileno(), line)
