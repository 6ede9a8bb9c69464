"""A real Prometheus server for tests, on the loopback.

Needs ``prometheus`` and ``promtool`` (Debian package prometheus) on the path. Without them a test skips, except where
the environment has CI=true.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

_STARTUP_S = 30.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    """Give a port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def fetch(url, data=None):
    """GET a URL of the loopback, or POST JSON to it."""
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"} if data else {})  # noqa: S310 - loopback
    with _DIRECT.open(request, timeout=10) as answer:
        return answer.read()


def wait_for(condition, what):
    """Wait until a condition gives something true; a server that is not there yet is no error."""
    deadline_s = time.monotonic() + _STARTUP_S
    while time.monotonic() < deadline_s:
        try:
            if result := condition():
                return result
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    return pytest.fail(f"{what} did not come about within {_STARTUP_S:g} s")


def programs():
    """Give the paths of prometheus and promtool; the test ends here without them."""
    found = shutil.which("prometheus"), shutil.which("promtool")
    if None in found:
        reason = "no prometheus and promtool on the path: install the Debian package prometheus"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found


@contextmanager
def prometheus_server(folder, jobs, **flags):
    """Give the URL of a server that scrapes ``{job: host:port}`` every second and keeps its data in the folder."""
    program, _ = programs()
    scrapes = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in jobs.items()]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": scrapes}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
        "log.level": "error",
    } | flags
    with subprocess.Popen([program, *(f"--{name}={value}" for name, value in options.items())]) as running:
        try:
            wait_for(lambda: fetch(f"http://{address}/-/ready"), "the Prometheus server")
            yield f"http://{address}"
        finally:
            running.terminate()
