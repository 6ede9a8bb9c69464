"""Debian's own systemd, with units of ours, as the first process of a room of the kernel, where it sees no other unit.

Needs systemd and ``unshare`` (Debian packages systemd and util-linux). Without them a test skips, except where the
environment has CI=true; where this user may not make such a room it skips everywhere.
"""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

_SYSTEMD, _SYSTEMCTL = Path("/usr/lib/systemd/systemd"), "/usr/bin/systemctl"
_GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
"""Where control groups of version 2 are, alone or beside those of version 1."""
_LAY_OVER = 'mount -t overlay overlay -o "lowerdir=$1:/opt" /opt'
_ROOM = (
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--cgroup", "--mount-proc",
    "--propagation", "private", "sh", "-c",
)  # fmt: skip
_START = f"""
set -e
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
mount --bind "$2" /var/lib
{_LAY_OVER}
exec env -i container=room PATH=/usr/local/bin:/usr/bin:/bin SYSTEMD_UNIT_PATH="$3/etc/systemd/system" \\
    {_SYSTEMD} --system --unit=timers.target --show-status=no
"""
_STUB = "[Unit]\nDefaultDependencies=no\n"
"""Of what every unit waits for by default."""
_TELL = """[Service]
StandardOutput=file:/var/lib/out
StandardError=file:/var/lib/err
ExecStopPost=+/bin/sh -c 'echo $$EXIT_STATUS > /var/lib/part && mv /var/lib/part /var/lib/ended'
"""
_GONE_S = 10
"""Within which the kernel takes away what was killed."""


def run_by_timer(name, units, *, opt, folder, within_s):
    """Enable a timer whose time was slept through; give what its service printed, and its code, when it has ended.

    Parameters
    ----------
    name
        Of the timer and of its service, without their endings.
    units
        The text of each unit, and of each drop-in, by its path below /etc/systemd/system.
    opt
        A folder whose entries are seen in /opt.
    folder
        Where the units are put, below ``root``, and what the service's /var/lib is, ``lib``: both are not there yet.
    within_s
        A bound on all of it, in wall seconds.
    """
    if shutil.which("unshare") is None or not _SYSTEMD.exists():
        reason = "no systemd or unshare here: install the Debian packages systemd and util-linux"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    if subprocess.run([*_ROOM, _LAY_OVER, "sh", opt], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not make a room with other files here, which only root may")
    state, root = folder / "lib", folder / "root"
    stamp = state / "systemd" / "timers" / f"stamp-{name}.timer"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    os.utime(stamp, (time.time() - 30 * 86_400,) * 2)
    stubs = {f"{target}.target": _STUB for target in ("sysinit", "basic", "timers", "network-online")}
    for path, text in (stubs | units | {f"{name}.service.d/tell.conf": _TELL}).items():
        unit = root / "etc" / "systemd" / "system" / path
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    subprocess.run([_SYSTEMCTL, f"--root={root}", "enable", f"{name}.timer"], check=True, capture_output=True)
    with _group() as entered, (folder / "said").open("wb") as said:
        systemd = subprocess.Popen([*entered, *_ROOM, _START, "sh", opt, state, root], stdout=said, stderr=said)
        try:
            until = time.monotonic() + within_s
            while not (state / "ended").exists():
                assert systemd.poll() is None, (folder / "said").read_text()
                assert time.monotonic() < until, f"{name}.service has not ended within {within_s} s: {_printed(state)}"
                time.sleep(0.2)  # systemd tells nobody else
        finally:
            systemd.kill()  # and with it all that is in its room
            systemd.wait()
    return subprocess.CompletedProcess(name, int((state / "ended").read_text()), **_printed(state))


def _printed(state):
    texts = {"stdout": state / "out", "stderr": state / "err"}
    return {name: path.read_text() if path.exists() else "" for name, path in texts.items()}


@contextmanager
def _group():
    """Make a control group for all that is in the room, and give the words that start a command in it.

    Without, systemd takes the group that the tests are in for its own, and moves whatever is in there.
    """
    place = next((place for place in _GROUPS if (place / "cgroup.controllers").exists()), None)
    if place is None:
        pytest.skip("the kernel has no control groups of version 2 here")
    [own] = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    group = place / own.lstrip("/") / f"room-{os.getpid()}"
    group.mkdir()
    try:
        yield ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', group]
    finally:
        until = time.monotonic() + _GONE_S
        for inner in [*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group]:
            while (inner / "cgroup.procs").read_text():
                assert time.monotonic() < until, f"there are still processes in {inner}"
                time.sleep(0.05)
            inner.rmdir()
