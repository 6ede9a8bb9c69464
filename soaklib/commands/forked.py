"""For jupyter_client: kernels forked from a process with its imports done (:mod:`soaklib.commands.kernel_server`)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import AsyncKernelManager

    from soaklib.commands.kernel_server import KernelOrder

__all__ = ["KERNEL_LIMIT_S", "ForkedKernel", "KernelServer", "managers"]

KERNEL_LIMIT_S: Final = 300
"""How long a kernel may take to start, on a machine that is busy with something else."""
_LOOK_S: Final = 0.05
_SERVER: Final = ("-m", "soaklib.commands.kernel_server")


class KernelServer:
    """The process that kernels are forked from: begins to import as soon as it is made, and ends with its kernels."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        self._orders.settimeout(KERNEL_LIMIT_S)
        self._answers = self._orders.makefile("r", encoding="ascii")
        self._one_at_a_time = Lock()
        self._ready = False
        descriptor = theirs.fileno()
        # -P: modules are not looked for in the folder that the report is asked for in
        command = [sys.executable, "-P", *_SERVER, str(descriptor)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, with a module of ours
                command, stdin=subprocess.DEVNULL, pass_fds=[descriptor], start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._answers.close()
        self._orders.close()

    def fork(self, order: KernelOrder) -> ForkedKernel:
        """Start a kernel; wait until the imports are done, where they are not.

        Raises
        ------
        RuntimeError
            The server has ended, or does not answer.
        """
        try:
            with self._one_at_a_time:
                self._ready = self._ready or self._answers.readline() == "ready\n"
                self._orders.sendall(json.dumps(order).encode() + b"\n")
                answer = self._answers.readline()
            return ForkedKernel(int(answer))
        except (OSError, ValueError, psutil.Error) as exc:
            msg = "the process that kernels are forked from has ended, or does not answer"
            raise RuntimeError(msg) from exc

    def end(self) -> None:
        """End the server and every kernel; a thread that waits for one waits no longer."""
        with suppress(OSError):  # it has ended, and nobody is at the other end
            self._orders.shutdown(socket.SHUT_RDWR)
        if not self._ready:  # so nobody has asked it for a kernel yet
            self._process.kill()
        self._process.wait()


class ForkedKernel:
    """What jupyter_client asks of a ``Popen``, for a process that is a child of another."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid
        self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Give None while it runs; then 1, since only its parent hears how it ended."""
        try:
            return 1 if self._process.status() == psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return 1

    def wait(self) -> int:
        """Wait until it has ended."""
        while (code := self.poll()) is None:
            time.sleep(_LOOK_S)  # it is nobody's child here, so that nothing tells of its end
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        with suppress(psutil.NoSuchProcess):
            self._process.kill()

    terminate = kill


def managers(server: KernelServer) -> type[AsyncKernelManager]:
    """Give the class of kernel managers whose kernels are forked from a server.

    Raises
    ------
    ModuleNotFoundError
        jupyter_client is not installed.
    """
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415 - takes long: only a report pays for it
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner  # noqa: PLC0415 - as the line above

    class Provisioner(LocalProvisioner):
        process: Any  # what it asks of a Popen, a ForkedKernel has

        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002 - see below
            """Fork, whichever Python `cmd` names: a report's notebooks are executed by the report's own."""
            manager: Any = self.parent
            order: KernelOrder = {
                "arguments": ["-f", manager.connection_file, "--HistoryManager.hist_file=:memory:"],
                "cwd": os.fspath(kwargs.get("cwd") or Path.cwd()),
                "env": dict(kwargs["env"]),
            }
            self.process = server.fork(order)
            self.pid = self.pgid = self.process.pid
            return self.connection_info

    class Manager(AsyncKernelManager):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.provisioner = Provisioner(kernel_spec=self.kernel_spec, parent=self)

    return Manager
