"""``python -m soaklib.run``: run a soak, judge it, and leave everything in the run's folder."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import gc
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.kept_log import retire_request_log
from soaklib.analysis.sources.run import open_run
from soaklib.commands.display import show_progress
from soaklib.commands.ending import conclude
from soaklib.commands.folder import name_latest, new_folder
from soaklib.commands.preflight import foreseen, try_out, with_limit
from soaklib.commands.preview import Preview, show_plan, spoken_openly
from soaklib.commands.process import command, find_folder, leave_at_once, run_on_the_fastest_loop, stopping_signals
from soaklib.commands.rehearsal import embedded, rehearsed
from soaklib.commands.resuming import lacking, refuse_what_a_stranger_names, resumed_settings
from soaklib.commands.terminal import new_console, say, say_at_last
from soaklib.commands.watch import start_watching
from soaklib.errors import ExitCode, RecordingError, SettingsError, SoaklibError, TargetError, first_line
from soaklib.evidence.reference import keep_reference, refuse_as_reference
from soaklib.fleet.conductor import Fleet
from soaklib.fleet.launch import bring_together, fleeted
from soaklib.fleet.merge import unmerge
from soaklib.plan.loading import load_settings
from soaklib.plan.model import Plan, load_plan
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE, SoakSettings, is_loopback
from soaklib.plan.workload import Workload
from soaklib.records import RunStatus
from soaklib.runner.events import EVENTS_SQL, write_event_log
from soaklib.runner.gateway_facts import ask_gateway
from soaklib.runner.job import SoakJob, SoakResult
from soaklib.runner.literal import LiteralChanges, is_literal
from soaklib.runner.metrics_server import MetricsServer, listen_for_scrapes
from soaklib.runner.recovery import recover, refuse_complete
from soaklib.runner.soak import Soak
from soaklib.runner.surroundings import Surroundings
from soaklib.safety.own_runs import remember
from soaklib.store.lock import RunLock
from soaklib.store.names import EVENT_LOG_NAME
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import Manifest, RunWriter
from soaklib.targets import load_target

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Mapping, Sequence

    from rich.console import Console

    from soaklib.plan.forecast import Forecast
    from soaklib.targets.admin import Missing

__all__ = ["main"]

_PACKAGES: Final = ("aiohttp", "duckdb", "orjson", "polars", "prometheus-client", "pydantic")
_DEEP_WALL_S: Final = 60.0
_RECOVERY_MEMORY_MB: Final = 1024  # it looks at every slot of the run, once, and no load is waiting
_STOPPING: Final = "stopping: open calls are waited for; once more to leave at once"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    console = new_console()
    try:
        settings = load_settings(sys.argv[1:] if arguments is None else arguments)
        if settings.resume is not None:
            return _resume(settings, console)
        plan = load_plan(settings.plan, is_rehearsal=settings.embedded)
        plan = rehearsed(plan) if settings.embedded else plan
        return _check(settings, plan, console) if settings.check else _run(settings, plan, console)
    except SoaklibError as exc:
        say(console, f"soaklib: {exc}", "bold red")
        return exc.exit_code


def _check(settings: SoakSettings, plan: Plan, console: Console) -> int:
    """Validate everything, pass the health gate and show the plan; send no load."""
    outlook = foreseen(settings, plan)
    with (
        _listener(settings),
        tempfile.TemporaryDirectory(prefix="soaklib-") as folder,
        _gateway(settings, plan, Path(folder)) as (url, log_url),
    ):
        hindered = _show(settings, plan, outlook, url, console)
        if settings.preflight and _needs_a_word(settings):
            say(
                console, f"nothing was tried at {url}, which is not on this machine: pass --yes to try it out", "yellow"
            )
        elif settings.preflight:
            found = try_out(settings, plan, outlook, url=url, log_url=log_url, hindered=hindered, console=console)
            settings = with_limit(settings, found)
            _wait(found.pause_s if settings.deep else 0.0, console)
        if not settings.deep:
            say(console, "everything is in order; no load was sent", "green")
    return _rehearse(settings, plan, console) if settings.deep else ExitCode.OK


def _rehearse(settings: SoakSettings, plan: Plan, console: Console) -> int:
    """Soak for a minute as the whole soak would, all changes included; what comes of it is a run like any other."""
    say(console, "everything is in order; now a minute of it")
    short = {
        "hours": min(settings.hours, _DEEP_WALL_S * settings.speed / 3600), "out": settings.out / "checks",
        "check": False, "deep": False, "preflight": False, "reference": None,
    }  # fmt: skip
    return _run(settings.model_copy(update=short), plan, console)


def _run(settings: SoakSettings, plan: Plan, console: Console) -> int:
    """Run a new soak."""
    _refuse_without_a_word(settings)
    outlook = foreseen(settings, plan)
    with _listener(settings) as listener:
        if settings.gateway_url is not None:  # before there is a folder: nothing is left of a run that cannot be
            hindered = _show(settings, plan, outlook, settings.gateway_url, console)
            _confirm(settings, console)
            if settings.preflight:
                found = try_out(
                    settings, plan, outlook, url=settings.gateway_url, log_url=settings.database_url,
                    hindered=hindered, console=console,
                )  # fmt: skip
                settings = with_limit(settings, found)
                _wait(found.pause_s, console)
        with (
            new_folder(settings.out) as folder,
            RunLock(folder),
            _gateway(settings, plan, folder) as (target, log_url),
        ):
            if settings.embedded:
                _show(settings, plan, outlook, target, console)
            job = SoakJob(
                run_id=folder.name, folder=folder, settings=settings, plan=plan, target=target,
                anchor_utc=dt.datetime.now(dt.UTC),
            )  # fmt: skip
            _begin(job)
            name_latest(folder, lambda words: say(console, words, "yellow"))
            if settings.reference is not None:
                keep_reference(folder, settings.reference)
            return _soak(fleeted(job), listener, log_url, console)


def _resume(wanted: SoakSettings, console: Console) -> int:
    """Go on with a run, by its own settings and plan."""
    folder = find_folder(wanted.resume or "")
    with RunLock(folder):
        with open_run(folder) as run:
            info = run.info
        refuse_complete(info.status)
        refuse_what_a_stranger_names(info.run_id, info.settings, wanted, info.plan)
        settings = resumed_settings(info.settings, wanted)
        _refuse_without_a_word(settings)
        for warning in (*lacking(info.settings, settings), *spoken_openly(settings)):
            say(console, warning, "yellow")
        if wanted.reference is not None:
            refuse_as_reference(wanted.reference, info)
        _confirm(settings, console)
        with _listener(settings) as listener, _gateway(settings, info.plan, folder) as (target, log_url):
            _ask(settings, info.plan, target)
            unmerge(folder)  # not before it is sure that the run goes on: until then the merged run is what there is
            writer = RunWriter(folder / DATABASE_NAME, memory_limit_mb=_RECOVERY_MEMORY_MB)
            past = recover(writer, settings, info.plan, slots=None if settings.senders is None else range(0))
            write_event_log(folder / EVENT_LOG_NAME, info.anchor_utc, writer.read(EVENTS_SQL))
            writer.close()
            if wanted.reference is not None:
                keep_reference(folder, wanted.reference)
            retire_request_log(folder, past.segment)
            job = SoakJob(
                run_id=info.run_id,
                folder=folder,
                settings=settings,
                plan=info.plan,
                target=target,
                anchor_utc=info.anchor_utc,
                past=past,
            )
            # An embedded gateway's own log went with it, and with a part of the calls there is nothing to compare.
            is_lost = settings.embedded and settings.database_url is None
            return _soak(fleeted(job), listener, None if is_lost else log_url, console)


def _soak(job: SoakJob, listener: socket.socket | None, log_url: str | None, console: Console) -> int:
    """Run the soak to its end, and conclude the run; give the exit code."""
    if job.settings.watch:
        start_watching(job.folder, lambda words: say(console, words))
    result, signal_number = _until_its_end(job, listener, console)
    gather = functools.partial(bring_together, job.senders) if isinstance(job.senders, Fleet) else None
    return conclude(job, result, log_url=log_url, signal_number=signal_number, console=console, gather=gather)


def _needs_a_word(settings: SoakSettings) -> bool:
    """Say whether a person must confirm the load: a gateway that is not on this machine, and no ``--yes``."""
    return settings.gateway_url is not None and not is_loopback(settings.gateway_url) and not settings.yes


def _refuse_without_a_word(settings: SoakSettings) -> None:
    """Refuse, before anything is sent, a load that must be confirmed where there is nobody to ask."""
    if _needs_a_word(settings) and (sys.stdin is None or not sys.stdin.isatty()):
        msg = f"{settings.gateway_url} is not on this machine: pass --yes to say that loading it is meant"
        raise SettingsError(msg)


def _confirm(settings: SoakSettings, console: Console) -> None:
    """Ask before loading a gateway that is not on this machine."""
    if not _needs_a_word(settings):
        return
    question = (
        f"This sends {settings.rps * settings.speed:g} slots a second to {settings.gateway_url} for "
        f"{settings.wall_duration_s / 3600:.1f} hours. Go on? [y/N] "
    )
    try:
        answer = console.input(question)
    except EOFError:  # Ctrl-D, or a terminal that is gone
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        msg = "not confirmed; no load was sent"
        raise SettingsError(msg)


@contextlib.contextmanager
def _listener(settings: SoakSettings) -> Generator[socket.socket | None]:
    """Hold the port of the runner's own metrics from before anything is sent; None when they are not wanted."""
    if settings.metrics_port is None:
        yield None
        return
    with contextlib.closing(listen_for_scrapes(settings.metrics_port)) as listener:
        yield listener


