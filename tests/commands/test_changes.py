"""The command for changes by hand, at the reference gateway."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import duckdb
import orjson
import polars as pl
import pytest
import trustme
from kept_events import KeptEvents

import soaklib
from soaklib.commands.changes import _default_tool, _settled, main
from soaklib.commands.rehearsal import EmbeddedGateway
from soaklib.errors import RunError
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.inbox import watch_inbox
from soaklib.runner.journal import Debt, UndoJournal
from soaklib.store.lock import RunLock
from soaklib.targets.base import Wire


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """The base URL of a reference gateway."""
    with EmbeddedGateway(load_settings([]), tmp_path_factory.mktemp("gateway") / "gateway.log") as running:
        policy = {"name": "p", "role": "r", "spec": {"scopes": ["openai:chat"], "quotas": [QUOTA]}}
        ask(running.url, "POST", "/api/policies", policy)
        yield running.url


QUOTA = {"action": "openai:chat", "limit": 100, "window": "1h"}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """No variable of the caller counts, and what is to be restored is kept in the test's own folder."""
    for name in ("GATEWAY_URL", "SOAK_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def ask(url, method, path, body=None):
    """Send a request, give the answer's JSON."""
    data = None if body is None else orjson.dumps(body)
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return orjson.loads(answer.read())


def done(capsys, *arguments):
    """Run the command; give its exit code and its one line."""
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out.strip() or told.err.strip()


@pytest.mark.slow
def test_each_change_is_really_done_and_put_back(gateway, capsys):
    """As the gateway's own routes show; asked twice, the second time is told to have had nothing to do."""
    at = ("--gateway-url", gateway)
    assert done(capsys, "health-check", *at) == (0, "healthy and ready")

    assert done(capsys, "chaos-on", "--mode", "jitter", "--pct", "20", *at)[0] == 0
    assert ask(gateway, "GET", "/api/admin/chaos") == {"activeChaos": [["openai", {"mode": "jitter", "pct": 20}]]}
    assert done(capsys, "chaos-on", "--mode", "jitter", "--pct", "20", *at)[1].startswith("chaos is on already")
    assert done(capsys, "chaos-off", *at) == (0, "chaos is off: openai")
    assert done(capsys, "chaos-off", *at) == (0, "no chaos was on")
    assert ask(gateway, "GET", "/api/admin/chaos") == {"activeChaos": []}

    assert done(capsys, "rotate-credentials", "--tool", "serpapi", *at)[0] == 0
    first = ask(gateway, "GET", "/api/admin/creds/serpapi")
    assert first["version"].startswith("by-hand-")

    assert done(capsys, "update-policy", "--limit", "5", *at)[0] == 0
    assert limits(gateway) == [5]
    assert done(capsys, "update-policy", "--limit", "5", *at) == (0, "the limit is 5 already")
    assert done(capsys, "update-policy", "--restore", *at)[0] == 0
    assert limits(gateway) == [100]
    assert done(capsys, "update-policy", "--restore", *at)[1].startswith("nothing to restore")


def limits(gateway):
    """Give the limits of all quotas."""
    return [quota["limit"] for policy in ask(gateway, "GET", "/api/policies") for quota in policy["spec"]["quotas"]]


@pytest.mark.slow
def test_a_rotation_is_put_back_to_the_credential_before_it(gateway, capsys):
    """The same id is active again."""
    at = ("--tool", "http_fetch", "--gateway-url", gateway)
    body = {"tool": "http_fetch", "version": "v1", "credential": "x"}
    before = ask(gateway, "POST", "/api/admin/creds/set", body)["id"]
    ask(gateway, "POST", "/api/admin/creds/activate", {"id": before})
    for _ in range(2):
        assert done(capsys, "rotate-credentials", *at)[0] == 0
    assert ask(gateway, "GET", "/api/admin/creds/http_fetch")["id"] != before
    assert done(capsys, "rotate-credentials", "--restore", *at)[0] == 0
    assert ask(gateway, "GET", "/api/admin/creds/http_fetch")["id"] == before


@pytest.fixture
def run_folder(rehearsal, gateway, tmp_path):
    """A run whose gateway is the one of these tests."""
    folder = tmp_path / "run"
    shutil.copytree(rehearsal.folder, folder)
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        connection.execute("update run set target = ?", [gateway]).fetchall()
    return folder


class _Ended(Exception):  # noqa: N818 - no error
    """The watching is over."""


def test_a_run_that_is_going_on_has_the_change_as_events(run_folder, capsys):
    """The run's own gateway is changed, and the runner finds gate, change and gate in its inbox."""
    events, stop = KeptEvents(), threading.Event()

    async def soon(_seconds):
        if stop.is_set():
            raise _Ended
        await asyncio.sleep(0.01)

    def watch():
        with pytest.raises(_Ended):
            asyncio.run(watch_inbox(run_folder, events, sleep=soon))

    runner = threading.Thread(target=watch)
    with RunLock(run_folder):
        runner.start()
        try:
            assert done(capsys, "chaos-on", "--run", str(run_folder))[0] == 0
            assert done(capsys, "chaos-off", "--run", str(run_folder)) == (0, "chaos is off: openai")
        finally:
            stop.set()
            runner.join()
    written = [(name, detail.partition(": ")[2], key.partition(":")[0]) for name, detail, key in events.written]
    assert written == [
        ("HEALTH_GATE_PASSED", "before chaos-on: healthy and ready", "inbox"),
        ("CHAOS_MODE_ON", "tool=openai mode=500 pct=50", "inbox"),
        ("HEALTH_GATE_PASSED", "after chaos-on: healthy and ready", "inbox"),
        ("CHAOS_MODE_OFF", "tool=openai", "inbox"),
    ]


def test_a_run_that_has_ended_gets_no_event(run_folder, capsys):
    """The change is made at its gateway, and it is said that nothing is written."""
    assert main(["health-check", "--run", str(run_folder)]) == 0
    told = capsys.readouterr()
    assert told.out == "healthy and ready\n"
    assert told.err.endswith("is not going on: no event is written\n")
    assert not (run_folder / "inbox").exists()


def test_chaos_that_is_switched_off_is_owed_no_more(run_folder, capsys):
    """The journal of a killed run is settled, and it is said what else it owes; all of it, and the file goes."""
    journal = UndoJournal(run_folder)
    for debt in (Debt("chaos", "openai"), Debt("chaos", "serpapi"), Debt("upstream", "slow")):
        journal.owe(debt, Wire("DELETE", f"/of/{debt.subject}", {}, None))
    assert main(["chaos-off", "--tool", "openai", "--run", str(run_folder)]) == 0
    assert list(UndoJournal(run_folder)) == [Debt("chaos", "serpapi"), Debt("upstream", "slow")]
    assert capsys.readouterr().err.splitlines()[-1] == (
        "the run still owes the end of chaos serpapi (DELETE /of/serpapi), upstream slow (DELETE /of/slow); "
        f"python -m soaklib.run --resume {run_folder} takes it back"
    )
    assert main(["chaos-off", "--run", str(run_folder)]) == 0
    assert list(UndoJournal(run_folder)) == [Debt("upstream", "slow")]
    UndoJournal(run_folder).settle(Debt("upstream", "slow"))
    assert _settled(run_folder, None) is None


def test_the_journal_of_a_run_that_is_taken_up_again_is_left_to_it(tmp_path, monkeypatch):
    """Its runner began after it was looked at, and takes back what it owes by itself."""

    def owned(_folder):
        message = "the run is owned by a live process"
        raise RunError(message)

    monkeypatch.setattr("soaklib.commands.changes.RunLock", owned)
    UndoJournal(tmp_path).owe(Debt("chaos", "openai"))
    assert _settled(tmp_path, None).endswith("was left as it is: the run is owned by a live process")
    assert list(UndoJournal(tmp_path)) == [Debt("chaos", "openai")]


def test_another_gateway_than_the_runs_is_refused(run_folder, gateway, capsys):
    """One of the two was not meant."""
    code, said = done(capsys, "health-check", "--run", str(run_folder), "--gateway-url", "http://127.0.0.1:9")
    assert code == 2
    assert said == (
        f"soaklib: --gateway-url http://127.0.0.1:9 is not the gateway of the run, {gateway}: leave one of them out"
    )


@pytest.mark.parametrize("change", ["health-check", "chaos-off", "rotate-credentials"])
def test_a_gateway_of_another_kind_is_asked_for_nothing(change, tmp_path, capsys, monkeypatch):
    """LiteLLM's /health calls every model, and costs money: the run's plan is the place for its changes."""
    plan = load_plan(Path(str(files("soaklib.plan").joinpath("litellm.toml"))))
    info = SimpleNamespace(plan=plan, run_id="run-1", target="http://127.0.0.1:9", settings={})
    opened = contextlib.nullcontext(SimpleNamespace(info=info))
    monkeypatch.setattr("soaklib.commands.changes.find_run", lambda _: tmp_path)
    monkeypatch.setattr("soaklib.commands.changes.open_run", lambda _: opened)
    code, said = done(capsys, change, "--run", "run-1")
    assert code == 2
    assert said == (
        "soaklib: the gateway of the run run-1 is of kind 'openai', whose changes are not made by hand: put them into "
        "its plan"
    )


def _named_by_the_run(folder, **named):
    """Let a run's row name what it was started with."""
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        [(settings,)] = connection.execute("select settings from run").fetchall()
        settings = orjson.loads(settings) | named
        connection.execute("update run set settings = ?", [orjson.dumps(settings).decode()]).fetchall()


@pytest.mark.parametrize("going_on", [False, True])
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_what_a_strangers_folder_names_is_not_sent_where_it_says(run_folder, capsys, monkeypatch, going_on, mode):
    """Only a run that is going on in a folder of one's own is believed; else the command line must say it too."""
    monkeypatch.setenv("PRECIOUS", "secret")
    _named_by_the_run(run_folder, header_env=["X-Key=PRECIOUS"])
    run_folder.chmod(mode)
    with RunLock(run_folder) if going_on else contextlib.nullcontext():
        code, said = done(capsys, "health-check", "--run", str(run_folder))
    if going_on and mode == 0o700:
        assert (code, said) == (0, "healthy and ready")
    else:
        assert code == 2
        assert said.endswith("so what its file names is not used unseen: pass --header-env as well")


def test_the_admin_token_goes_to_a_strangers_gateway_only_if_it_is_named(run_folder, gateway, capsys, monkeypatch):
    """On the command line, or in the environment."""
    monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", "secret")
    code, said = done(capsys, "health-check", "--run", str(run_folder))
    assert (code, said.endswith("pass --gateway-url as well")) == (2, True)
    assert main(["health-check", "--run", str(run_folder), "--gateway-url", gateway]) == 0
    monkeypatch.setenv("GATEWAY_URL", f"{gateway}/")
    assert main(["health-check", "--run", str(run_folder)]) == 0


def test_headers_that_are_named_are_sent_with_the_gateway_that_is(run_folder, gateway, capsys, monkeypatch):
    """Both together are enough, and a file with authorities must be named like them."""
    monkeypatch.setenv("PRECIOUS", "secret")
    _named_by_the_run(run_folder, header_env=["X-Key=PRECIOUS"], ca_file="/theirs.pem")
    at = ("health-check", "--run", str(run_folder), "--header-env", "X-Key=PRECIOUS")
    assert done(capsys, *at)[1].endswith("pass --ca-file and --gateway-url as well")
    ca_file = run_folder / "ours.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    assert main([*at, "--gateway-url", gateway, "--ca-file", str(ca_file)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("health-check",), "soaklib: no gateway is named: pass --gateway-url URL, --run RUN, or set GATEWAY_URL"),
        (("health-check", "--gateway-url", "nonsense"), "must be a base URL such as http://127.0.0.1:3000"),
        (("health-check", "--run", "no-such-run"), "soaklib: there is no run 'no-such-run'"),
        (("health-check", "--header-env", "A=NO_SUCH", "--gateway-url", "http://127.0.0.1:9"), "NO_SUCH is not set"),
    ],
)
def test_bad_settings_are_a_sentence_and_code_2(capsys, arguments, said):
    """Nothing is sent."""
    code, told = done(capsys, *arguments)
    assert (code, said in told) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("update-policy",), "one of the arguments --limit --restore is required"),
        (("update-policy", "--limit", "0"), "'0' is no whole number from 1 to 1,000,000,000,000"),
        (("chaos-on", "--pct", "101"), "'101' is no whole number from 1 to 100"),
        (("chaos-on", "--tool", "../x"), "'../x' is no tool: letters, digits, _ . and -"),
        (("chaos-on", "--mode", "200"), "invalid choice: '200'"),
        (("explode",), "invalid choice: 'explode'"),
        ((), "the following arguments are required: CHANGE"),
    ],
)
def test_bad_usage_is_code_2(capsys, arguments, said):
    """With the parser's words."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_gateway_that_is_not_there_is_code_3(capsys):
    """The address is told, and why nothing came from there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        code, said = done(capsys, "chaos-on", "--gateway-url", f"http://127.0.0.1:{port}")
    assert code == 3
    assert said == (
        "soaklib: chaos-on was not done, since the gateway is not fit for it: "
        f"GET /health got no answer: cannot connect to 127.0.0.1 port {port}: Connection refused"
    )


