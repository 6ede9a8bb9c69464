"""How much memory a process may use: the least that anything allows."""

import os
import resource
from contextlib import closing

import pytest
from stored_rows import MANIFEST

from soaklib.safety.memory import database_memory, usable_memory_bytes
from soaklib.store.live import Publisher, open_live
from soaklib.store.reader import open_read_only
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

ASKED = "select current_setting('memory_limit')"
MACHINE_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


@pytest.fixture
def tell(tmp_path):
    """Give a function that makes what the kernel would tell: groups, mounts, and the limits in their folders."""

    def write(groups, mounts, limits):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text("".join(f"{line}\n" for line in groups))
        lines = [
            f"{number} 1 0:{number} {root} {tmp_path / place} rw,relatime shared:9 - {kind} {kind} rw,{options}\n"
            for number, (root, place, kind, options) in enumerate(mounts)
        ]
        (proc / "mountinfo").write_text("".join(lines).replace("unified with blank", r"unified\040with\040blank"))
        for name, text in limits.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return proc

    return write


V2 = ("/", "fs/cgroup", "cgroup2", "nsdelegate")
V1 = ("/", "fs/cgroup/memory", "cgroup", "memory")
CASES = {
    "version 2, of the group itself": (["0::/a/b"], [V2], {"fs/cgroup/a/b/memory.max": 512 * MIB}, 512),
    "version 2, of a group above": (
        ["0::/a/b"], [V2], {"fs/cgroup/a/b/memory.max": "max", "fs/cgroup/a/memory.max": 300 * MIB}, 300,
    ),
    "version 2, the least on the path": (
        ["0::/a/b"], [V2], {"fs/cgroup/a/b/memory.max": 400 * MIB, "fs/cgroup/a/memory.max": 200 * MIB}, 200,
    ),
    "version 2, where it is slowed down": (
        ["0::/a"], [V2], {"fs/cgroup/a/memory.max": "max", "fs/cgroup/a/memory.high": 100 * MIB}, 100,
    ),
    "version 2, a container's own view": (["0::/"], [V2], {"fs/cgroup/memory.max": 64 * MIB}, 64),
    "version 2, a container that sees its mount alone": (
        ["0::/../../x"], [("/docker/c1", "fs/cgroup", "cgroup2", "")], {"fs/cgroup/memory.max": 96 * MIB}, 96,
    ),
    "version 1": (
        ["5:cpu,cpuacct:/z", "4:memory:/a"], [("/", "fs/cgroup/cpu", "cgroup", "cpu,cpuacct"), V1],
        {"fs/cgroup/memory/a/memory.limit_in_bytes": 128 * MIB, "fs/cgroup/cpu/z/memory.limit_in_bytes": 1}, 128,
    ),
    "version 1, a container's part of the tree": (
        ["4:memory:/docker/c1"], [("/docker/c1", "fs/cgroup/memory", "cgroup", "memory")],
        {"fs/cgroup/memory/memory.limit_in_bytes": 80 * MIB}, 80,
    ),
    "both": (
        ["4:memory:/a", "0::/b"], [V1, ("/", "fs/cgroup/unified with blank", "cgroup2", "")],
        {
            "fs/cgroup/memory/a/memory.limit_in_bytes": 200 * MIB,
            "fs/cgroup/unified with blank/b/memory.max": 150 * MIB,
        }, 150,
    ),
    "no limit at all": (
        ["4:memory:/a", "0::/"], [V1, ("/", "fs/cgroup/unified", "cgroup2", "")],
        {"fs/cgroup/memory/a/memory.limit_in_bytes": 2**63 - 4096, "fs/cgroup/unified/memory.max": "max"},
        MACHINE_BYTES / MIB,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_control_groups_limit_counts(tell, monkeypatch, case):
    """Of version 1 and 2, of the process's group and of those above it, wherever they are mounted."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    groups, mounts, limits, expected_mib = CASES[case]
    assert usable_memory_bytes(tell(groups, mounts, limits)) == expected_mib * MIB


def test_without_control_groups_it_is_what_the_machine_has(tmp_path, monkeypatch):
    """Nothing is told of groups: another platform, or a kernel without them."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert usable_memory_bytes(tmp_path) == MACHINE_BYTES


def test_the_address_space_counts(tmp_path, monkeypatch):
    """As `ulimit -v` bounds it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (70 * MIB, 70 * MIB))
    assert usable_memory_bytes(tmp_path) == 70 * MIB


def test_a_connection_takes_half_of_it_at_most(monkeypatch):
    """And no more than it asks for."""
    monkeypatch.setattr("soaklib.safety.memory.usable_memory_bytes", lambda: 1000 * MIB)
    assert database_memory(64 * MIB) == f"{64 * MIB}B"
    assert database_memory(2048 * MIB) == f"{500 * MIB}B"


def test_every_connection_where_there_is_little_memory_is_bounded(tmp_path, monkeypatch):
    """A writer of a recovery, a reader of its file, and one of what a recorder publishes: half of 600 MB at most."""
    monkeypatch.setattr("soaklib.safety.memory.usable_memory_bytes", lambda: 600 * MIB)
    path = tmp_path / DATABASE_NAME
    writer = RunWriter(path, memory_limit_mb=1024)
    assert writer.read(ASKED) == [("300.0 MiB",)]
    writer.begin_run(MANIFEST)
    publisher = Publisher(tmp_path, writer.cursor, warn=print)
    publisher.start()
    with closing(open_live(tmp_path)) as live:
        assert live.execute(ASKED).fetchone() == ("300.0 MiB",)
    publisher.stop()
    writer.close()
    with open_read_only(path) as reader:
        assert reader.execute(ASKED).fetchone() == ("300.0 MiB",)
