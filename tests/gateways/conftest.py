"""Real gateways for tests, on the loopback, each with the soak's own mock upstream behind it.

They are installed by ``scripts/setup gateways``. Without it a test skips, except where the environment has CI=true.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "gateways"))

from gateways import Gateway, is_installed


@contextmanager
def _running(name, folder):
    if not is_installed(name):
        reason = f"{name} is not installed: run `scripts/setup gateways {name}`"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with Gateway(name, folder) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def real_gateway():
    """Give what starts a real gateway by its name in a folder, as a context; without it the test ends here."""
    return _running
