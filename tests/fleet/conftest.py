"""What fleets of real processes are tried on."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def gateway():
    """A reference gateway of its own, which outlives its runners."""
    process = subprocess.Popen(
        [sys.executable, "-m", "soaklib.gateway", "--port", "0", "--speed", "360"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.communicate()
