"""The rehearsal's gateway, as a process beside the runner."""

import os
from pathlib import Path

import psutil
import pytest

from soaklib.commands.rehearsal import EmbeddedGateway
from soaklib.plan.loading import load_settings

pytestmark = pytest.mark.slow


def gateways():
    """Give the gateways among this process's children: a fixture that lasts longer may have one, too."""
    return {one for one in psutil.Process().children() if "soaklib.gateway" in " ".join(one.cmdline())}


def test_no_command_line_shows_the_database(tmp_path):
    """Its URL may hold a password, and every user of a machine can read what processes were started with."""
    url = f"sqlite:///{tmp_path / 'gateway.sqlite'}"
    before = gateways()
    with EmbeddedGateway(load_settings(["--database-url", url]), tmp_path / "gateway.log") as gateway:
        [child] = gateways() - before
        shown = Path(f"/proc/{child.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        assert gateway.database_url == url
    assert "gateway.sqlite" not in shown
    assert "--port 0 --exit-with-parent" in shown
    assert (tmp_path / "gateway.sqlite").exists(), "it was used all the same"


@pytest.mark.parametrize("stray", ["sqlite:////nowhere/at/all", "no url"])
def test_a_database_that_the_run_does_not_know_is_not_used(tmp_path, monkeypatch, stray):
    """What stands in the environment for a gateway started by hand is nothing to a rehearsal."""
    monkeypatch.setitem(os.environ, "SOAK_GATEWAY_DATABASE_URL", stray)
    with EmbeddedGateway(load_settings([]), tmp_path / "gateway.log") as gateway:
        assert gateway.database_url.startswith("sqlite:////")
        assert "nowhere" not in gateway.database_url
