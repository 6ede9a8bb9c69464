"""A JupyterLab server of its own: loopback only, private folders, and nobody to phone."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import psutil

STARTUP_S = 60.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_OVERRIDES = {
    # every cell is in the page, so that what is asked of the page is asked of all cells
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


class Outside:
    """The proxy that server and browser are told to use for everything that is not loopback: it only takes notes."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def requests(self):
        """Give the first line of each request that was made to it since the last time."""
        lines = []
        while True:
            try:
                caller, _ = self._socket.accept()
            except BlockingIOError:
                return lines
            with caller:
                caller.settimeout(1)
                lines.append(caller.recv(1000).split(b"\r\n")[0].decode("ascii", "replace"))


class LabServer:
    """A running JupyterLab.

    Attributes
    ----------
    root
        The folder that it shows.
    url
        Its address, with a slash at the end.
    """

    def __init__(self, root, url, token):
        self.root = root
        self.url = url
        self._token = token

    def page(self, path):
        """Give the address that opens a file in a workspace of no other tabs."""
        return f"{self.url}lab/tree/{urllib.parse.quote(path)}?reset&token={self._token}"

    def set_theme(self, name):
        """Choose the theme that pages have from now on, as the settings editor would."""
        raw = json.dumps({"raw": json.dumps({"theme": name})})
        self._call("PUT", "lab/api/settings/@jupyterlab/apputils-extension:themes", raw)

    def end_kernels(self):
        """End the kernels of all notebooks."""
        for session in json.loads(self._call("GET", "api/sessions")):
            self._call("DELETE", f"api/sessions/{session['id']}")

    def _call(self, method, path, data=None):
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.url + path,
            data=None if data is None else data.encode(),
            method=method,
            headers={"Authorization": f"token {self._token}"},
        )
        with _DIRECT.open(request, timeout=30) as answer:
            return answer.read()


@contextmanager
def lab_server(root, private, outside):
    """Run JupyterLab on a free loopback port, and stop it and its kernels whatever happens.

    Parameters
    ----------
    root
        The folder that it shows.
    private
        An empty folder for its home, configuration and log.
    outside
        The :class:`Outside` that it is to use for what is not loopback.
    """
    overrides = private / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(_OVERRIDES), "utf-8")
    runtime, token = private / "runtime", secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={root}",
        "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    from matplotlib import get_cachedir  # noqa: PLC0415 - half a second of each worker that collects it

    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("JUPYTER", "SOAK_", "GATEWAY_", "XDG_"))
    }
    environment = inherited | {
        "HOME": str(private),
        "HTTP_PROXY": outside.url,
        "HTTPS_PROXY": outside.url,
        "IPYTHONDIR": str(private / "ipython"),
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_TOKEN": token,
        "MPLCONFIGDIR": get_cachedir(),  # a new home would have its list of fonts made anew
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with (private / "jupyterlab.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield LabServer(root, _wait_for_url(process, runtime, private / "jupyterlab.log"), token)
    finally:
        stop(process)


def _wait_for_url(process, runtime, log):
    told = runtime / f"jpserver-{process.pid}.json"
    deadline_s = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            url = json.loads(told.read_text("utf-8"))["url"]
            with _DIRECT.open(url + "api", timeout=5):
                return url
        except (FileNotFoundError, json.JSONDecodeError, urllib.error.URLError):
            time.sleep(0.1)
    msg = f"JupyterLab did not start within {STARTUP_S:g} s; it says: {log.read_text('utf-8', 'replace')[-2000:]}"
    raise RuntimeError(msg)


def stop(process, grace_s=15.0):
    """Stop a process of ours and those that it started: politely, then by force."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(started, timeout=2)
    for child in left:
        child.kill()
