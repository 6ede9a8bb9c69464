"""The command as a person or a script uses it."""

import asyncio
import errno
import io
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from rehearsals import REHEARSAL, Rehearsal, run_command
from rich.console import Console

import soaklib
from soaklib.commands import run
from soaklib.commands.folder import name_latest
from soaklib.commands.rehearsal import EmbeddedGateway
from soaklib.commands.terminal import new_console
from soaklib.errors import RecordingError
from soaklib.evidence.checking import verify
from soaklib.exposition.text import parse_exposition
from soaklib.plan.loading import load_settings
from soaklib.runner.recorder import Recorder
from soaklib.store.views import Segment

SLOTS, PROBES, ROTATIONS = 7200, 120, 7  # of two soak-hours at 1 slot a second


def test_a_rehearsal_passes_every_criterion_and_says_where_it_is(rehearsal):
    """Exit code 0, no criterion fails, and the last line of stdout is the folder."""
    failed = {name: verdict["detail"] for name, verdict in rehearsal.verdicts.items() if verdict["state"] == "fail"}
    assert failed == {}, rehearsal.ended.stderr
    assert rehearsal.ended.returncode == 0
    assert rehearsal.ended.stdout.splitlines() == [str(rehearsal.folder)]


def test_every_planned_call_is_one_row_and_the_totals_add_up(rehearsal):
    """Rows of outcomes, the summary's totals and its kinds are the same numbers."""
    with soaklib.open_run(rehearsal.folder) as run:
        planned = run.sql(
            "select count(distinct slot) filter (purpose = 'load') as slots,"
            " count(*) filter (purpose = 'probe') as probes, count(*) as n,"
            " count(distinct (purpose, slot, step)) as keys from outcomes"
        ).row(0, named=True)
        kinds = dict(run.sql("select kind, count(*) from outcomes group by kind").iter_rows())
    totals = rehearsal.summary["totals"]
    assert (planned["slots"], planned["probes"]) == (SLOTS, PROBES)
    assert planned["n"] == planned["keys"] == totals["total"] == sum(kinds.values())
    assert rehearsal.summary["kinds"] == kinds
    assert totals["ok"] + totals["denied"] + totals["fail"] == totals["total"]
    assert (totals["ok"], totals["denied"]) == (kinds["ok"], kinds["denied"])


def test_the_gateways_own_counters_agree_with_the_rows(rehearsal):
    """Its requests, denials and validations are the calls that the client saw executed, denied and sent."""
    exposed = parse_exposition((rehearsal.folder / "soak-final.prom").read_bytes()).samples
    counted = {"200": 0.0, "502": 0.0, "denials": 0.0}
    for sample in exposed:
        if sample.metric == "gateway_requests_total":
            counted[dict(sample.labels)["code"]] += sample.value
        elif sample.metric == "gateway_policy_denials_total":
            counted["denials"] += sample.value
    with soaklib.open_run(rehearsal.folder) as run:
        seen = run.sql(
            """select count(*) filter (status = 200)::DOUBLE as "200", count(*) filter (status = 502)::DOUBLE as "502",
                      count(*) filter (kind = 'denied')::DOUBLE as denials from outcomes"""
        ).row(0, named=True)
    assert counted == seen


def test_the_success_rate_follows_its_one_definition(rehearsal):
    """The summary's rate is what counting the frame in Python gives."""
    from soaklib.records import counts_towards_success, is_success  # noqa: PLC0415 - beside its use

    with soaklib.open_run(rehearsal.folder) as run:
        rows = run.outcomes(columns=["purpose", "kind", "expected", "reason"]).rows()
    counted = [row for row in rows if counts_towards_success(*row)]
    rate = 100 * sum(is_success(kind, expected) for _, kind, expected, _ in counted) / len(counted)
    assert rehearsal.summary["success_rate"] == pytest.approx(rate, abs=1e-9)


