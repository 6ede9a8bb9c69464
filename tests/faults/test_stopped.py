"""Processes that stand still: a gateway's stall shows in full, the generator's own is not held against the gateway."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from rehearsals import run_command, side_by_side
from running_gateway import running_gateway

import soaklib

pytestmark = pytest.mark.slow

SPEED = 240
STALL_S = 8.0
SLOTS = 720  # of 15 s of load


def own_gateway():
    """Start a reference gateway."""
    return running_gateway("--speed", str(SPEED))


def start(url, out):
    """Start a soak, and wait until it is in the middle of its load."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "soaklib.run", "--gateway-url", url, "--rps", "0.2", "--speed", str(SPEED),
            "--hours", "1", "--no-report", "--out", str(out),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    log = out / "latest" / "soak-events.log"
    while not log.exists() or "SOAK_TEST_STARTED" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(2)  # real load takes real time
    return process


def stall(process):
    """Let a process stand still for a while."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(STALL_S)
    process.send_signal(signal.SIGCONT)


def stalled_gateway(out):
    with own_gateway() as own:
        runner = start(own.url, out)
        stall(own.process)
        return runner.wait(timeout=150)


def stalled_generator(out):
    with own_gateway() as own:
        runner = start(own.url, out)
        stall(runner)
        return runner.wait(timeout=150)


def gateway_down(out):
    with own_gateway() as own:
        runner = start(own.url, out)
        own.process.kill()
        return runner.wait(timeout=150)


def restarted(out):
    return run_command(
        "--hours", "0.5", "--speed", "120", "--rps", "0.5", "--no-report", "--out", str(out),
        "--gateway-fault", "restart_at=600",
    )  # fmt: skip


def hopeless(out):
    return run_command(
        "--hours", "1", "--speed", "120", "--no-report", "--out", str(out), "--gateway-fault", "fail_pct=100",
        "--abort-when", "success_rate < 50 for 5m",
    )  # fmt: skip


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """Of a soak, all of which are made at the same time: its folder, and what was given at its end."""
    soaks = (stalled_gateway, stalled_generator, gateway_down, restarted, hopeless)
    folders = {soak: tmp_path_factory.mktemp(soak.__name__) for soak in soaks}
    ended = side_by_side({soak: partial(soak, folder) for soak, folder in folders.items()})
    return lambda soak: (folders[soak] / "latest", ended[soak].result())


def quantile_s(run, measure, level):
    # the stall outlasts the tokens, so that most of what waited is refused in the end: the wait is that of all calls
    frame = soaklib.latency(run, "all", by=(), quantiles=(level,), whom="all")
    return frame.filter(measure=measure)["latency_ms"].item() / 1000


def test_a_gateway_that_stands_still_shows_in_full_in_the_response_times(soaked):
    """Of 15 s of load, 8 s of standing still are a half: the upper half of the calls waited, up to the whole stall."""
    folder, _ = soaked(stalled_gateway)
    with soaklib.open_run(folder) as run:
        # what a busy machine takes for the calls that piled up is added to all of them
        assert STALL_S - 0.5 < quantile_s(run, "response", 0.99) < STALL_S + 5
        assert STALL_S / 2 - 1 < quantile_s(run, "response", 0.75) < STALL_S
        assert run.sql("select count(*) from outcomes where kind in ('dropped', 'timeout')").item() == 0


def test_a_generator_that_stands_still_invalidates_its_windows_and_nothing_else(soaked):
    """Every slot still leaves, late and with its lag; the windows are invalid, and the gateway is not blamed."""
    folder, _ = soaked(stalled_generator)
    with soaklib.open_run(folder) as run:
        slots, largest_lag_us = run.sql(
            "select count(distinct slot), max(sent_at_us - planned_at_us) from outcomes where purpose = 'load'"
        ).row(0)
        windows = run.sql("select start_s, end_s from invalid_windows")
        verdicts = soaklib.criteria(run)
        said = run.events().filter(name="LATE_SENDING").height
        shown = soaklib.marks(run).filter(kind="invalid").height
    assert slots == SLOTS
    assert STALL_S - 0.5 < largest_lag_us / 1e6 < STALL_S + 5
    assert (windows["end_s"] - windows["start_s"]).max() >= STALL_S * SPEED
    assert shown == windows.height > 0
    assert said >= 1
    judged = dict(verdicts.select("name", "state").iter_rows())
    assert judged["measurement valid"] == "fail"
    assert judged["no false-deny"] == "pass"
    [success] = verdicts.filter(name="success rate").iter_rows(named=True)
    # the calls that can be judged succeeded, and those are the smaller part: the gateway is neither blamed nor cleared
    assert success["measure"] > 97
    assert success["state"] == "insufficient"
    assert "less than half of the calls could be judged" in success["detail"]


def test_a_gateway_that_restarts_is_found_again_with_new_agents(soaked):
    """A restart that forgets agents, tokens and policies: new ones are made, an event says so, and the load goes on."""
    folder, ended = soaked(restarted)
    with soaklib.open_run(folder) as run:
        names = run.events()["name"].to_list()
        lost = run.sql("select count(*) from outcomes where reason = 'agent_not_found'").item()
        last = run.sql(
            "select count(*) filter (kind = 'ok') / count(*) from calls where purpose = 'load' and soak_s > 1000"
            " and soak_s < 1190"
        ).item()
    assert "AGENTS_LOST" in names
    assert names.count("AGENTS_CREATED") == 2
    assert 0 < lost < 300
    assert last > 0.98
    assert "Traceback" not in ended.stderr


def test_a_gateway_that_is_down_for_a_while_is_rows_and_no_end(soaked):
    """Calls to a killed gateway are transport errors, a row each; the run goes on to its end and fails its criteria."""
    folder, code = soaked(gateway_down)
    assert code == 1
    with soaklib.open_run(folder) as run:
        kinds = dict(run.sql("select kind, count(*) from outcomes where purpose = 'load' group by kind").iter_rows())
        slots = run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item()
        failed_scrapes = run.sql("select count(*) from scrapes where not ok and status is null").item()
        left = run.events().filter(name="POLICIES_NOT_REMOVED").height
    assert slots == SLOTS
    assert kinds["transport_error"] > 200
    assert failed_scrapes > 0
    assert left == 1


def test_a_hopeless_run_ends_by_its_stated_condition(soaked):
    """With every upstream call failing, --abort-when ends the run early: status failed, exit code 1, data kept."""
    folder, ended = soaked(hopeless)
    assert ended.returncode == 1
    assert "aborted: the success rate was below 50 % for 5 soak-minutes" in ended.stderr
    with soaklib.open_run(folder) as run:
        assert run.info.status == "failed"
        assert run.events()["name"][-1] == "SOAK_TEST_FAILED"
        assert run.sql("select max(soak_s) from calls").item() < 1800
