"""The examples in scripts/ that start the weekly soak: they parse, and what they name exists."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from soaklib.commands.weekly import flags as weekly_flags
from soaklib.plan.loading import load_settings
from soaklib.plan.settings import SoakSettings

SCRIPTS = Path(__file__).parents[1] / "scripts"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
ACTION_OPTIONS = {"name", "path", "if-no-files-found", "retention-days"}


class Repeating(dict):
    """Values by key, a key's values one after the other, as systemd reads Environment=."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            value = self[key] + value
        super().__setitem__(key, value)


def unit(name):
    """Read a unit file; give its sections."""
    parser = configparser.RawConfigParser(strict=False, dict_type=Repeating, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string((SCRIPTS / name).read_text())
    return {section: dict(parser.items(section)) for section in parser.sections()}


def workflow():
    return yaml.safe_load((SCRIPTS / "soak-weekly.yml").read_text())


def steps():
    return workflow()["jobs"]["soak"]["steps"]


def cron():
    """Give the variables of the crontab, and its one line's time and command."""
    lines = [line for line in (SCRIPTS / "soak-weekly.cron").read_text().splitlines() if not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines[:-1])
    *when, command = lines[-1].split(None, 5)
    return variables, when, command


def flags_of(text):
    """Give the words after the weekly soak's command, up to where the shell takes over."""
    words = shlex.split(re.split(r"scripts/weekly\"?|soaklib\.weekly", text)[1].split(">")[0].split("||")[0])
    assert words
    return words


@pytest.mark.parametrize(
    "text",
    [
        unit("soak-weekly.service")["Service"]["ExecStart"],
        cron()[2],
        next(step["run"] for step in steps() if step.get("id") == "soak"),
    ],
    ids=["systemd", "cron", "workflow"],
)
def test_every_flag_that_an_example_passes_exists(text):
    """Its own flags are taken, and the soak takes the rest; old runs are removed, and the newest four stay."""
    options, for_soak = weekly_flags().parse_known_args(flags_of(text))
    assert (options.keep, options.remove, options.against) == (4, True, None)
    assert for_soak == ["--yes"]
    assert load_settings(for_soak).yes


@pytest.mark.parametrize(
    "names",
    [
        [pair.partition("=")[0] for pair in unit("soak-weekly.service")["Service"]["Environment"].split()],
        list(cron()[0]),
        list(workflow()["jobs"]["soak"]["env"]),
    ],
    ids=["systemd", "cron", "workflow"],
)
def test_every_variable_that_an_example_sets_is_one_that_is_read(names):
    """The soak's settings, the gateway's address and token, and what the shell, cron or the script itself needs."""
    read = {f"SOAK_{name.upper()}" for name in SoakSettings.model_fields}
    read |= {"GATEWAY_URL", "SOAK_GATEWAY_ADMIN_TOKEN", "SOAKLIB", "HOME", "SHELL", "PATH", "MAILTO"}
    assert set(names) <= read


def test_the_unit_stops_in_order_and_can_do_no_harm():
    """SIGTERM to the command alone, time to drain, bounded memory, a user of its own; it lasts longer than a day."""
    service = unit("soak-weekly.service")["Service"]
    assert service["ExecStart"].startswith("/opt/soaklib/.venv/bin/python -m soaklib.weekly ")
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert (service["TimeoutStopSec"], service["TimeoutStartSec"]) == ("10min", "30h")
    assert service["DynamicUser"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert {"MemoryMax", "Nice", "StateDirectory"} <= service.keys()
    timer = unit("soak-weekly.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.slow
@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd is not installed")
def test_systemd_itself_finds_nothing_wrong_with_the_units(tmp_path):
    """`systemd-analyze verify`, with a Python that is here in place of the one in /opt."""
    service = (SCRIPTS / "soak-weekly.service").read_text()
    service = service.replace("/opt/soaklib/.venv/bin/python", shutil.which("true")).replace("Documentation=file:", "#")
    (tmp_path / "soak-weekly.service").write_text(service.replace("=/opt/soaklib", f"={tmp_path}"))
    shutil.copy(SCRIPTS / "soak-weekly.timer", tmp_path)
    units = [str(tmp_path / f"soak-weekly.{kind}") for kind in ("service", "timer")]
    ended = subprocess.run([SYSTEMD_ANALYZE, "verify", *units], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_line_of_cron_is_one_that_cron_takes():
    """Saturday at six, held by a lock, mailed to someone, and no percent sign, which would end it."""
    variables, when, command = cron()
    assert when == ["0", "6", "*", "*", "6"]
    assert variables["MAILTO"]
    assert re.search(r"flock --verbose --nonblock \S+\.lock scripts/weekly", command)
    assert "%" not in command
    assert (SCRIPTS / "soak-weekly.cron").read_text().endswith("\n")  # without it cron passes over the line


def test_the_workflow_reads_only_lasts_a_day_and_pins_what_it_uses():
    """A runner of one's own, time for 24 hours, read-only permissions, actions by commit, one soak at a time."""
    whole = workflow()
    job = whole["jobs"]["soak"]
    assert whole[True]["schedule"] == [{"cron": "0 6 * * 6"}]  # YAML takes the word "on" for true
    assert whole["permissions"] == {"contents": "read"}
    assert whole["concurrency"] == {"group": "weekly-soak", "cancel-in-progress": False}
    assert "self-hosted" in job["runs-on"]
    assert job["timeout-minutes"] > 24 * 60
    used = [step["uses"] for step in steps() if "uses" in step]
    assert len(used) == 1
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)
    assert all(step["with"].keys() <= ACTION_OPTIONS for step in steps() if "uses" in step)


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 1, 4])
def test_the_workflow_ends_with_the_verdict_and_shows_it_whatever_it_is(tmp_path, code):
    """Its steps, run by the shell as the runner would: the step's code is the soak's, and the texts are shown."""
    (tmp_path / "scripts").mkdir()
    folder = tmp_path / "20260101T060000Z-0001"
    folder.mkdir()
    (folder / f"soak-test-report-{folder.name}.md").write_text("| pass | success rate |\n")
    script = tmp_path / "scripts" / "weekly"
    script.write_text(f"#!/bin/sh\necho {folder}\nexit {code}\n")
    script.chmod(0o755)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "SOAKLIB": str(tmp_path), "FOLDER": str(folder),
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }  # fmt: skip
    soak, show = (step["run"] for step in steps() if "run" in step)
    codes = [
        subprocess.run([shutil.which("bash"), "-e", "-c", text], env=environment, cwd=tmp_path, check=False).returncode
        for text in (soak, show)
    ]
    assert codes == [code, 0]
    assert (tmp_path / "output").read_text() == f"folder={folder}\n"
    assert (tmp_path / "summary").read_text() == "| pass | success rate |\n"
    assert all(step["if"].startswith("always()") for step in steps() if step.get("id") != "soak")
