"""A fleet of real processes while it runs."""

import contextlib
import json
import os
import subprocess
import sys
import time

import duckdb
import pytest

PATIENCE_S = 90.0

QUIET_DASK = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
"""Variables that keep Dask from watching itself fifty times a second, which costs more than all that it does here."""


class Running:
    """A run that is under way.

    Parameters
    ----------
    out
        Where it is to record.
    *arguments
        Those of ``soaklib run``.
    before
        What the command is started by.
    **more
        Variables of its environment.
    """

    def __init__(self, out, *arguments, before=(), **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
        self.out = out
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "soaklib.run", *arguments, "--no-report", "--out", str(out)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment | more,
        )  # fmt: skip

    @property
    def folder(self):
        [folder] = [path for path in self.out.glob("2*") if path.is_dir()]
        return folder

    def said(self, name, *, log="soak-events.log"):
        """Say whether an event has come."""
        with contextlib.suppress(ValueError, OSError):
            return name in (self.folder / log).read_text()
        return False

    def wait_for(self, name, *, log="soak-events.log"):
        """Wait for an event."""
        self.wait_until(lambda: self.said(name, log=log), name)

    def wait_until(self, is_so, what):
        """Wait until something is so."""
        ends = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self.process.poll() is None, self.process.stdout.read()
            if time.monotonic() > ends:
                pytest.fail(f"{what} did not come")
            time.sleep(0.05)  # it is other processes that are waited for

    def wait_for_lanes(self, *lanes):
        """Wait until lanes send."""
        for lane in lanes:
            self.wait_for("LANE_STARTED lane", log=f"lanes/{lane}/soak-events.log")

    def sender(self, lane):
        """Give the process that sends a lane."""
        return int(json.loads((self.folder / "lanes" / str(lane) / ".lock").read_text())["pid"])

    def end(self):
        """Let it come to its end; give what it said."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return said


def rows_of(folder, query):
    """Give what a query finds in a run."""
    with duckdb.connect(str(folder / "run.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()
