"""A process that has imported what notebooks import, and forks a kernel for each: the imports are paid for once.

It says when it is ready. It hears of a kernel as one line of JSON on a socket, forks, and answers with its process id.
When the socket is closed, because the report has ended or was killed, it kills the kernels that are left, and ends. It
never reaps a kernel before that: so long as it lives the number of a kernel that has ended belongs to no other process.

A fork takes along the thread that forks and no other, and a polars whose pool has begun to work hangs in the child. So
nothing here opens a database, evaluates a frame or draws: DuckDB, polars and libzmq start their pools when first used.
What is started by an import alone can be done without or starts anew in the child: jemalloc's and OpenBLAS's
threads do by themselves, and the one in which polars deletes files that a query has spilled leaves them to the next
process that imports polars.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn, TypedDict

import soaklib

__all__ = ["KernelOrder", "import_all", "main", "serve"]

_IMPORTED_WHEN_USED: Final = (
    "IPython.display", "ipykernel.ipkernel", "ipykernel.kernelapp", "ipykernel.zmqshell",
    "jinja2", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg",
    "matplotlib_inline.backend_inline", "numpy.linalg", "numpy.random", "PIL.BmpImagePlugin", "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "scipy.special",
    "soaklib.analysis.verdicts.sentence", "soaklib.targets.asking", "soaklib.whitepaper.standing",
)  # fmt: skip


class KernelOrder(TypedDict):
    """What a kernel is started with."""

    arguments: list[str]
    cwd: str
    env: dict[str, str]


def main() -> None:
    """Serve on the socket whose descriptor is the one argument."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        import_all()
        serve(orders)


def import_all() -> None:
    """Import what notebooks use; what is not installed is for them to say."""
    for name in soaklib.__all__:
        with suppress(ModuleNotFoundError):
            getattr(soaklib, name)
    for module in _IMPORTED_WHEN_USED:
        with suppress(ModuleNotFoundError):
            import_module(module)
    gc.collect()
    gc.freeze()  # else the first collection in each kernel would copy every page


def serve(orders: socket.socket) -> None:
    """Fork a kernel for every line, until there are no more."""
    kernels: list[int] = []
    try:
        orders.sendall(b"ready\n")
        with orders.makefile("r", encoding="ascii") as lines:
            for line in lines:
                kernel = os.fork()
                if not kernel:
                    os.close(orders.detach())  # whoever waits for an answer hears when the server has ended
                    _be_kernel(json.loads(line))
                kernels.append(kernel)
                with suppress(ProcessLookupError, PermissionError):  # it has done so itself, or has ended
                    os.setpgid(kernel, kernel)
                orders.sendall(f"{kernel}\n".encode())
    except OSError:
        pass  # whoever asked has gone
    finally:
        for kernel in kernels:
            with suppress(ProcessLookupError):
                os.killpg(kernel, signal.SIGKILL)  # with what it has started
        for kernel in kernels:
            os.waitpid(kernel, 0)


def _be_kernel(order: KernelOrder) -> NoReturn:
    """Become what ``python -m ipykernel_launcher`` would be."""
    try:
        os.setpgid(0, 0)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        # The kernel ends with its parent. JPY_PARENT_PID would be too late: it is read when ipykernel is imported.
        ends_with = f"--IPKernelApp.parent_handle={os.getppid()}"

        from ipykernel.kernelapp import launch_new_instance  # noqa: PLC0415 - whoever only serves does not need it

        launch_new_instance(argv=[*order["arguments"], ends_with])
    except Exception:  # noqa: BLE001 - nobody else is left to hear of it
        traceback.print_exc()
    finally:
        os._exit(1)  # whatever has happened, a fork does not go on as the process that it came from


if __name__ == "__main__":
    main()
