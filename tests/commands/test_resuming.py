"""What a run needs to go on: the run, and what a run does not keep."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest
import trustme
from known_files import changed_copy
from rehearsals import Rehearsal, run_command

import soaklib
from soaklib.analysis.sources.kept_log import kept_request_log, retire_request_log
from soaklib.commands import run
from soaklib.commands.resuming import lacking, resumed_settings
from soaklib.errors import SettingsError
from soaklib.plan.loading import load_settings

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
PASSWORD_URL = "postgresql://u:secret@h/d"  # noqa: S105 - made up
MASKED_URL = "postgresql://u:***@h/d"
BEGUN_ELSEWHERE = (
    "update run set status = 'interrupted', embedded = false, "
    """settings = '{"gateway_url": "http://127.0.0.1:9", "senders": 2}'"""
)
GATEWAY = ("--gateway-url", "http://127.0.0.1:3000")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SOAK_", "GATEWAY_"))]:
        monkeypatch.delenv(name)


def stored(*flags):
    """Give what a run keeps of its settings."""
    return json.loads(load_settings(list(flags)).public_json())


@pytest.mark.parametrize(
    ("statements", "code", "said"),
    [
        ((), 2, "the run is complete: there is nothing to resume"),
        ((BEGUN_ELSEWHERE,), 3, "the gateway at http://127.0.0.1:9 cannot be used"),
    ],
    ids=["complete", "without a gateway"],
)  # fmt: skip
def test_a_merged_run_that_does_not_go_on_stays_merged(tmp_path, capsys, statements, code, said):
    """Whatever is refused, what was brought together of a fleet's files is as it was, and the conductor's beside it."""
    folder = changed_copy(SAMPLE, tmp_path / "run", *statements)
    kept = folder / "lanes" / "conductor.duckdb"
    kept.parent.mkdir()
    kept.write_text("the conductor's")
    before = (folder / "run.duckdb").read_bytes()
    assert run.main(["--resume", str(folder)]) == code
    assert said in capsys.readouterr().err
    assert kept.read_text() == "the conductor's"
    assert (folder / "run.duckdb").read_bytes() == before


def test_the_plan_file_is_not_asked_for(tmp_path, monkeypatch):
    """It was moved, or the command is given in another folder, or it holds nonsense by now."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[settings]\nrps = 3\n")
    monkeypatch.chdir(tmp_path)
    kept = stored("--plan", "plan.toml")
    plan.unlink()
    assert resumed_settings(kept, load_settings(["--resume", "r"])).rps == 3
    plan.write_text("no TOML [")
    assert resumed_settings(kept, load_settings(["--resume", "r"])).rps == 3


def test_files_that_are_still_needed_are_kept_by_their_whole_path(tmp_path, monkeypatch):
    """From any folder they name the same: authorities, plan, SQLite file."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "plan.toml").touch()
    monkeypatch.chdir(tmp_path)
    kept = stored(*GATEWAY, "--ca-file", "ca.pem", "--plan", "plan.toml", "--database-url", "sqlite:///db/x.sqlite")
    assert (kept["ca_file"], kept["plan"]) == (str(tmp_path / "ca.pem"), str(tmp_path / "plan.toml"))
    assert kept["database_url"] == f"sqlite:///{tmp_path}/db/x.sqlite"
    assert stored("--database-url", f"sqlite:///{tmp_path}/x")["database_url"] == f"sqlite:///{tmp_path}/x"
    monkeypatch.chdir("/")
    settings = resumed_settings(kept, load_settings(["--resume", "r"]))
    assert settings.ca_file == tmp_path / "ca.pem"
    assert settings.database_url == kept["database_url"]


def test_authorities_that_are_gone_are_asked_for_in_a_sentence(tmp_path):
    """And taken when they are given."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    kept = stored(*GATEWAY) | {"ca_file": "certs/ca.pem"}  # as it was kept once
    with pytest.raises(SettingsError) as caught:
        resumed_settings(kept, load_settings(["--resume", "r"]))
    said = "the run verified its gateway by certs/ca.pem, which is not there: pass --ca-file with that file"
    assert str(caught.value) == said
    given = load_settings(["--resume", "r", "--ca-file", str(tmp_path / "ca.pem")])
    assert resumed_settings(kept, given).ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize("given_as", ["a flag", "a variable"])
