"""The terminal is closed, a pipe is gone: a soak ends in order or goes on, and loses nothing either way."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from soak_hour import write_soak_hour

import soaklib
from soaklib.commands.terminal import new_console
from soaklib.commands.verdict_table import show_verdicts
from soaklib.records import Verdict

SHORT = ("--hours", "0.2", "--speed", "120", "--rps", "0.5", "--no-report")


def wait_for_load(log):
    ends = time.monotonic() + 60
    while not (log.exists() and "SOAK_TEST_STARTED" in log.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.slow
def test_closing_the_terminal_stops_the_soak_in_order(tmp_path):
    """SIGHUP, and a terminal that takes no word any more: code 129, summary, bundle, policies removed."""
    terminal, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *SHORT, "--out", str(tmp_path)],
        stdin=child, stdout=child, stderr=child, start_new_session=True,
        # what opens a terminal as the leader of a session has it for its own
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509 - this process has one thread
    ) as process:  # fmt: skip
        os.close(child)
        wait_for_load(tmp_path / "latest" / "soak-events.log")
        os.close(terminal)
        assert process.wait(timeout=60) == 128 + signal.SIGHUP
    folder = (tmp_path / "latest").resolve()
    assert json.loads((folder / "soak-summary.json").read_text())["status"] == "interrupted"
    assert (folder / f"soak-artifacts-{folder.name}.tar.gz").exists()
    log = (folder / "soak-events.log").read_text()
    assert log.index("POLICIES_REMOVED") < log.index("SOAK_TEST_INTERRUPTED")


@pytest.mark.slow
def test_under_nohup_a_soak_goes_on_without_its_terminal_and_its_reader(tmp_path):
    """SIGHUP does nothing, words go nowhere, and the run is completed with its own exit code."""
    with subprocess.Popen(
        [shutil.which("nohup"), sys.executable, "-m", "soaklib.run", *SHORT, "--out", str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        wait_for_load(tmp_path / "latest" / "soak-events.log")
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        code = process.wait(timeout=60)
    summary = json.loads((tmp_path / "latest" / "soak-summary.json").read_text())
    assert summary["status"] == "completed"
    assert code == int(any(verdict["state"] == "fail" for verdict in summary["verdicts"]))
    with soaklib.open_run(tmp_path / "latest") as run:
        assert run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item() == 360


@pytest.mark.slow
def test_a_terminal_that_stands_still_holds_up_no_soak(tmp_path):
    """Nobody reads on, as after Ctrl-S or under a pager: the load goes on to its end, and the verdicts wait."""
    terminal, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *SHORT, "--out", str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=child, text=True,
    ) as process:  # fmt: skip
        log = tmp_path / "latest" / "soak-events.log"
        while not (log.exists() and "SOAK_TEST_STARTED" in log.read_text()):
            os.read(terminal, 4096)
        beside = os.open(os.ttyname(child), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with contextlib.suppress(BlockingIOError):  # then it is full
            while True:
                os.write(beside, b"x" * 1024)
        ends = time.monotonic() + 60
        while "SOAK_TEST_COMPLETED" not in log.read_text():
            if time.monotonic() > ends:
                process.kill()
                pytest.fail("the soak is held up")
            time.sleep(0.05)
        os.close(beside)
        os.close(child)
        with contextlib.suppress(OSError):  # the other end is closed when the process has ended
            while True:
                os.read(terminal, 4096)
        folder = process.stdout.read().strip()
        assert process.wait(timeout=60) in (0, 1)
    os.close(terminal)
    assert folder == str((tmp_path / "latest").resolve())
    with soaklib.open_run(folder) as run:
        assert run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item() == 360


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A short soak of which 20 columns without colour were told: the ended process and the folder."""
    folder = tmp_path_factory.mktemp("narrow")
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    ended = subprocess.run(
        [
            sys.executable, "-m", "soaklib.run", "--hours", "0.05", "--speed", "120", "--no-report", "--out",
            str(folder),
        ],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
        env=environment | {"COLUMNS": "20", "TERM": "dumb"},
    )  # fmt: skip
    return ended, (folder / "latest").resolve()


@pytest.mark.slow
def test_a_soak_shows_its_verdicts_in_twenty_columns(narrow):
    """Where a name takes several lines, the result is on standard output all the same, and there is no escape."""
    ended, folder = narrow
    assert ended.stdout.splitlines() == [str(folder)]
    assert "\x1b[" not in ended.stderr
    assert " planned calls: " in ended.stderr, "the last line of what is shown of the verdicts"


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "colour"), [("60", "NO_COLOR"), ("200", "FORCE_COLOR")])
def test_any_width_and_no_colour_show_every_verdict(narrow, monkeypatch, capsys, columns, colour):
    """In 60 columns and in 200: every criterion is named, and there is no escape unasked."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv(colour, "1")
    summary = json.loads((narrow[1] / "soak-summary.json").read_text())
    verdicts = [Verdict(**verdict) for verdict in summary["verdicts"]]
    show_verdicts(verdicts, summary, new_console())
    told = capsys.readouterr().err
    assert ("\x1b[" in told) == (colour == "FORCE_COLOR")
    words = " ".join(told.split())
    assert len(verdicts) > 20
    assert [verdict.name for verdict in verdicts if verdict.name.split()[0] not in words] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_report_that_is_stopped_ends_in_order(tmp_path, number):
    """In the middle of a notebook: one sentence, 128 + n, no traceback, and no kernel is left behind."""
    write_soak_hour(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "soaklib.report", str(tmp_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        while "00-run-summary" not in process.stderr.readline():
            assert process.poll() is None
        kernels = []
        while not kernels:
            kernels = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"soaklib: stopped by {number.name}" in stderr.splitlines()
    assert "Traceback" not in stderr
    assert psutil.wait_procs(kernels, timeout=10)[1] == []


@pytest.mark.slow
def test_a_log_on_a_full_disk_costs_the_run_nothing(tmp_path):
    """Neither stream takes a byte: verdicts, summary and bundle are there, and the code is that of the verdicts."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(
            [sys.executable, "-m", "soaklib.run", *SHORT, "--out", str(tmp_path)],
            stdin=subprocess.DEVNULL, stdout=full, stderr=full, check=False, timeout=90,
        )  # fmt: skip
    folder = (tmp_path / "latest").resolve()
    summary = json.loads((folder / "soak-summary.json").read_text())
    assert summary["status"] == "completed"
    assert ended.returncode == int(any(verdict["state"] == "fail" for verdict in summary["verdicts"]))
    assert (folder / f"soak-artifacts-{folder.name}.tar.gz").exists()
