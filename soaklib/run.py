"""``python -m soaklib.run``: run a soak, judge it, and leave everything in the run's folder."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import json
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from soaklib.analysis.load import find_run, open_run
from soaklib.embedded import EmbeddedGateway
from soaklib.errors import ExitCode, SettingsError, SoaklibError, TargetError
from soaklib.judgement import exit_code, judge_folder, show_verdicts
from soaklib.plan import Plan, load_plan
from soaklib.runlock import RunLock
from soaklib.runner.api import GatewayApi
from soaklib.runner.display import show_progress
from soaklib.runner.events import EVENT_LOG_NAME, write_event_log
from soaklib.runner.gate import health_gate
from soaklib.runner.recovery import recover
from soaklib.runner.soak import Soak, SoakJob, SoakResult
from soaklib.settings import ADMIN_TOKEN_VARIABLE, SoakSettings, is_loopback, load_settings
from soaklib.store import DATABASE_NAME, Manifest, RunWriter

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Sequence

__all__ = ["main"]

_PACKAGES: Final = ("aiohttp", "duckdb", "orjson", "polars", "prometheus-client", "pydantic")
_RECOVERY_MEMORY_MB: Final = 1024  # it looks at every slot of the run, once, and no load is waiting
_STOPPING: Final = "stopping: open calls are waited for; once more to leave at once"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    console = Console(stderr=True)
    try:
        settings = load_settings(sys.argv[1:] if arguments is None else arguments)
        if settings.resume is not None:
            return _resume(settings, console)
        plan = load_plan(settings.plan)
        return _check(settings, plan, console) if settings.check else _run(settings, plan, console)
    except SoaklibError as exc:
        console.print(f"soaklib: {exc}", style="bold red", highlight=False, soft_wrap=True, markup=False)
        return exc.exit_code


def _check(settings: SoakSettings, plan: Plan, console: Console) -> int:
    """Validate everything and pass the health gate; send no load."""
    calls = settings.total_slots * plan.calls_per_slot
    console.print(
        f"{plan.name}: {settings.hours:g} soak-hours at {settings.rps:g} slots a soak-second, "
        f"speed {settings.speed:g}: {settings.total_slots:,} slots, about {calls:,.0f} calls "
        f"in {settings.wall_duration_s / 60:.1f} wall minutes",
        highlight=False,
        soft_wrap=True,
    )
    with tempfile.TemporaryDirectory(prefix="soaklib-") as folder, _target(settings, Path(folder)):
        console.print("everything is in order; no load was sent", style="green")
    return ExitCode.OK


def _run(settings: SoakSettings, plan: Plan, console: Console) -> int:
    """Run a new soak."""
    _confirm(settings, console)
    if settings.gateway_url is not None:
        _pass_gate(settings, settings.gateway_url)  # before there is a folder: nothing is left of a run that cannot be
    with _new_folder(settings.out) as folder, RunLock(folder), _target(settings, folder) as target:
        job = SoakJob(
            run_id=folder.name,
            folder=folder,
            settings=settings,
            plan=plan,
            target=target,
            anchor_utc=dt.datetime.now(dt.UTC),
        )
        _begin(job)
        return _soak(job, settings, console)


def _resume(wanted: SoakSettings, console: Console) -> int:
    """Go on with a run; every setting is the run's own, but for whether to ask and to report."""
    folder = find_run(wanted.resume or "").resolve()
    with RunLock(folder):
        with open_run(folder) as run:
            info = run.info
        settings = SoakSettings.model_validate(
            dict(info.settings) | {"yes": wanted.yes, "report": wanted.report, "strict": wanted.strict}
        )
        _confirm(settings, console)
        with _target(settings, folder) as target:
            writer = RunWriter(folder / DATABASE_NAME, memory_limit_mb=_RECOVERY_MEMORY_MB)
            past = recover(writer, settings, info.plan)
            write_event_log(folder / EVENT_LOG_NAME, info.anchor_utc, writer)
            writer.close()
            job = SoakJob(
                run_id=info.run_id,
                folder=folder,
                settings=settings,
                plan=info.plan,
                target=target,
                anchor_utc=info.anchor_utc,
                past=past,
            )
            return _soak(job, settings, console)


def _soak(job: SoakJob, settings: SoakSettings, console: Console) -> int:
    """Run the soak to its end, judge it, report; give the exit code."""
    result, signal_number = _until_its_end(job, console)
    _end(job, result)
    verdicts, summed_up = judge_folder(job.folder)
    show_verdicts(verdicts, summed_up, console)
    if settings.report:
        from soaklib.report import build_report  # noqa: PLC0415 - it brings the notebook machinery, needed by none else

        def say(name: str, place: int, count: int) -> None:
            console.print(f"report {place + 1}/{count}: {name}", style="dim", highlight=False)

        build_report(job.folder, started=say)
    _collect(job, console)
    print(job.folder.resolve())  # noqa: T201 - the last line of stdout is for scripts
    if result.error is not None:
        raise result.error
    return exit_code(verdicts, strict=settings.strict) if signal_number is None else 128 + signal_number


