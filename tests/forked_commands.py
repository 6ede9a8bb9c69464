"""Soaks in processes of their own, forked from one that has imported what they import: a third of a short one's CPU."""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [f"soaklib.{name}" for name in ("commands.run", "evidence.collecting", "targets.fourrunr.target")]
    + ["scipy.special", "uvloop"]
)
_LOOKING = Lock()
"""Held by who looks at whether a process has ended; to start one looks at all, and an exit code can be read once."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def run_forked(arguments, *, env, cwd=None, timeout):
    """Do as ``subprocess.run`` does with ``python -m soaklib.run``, its output captured as text and no input."""
    with tempfile.TemporaryDirectory() as folder:
        told = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _FORKING.Process(target=_soak, args=([*arguments], dict(env), cwd or Path.cwd(), told))
        with _LOOKING:
            process.start()
        wait([process.sentinel], timeout)
        with _LOOKING:
            if process.is_alive():
                process.kill()
                process.join()
                raise subprocess.TimeoutExpired(["soaklib.run", *arguments], timeout)
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in told))


def _soak(arguments, env, cwd, told):
    """Become the command, with a standard input that is empty, and end as it would."""
    for descriptor, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), *((path, _NEW) for path in told)]):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (open(n, mode, closefd=False) for n, mode in enumerate("rww"))  # noqa: SIM115 - those of its process
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["soaklib.run", *arguments]
    from soaklib.commands.run import main  # noqa: PLC0415 - whoever asks for it does not need it

    try:
        sys.exit(main())
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out; temporary folders are removed by them
