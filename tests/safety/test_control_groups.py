"""How much of the processors and how many processes a container's groups allow."""

import pytest

from soaklib.safety.control_groups import cpu_limit, process_limit


def told(folder, groups, mounts, limits):
    """Make what the kernel would tell: groups, mounts, and the limits in their folders."""
    proc = folder / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("".join(f"{line}\n" for line in groups))
    lines = [f"{n} 1 0:{n} / {folder / place} rw - {kind} {kind} rw,{what}\n" for n, (place, kind, what) in mounts]
    (proc / "mountinfo").write_text("".join(lines))
    for name, text in limits.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return proc


V2 = [(1, ("fs", "cgroup2", "nsdelegate"))]
V1 = [(1, ("fs/cpu", "cgroup", "cpu,cpuacct")), (2, ("fs/pids", "cgroup", "pids"))]
V1_GROUPS = ["3:cpu,cpuacct:/a", "2:pids:/a"]


@pytest.mark.parametrize(
    ("groups", "mounts", "limits", "allowed"),
    [
        (["0::/a/b"], V2, {"fs/a/b/cpu.max": "150000 100000", "fs/a/b/pids.max": "200"}, (1.5, 200)),
        (["0::/a/b"], V2, {"fs/a/b/cpu.max": "max 100000", "fs/a/cpu.max": "50000 100000"}, (0.5, None)),
        (["0::/a/b"], V2, {"fs/a/b/cpu.max": "max 100000", "fs/a/b/pids.max": "max"}, (None, None)),
        (["0::/a"], V2, {}, (None, None)),
        (V1_GROUPS, V1, {"fs/cpu/a/cpu.cfs_quota_us": "200000", "fs/cpu/a/cpu.cfs_period_us": "100000"}, (2.0, None)),
        (V1_GROUPS, V1, {"fs/cpu/a/cpu.cfs_quota_us": "-1", "fs/cpu/a/cpu.cfs_period_us": "100000"}, (None, None)),
        (V1_GROUPS, V1, {"fs/pids/a/pids.max": "64", "fs/pids/pids.max": "32"}, (None, 32)),
    ],
)
def test_the_least_on_the_path_counts(tmp_path, groups, mounts, limits, allowed):
    """Processors and processes, of either version; a group without a limit has none."""
    proc = told(tmp_path, groups, mounts, limits)
    assert (cpu_limit(proc), process_limit(proc)) == allowed


def test_a_platform_without_groups_has_no_limit(tmp_path):
    """Nothing is told there."""
    assert (cpu_limit(tmp_path), process_limit(tmp_path)) == (None, None)
