"""The weekly soak, started as its examples say: by cron's line, by the service's command, by the workflow's steps.

Cron is Debian's own, on the Saturday before six; so is systemd, whose timer makes up for a Saturday that was slept
through. GitHub's runner is played by what it documents of itself: it writes each step to a file and runs `bash -e` on
it, with the environment of job and step, and passes on what a step writes to GITHUB_OUTPUT.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from debian_cron import mailed
from real_systemd import run_by_timer
from running_gateway import running_gateway

import soaklib

SCRIPTS = Path(__file__).parents[2] / "scripts"
SPEED = "120"
SHORT = {
    "SOAK_HOURS": "0.1", "SOAK_RPS": "1", "SOAK_SPEED": SPEED, "SOAK_REPORT": "false", "SOAK_DRAIN_S": "1",
    "SOAK_THRESHOLDS": '{"late_ms": 1000}',
}  # fmt: skip
"""A soak of three wall seconds, with nothing drawn."""
ENOUGH_S = 120


@pytest.fixture(scope="module")
def gateway():
    """Run a gateway for all of them; give its URL."""
    with running_gateway("--speed", SPEED) as own:
        yield own.url


@pytest.fixture
def house(tmp_path):
    """Make a checkout that is set up: the script, the folder of data, and this environment."""
    where = tmp_path / "opt" / "soaklib"
    (where / "scripts").mkdir(parents=True)
    (where / "data").mkdir()
    shutil.copy(SCRIPTS / "weekly", where / "scripts")
    (where / "scripts" / "setup").write_text("#!/bin/sh\n")
    (where / "scripts" / "setup").chmod(0o755)
    (where / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (where.parent / "home").mkdir()
    return where


def cron(house, gateway):
    """Let cron start it on Saturday at six, by the table as it stands; what was printed is in the mail."""
    lines = [line for line in (SCRIPTS / "soak-weekly.cron").read_text().splitlines() if not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines[:-1])
    variables |= {"SOAKLIB": str(house), "GATEWAY_URL": gateway, "SOAK_OUT": str(house / "runs")} | SHORT
    variables["HOME"] = str(house.parent / "home")
    table = [f"{name}={value}" for name, value in variables.items()]
    table += [f"{lines[-1]}; echo it ended with $?", ""]  # the one thing that cron keeps for itself
    (house.parent / "cron").mkdir()
    mail = mailed("\n".join(table), at="2026-11-28 05:59:57", folder=house.parent / "cron", within_s=ENOUGH_S)
    head, _, text = mail.partition("\n\n")
    assert f"To: {variables['MAILTO']}" in head
    return subprocess.CompletedProcess([], int(text.split()[-1]), stdout=text, stderr=text)


def systemd(house, gateway):
    """Let systemd start it by the timer, with all that the unit forbids it; drop-ins say when, and what is where."""
    units = {f"soak-weekly.{kind}": (SCRIPTS / f"soak-weekly.{kind}").read_text() for kind in ("service", "timer")}
    units["soak-weekly.timer.d/now.conf"] = "[Timer]\nRandomizedDelaySec=0\nAccuracySec=1us\n"
    hidden = f"ProtectHome=tmpfs\nBindReadOnlyPaths={sys.prefix} {sys.base_prefix} {SCRIPTS.parent}\n"
    variables = SHORT | {"GATEWAY_URL": gateway}
    said = "".join(f"Environment={name}={shlex.quote(value)}\n" for name, value in variables.items())
    units["soak-weekly.service.d/here.conf"] = f"[Service]\n{hidden}{said}"
    ended = run_by_timer("soak-weekly", units, opt=house.parent, folder=house.parents[1], within_s=ENOUGH_S)
    runs = house.parents[1] / "lib" / "private" / "soaklib" / "runs"  # StateDirectory= of a DynamicUser=
    (house / "runs").symlink_to(runs)
    ended.stdout = ended.stdout.replace("/var/lib/soaklib/runs", str(house / "runs"))
    return ended


def github(house, gateway):
    """Do as the runner of GitHub Actions does with the job's steps."""
    job = yaml.safe_load((SCRIPTS / "soak-weekly.yml").read_text())["jobs"]["soak"]
    given = {"vars.SOAK_GATEWAY_URL": gateway, "secrets.SOAK_GATEWAY_ADMIN_TOKEN": ""}
    outputs, summary, first = {}, house.parent / "summary", None
    for number, step in enumerate(job["steps"]):
        if not _is_due(step.get("if", "success()"), outputs, failed=first is not None and first.returncode != 0):
            continue
        known = given | outputs
        if "uses" in step:
            [evidence] = house.parent.glob(str(Path(_filled(step["with"]["path"], known)).relative_to(house.parent)))
            assert evidence.stat().st_size > 10_000
            continue
        script, output = house.parent / f"step{number}.sh", house.parent / f"output{number}"
        script.write_text(_filled(step["run"], known))
        output.touch()
        environment = {name: _filled(value, known) for name, value in (job["env"] | step.get("env", {})).items()}
        environment |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(house.parent / "home")} | SHORT
        environment |= {"SOAKLIB": str(house), "SOAK_OUT": str(house / "runs")}
        environment |= {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
        ended = _run(["bash", "-e", str(script)], environment, str(house))
        first = first or ended
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            outputs[f"steps.{step['id']}.outputs.{name}"] = value
    assert "| verdict |" in summary.read_text() or "success rate" in summary.read_text()
    first.stdout = f"{outputs['steps.soak.outputs.folder']}\n"
    return first


def _is_due(condition, outputs, *, failed):
    """Say whether a step is run, by the two conditions that the workflow has."""
    if condition == "success()":
        return not failed
    name = re.fullmatch(r"always\(\) && (\S+) != ''", condition)[1]
    return outputs.get(name, "") != ""


def _filled(text, known):
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: known[match[1]], text)


def _run(words, environment, folder):
    return subprocess.run(
        words, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=ENOUGH_S,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("start", [cron, systemd, github], ids=lambda start: start.__name__)
def test_the_week_is_soaked_packed_and_verified_as_the_example_starts_it(house, gateway, start):
    """Its code is that of the verdicts, it names the run's folder; the run is complete, authentic, tried out before."""
    ended = start(house, gateway)
    assert ended.returncode in {0, 1}, ended.stderr  # so short a chaos may meet no call that fails
    [named] = [line for line in ended.stdout.splitlines() if line.startswith(str(house / "runs"))]  # flock speaks too
    folder = Path(named)
    assert (folder / f"soak-artifacts-{folder.name}.tar.gz").is_file()
    assert f"soak-artifacts-{folder.name}.tar.gz is authentic" in ended.stderr
    assert "change rotate-credentials: openai  ok" in ended.stderr
    with soaklib.open_run(folder) as run:
        assert ended.returncode == int("fail" in run.verdicts()["state"])
        assert (run.info.status, run.info.target) == ("completed", gateway)
        assert run.sql("select count(*) from outcomes where purpose = 'load' and step = 0").item() == 360
