"""Holds the fast tests to what they are: tests that start no process."""

import multiprocessing.util
import sys
from contextlib import contextmanager

import pytest

_SPAWNS = "multiprocessing.util.spawnv_passfds"
_STARTS = {
    "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pty.spawn", _SPAWNS,
}  # fmt: skip
_LET_BE = "fc-list"
"""Matplotlib asks it once for a machine's fonts and keeps the answer, in whichever test is the first to draw."""


class ProcessGuard:
    """Fails a test that starts a process and is not marked as slow.

    It listens to the interpreter's own audit events, so that it does not matter how a process is started; what
    multiprocessing spawns has none.
    """

    def __init__(self):
        self._watched = None
        sys.addaudithook(self._hear)
        self._spawn = multiprocessing.util.spawnv_passfds
        multiprocessing.util.spawnv_passfds = self._heard_spawn

    @contextmanager
    def watching(self, item):
        """Watch while a test and its fixtures run."""
        self._watched = None if item.get_closest_marker("slow") else item.nodeid
        try:
            yield
        finally:
            self._watched = None

    def _heard_spawn(self, path, arguments, descriptors):
        self._hear(_SPAWNS, arguments)
        return self._spawn(path, arguments, descriptors)

    def _hear(self, event, arguments):
        if self._watched is None or event not in _STARTS:
            return
        if event == "subprocess.Popen" and str(arguments[0]).endswith(_LET_BE):
            return
        # an outcome of pytest is no Exception, so that what is tested cannot swallow it
        pytest.fail(f"{self._watched} starts a process ({event}: {arguments[0]!r}): mark it as slow", pytrace=False)
