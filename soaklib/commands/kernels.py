"""Executes notebooks: each by papermill in a kernel of its own, forked with its imports done, several side by side."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Final

from soaklib.commands.forked import KERNEL_LIMIT_S, managers
from soaklib.errors import SettingsError, SoaklibError
from soaklib.safety.memory import usable_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from soaklib.commands.forked import KernelServer

__all__ = ["execute", "execute_all"]

_CELL_LIMIT_S: Final = 1800
_KERNEL_MEMORY_BYTES: Final = 2 << 30
"""What a reader may take, what Python holds, and 8 bytes a call of some 100 million calls."""
_SOCKET_PATH_BYTES: Final = 107  # the longest that the kernel of the system takes
_MOST_PLACE_BYTES: Final = _SOCKET_PATH_BYTES - len("/soaklib-12345678/kernel-ipc-5")
_SHORT_PLACES: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a private folder is made there
_NOT_NEEDED: Final = ("pyarrow", "rfc3987_syntax")
"""What papermill imports where it finds it: for notebooks on HDFS, and for addresses in them checked against a grammar
that takes longer to build than all else."""


def execute_all(
    notebooks: Mapping[Path, Mapping[str, str]],
    folder: Path,
    server: KernelServer,
    *,
    started: Callable[[str], None],
    meanwhile: Callable[[], None] | None = None,
) -> list[Path]:
    """Execute notebooks into a folder, side by side, begun in their order.

    Parameters
    ----------
    notebooks
        Each with its parameters.
    folder
        Where they go with their outputs.
    server
        What their kernels are forked from.
    started
        Called with the name of each when it begins.
    meanwhile
        Work of the caller's own, done in this thread; so long as it lasts, one notebook fewer is under way.

    Returns
    -------
    list of pathlib.Path
        The executed notebooks, in their order.

    Raises
    ------
    SettingsError, SoaklibError
        As :func:`execute`, of the first in order that failed; none is begun after it, and those under way are ended,
        with the server. What `meanwhile` raises ends them too.
    """
    failed = Event()
    at_once = _side_by_side()
    places = Semaphore(at_once)

    def run(source: Path) -> None:
        with places:
            if failed.is_set():
                return
            started(source.stem)
            try:
                execute(source, folder / source.name, notebooks[source], server)
            except BaseException:
                failed.set()
                raise
            finally:
                _close_loop()

    with ThreadPoolExecutor(at_once) as pool:
        try:
            with places:
                under_way = [pool.submit(run, source) for source in notebooks]
                try:
                    if meanwhile is not None:
                        meanwhile()
                except BaseException:
                    failed.set()  # before the place is free
                    raise
            wait(under_way, return_when=FIRST_EXCEPTION)
            for one in under_way:
                if one.done():
                    one.result()
        except BaseException:  # a failure or a signal: whoever waits for the report waits no longer
            pool.shutdown(wait=False, cancel_futures=True)
            server.end()
            raise
    return [folder / source.name for source in notebooks]


def _side_by_side() -> int:
    """Give how many kernels may run at once: one a core, as long as each can have what the largest runs take."""
    return max(1, min(os.cpu_count() or 1, usable_memory_bytes() // _KERNEL_MEMORY_BYTES))


def _close_loop() -> None:
    """Close the event loop that the notebook machinery made for this thread, and would leave open."""
    with suppress(ModuleNotFoundError):  # without it there is none
        from jupyter_core.utils import ensure_event_loop  # noqa: PLC0415 - only a report pays for it

        ensure_event_loop().close()


def execute(source: Path, target: Path, parameters: Mapping[str, str], server: KernelServer) -> None:
    """Execute one notebook into `target`; one from before stays until its successor is whole.

    Parameters
    ----------
    source, target
        The notebook, and where it goes with its outputs.
    parameters
        Values for its cell of parameters.
    server
        What its kernel is forked from.

    Raises
    ------
    SettingsError
        What executes notebooks is not installed, or has no place for its sockets.
    SoaklibError
        A cell failed, took longer than half an hour, or the kernel died.
    """
    # The notebook machinery takes a second to import: only a report pays for it.
    try:
        with _without(*_NOT_NEEDED):
            import papermill  # noqa: PLC0415 - takes long: only a report pays for it
        from jupyter_client.kernelspec import NoSuchKernel  # noqa: PLC0415 - takes long: only a report pays for it
        from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: PLC0415 - takes long: only a report pays for it
        from papermill.exceptions import PapermillExecutionError  # noqa: PLC0415 - takes long: only a report pays for it
        from traitlets.config import Config  # noqa: PLC0415 - takes long: only a report pays for it
        from zmq import ZMQError  # noqa: PLC0415 - takes long: only a report pays for it
    except ModuleNotFoundError as exc:
        msg = f"a report needs {exc.name}, which is not installed: pip install 'soaklib[notebooks]'"
        raise SettingsError(msg) from exc
    part = target.with_name(f".{target.name}")  # written after every cell
    broken = target.with_stem(f"{target.stem}-broken") if target.exists() else target
    with _socket_folder() as sockets:
        # Sockets in a private folder instead of TCP ports, which any local user could connect to.
        kernel = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}})
        try:
            papermill.execute_notebook(
                source,
                part,
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                resources={"metadata": {"path": str(target.parent)}},  # cwd= would be that of all threads
                execution_timeout=_CELL_LIMIT_S,
                start_timeout=KERNEL_LIMIT_S,
                config=kernel,
                kernel_manager_class=managers(server),
                shutdown_kernel="immediate",  # a kernel reads; there is nothing that it would have to put away
            )
        except PapermillExecutionError as exc:
            why = f"failed in cell {exc.exec_count}: {exc.ename}: {exc.evalue}"
            raise SoaklibError(_broken(source, why, part, broken)) from exc
        # RuntimeError: a kernel that does not answer when it starts. ZMQError: its sockets cannot be had.
        except (CellTimeoutError, DeadKernelError, RuntimeError, ZMQError) as exc:
            why = f"did not come to its end: {_first_line(exc)}"
            raise SoaklibError(_broken(source, why, part, broken)) from exc
        except NoSuchKernel as exc:
            msg = "there is no Jupyter kernel 'python3': pip install 'soaklib[notebooks]'"
            raise SettingsError(msg) from exc
    part.replace(target)
    target.with_stem(f"{target.stem}-broken").unlink(missing_ok=True)


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Have modules not imported that are looked for, and done without where they are not there."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: an import of it fails, as documented
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)  # another thread may have been here too


def _broken(source: Path, why: str, part: Path, kept: Path) -> str:
    """Keep a notebook that is broken, and say so."""
    part.replace(kept)
    return f"notebook {source.name} {why}; it is kept as {kept}"


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """Give a private folder for a kernel's sockets, elsewhere than in TMPDIR where that is too long for them.

    Raises
    ------
    SettingsError
        There is no other place.
    """
    given = tempfile.gettempdir()
    places = [place for place in (given, *_SHORT_PLACES) if len(os.fsencode(place)) <= _MOST_PLACE_BYTES]
    usable = [place for place in places if os.access(place, os.W_OK | os.X_OK)]
    if not usable:
        msg = (
            f"TMPDIR is {len(os.fsencode(given))} bytes long, and a notebook's kernel has its sockets there, for whose "
            f"path the system takes {_MOST_PLACE_BYTES} at most: set it to a shorter one ({given})"
        )
        raise SettingsError(msg)
    with tempfile.TemporaryDirectory(prefix="soaklib-", dir=usable[0]) as folder:
        yield Path(folder)


def _first_line(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).strip().splitlines()[0]
