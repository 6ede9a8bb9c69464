"""Two rooms with a network of their own each, and cables between them that can be cut: namespaces of the kernel.

Needs ``ip``, ``nsenter`` and ``unshare`` (Debian packages iproute2 and util-linux). Without them a test skips, except
where the environment has CI=true; where the kernel makes no such namespace for this user it skips everywhere.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

_TO_ROOM = ("nsenter", "--preserve-credentials", "--user", "--net", "--target")


class Rooms:
    """A near room and a far one.

    Attributes
    ----------
    near, far
        What a command is started by, to run in it.
    """

    def __init__(self, near_pid, far_pid):
        self.near, self.far = (*_TO_ROOM, str(near_pid)), (*_TO_ROOM, str(far_pid))

    def lay_cable(self, number):
        """Lay a cable; give the near end's address and the far end's."""
        near, far = f"10.99.{number}.1", f"10.99.{number}.2"
        self._ip("link", "add", f"near{number}", "type", "veth", "peer", "name", f"far{number}")
        self._ip("link", "set", f"far{number}", "netns", self.far[-1])
        self._ip("addr", "add", f"{near}/24", "dev", f"near{number}")
        self._ip("link", "set", f"near{number}", "up")
        self._ip("addr", "add", f"{far}/24", "dev", f"far{number}", room=self.far)
        self._ip("link", "set", f"far{number}", "up", room=self.far)
        return near, far

    def plug(self, number, *, is_in):
        """Plug a cable in, or pull it out: what is sent over it is lost without a word, as in a network that is cut."""
        self._ip("link", "set", f"near{number}", "up" if is_in else "down")

    def _ip(self, *words, room=None):
        subprocess.run([*(room or self.near), "ip", *words], check=True, capture_output=True)


@contextmanager
def two_rooms():
    """Give two rooms; skip the test where the kernel, or the machine's owner, makes none for this user."""
    lacking = [program for program in ("ip", "nsenter", "unshare") if shutil.which(program) is None]
    if lacking:
        reason = f"no {', '.join(lacking)} on the path: install the Debian packages iproute2 and util-linux"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    started = []
    try:
        for before in ((), (*_TO_ROOM,)):
            inside = (*before, str(started[0].pid)) if before else ()
            words = [*inside, "unshare", *(("--net",) if before else ("--user", "--map-root-user", "--net"))]
            started.append(
                subprocess.Popen(
                    [*words, "sh", "-c", "ip link set lo up && echo ready && exec cat"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            if started[-1].stdout.readline() != "ready\n":
                pytest.skip(f"this machine makes no network for a test: {started[-1].communicate()[1].strip()}")
        yield Rooms(started[0].pid, started[1].pid)
    finally:
        for process in reversed(started):
            process.communicate()
