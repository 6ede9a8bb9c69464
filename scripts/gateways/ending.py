"""How a gateway that was started here is ended: all of its processes, by the number of their group."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

import psutil

_TERM_S: Final = 10.0
_POLL_S: Final = 0.1


def end(process):
    """End a process that was started here, and its group, also where it has ended before its workers; at last by force.

    It is waited for when no other is left: until then its number, which the group has, is nobody else's.
    """
    if process is None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not _lives(process.pid):
            break
        with contextlib.suppress(ProcessLookupError):  # the last one has ended by now
            os.killpg(process.pid, sign)
        deadline_s = time.monotonic() + _TERM_S
        while _lives(process.pid) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _lives(group):
    """Say whether a process of a group lives; one that has ended and was not waited for does not."""
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(one.pid) == group and one.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def code_of(process):
    """Give how a process has ended, as ``poll`` does, which waits for it; None where it lives."""
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