def _collect(job: SoakJob, console: Console) -> None:
    """Pack the evidence; where that fails, it costs the bundle and not the run, which can be collected later."""
    from soaklib.collect import collect  # noqa: PLC0415 - a soak can be run without what packing needs

    try:
        collect(job.folder, database_url=job.settings.database_url)  # the manifest's has no password
    except SoaklibError as exc:
        console.print(f"no bundle: {exc}", style="yellow", highlight=False, soft_wrap=True, markup=False)


def _confirm(settings: SoakSettings, console: Console) -> None:
    """Ask before loading a gateway that is not on this machine."""
    url = settings.gateway_url
    if url is None or is_loopback(url) or settings.yes:
        return
    if not sys.stdin.isatty():
        msg = f"{url} is not on this machine: pass --yes to say that loading it is meant"
        raise SettingsError(msg)
    answer = console.input(
        f"This sends {settings.rps * settings.speed:g} slots a second to {url} for "
        f"{settings.wall_duration_s / 3600:.1f} hours. Go on? [y/N] "
    )
    if answer.strip().lower() not in {"y", "yes"}:
        msg = "not confirmed; nothing was sent"
        raise SettingsError(msg)


@contextlib.contextmanager
def _target(settings: SoakSettings, folder: Path) -> Generator[str]:
    """Give the base URL of a gateway that has passed its gate; the embedded one is started first."""
    with contextlib.ExitStack() as stack:
        url = settings.gateway_url
        if url is None:
            url = stack.enter_context(EmbeddedGateway(settings, folder / "gateway.log")).url
        _pass_gate(settings, url)
        yield url


def _pass_gate(settings: SoakSettings, url: str) -> None:
    async def gate() -> None:
        async with GatewayApi(
            url,
            timeout_s=settings.http_timeout_ms / 1000,
            headers=settings.headers(),
            admin_token=os.environ.get(ADMIN_TOKEN_VARIABLE),
            ca_file=settings.ca_file,
        ) as api:
            result = await health_gate(api)
        if not result.passed:
            msg = f"the gateway at {url} cannot be used: {result.detail}"
            raise TargetError(msg)

    asyncio.run(gate())


@contextlib.contextmanager
def _new_folder(out: Path) -> Generator[Path]:
    """Make the run's folder, private to its user; take it away again if the run never begins."""
    folder = out / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as exc:
        msg = f"--out {out}: cannot make the run's folder: {exc}"
        raise SettingsError(msg) from exc
    try:
        yield folder
    finally:
        if not (folder / DATABASE_NAME).exists():
            shutil.rmtree(folder)


def _begin(job: SoakJob) -> None:
    """Write the manifest, and let ``latest`` name the run."""
    settings = job.settings
    environment = {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
    writer = RunWriter(job.folder / DATABASE_NAME)
    writer.begin_run(
        Manifest(
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
    )
    writer.close()
    link = job.folder.parent / f".latest-{job.run_id}"
    link.symlink_to(job.folder.name, target_is_directory=True)
    link.replace(job.folder.parent / "latest")


def _until_its_end(job: SoakJob, console: Console) -> tuple[SoakResult, int | None]:
    """Run the soak; give how it ended, and the signal that stopped it."""
    stopped_by: list[int] = []

    async def soaking() -> SoakResult:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(number: int) -> None:
            if stopped_by:
                os._exit(128 + number)  # a second signal leaves at once; the recorder writes down what it was given
            stopped_by.append(number)
            console.print(_STOPPING, style="yellow")
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal, number)
        soak = Soak(job)
        display = asyncio.create_task(show_progress(soak, console))
        try:
            return await soak.run(stop)
        finally:
            display.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await display

    result = _run_on_the_fastest_loop(soaking())
    gc.unfreeze()
    return result, stopped_by[0] if stopped_by else None


def _run_on_the_fastest_loop(work: Coroutine[Any, Any, SoakResult]) -> SoakResult:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _end(job: SoakJob, result: SoakResult) -> None:
    """Finish the manifest."""
    writer = RunWriter(job.folder / DATABASE_NAME)
    writer.end_segment(result.segment)
    [(lived_us,)] = writer.read("select coalesce(sum(ended_at_us - started_at_us), 0) from segments")
    writer.end_run(result.status, completed_utc=dt.datetime.now(dt.UTC), duration_s=lived_us / 1e6)
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
