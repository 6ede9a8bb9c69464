"""Short turns on the processor for the thread that sends, so that a call leaves when it is due beside what computes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Final

__all__ = ["ask_for_short_slices"]

_SLICE_NS: Final = 100_000
"""The least that Linux gives. Its own is some milliseconds: so long a thread that is woken up waits for another."""
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, which Python has no function for, nor has a C library of before 2025."""
_SCHED_ATTR: Final = "IIQiIQQQ"
"""As sched_setattr(2) lays it out: size, policy, flags, nice, priority, and three times, the slice first."""


def ask_for_short_slices() -> bool:
    """Ask Linux for slices of a tenth of a millisecond for this thread, and for what it starts from here on.

    What is short is served soon: EEVDF, the scheduler since Linux 6.6, takes the thread whose slice is due first, and
    heeds since 6.12 how long a slice is wanted [1]_. The share of the processor stays what it was.

    Returns
    -------
    bool
        Whether it was taken. An older kernel takes it and does nothing; another system is not asked.

    References
    ----------
    .. [1] https://docs.kernel.org/scheduler/sched-eevdf.html
    """
    number = _SCHED_SETATTR.get(platform.machine()) if sys.platform == "linux" else None
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    size = struct.calcsize(_SCHED_ATTR)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = struct.pack(_SCHED_ATTR, size, os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, wanted, 0) == 0)
