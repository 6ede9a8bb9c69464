"""How much memory this process may use, and how much of that a database connection takes.

A container's limit is that of its control group (:mod:`soaklib.safety.control_groups`).
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

from soaklib.safety.control_groups import PROC, group_folders, numbers_in

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["database_memory", "usable_memory_bytes"]

_SHARE: Final = (
    2  # a connection takes at most one part in so many: the process around it, and its kernels, need some too
)
_LIMITS: Final = {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.high")}


def database_memory(most_bytes: int) -> str:
    """Give DuckDB's setting ``memory_limit`` for a connection that takes so much, or less where there is less.

    Parameters
    ----------
    most_bytes
        What it takes where there is plenty.
    """
    return f"{min(most_bytes, usable_memory_bytes() // _SHARE)}B"


def usable_memory_bytes(proc: Path = PROC) -> int:
    """Give the least of what the machine has, what its control groups allow and what its address space may grow to.

    Parameters
    ----------
    proc
        The folder in which the kernel tells of this process: its groups, and where their file systems are mounted.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for version, folder in group_folders("memory", proc):
        for name in _LIMITS[version]:
            limits += numbers_in(folder / name)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)
