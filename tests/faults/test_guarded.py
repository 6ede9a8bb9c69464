"""kill -9 of a runner while chaos is on: it goes off all the same, and nothing on the way sees the token."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.resources import files

import pytest
from running_gateway import running_gateway

TOKEN = "open sesame"  # noqa: S105 - this test's own


@pytest.fixture
def gateway():
    """A reference gateway of its own, at speed 120, that asks for a token."""
    with running_gateway("--speed", "120", SOAK_GATEWAY_ADMIN_TOKEN=TOKEN) as own:
        yield own


@pytest.fixture
def proxy():
    """A port that a proxy might have, where nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def told(gateway, path):
    """Give what the gateway says of itself."""
    request = urllib.request.Request(f"{gateway.url}{path}", headers={"X-Admin-Token": TOKEN})  # noqa: S310
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def chaos(gateway):
    """Give what the gateway says of its chaos."""
    return told(gateway, "/api/admin/chaos")["activeChaos"]


def policies(gateway):
    """Give which policies of a role of the plan it has."""
    return told(gateway, "/api/policies?role=scraper")


def wait_for(what, *, within_s=60):
    """Wait until it is so."""
    ends_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < ends_s
        time.sleep(0.05)  # real processes take real time


@pytest.fixture
def plan(tmp_path):
    """A plan whose chaos begins early and lasts."""
    text = files("soaklib.plan").joinpath("default_plan.toml").read_text("utf-8")
    [change] = re.findall(r"\[\[changes\]\]\ndo = \"chaos\"(?:\n.+)*", text)
    longer = re.sub(r"lasts = .*", "lasts = 0.3", re.sub(r"\nat = .*", "\nat = 0.02", change))
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(change, longer), "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kill", ["runner", "group"])
def test_chaos_goes_off_after_a_kill_and_no_proxy_sees_the_token(gateway, proxy, plan, tmp_path, kill):
    """The runner alone, or its whole process group: the guard clears up, straight at the gateway, policies too."""
    there = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
    environment |= dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"), there)
    runner = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--gateway-url", gateway.url, "--rps", "1", "--speed", "120",
            "--hours", "2", "--no-report", "--plan", str(plan), "--out", str(tmp_path / "runs"),
        ],
        env=environment | {"SOAK_GATEWAY_ADMIN_TOKEN": TOKEN}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with runner:
        wait_for(lambda: chaos(gateway) == [["openai", {"mode": "500", "pct": 50}]] or runner.poll() is not None)
        assert runner.poll() is None, runner.stderr.read()
        assert policies(gateway) != []
        if kill == "group":
            os.killpg(runner.pid, signal.SIGKILL)
        else:
            runner.kill()
        wait_for(lambda: chaos(gateway) == [])
        said = runner.stderr.read()  # which ends with the guard, and with the recorder
        assert policies(gateway) == []
    with pytest.raises(BlockingIOError):
        proxy.accept()
    assert "HTTP_PROXY, all_proxy, http_proxy, https_proxy is not obeyed" in said
    assert TOKEN not in said
    assert "Traceback" not in said