@contextlib.contextmanager
def _gateway(settings: SoakSettings, plan: Plan, folder: Path) -> Generator[tuple[str, str | None]]:
    """Give the gateway's base URL and its database's, if known; the embedded one is started, and stopped again."""
    if settings.gateway_url is not None:
        yield settings.gateway_url, settings.database_url
        return
    with embedded(plan.target.kind, settings, folder / "gateway.log") as gateway:
        yield gateway.url, gateway.database_url


def _wait(pause_s: float, console: Console) -> None:
    """Let the keys of the load have their calls back, which were used up to find their limit."""
    if pause_s:
        say(console, f"the limit was met with keys that the load uses: it begins in {pause_s:g} s")
        time.sleep(pause_s)


def _show(settings: SoakSettings, plan: Plan, outlook: Forecast, url: str, console: Console) -> Mapping[int, str]:
    """Ask the gateway whether it can be used, and show the plan with what stands in its way; give the latter."""
    hindered, notes = _ask(settings, plan, url)
    show_plan(Preview(settings, plan, outlook, hindered, notes, dt.datetime.now(dt.UTC)), console)
    return hindered


def _ask(settings: SoakSettings, plan: Plan, url: str) -> Missing:
    """Pass the health gate, and ask for what the plan needs; give what stands in its way."""

    async def ask() -> Missing:
        async with target.admin(link) as admin:
            result = await admin.health()
            if not result.fit:
                why = "; the plan is of another gateway than soaklib's own: pass --gateway-url" * settings.embedded
                msg = f"the gateway at {url} cannot be used: {result.detail}{why}"
                raise TargetError(msg)
            return await admin.missing(plan)

    target = load_target(plan.target)
    workload = Workload(plan, settings.seed)
    for call in workload.calls:
        target.compile(call.step, call.role)  # refuses a call that this kind of gateway cannot be asked for
    surroundings = Surroundings(settings, url, headers=settings.headers(), secret=os.environ.get(ADMIN_TOKEN_VARIABLE))
    link = surroundings.link(plan, run_id="check", tell=lambda *_, **__: None)
    for change in filter(is_literal, plan.changes):
        LiteralChanges(link).refuse_what_cannot_be_sent(change)
    return run_on_the_fastest_loop(ask())


