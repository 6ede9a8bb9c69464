"""What tests of several parts share: a real rehearsal, made once, and helpers to look at it."""

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

# a busy machine is slow, not wrong; and what CI says must be the same when it is asked again
hypothesis.settings.register_profile("soaklib", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("soaklib")

sys.path.insert(0, str(Path(__file__).parent))  # for the helper modules beside this file

from rehearsals import REHEARSAL, Rehearsal, run_command  # noqa: E402 - found by the line above


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory):
    """A rehearsal of two soak-hours against the embedded gateway."""
    return Rehearsal(run_command(*REHEARSAL, "--out", str(tmp_path_factory.mktemp("runs"))))


@pytest.fixture
def hangup_is_heard():
    """Let SIGHUP do what it does by default; it is ignored, here and in what is started here, under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