def test_a_database_with_a_password_is_taken_again(monkeypatch, given_as):
    """A run keeps no passwords: by a flag or by the environment."""
    flags = ["--resume", "r"]
    if given_as == "a flag":
        flags += ["--database-url", PASSWORD_URL]
    else:
        monkeypatch.setenv("SOAK_DATABASE_URL", PASSWORD_URL)
    kept = stored(*GATEWAY, "--database-url", PASSWORD_URL)
    assert kept["database_url"] == MASKED_URL
    settings = resumed_settings(kept, load_settings(flags))
    assert settings.database_url == PASSWORD_URL
    assert lacking(kept, settings) == []


def test_without_it_the_run_goes_on_and_says_what_it_will_lack():
    """The masked one would be no database; a gateway of the run's own cannot do without."""
    kept = stored(*GATEWAY, "--database-url", PASSWORD_URL)
    settings = resumed_settings(kept, load_settings(["--resume", "r"]))
    assert settings.database_url is None
    [sentence] = lacking(kept, settings)
    assert "pass --database-url or set SOAK_DATABASE_URL" in sentence
    with pytest.raises(SettingsError, match="pass --database-url or set SOAK_DATABASE_URL"):
        resumed_settings(stored("--database-url", PASSWORD_URL), load_settings(["--resume", "r"]))


def test_only_what_is_asked_anew_is_taken_anew():
    """The rest is the run's own, whatever else is passed."""
    kept = stored("--rps", "2", "--seed", "7", "--no-report")
    settings = resumed_settings(kept, load_settings(["--resume", "r", "--rps", "9", "--yes", "--strict"]))
    assert (settings.rps, settings.seed, settings.report) == (2, 7, False)
    assert (settings.yes, settings.strict, settings.metrics_port, settings.resume) == (True, True, None, None)
    port = resumed_settings(kept, load_settings(["--resume", "r", "--metrics-port", "0"]))
    assert (port.metrics_port, port.strict) == (0, False)


def test_settings_that_are_none_are_a_sentence():
    """Of a later version, or of a file that somebody made."""
    with pytest.raises(SettingsError, match="nonsense: there is no such setting"):
        resumed_settings(stored() | {"nonsense": 1}, load_settings(["--resume", "r"]))


def test_the_log_of_the_first_segments_is_set_aside_and_not_thrown_away(tmp_path):
    """It is no log of the whole run; and the gateway's database may be gone."""
    retire_request_log(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "request-log.parquet").write_bytes(b"rows")
    retire_request_log(tmp_path, 2)
    assert kept_request_log(type("Run", (), {"folder": tmp_path})()) is None
    assert (tmp_path / "request-log-until-segment-2.parquet").read_bytes() == b"rows"


@pytest.mark.slow
def test_a_run_goes_on_from_another_folder_without_its_plan_file(tmp_path):
    """Stopped, its plan file removed, resumed from elsewhere: completed; what it had kept of a log is still there."""
    plan = tmp_path / "start" / "plan.toml"
    plan.parent.mkdir()
    plan.write_text(files("soaklib.plan").joinpath("default_plan.toml").read_text("utf-8"), "utf-8")
    command = [
        sys.executable, "-m", "soaklib.run", "--hours", "0.5", "--speed", "240", "--rps", "0.2", "--no-report",
        "--plan", "plan.toml", "--out", "runs",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=plan.parent, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        log = plan.parent / "runs" / "latest" / "soak-events.log"
        ends = time.monotonic() + 60
        while not (log.exists() and "SOAK_TEST_STARTED" in log.read_text()):
            assert time.monotonic() < ends
            time.sleep(0.05)
        time.sleep(1)  # the load itself takes real time
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    folder = log.parent.resolve()
    assert f"go on with: python -m soaklib.run --resume {folder}" in stderr.decode(), "as it can be typed anywhere"
    assert (folder / "request-log.parquet").exists()
    plan.unlink()
    resumed = Rehearsal(run_command("--resume", str(folder), cwd="/"))
    assert resumed.summary["status"] == "completed"
    assert (folder / "request-log-until-segment-1.parquet").exists()
    with soaklib.open_run(folder) as run:
        assert run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item() == 360
