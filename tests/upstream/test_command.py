"""``python -m soaklib.upstream`` as a process."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.slow


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "soaklib.upstream", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_then_a_clean_end(number):
    """It prints one JSON line when it is listening, behaves as it was told, and a signal ends it with code 0."""
    with start("--behaviour", '{"mode": "503", "share": 0.5}') as process:
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        with urllib.request.urlopen(ready["url"] + "/control", timeout=10) as answer:  # noqa: S310 - loopback
            behaviour = json.load(answer)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (behaviour["mode"], behaviour["share"]) == ("503", 0.5)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_ends_with_its_parent():
    """With --exit-with-parent the end of stdin ends it."""
    with start("--exit-with-parent") as process:
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "a port is a number"),
        (["--behaviour", '{"share": 3}'], "share has to be"),
        (["--x"], "--x"),
    ],
)
def test_bad_usage(arguments, said):
    """A wrong flag or value ends it with code 2 and a sentence."""
    with start(*arguments) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    [line] = err.splitlines()
    assert said in line


def test_a_port_in_use():
    """An address that cannot be had ends it with code 3 and a sentence."""
    with start() as first:
        port = json.loads(first.stdout.readline())["url"].rpartition(":")[2]
        with start("--port", port) as second:
            _, err = second.communicate(timeout=20)
        first.terminate()
    assert second.returncode == 3
    assert err.startswith(f"Cannot listen on 127.0.0.1:{port}")
