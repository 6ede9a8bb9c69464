"""A reference gateway that a test has to itself, in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from typing import NamedTuple


class RunningGateway(NamedTuple):
    """A reference gateway that listens.

    Attributes
    ----------
    process
        Its process, whose standard input keeps it alive.
    said
        What it said as it began to listen.
    """

    process: subprocess.Popen
    said: dict

    @property
    def url(self):
        """Where it listens."""
        return self.said["url"]


@contextlib.contextmanager
def running_gateway(*arguments, **variables):
    """Run ``python -m soaklib.gateway`` on a free port; it ends with this block, or with this process.

    Parameters
    ----------
    *arguments
        Further ones.
    **variables
        Of its environment, beside those here.
    """
    command = [sys.executable, "-m", "soaklib.gateway", "--port", "0", "--exit-with-parent", *arguments]
    # under NODE_ENV=production it refuses chaos
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"} | variables
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield RunningGateway(process, json.loads(process.stdout.readline()))
        finally:
            process.terminate()
