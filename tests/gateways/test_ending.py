"""A gateway that is stopped leaves nothing of what it started, however its first process ended."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from gateways import Gateway, GatewayError, Recipe

pytestmark = pytest.mark.slow

WORKER = "import signal, time\nprint(flush=True)\ntime.sleep(300)"
STUBBORN = WORKER.replace("print", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint")
FIRST = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
worker.stdout.readline()
open(sys.argv[2], "w").write(str(worker.pid))
if sys.argv[3] == "stays":
    time.sleep(300)
sys.exit(7)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Give what starts a gateway of a worker, whose first process stays or ends; and its worker."""
    workers, path = [], tmp_path / "worker"

    def start(stays, worker=WORKER):
        command = [sys.executable, "-c", FIRST, worker, str(path), stays]
        recipe = Recipe(about="a test", ready="/", command=command, has_upstream=False, start_s=30.0)
        monkeypatch.setattr("gateways.recipe_of", lambda _name: recipe)
        gateway = Gateway("litellm", tmp_path / "gateway")
        gateway.folder.mkdir()
        monkeypatch.setattr(gateway, "_answers", path.exists)
        monkeypatch.setattr(gateway, "_filled", str)
        gateway.start()
        while not (said := path.read_text()):
            time.sleep(0.01)
        workers.append(psutil.Process(int(said)))
        return gateway, workers[-1]

    yield start
    for one in workers:
        if one.is_running():  # the same, not another with its number
            one.kill()


def _lives(worker):
    return worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("stays", ["stays", "ends"])
def test_workers_end_with_the_gateway_whether_its_first_process_lives_or_not(started, stays):
    """A first process that crashed has left its workers, which go on listening on the port."""
    gateway, worker = started(stays)
    first = gateway.pid
    if stays == "ends":
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert _lives(worker)
    gateway.stop()
    assert not _lives(worker)
    with pytest.raises(ChildProcessError):
        os.waitpid(first, os.WNOHANG)  # it was waited for


def test_a_worker_that_does_not_listen_is_ended_by_force(started, monkeypatch):
    """The first process ended at once when it was told to."""
    monkeypatch.setattr("ending._TERM_S", 0.3)
    gateway, worker = started("stays", STUBBORN)
    gateway.stop()
    assert not _lives(worker)


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)])
def test_a_gateway_that_ends_before_it_answers_is_told_with_its_code(monkeypatch, tmp_path, end, code):
    """And it is waited for."""
    command = [sys.executable, "-c", f"import os, sys\n{end}"]
    monkeypatch.setattr("gateways.recipe_of", lambda _: Recipe(about="", ready="/", command=command))
    gateway = Gateway("litellm", tmp_path)
    monkeypatch.setattr(gateway, "_answers", lambda: False)
    monkeypatch.setattr(gateway, "_filled", str)
    with pytest.raises(GatewayError, match=f"ended with {code} before it answered"):
        gateway.start()
    gateway.stop()
    assert not isinstance(gateway._process, subprocess.Popen)