def test_the_run_leaves_its_files_for_its_user_alone(rehearsal):
    """Database, event log, snapshots and summary are there, the folder is private, `latest` points to it."""
    names = {path.name for path in rehearsal.folder.iterdir()}
    assert {"run.duckdb", "soak-events.log", "soak-h0.prom", "soak-final.prom", "soak-summary.json"} <= names
    assert not {name for name in names if name.endswith((".wal", ".part")) or name in {"live", ".lock"}}
    assert stat.S_IMODE(rehearsal.folder.stat().st_mode) == 0o700
    assert (rehearsal.folder.parent / "latest").resolve() == rehearsal.folder


def test_the_evidence_is_packed_and_the_bundle_opens_as_the_run(rehearsal):
    """soak-artifacts-<run-id>.tar.gz is authentic, and holds the same rows."""
    bundle = rehearsal.folder / f"soak-artifacts-{rehearsal.folder.name}.tar.gz"
    assert verify(bundle).problems == []
    with soaklib.open_run(bundle) as run:
        assert run.sql("select count(*) from outcomes").item() == rehearsal.summary["totals"]["total"]


def test_every_line_of_the_event_log_has_its_form_and_its_row(rehearsal):
    """`[ISO-8601 UTC] NAME detail`, in the order of the table."""
    lines = (rehearsal.folder / "soak-events.log").read_text().splitlines()
    with soaklib.open_run(rehearsal.folder) as run:
        events = run.events().select("name", "detail").rows()
    assert all(re.fullmatch(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] [A-Z_]+( .+)?", line) for line in lines)
    assert [line.split("] ", 1)[1] for line in lines] == [f"{name} {detail}".rstrip() for name, detail in events]
    names = [name for name, _ in events]
    assert names.count("TOKENS_ROTATED") == ROTATIONS
    assert [name for name in names if name.startswith(("CHAOS", "CREDENTIALS", "POLICY_UPDATED"))] == [
        "CREDENTIALS_ROTATED_SUCCESSFULLY", "CHAOS_MODE_ON", "CHAOS_MODE_OFF", "POLICY_UPDATED_OPENAI_QUOTA_REDUCED",
    ]  # fmt: skip
    assert (names[-1], names[-2]) == ("SOAK_TEST_COMPLETED", "POLICIES_REMOVED")


def test_no_token_or_key_is_in_anything_the_run_left(rehearsal):
    """Neither the files nor any text column of the database holds a token, a private key or a credential."""
    # looked back from its point: to look ahead for one takes the square of each long stretch of a database's bytes
    secret = re.compile(rb"(?<=[A-Za-z0-9+/=_-]{60})\.[0-9a-f]{64}|PRIVATE KEY|Bearer ")
    for path in rehearsal.folder.iterdir():
        assert not secret.search(path.read_bytes()), path
    with soaklib.open_run(rehearsal.folder) as run:
        for table in ("run", "events", "scrapes", "outcomes"):
            for column in run.sql(f"select * from {table} limit 0").select(_strings()).columns:
                texts = run.sql(f'select distinct "{column}" as t from {table} where "{column}" is not null')["t"]
                assert not [text for text in texts if secret.search(text.encode())], (table, column)


def _strings():
    from polars import selectors  # noqa: PLC0415 - beside its use

    return selectors.string()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rps", "0"], "--rps '0': input should be greater than 0"),
        (["--nope"], "there is no flag --nope"),
        (["--plan", "/nowhere.toml"], "--plan /nowhere.toml is not a file"),
        (["--gateway-url", "http://192.0.2.1:3000"], "pass --yes to say that loading it is meant"),
        (["--rps", "100000", "--hours", "8784"], "of disk and"),
        (["--metrics-port", "70000"], "--metrics-port '70000': input should be less than or equal to 65535"),
        pytest.param(["--gateway-fault", "no_such=1"], "the reference gateway did not start", marks=pytest.mark.slow),
        (["--resume", "no-such-run"], "there is no run 'no-such-run'"),
        pytest.param(
            ["--header-env", "Authorization=NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE is not set", marks=pytest.mark.slow
        ),
    ],
)
def test_bad_usage_is_a_sentence_and_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    """Nothing is left of a run that never began."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run.main([*arguments, "--out", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert "Traceback" not in told.err
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.slow
def test_the_shell_is_given_the_code(tmp_path):
    """The sentence on standard error, nothing on standard output."""
    ended = run_command("--nope", "--out", str(tmp_path / "runs"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("soaklib: there is no flag --nope")


def test_a_gateway_that_is_not_there_is_code_3(tmp_path, capsys):
    """The sentence names the address, and no folder is left."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert run.main(["--gateway-url", url, "--out", str(tmp_path / "runs")]) == 3
    assert f"the gateway at {url} cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_check_validates_everything_and_sends_no_load(tmp_path, capsys):
    """It shows the plan on stderr, leaves nothing and ends with 0."""
    assert run.main(["--check", "--out", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "24 soak-hours in 2 min of wall time" in told.err
    assert "86,400 slots, 114,037 planned calls" in told.err
    assert told.err.rstrip().endswith("everything is in order; no load was sent")
    assert not (tmp_path / "runs").exists()


def test_the_plan_is_shown_before_the_soak_begins(rehearsal):
    """With its totals, before the first line on how it goes; stdout stays the folder's path."""
    shown = rehearsal.ended.stderr
    planned = rehearsal.summary["totals"]["total"]
    assert f"{SLOTS:,} slots, {planned:,} planned calls, each one row" in shown
    assert 0 <= shown.index("rotate-credentials") < shown.index("full duration")


def test_a_metrics_port_that_is_taken_is_code_2_and_nothing_is_sent(tmp_path, capsys):
    """One sentence, for a run and for its check; no folder is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for check in ([], ["--check"]):
            assert run.main([*check, "--metrics-port", str(port), "--out", str(tmp_path / "runs")]) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert told.err.strip() == (
                f"soaklib: --metrics-port {port}: cannot listen on 127.0.0.1: address already in use; "
                "pass another port, or 0 for a free one"
            )
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_broken_gateway_fails_its_criterion_and_the_exit_code_says_so(tmp_path):
    """A gateway that lets a forbidden tool through: `no false-allow` fails, exit code 1."""
    ended = run_command(
        "--hours", "0.2", "--speed", "200", "--no-report", "--out", str(tmp_path),
        "--gateway-fault", "allow_forbidden=true",
    )  # fmt: skip
    broken = Rehearsal(ended)
    assert ended.returncode == 1
    assert broken.verdicts["no false-allow"]["state"] == "fail"


@pytest.mark.slow
def test_an_interrupt_drains_keeps_everything_and_can_be_resumed(tmp_path, capsys):
    """SIGINT: status interrupted, exit code 130, chaos off, policies removed; --resume completes the same run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *REHEARSAL, "--rps", "0.2", "--hours", "1", "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        _wait_for(lambda: "SOAK_TEST_STARTED" in _log(tmp_path))
        time.sleep(2)  # the load itself takes real time
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert "go on with: python -m soaklib.run --resume " in stderr
    interrupted = Rehearsal(subprocess.CompletedProcess([], process.returncode, stdout))
    assert process.returncode == 130
    assert interrupted.summary["status"] == "interrupted"
    assert _log(tmp_path).splitlines()[-1].split("] ")[1].startswith("SOAK_TEST_INTERRUPTED")
    sent = interrupted.summary["totals"]["total"]
    assert 0 < sent < 720

    resumed = Rehearsal(run_command("--resume", str(interrupted.folder), "--metrics-port", "0"))
    assert not (resumed.folder / "figures").exists(), "the run itself was started without a report"
    assert "the runner's own metrics: http://127.0.0.1:" in resumed.ended.stderr
    assert resumed.summary["status"] == "completed"
    with soaklib.open_run(resumed.folder) as opened:
        counts = opened.sql(
            "select count(distinct slot) filter (purpose = 'load'), count(*) filter (purpose = 'probe'),"
            " count(*) - count(distinct (purpose, slot, step)) from outcomes"
        ).row(0)
        twice = opened.sql("select event_key from events where event_key is not null group by all having count(*) > 1")
        segments = opened.info.segments
    assert counts == (720, 60, 0)
    assert twice.is_empty()
    assert len(segments) == 2
    assert segments[1].soak_started_s == segments[0].soak_ended_s

    assert run.main(["--resume", str(resumed.folder)]) == 2
    assert "the run is complete: there is nothing to resume" in capsys.readouterr().err


def _log(out):
    path = out / "latest" / "soak-events.log"
    return path.read_text() if path.exists() else ""


def _wait_for(condition, within_s=30.0):
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_question_comes_after_the_plan_and_a_no_sends_no_load(tmp_path, monkeypatch, capsys):
    """For a gateway that is not on this machine: its routes were asked for, the plan is shown, no folder is made."""
    with EmbeddedGateway(load_settings([]), tmp_path / "gateway.log") as gateway:
        asked = []
        monkeypatch.setattr(run, "is_loopback", lambda _: False)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(
            Console, "input", lambda _, question: asked.append((question, capsys.readouterr().err)) or "n"
        )
        code = run.main(["--gateway-url", gateway.url, "--out", str(tmp_path / "runs")])
    [(question, shown)] = asked
    assert question == f"This sends 10 slots a second to {gateway.url} for 24.0 hours. Go on? [y/N] "
    assert "864,000 slots, 1,124,953 planned calls" in shown
    assert code == 2
    assert "not confirmed; no load was sent" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


class DefectiveSoak:
    """A soak whose loop meets a defect of ours, or a failure that is foreseen."""

    def __init__(self, error):
        self.error = error
        self.closed = False
        self.segments = (
            Segment(segment=0, started_at_us=5, soak_started_s=0.0, ended_at_us=1_000_005, soak_ended_s=60.0),
        )
        self.recorder = self

    async def run(self, _):
        raise self.error

    async def close(self):
        self.closed = True


def test_a_defect_in_the_soak_makes_it_a_failed_run_with_all_it_recorded(capsys):
    """The rows are written down, the segment ends, the traceback is shown, and the sentence has code 4."""
    soak = DefectiveSoak(KeyError("[/x]"))
    result = asyncio.run(run._ended(soak, asyncio.Event(), new_console()))
    assert soak.closed
    assert (result.status, result.segments) == ("failed", soak.segments)
    assert str(result.error) == "the soak was ended by a defect: KeyError: '[/x]'"
    assert result.error.exit_code == 4
    assert "raise self.error" in capsys.readouterr().err


def test_a_failure_that_is_foreseen_is_no_defect(capsys):
    """A recorder that cannot start, for example: the run is a failed one, with that error as it is."""
    soak = DefectiveSoak(RecordingError("the disk"))
    result = asyncio.run(run._ended(soak, asyncio.Event(), new_console()))
    assert (result.status, result.error, soak.closed) == ("failed", soak.error, True)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_run_whose_recorder_cannot_start_is_a_failed_run(tmp_path, monkeypatch, capsys):
    """Code 4 with the recorder's words; its folder is the last line, and says that it failed."""

    async def start(_self):
        message = "the recorder cannot be started: no room"
        raise RecordingError(message)

    monkeypatch.setattr(Recorder, "start", start)
    assert run.main([*REHEARSAL, "--no-report", "--out", str(tmp_path)]) == 4
    said = capsys.readouterr()
    assert said.err.rstrip().endswith("soaklib: the recorder cannot be started: no room")
    folder = (tmp_path / "latest").resolve()
    assert said.out == f"{folder}\n"
    with soaklib.open_run(folder) as opened:
        assert opened.info.status == "failed"


@pytest.mark.parametrize("in_the_way", ["a folder", "no links"])
def test_a_link_that_cannot_be_costs_a_sentence(tmp_path, monkeypatch, in_the_way):
    """As where runs were copied with what links point to, or on disks without links; nothing half made stays."""
    folder = tmp_path / "r1"
    folder.mkdir()
    if in_the_way == "a folder":
        (tmp_path / "latest").mkdir()
    else:

        def no_links(*_, **__):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr("pathlib.Path.symlink_to", no_links)
    told = []
    name_latest(folder, told.append)
    [sentence] = told
    assert sentence.startswith(f"{tmp_path / 'latest'} does not name this run, r1: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"r1", "latest"}
