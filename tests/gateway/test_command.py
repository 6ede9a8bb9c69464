"""``python -m soaklib.gateway`` as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Return what starts the command; a process that a failed test left is killed."""
    started = []

    def run(*arguments, **more):
        process = subprocess.Popen(
            [sys.executable, "-m", "soaklib.gateway", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def finish(process):
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_then_a_clean_end(start, number, tmp_path):
    """It prints one JSON line when it is listening, and a signal ends it with code 0 and the log written."""
    path = tmp_path / "log.sqlite"
    process = start("--database-url", f"sqlite:///{path}")
    ready = json.loads(process.stdout.readline())
    assert ready["pid"] == process.pid
    with urllib.request.urlopen(f"{ready['url']}/health", timeout=10) as answer:  # noqa: S310 - loopback
        assert answer.status == 200
    process.send_signal(number)
    assert finish(process)[:2] == (0, "")
    assert path.stat().st_size > 0


def test_it_ends_with_its_parent(start):
    """With --exit-with-parent the end of stdin ends it; without, it goes on."""
    watching, deaf = start("--exit-with-parent"), start()
    for process in (watching, deaf):
        assert process.stdout.readline()
        process.stdin.close()
    assert watching.wait(20) == 0
    assert deaf.poll() is None
    deaf.terminate()
    assert deaf.wait(20) == 0


def test_a_port_in_use(start):
    """A taken port is told in a sentence, exit code 3, nothing on stdout."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = finish(start("--port", str(port)))
    assert (code, out) == (3, "")
    assert err.splitlines()[-1] == f"Port {port} on 127.0.0.1 is in use. Choose another one; --port 0 takes a free one."


def test_a_database_that_cannot_be_opened(start, tmp_path):
    """A database in a folder that is not there: a sentence, exit code 3."""
    code, out, err = finish(start("--database-url", f"sqlite:///{tmp_path}/nowhere/x.sqlite"))
    assert (code, out) == (3, "")
    assert err.splitlines()[-1].startswith("The database cannot be opened: ")


def test_bad_options(start):
    """A fault that does not exist: a sentence with those that do, exit code 2."""
    code, out, err = finish(start("--fault", "no_such=1"))
    assert (code, out) == (2, "")
    assert "There is no fault 'no_such'. The faults are: drop_increments, " in err


def test_no_temporary_file_is_left(start, tmp_path):
    """The private database of a gateway without --database-url is gone after its end."""
    process = start(env=os.environ | {"TMPDIR": str(tmp_path)})
    process.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    finish(process)
    assert list(tmp_path.iterdir()) == []
