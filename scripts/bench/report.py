"""How long the report of a run takes, stage by stage, and the memory it needs: claims, notebooks, whitepaper.

    .venv/bin/python scripts/bench/report.py RUN [--keep]

The report is made on a copy of the run that only links to its data, so that the run's folder stays as it is; `--keep`
says where the copy is instead of deleting it. Memory is that of this process and its kernels together, looked at five
times a second; pages that forked kernels share are counted in each. CPU seconds are those of all together: on a machine
that is busy with something else they say more than the wall's. What is to be held: 864,000 slots in 30 s, 86 million
rows in 150 s and 3 GB.
`scripts/bench/bigrun.py` makes runs of these sizes.
"""

import argparse
import resource
import shutil
import tempfile
import threading
import time
from pathlib import Path

import psutil

from soaklib.analysis.sources.run import find_run
from soaklib.commands.report import build_report
from soaklib.store.tables import DATABASE_NAME

LOOK_S = 0.2
MIB = 1 << 20


class Stages:
    """Seconds and peak memory of each stage, as the report tells its beginning."""

    def __init__(self):
        self.rows = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._watch.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._watch.join()
        self.begin("end", 0, 0)
        self.rows.pop()

    def begin(self, name, _place, _count):
        """End the stage before and begin this one."""
        now = time.monotonic()
        if self.rows:
            self.rows[-1][1] = now - self.rows[-1][1]
        self.rows.append([name, now, 0.0])

    def _look(self):
        me = psutil.Process()
        while not self._over.wait(LOOK_S):
            used = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    used += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # a kernel that has just ended
            if self.rows:
                self.rows[-1][2] = max(self.rows[-1][2], used / MIB)


def cpu_s():
    """Give the CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main():
    """Make the report, and print its stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder or id of a run")
    parser.add_argument("--keep", action="store_true", help="keep the copy with the report")
    options = parser.parse_args()
    source = find_run(options.run).resolve()
    copy = Path(tempfile.mkdtemp(prefix="soaklib-bench-"))
    (copy / DATABASE_NAME).symlink_to(source / DATABASE_NAME)
    begun = time.monotonic()
    try:
        with Stages() as stages:
            build_report(copy, started=stages.begin)
        for name, seconds, peak_mib in stages.rows:
            print(f"{name:24} {seconds:8.1f} s {peak_mib:8,.0f} MiB")
        peak_mib = max(peak for _, _, peak in stages.rows)
        print(f"{'all':24} {time.monotonic() - begun:8.1f} s {peak_mib:8,.0f} MiB {cpu_s():8.1f} s of CPU")
    finally:
        if options.keep:
            print(copy)
        else:
            shutil.rmtree(copy)


if __name__ == "__main__":
    main()
