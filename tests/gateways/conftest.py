"""Real gateways for tests, on the loopback, each with the soak's own mock upstream behind it.

They are installed by ``scripts/setup gateways``. Without it a test skips, except where the environment has CI=true:
there ``scripts/test`` installs them before the tests, and a test that is run by itself installs what it needs.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "gateways"))

from gateways import ROOT, Gateway, is_installed

_INSTALL_S = 900


@contextmanager
def _running(name, folder):
    if os.environ.get("CI") == "true":
        subprocess.run([ROOT / "scripts" / "setup", "gateways", name], check=True, timeout=_INSTALL_S)
    elif not is_installed(name):
        pytest.skip(f"{name} is not installed: run `scripts/setup gateways {name}`")
    with Gateway(name, folder) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def real_gateway():
    """Give what starts a real gateway by its name in a folder, as a context; without it the test ends here."""
    return _running


def _started(name):
    @pytest.fixture(scope="module", name=name)
    def started(real_gateway, tmp_path_factory):
        with real_gateway(name, tmp_path_factory.mktemp(name) / "here") as gateway:
            yield gateway

    return started


contextforge, fastmcp, litellm = map(_started, ("contextforge", "fastmcp", "litellm"))
"""A real gateway by its name, started once a file."""
