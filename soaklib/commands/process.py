"""What every command but the gateway's shares as a process: how a signal ends it, and what its failures are called."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import duckdb

from soaklib.commands.streams import lasting_streams
from soaklib.errors import ExitCode, RunError, SoaklibError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import FrameType
    from typing import NoReturn

__all__ = [
    "Stopped",
    "command",
    "find_folder",
    "keeping_stops",
    "leave_at_once",
    "run_on_the_fastest_loop",
    "stopping_signals",
]

_T = TypeVar("_T")

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MACHINE: Final = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip
_heard: Final[list[int]] = []  # the signals that the command under way was asked to end by


class Stopped(KeyboardInterrupt):
    """A signal asks for the end; no error, so that nothing handles it as one.

    It is a KeyboardInterrupt, since event loops end with that: what else a callback or a task raises stays in there.

    Attributes
    ----------
    number
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


class _Main(Protocol):
    """A command: takes its arguments, those of the process if there are none, and gives its exit code."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def command(main: _Main) -> _Main:
    """Make a command of a function.

    SIGINT, SIGTERM and SIGHUP end it in order, what is open being closed and what is temporary removed, with one
    sentence and the code 128 + n; a lack of memory, of disk or of permission ends it with a sentence and the code 4, an
    error of soaklib's that it has no words of its own for with that error's sentence and code.
    What it says is lost, in place of failing it or holding it up, once nobody reads it
    (:func:`soaklib.commands.streams.lasting_streams`); a result that a full disk does not take fails it.
    """

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        _heard.clear()
        handlers = {number: signal.signal(number, _stop) for number in stopping_signals()}
        try:
            with lasting_streams(is_urgent=lambda: bool(_heard)):
                code = _concluded(main, arguments)
                for number in handlers:  # what is left to do is to wait for readers
                    signal.signal(number, _hear)
            return 128 + _heard[0] if _heard else code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            _heard.clear()  # no command is under way

    return run


def _concluded(main: _Main, arguments: Sequence[str] | None) -> int:
    """Run a command's function; say what ended it, and give its exit code."""
    try:
        with keeping_stops():
            code = main(arguments)
            sys.stdout.flush()
    except Stopped as exc:
        print(f"soaklib: stopped by {exc.number.name}", file=sys.stderr)
        return 128 + exc.number
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    except (MemoryError, duckdb.OutOfMemoryException):
        print("soaklib: out of memory; everything recorded is on disk", file=sys.stderr)
        return ExitCode.RECORDING
    except OSError as exc:
        if not _is_of_the_machine(exc):
            raise
        name = exc.filename2 or exc.filename  # of a copy the second is what was written
        where = "" if name is None else f"{name}: "
        print(f"soaklib: {where}{exc.strerror}", file=sys.stderr)
        return ExitCode.RECORDING
    return code


@contextmanager
def keeping_stops() -> Iterator[None]:
    """Let a signal stop what it meets, whatever a library makes of what its handler raises.

    DuckDB, for one, raises ``RuntimeError: Query interrupted`` in its place, which whoever bears errors would bear; and
    what is raised while it converts a value is lost without a word.

    Raises
    ------
    Stopped
        A signal asked for the end, and what is done within went on or raised an error.
    """
    try:
        yield
    except Exception as exc:
        if _heard:
            raise Stopped(_heard[0]) from exc
        raise
    if _heard:
        raise Stopped(_heard[0])


def leave_at_once(number: int, last: Callable[[], None], failed: Callable[[str], None]) -> NoReturn:
    """End this process for a signal, without waiting for anything, after one last thing; that it failed is said."""
    try:
        last()
    except Exception as exc:  # noqa: BLE001 - whatever it is: who asks twice wants to leave
        failed(f"left, and not all was told to stop: {first_line(exc)}")
    finally:
        os._exit(128 + number)


def stopping_signals() -> list[signal.Signals]:
    """Give the signals that ask for the end; not SIGHUP where it is ignored, as under ``nohup``."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _STOPPING if not (nohup and number == signal.SIGHUP)]


def run_on_the_fastest_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on the fastest event loop that there is; leave the handlers of signals as they are.

    Raises
    ------
    Stopped
        A signal asked for the end, and the coroutine, which has no handler of its own, was cancelled.
    """

    async def stoppable() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            _heard.append(number)
            cast("asyncio.Task[_T]", task).cancel()

        for number in handlers:
            loop.add_signal_handler(number, stop, number)
        return await work

    heard = len(_heard)
    handlers = {number: signal.getsignal(number) for number in stopping_signals()}
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            result = runner.run(stoppable())
    except asyncio.CancelledError:
        if len(_heard) == heard:
            raise
    finally:
        for number, handler in handlers.items():  # the loop leaves the default, which ends a process without a word
            signal.signal(number, handler)
    if len(_heard) > heard:
        raise Stopped(_heard[heard])
    return result


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def find_folder(path_or_id: str) -> Path:
    """Find the folder of a run to write into; as :func:`soaklib.analysis.sources.run.find_run`, without its bundles.

    Raises
    ------
    RunError
        There is none, or it is a bundle: what is written beside its unpacked copy would be lost.
    """
    from soaklib.analysis.sources.run import find_run  # noqa: PLC0415 - it brings polars, which a sender has no need of

    if Path(path_or_id).is_file() and path_or_id.endswith(".tar.gz"):
        msg = f"{path_or_id} is a bundle, to which nothing is added: unpack it, and pass the folder"
        raise RunError(msg)
    return find_run(path_or_id).resolve()


def _hear(number: int, _: FrameType | None) -> None:
    _heard.append(number)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    _heard.append(number)
    raise Stopped(number)


def _is_of_the_machine(exc: OSError) -> bool:
    """Say whether an error is the machine's and no defect: a disk that is full or read-only, a lack of permission."""
    # tempfile says with ENOENT and without a name that it can write nowhere
    return exc.errno in _MACHINE or (exc.errno == errno.ENOENT and exc.filename is None)
