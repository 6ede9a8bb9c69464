"""Kernels forked from a process that has its imports done."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import nbformat
import psutil
import pytest

from soaklib.commands import forked, kernel_server
from soaklib.commands.forked import ForkedKernel, KernelServer
from soaklib.commands.kernels import execute_all

pytestmark = pytest.mark.slow  # every one starts processes

_IDLE = """
import socket, sys, time
from soaklib.commands import kernel_server
kernel_server._be_kernel = lambda order: time.sleep(600)
kernel_server.serve(socket.socket(fileno=int(sys.argv[1])))
"""


@pytest.fixture
def idle(monkeypatch):
    """Servers that import nothing, whose kernels sleep."""
    monkeypatch.setattr(forked, "_SERVER", ("-c", _IDLE))


def _order(folder):
    return {"arguments": ["-f", str(folder / "kernel.json")], "cwd": str(folder), "env": dict(os.environ)}


def _execute(tmp_path, server, *sources):
    """Give the text that each cell printed."""
    cells = [nbformat.v4.new_code_cell(source) for source in ("run_id = None", *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "source.ipynb")
    (tmp_path / "executed").mkdir(exist_ok=True)
    [made] = execute_all({tmp_path / "source.ipynb": {}}, tmp_path / "executed", server, started=lambda _: None)
    return ["".join(output.text for output in cell.outputs) for cell in nbformat.read(made, as_version=4).cells[1:]]


def test_the_server_has_no_pool_that_a_fork_would_lose():
    """DuckDB, polars and libzmq begin theirs in the kernels; OpenBLAS's own is switched off to be able to tell."""
    code = (
        "from pathlib import Path; from soaklib.commands.kernel_server import import_all; import_all(); "
        "print(*sorted(thread.read_text().strip() for thread in Path('/proc/self/task').glob('*/comm')))"
    )
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    names = [name for name in told.stdout.split() if name != "jemalloc_bg_thd"]
    own, *others = sorted(names, key=lambda name: not name.startswith("python"))
    assert own.startswith("python")
    assert others == ["polars-ooc-clea"]  # deletes what was spilled, and nothing waits for it


def test_what_is_imported_beforehand_exists():
    """A name that a newer version has no more would be imported by each kernel, silently."""
    assert [module for module in kernel_server._IMPORTED_WHEN_USED if find_spec(module) is None] == []


def test_kernels_compute_on_several_threads_and_know_nothing_of_one_another(tmp_path, monkeypatch):
    """DuckDB, polars and NumPy work in one kernel after the other; each has its own folder, environment and names."""
    monkeypatch.setenv("SOAKLIB_TEST_OF_ENVIRONMENT", "before")
    compute = (
        "import duckdb, numpy as np, polars as pl\n"
        "assert 'left_behind' not in globals()\n"
        "left_behind = 1\n"
        "rows = duckdb.sql('select range % 7 as key, range as n from range(2000000)').pl()\n"
        "summed = rows.lazy().group_by('key').agg(pl.col('n').sum()).collect()['n'].sum()\n"
        "square = np.ones((300, 300)) @ np.ones((300, 300))\n"
        "print(summed, square.sum())"
    )
    where = "import os; print(os.getcwd(), os.environ['SOAKLIB_TEST_OF_ENVIRONMENT'])"
    with KernelServer() as server:
        monkeypatch.setenv("SOAKLIB_TEST_OF_ENVIRONMENT", "after")
        for _ in range(3):
            assert _execute(tmp_path, server, compute, where) == [
                "1999999000000 27000000.0\n",
                f"{tmp_path / 'executed'} after\n",
            ]


@pytest.mark.usefixtures("idle")
def test_kernels_end_with_their_server(tmp_path):
    """Killed, whatever they do; a server that is not ready yet is not waited for."""
    with KernelServer() as server:
        kernel = server.fork(_order(tmp_path))
        process = psutil.Process(kernel.pid)
        assert process.parent().pid == server._process.pid
        assert kernel.poll() is None
        server.end()
        assert not process.is_running()
        assert kernel.wait() == 1
        kernel.kill()  # nobody is there, and nobody minds
    with KernelServer() as server:
        server.end()
        assert server._process.returncode is not None


def test_a_kernel_ends_when_its_server_is_killed(tmp_path):
    """It looks itself, once a second, whether its parent is there."""
    folder = {"transport": "ipc", "ip": str(tmp_path / "k"), "key": "", "signature_scheme": "hmac-sha256"}
    ports = {f"{name}_port": n for n, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)}
    (tmp_path / "kernel.json").write_text(json.dumps(folder | ports))
    with KernelServer() as server:
        process = psutil.Process(server.fork(_order(tmp_path)).pid)
        while not (tmp_path / "k-5").exists():  # its heart beats: it is up
            assert process.is_running()
            time.sleep(0.05)
        server._process.send_signal(signal.SIGKILL)
        process.wait(30)


@pytest.mark.usefixtures("idle")
def test_a_kernel_that_has_ended_is_told(tmp_path):
    """Its number stays its own until the server ends."""
    with KernelServer() as server:
        kernel = server.fork(_order(tmp_path))
        kernel.kill()
        assert kernel.wait() == 1
        assert psutil.pid_exists(kernel.pid)


@pytest.mark.usefixtures("idle")
def test_a_server_that_has_ended_is_a_sentence(tmp_path):
    """No kernel comes of it."""
    with KernelServer() as server:
        server._process.kill()
        server._process.wait()
        with pytest.raises(RuntimeError, match=r"^the process that kernels are forked from has ended"):
            server.fork(_order(tmp_path))


def test_a_process_that_is_gone_counts_as_ended():
    """Whoever else waited for it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        kernel = ForkedKernel(process.pid)
        assert kernel.poll() is None
        kernel.send_signal(signal.SIGTERM)
        process.wait()
    assert kernel.poll() == 1
