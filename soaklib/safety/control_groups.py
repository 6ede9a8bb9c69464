"""What the control groups around this process allow: a container's limits are far below what the machine has.

They are asked for at each use: an administrator may change them while a run goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PROC", "cpu_limit", "group_folders", "lines_of", "numbers_in", "process_limit"]

PROC: Final = Path("/proc/self")
"""Where the kernel tells of this process: its groups, and where their file systems are mounted."""


def cpu_limit(proc: Path = PROC) -> float | None:
    """Give how many processors' worth of time the groups allow; None where there is no limit."""
    shares: list[float] = []
    for version, folder in group_folders("cpu", proc):
        if version == 2:  # noqa: PLR2004 - of control groups
            words = [line.split() for line in lines_of(folder / "cpu.max")]
            shares += [int(quota) / int(period) for quota, period in words if quota.isdigit()]
        else:
            quota, period = (list(numbers_in(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
            shares += [quota[0] / period[0]] if quota and period else []  # a quota of -1 is none, and no number here
    return min(shares, default=None)


def process_limit(proc: Path = PROC) -> int | None:
    """Give how many processes and threads the groups allow; None where there is no limit."""
    limits = [number for _, folder in group_folders("pids", proc) for number in numbers_in(folder / "pids.max")]
    return min(limits, default=None)


def group_folders(controller: str, proc: Path = PROC) -> Iterator[tuple[int, Path]]:
    """Give the folders of the groups that a process is in, those above them included, each with its version."""
    groups = _groups(proc)
    for line in lines_of(proc / "mountinfo"):
        # mount id, parent, device, root, mount point, options, ..., "-", type, source, super options
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[0], *after.split(" ", 2)[1:]
        if kind not in {"cgroup", "cgroup2"} or (kind == "cgroup" and controller not in options.split(",")):
            continue
        root, mounted_at = (_unescaped(word) for word in before.split(" ")[3:5])
        group = groups.get("" if kind == "cgroup2" else controller)
        if group is None:
            continue
        # The mount shows a part of the tree, from `root` on. A group outside of it is one that a container's own
        # view hides: then the mount point itself is where the container's limit stands.
        inside = Path(group).relative_to(root) if Path(group).is_relative_to(root) else Path()
        folder = Path(mounted_at) / inside
        for where in (folder, *folder.parents):
            yield (2 if kind == "cgroup2" else 1), where
            if where == Path(mounted_at):
                break


def numbers_in(path: Path) -> Iterator[int]:
    """Give the numbers that stand in a file, one a line; it is "max" where there is no limit."""
    for line in lines_of(path):
        if line.isdigit():
            yield int(line)


def lines_of(path: Path) -> list[str]:
    """Give a file's lines; none where there is no such file: the platform has no such limits, or hides them."""
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _groups(proc: Path) -> dict[str, str]:
    """Give the process's group by controller; that of version 2 by the empty name."""
    found: dict[str, str] = {}
    for line in lines_of(proc / "cgroup"):
        _, controllers, group = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _unescaped(word: str) -> str:
    """Give a path of ``mountinfo`` as it is; the kernel writes a blank in it as its octal code."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word