def _begin(job: SoakJob) -> None:
    """Write the manifest."""
    settings = job.settings
    environment = {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in _PACKAGES},
        "gateway": {"begin": ask_gateway(settings, job.plan, job.target)},
    }
    manifest = Manifest(
        run_id=job.run_id,
        soaklib_version=version("soaklib"),
        anchor_utc=job.anchor_utc,
        speed=settings.speed,
        rps=settings.rps,
        hours=settings.hours,
        seed=settings.seed,
        target=job.target,
        embedded=settings.embedded,
        settings=settings.public_json(),
        plan=job.plan.model_dump_json(),
        environment=json.dumps(environment),
    )
    path = job.folder / DATABASE_NAME
    try:
        writer = RunWriter(path)
        writer.begin_run(manifest)
        writer.close()
    except BaseException:  # also a signal: the run never began, and its folder goes
        path.unlink(missing_ok=True)
        raise
    if not settings.embedded or settings.database_url is not None:
        with contextlib.suppress(OSError):  # then a resume asks again for what is secret and where it goes
            remember(job.run_id, json.loads(settings.public_json()), job.plan.model_dump_json())


def _until_its_end(job: SoakJob, listener: socket.socket | None, console: Console) -> tuple[SoakResult, int | None]:
    """Run the soak; give how it ended, and the signal that stopped it."""
    stopped_by: list[int] = []

    async def soaking() -> SoakResult:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(number: int) -> None:
            if stopped_by:  # a second signal leaves at once; the recorder writes down what it was given
                drop = (lambda: None) if job.senders is None else job.senders.drop
                leave_at_once(number, drop, functools.partial(say_at_last, console))
            stopped_by.append(number)
            stop.set()
            say(console, _STOPPING, "yellow")

        for number in stopping_signals():
            loop.add_signal_handler(number, on_signal, number)
        soak = Soak(job)
        async with contextlib.AsyncExitStack() as stack:
            metrics = None if listener is None else await stack.enter_async_context(MetricsServer(soak, listener))
            if metrics is not None:
                say(console, f"the runner's own metrics: {metrics.url}")
            display = asyncio.create_task(show_progress(soak, console))
            try:
                result = await _ended(soak, stop, console)
            finally:
                display.cancel()
                await asyncio.wait({display})
            if metrics is not None:
                await metrics.wait_for_last_scrape(stop)
            return result

    result = run_on_the_fastest_loop(soaking())
    gc.unfreeze()
    return result, stopped_by[0] if stopped_by else None


async def _ended(soak: Soak, stop: asyncio.Event, console: Console) -> SoakResult:
    """Run a soak; one whose recorder cannot start, or that ends by a defect of ours, is a failed run like any other."""
    try:
        return await soak.run(stop)
    except Exception as exc:  # noqa: BLE001 - whatever it is, the rows so far deserve their verdicts, report and bundle
        error = exc if isinstance(exc, SoaklibError) else None
        if error is None:
            say(console, traceback.format_exc(), "dim")
            error = RecordingError(f"the soak was ended by a defect: {first_line(exc)}")
        with contextlib.suppress(RecordingError):  # how the soak ended is said already
            await soak.recorder.close()
        return SoakResult(status=RunStatus.FAILED, segments=soak.segments, error=error)
