"""How much memory this process may use, and how much of that a database connection takes.

A container's limit is that of its control group, which is far below what the machine has. It is asked for at each use:
an administrator may change it while a run goes on.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["database_memory", "usable_memory_bytes"]

_SHARE: Final = (
    2  # a connection takes at most one part in so many: the process around it, and its kernels, need some too
)
_V2_LIMITS: Final = ("memory.max", "memory.high")
_V1_LIMITS: Final = ("memory.limit_in_bytes",)


def database_memory(most_bytes: int) -> str:
    """Give DuckDB's setting ``memory_limit`` for a connection that takes so much, or less where there is less.

    Parameters
    ----------
    most_bytes
        What it takes where there is plenty.
    """
    return f"{min(most_bytes, usable_memory_bytes() // _SHARE)}B"


def usable_memory_bytes(proc: Path = Path("/proc/self")) -> int:
    """Give the least of what the machine has, what its control groups allow and what its address space may grow to.

    Parameters
    ----------
    proc
        The folder in which the kernel tells of this process: its groups, and where their file systems are mounted.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_group_limits(proc)]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)


def _group_limits(proc: Path) -> Iterator[int]:
    """Give every limit on memory of the groups that a process is in, those above them included."""
    groups = _groups(proc)
    for line in _lines(proc / "mountinfo"):
        # mount id, parent, device, root, mount point, options, ..., "-", type, source, super options
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[0], *after.split(" ", 2)[1:]
        if kind not in {"cgroup", "cgroup2"} or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        root, mounted_at = (_unescaped(word) for word in before.split(" ")[3:5])
        group = groups.get("" if kind == "cgroup2" else "memory")
        if group is None:
            continue
        # The mount shows a part of the tree, from `root` on. A group outside of it is one that a container's own
        # view hides: then the mount point itself is where the container's limit stands.
        inside = Path(group).relative_to(root) if Path(group).is_relative_to(root) else Path()
        folder = Path(mounted_at) / inside
        for where in (folder, *folder.parents):
            yield from _limits_in(where, _V2_LIMITS if kind == "cgroup2" else _V1_LIMITS)
            if where == Path(mounted_at):
                break


def _groups(proc: Path) -> dict[str, str]:
    """Give the process's group by controller; that of version 2 by the empty name."""
    found: dict[str, str] = {}
    for line in _lines(proc / "cgroup"):
        _, controllers, group = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _limits_in(folder: Path, names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        for line in _lines(folder / name):
            if line.isdigit():  # it is "max" where there is none
                yield int(line)


def _lines(path: Path) -> list[str]:
    """Give a file's lines; none where there is no such file: the platform has no such limits, or hides them."""
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _unescaped(word: str) -> str:
    """Give a path of ``mountinfo`` as it is; the kernel writes a blank in it as its octal code."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word
