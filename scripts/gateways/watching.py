"""Reads memory and CPU time of a gateway from outside, all of its processes together, while it is soaked."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import contextmanager
from typing import Final

import psutil

from soaklib.digests.process import PROCESS_SCHEMA

_EVERY_S: Final = 5.0
_HEAD: Final = ",".join(PROCESS_SCHEMA) + "\n"


class Tree:
    """A process and what it started.

    Parameters
    ----------
    pid
        Of the first of them.
    """

    def __init__(self, pid):
        self._first = psutil.Process(pid)
        self._cpu_s = {}

    def read(self):
        """Give the bytes resident, the seconds of CPU so far, those of processes that ended included, and how many."""
        resident, number = 0, 0
        for process in [self._first, *self._first.children(recursive=True)]:
            try:
                with process.oneshot():
                    resident += process.memory_info().rss
                    used = process.cpu_times()
                    self._cpu_s[process.pid, process.create_time()] = used.user + used.system
                    number += 1
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # it ended meanwhile
        return resident, sum(self._cpu_s.values()), number


@contextmanager
def watching(pid, path, *, every_s=_EVERY_S):
    """Read a process and its children into a file until the context ends, or the process does."""
    ended = threading.Event()
    tree = Tree(pid)

    def watch():
        with path.open("w") as file:
            file.write(_HEAD)
            while True:
                try:
                    resident, cpu_s, number = tree.read()
                except psutil.NoSuchProcess:
                    return
                at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
                file.write(f"{at},{resident},{cpu_s:.2f},{number}\n")
                file.flush()
                if ended.wait(every_s):
                    return

    thread = threading.Thread(target=watch, name="watching", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
