"""Short soaks of real MCP gateways, begun as a person would, killed and resumed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import soaklib

_ALLOWED_S = 240
_TELLS = re.compile(r"\d\d:\d\d:\d\dZ ")


def begin(gateway, folder, *flags, edits=(), plan=None):
    """Begin a soak of a gateway by its own plan or a shipped one, shortened by edits of its text."""
    command = gateway.soak_command(
        "--no-report", "--no-preflight", "--thresholds.late-ms", "2000", "--out", str(folder / "runs"), *flags
    )
    if plan is None:
        text = Path(command[3]).read_text()
        for there, here in edits:
            assert there in text, there
            text = text.replace(there, here)
        plan = folder / "plan.toml"
        plan.write_text(text)
    command[3] = str(plan)
    return start(command, gateway)


def start(command, gateway):
    """Start a command with the gateway's keys in its environment."""
    return subprocess.Popen(
        command, env=os.environ | gateway.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def check(gateway, *flags):
    """Try everything beforehand, as its own plan says it; give the exit code and what was said."""
    process = start(gateway.soak_command("--check", *flags), gateway)
    out, err = process.communicate(timeout=_ALLOWED_S)
    return process.returncode, out + err


def ended(process):
    """Wait for the end of a soak; give its run."""
    out, err = process.communicate(timeout=_ALLOWED_S)
    assert process.returncode in (0, 1), err  # some criteria of so short a soak are not met
    return soaklib.open_run(out.splitlines()[-1])


def until_it_tells(process):
    """Wait for the first line that a soak says of its calls, which begins with the time of day."""
    said = ""
    while not _TELLS.match(line := process.stderr.readline()):
        said += line
        if not line:
            process.communicate()
            pytest.fail(f"the soak ended: {said}")


def kill(process, folder):
    """Kill a soak once it has told of its first calls; give its folder."""
    until_it_tells(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [run] = (path for path in (folder / "runs").iterdir() if path.is_dir() and not path.is_symlink())
    return run


def resume(gateway, run):
    """Begin to resume a run."""
    return start([gateway.soak_command()[0], "run", "--resume", str(run)], gateway)


def failures(run):
    """Give what failed, and for whom."""
    query = "select distinct purpose, role, tool, kind, reason, \"limit\" from outcomes where kind <> 'ok' order by all"
    return run.sql(query).rows()


def book_of(run):
    """Give the book of sessions that the run told at its end."""
    told = run.sql("select data from events where name = 'SESSIONS_CLOSED' order by at_us desc limit 1").item()
    return json.loads(told)


def ask(url, body=None, **headers):
    """Send JSON to a server that the test started; give the JSON of its answer, None for one that is no success."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | headers)  # noqa: S310 - loopback
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        return json.load(answer)
    return None