@pytest.mark.slow
def test_an_admin_token_goes_with_every_call(tmp_path, capsys, monkeypatch):
    """A gateway that asks for one is changed with it, and answers 401 without."""
    monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", "open sesame")
    with EmbeddedGateway(load_settings([]), tmp_path / "gateway.log") as running:
        assert done(capsys, "chaos-on", "--gateway-url", running.url)[0] == 0
        monkeypatch.delenv("SOAK_GATEWAY_ADMIN_TOKEN")
        code, said = done(capsys, "chaos-on", "--mode", "jitter", "--gateway-url", running.url)
    assert code == 3
    assert said == 'soaklib: GET /api/admin/chaos was answered with 401: {"error":"Admin token required"}'


@pytest.mark.slow
def test_a_real_run_writes_a_change_by_hand_down_among_its_own(tmp_path, capsys):
    """Its event log and its table hold the event once, and its embedded gateway was really changed."""
    command = [sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--rps", "0.2", "--no-report"]
    command += ["--out", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            folder = tmp_path / "latest"
            log = folder / "soak-events.log"
            while not (log.exists() and "SOAK_TEST_STARTED" in log.read_text()):
                assert process.poll() is None
                time.sleep(0.05)  # a real process takes real time
            assert done(capsys, "update-policy", "--limit", "17", "--run", str(folder))[0] == 0
            assert done(capsys, "update-policy", "--restore", "--run", str(folder))[0] == 0
            process.wait(120)
        finally:
            process.kill()
    with soaklib.open_run(folder) as run:
        details = run.events().filter(pl.col("name").str.starts_with("POLICY_UPDATED"))["detail"].to_list()
    by_hand = [detail.partition(": ")[2] for detail in details if detail.startswith("by hand at ")]
    assert [detail.partition(" ")[2] for detail in by_hand] == [
        "action=openai:chat limit=17 was=432", "action=openai:chat limit=432",
    ]  # fmt: skip
    assert all(log.read_text().count(detail) == 1 for detail in by_hand)


@pytest.mark.parametrize(
    ("change", "of_the_default", "of_the_example"),
    [("rotate-credentials", "openai", "slack"), ("chaos-on", "openai", "jira"), ("update-policy", "openai", "slack")],
)
def test_without_a_tool_the_one_of_the_runs_own_change_is_meant(change, of_the_default, of_the_example):
    """That of the plan where a run is named; the default plan's without one."""
    example = load_plan(Path(str(files("soaklib.plan").joinpath("example_plan.toml"))))
    assert _default_tool(change, None) == of_the_default
    assert _default_tool(change, SimpleNamespace(plan=load_plan())) == of_the_default
    assert _default_tool(change, SimpleNamespace(plan=example)) == of_the_example
    assert _default_tool(change, SimpleNamespace(plan=example.model_copy(update={"changes": ()}))) == "jira"
