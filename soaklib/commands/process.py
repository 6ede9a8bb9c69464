"""What every command but the gateway's shares as a process: how a signal ends it, and that it outlives its terminal."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, TypeVar, cast

import duckdb

from soaklib.analysis.sources.run import find_run
from soaklib.errors import ExitCode, RunError, SoaklibError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import FrameType
    from typing import NoReturn

__all__ = [
    "Stopped",
    "Words",
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
_READER_IS_GONE: Final = frozenset({errno.EIO, errno.EPIPE})
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
    What it says goes nowhere, in place of failing it, once the terminal is closed or the other end of a pipe is gone.
    Words on standard error that a full disk does not take fail nothing either; a result that standard output does not
    take does.
    """

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        _heard.clear()
        handlers = {number: signal.signal(number, _stop) for number in stopping_signals()}
        streams = sys.stdout, sys.stderr
        sys.stdout = cast("TextIO", _Lasting(_there(streams[0])))
        sys.stderr = cast("TextIO", Words(_there(streams[1])))
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
        else:
            return code
        finally:
            sys.stdout, sys.stderr = streams
            for number, handler in handlers.items():
                signal.signal(number, handler)
            _heard.clear()  # no command is under way

    return run


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
    if Path(path_or_id).is_file() and path_or_id.endswith(".tar.gz"):
        msg = f"{path_or_id} is a bundle, to which nothing is added: unpack it, and pass the folder"
        raise RunError(msg)
    return find_run(path_or_id).resolve()


def _stop(number: int, _: FrameType | None) -> NoReturn:
    _heard.append(number)
    raise Stopped(number)


def _is_of_the_machine(exc: OSError) -> bool:
    """Say whether an error is the machine's and no defect: a disk that is full or read-only, a lack of permission."""
    # tempfile says with ENOENT and without a name that it can write nowhere
    return exc.errno in _MACHINE or (exc.errno == errno.ENOENT and exc.filename is None)


def _there(stream: TextIO | None) -> TextIO:
    """Give a standard stream, or nowhere in its place: there is none when it was closed before the process began."""
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream


class _Lasting:
    """A standard stream that lasts: when nobody is there to read any more, what is written goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as exc:
            self._failed(exc)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as exc:
            self._failed(exc)

    def _failed(self, exc: OSError) -> None:
        self._let_go()  # also of what waits in its buffer: the interpreter would try, and fail, once more at its end
        if exc.errno not in _READER_IS_GONE:
            raise exc

    def _let_go(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class Words(_Lasting):
    """Standard error, which holds words about the work and not the work: whatever it does not take costs nothing.

    A full disk may have room again, so it is kept; the first words that get through then are that some are missing.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._missing: str | None = None

    def write(self, text: str) -> int:
        """Write, or go without."""
        if self._missing is not None:
            said, self._missing = f"[words are missing here: {self._missing}]\n", None
            super().write(said)
        return super().write(text)

    def _failed(self, exc: OSError) -> None:
        if exc.errno in _READER_IS_GONE:
            self._let_go()
        else:
            self._missing = exc.strerror or str(exc)
