"""A gateway with two other tools and metrics of its own, soaked by one plan file: the example that users copy."""

import json
import subprocess
import sys
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from rehearsals import Rehearsal, run_command

import soaklib
from soaklib.commands.report import find_notebooks
from soaklib.evidence.checking import verify
from soaklib.plan.model import load_plan

pytestmark = pytest.mark.slow

EXAMPLE = str(files("soaklib.plan").joinpath("example_plan.toml"))
SPEED = 360.0
SOAK = ("--plan", EXAMPLE, "--hours", "2", "--rps", "0.5", "--speed", f"{SPEED:g}", "--thresholds.late-ms", "500")


@contextmanager
def two_tools(*arguments):
    """Give the URL of a gateway of its own process."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("two_tool_gateway.py")),
        "--speed",
        f"{SPEED:g}",
        *arguments,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        yield json.loads(running.stdout.readline())["url"]
        running.stdin.close()


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """Two soak-hours of the example plan against the gateway, with report and bundle."""
    with two_tools("--admin") as url:
        return Rehearsal(run_command(*SOAK, "--gateway-url", url, "--out", str(tmp_path_factory.mktemp("runs"))))


def test_it_is_judged_and_passes(soaked):
    """No criterion fails; those about the tools, the changes and the policies pass."""
    states = {name: verdict["state"] for name, verdict in soaked.verdicts.items()}
    assert "fail" not in states.values(), soaked.ended.stderr
    assert soaked.ended.returncode == 0
    assert {name for name, state in states.items() if state == "pass"} >= {
        "full duration", "every slot accounted for", "all tools exercised", "success rate", "healthy",
        "no false-allow", "no false-deny", "scheduled changes made", "token rotations go unnoticed",
        "chaos shows in the data", "breaker engages during chaos", "breaker recovers after chaos", "quota cut works",
    }  # fmt: skip
    assert states["snapshots complete"] == states["no drift in gateway files"] == "not applicable"
    assert soaked.verdicts["all tools exercised"]["threshold"] == "all 2 tools of the plan"


def test_every_call_of_the_plan_is_there_and_none_of_another(soaked):
    """Tools, actions, roles and phases are the plan's, and the calls foretold are the rows recorded."""
    plan = load_plan(Path(EXAMPLE))
    with soaklib.open_run(soaked.folder) as run:
        calls = run.sql("select distinct role, tool, action from outcomes where purpose = 'load'").rows()
        phases = run.sql("select distinct phase from outcomes")["phase"].to_list()
        keys = run.sql("select count(*), count(distinct (purpose, slot, step)) from outcomes").row(0)
        probes = dict(run.sql("select role, count(*) from outcomes where purpose = 'probe' group by all").rows())
    assert set(calls) == {(o.role, step.tool, step.action) for o in plan.operations for step in o.steps}
    assert set(phases) == {phase for _, phase in plan.phase_starts(1.0)}
    assert keys[0] == keys[1]
    assert f"{keys[0]:,} planned calls, each one row" in soaked.ended.stderr
    assert probes == {"auditor": 120, "announcer": 24}


def test_its_changes_are_events_that_bear_its_own_names(soaked):
    """The quota cut too, and its mark stands in every figure."""
    with soaklib.open_run(soaked.folder) as run:
        names = run.sql("select name from events where event_key like 'change:%' order by at_us")["name"].to_list()
        marks = soaklib.marks(run)
    assert names == [
        "CREDENTIALS_ROTATED_SUCCESSFULLY", "CHAOS_MODE_ON", "CHAOS_MODE_OFF", "POLICY_UPDATED_SLACK_QUOTA_REDUCED",
    ]  # fmt: skip
    assert marks.filter(kind="change")["label"].to_list() == [
        "credentials rotated: slack", "chaos on: jira 500, 60 %", "chaos off", "quota cut: slack:post_message",
    ]  # fmt: skip


def test_every_notebook_and_figure_is_made(soaked):
    """None of them needs a tool or a metric that this gateway does not have."""
    executed = {path.stem for path in (soaked.folder / "notebooks").glob("*.ipynb")}
    assert executed == {path.stem for path in find_notebooks()} - {"80-compare"}  # which needs a second run
    figures = {path.stem for path in (soaked.folder / "figures").glob("*.png")}
    assert {"success-rate", "tool-usage", "breaker-activity", "denial-spikes", "latency-percentiles"} <= figures


def test_its_evidence_is_authentic(soaked):
    """The verdicts of the bundle follow from its data."""
    bundle = soaked.folder / f"soak-artifacts-{soaked.folder.name}.tar.gz"
    assert verify(bundle).problems == []


def test_a_gateway_without_admin_routes_is_told_of_before_and_judged_without_them(tmp_path):
    """Each change says which route it lacks; its criteria are not applicable, and nothing else fails for it."""
    with two_tools() as url:
        short = ("--hours", "0.5", "--rps", "0.2", "--no-report", "--out", str(tmp_path))
        ran = Rehearsal(run_command(*SOAK, *short, "--gateway-url", url))
    assert "the change chaos at H+0:12: unsupported, the gateway has no POST /api/admin/chaos/tool" in ran.ended.stderr
    assert "rotate-credentials at H+0:07:30: unsupported, the gateway has no POST /api/admin/creds" in ran.ended.stderr
    assert "the change update-policy" not in ran.ended.stderr
    for name in ("chaos shows in the data", "breaker engages during chaos", "breaker recovers after chaos"):
        assert ran.verdicts[name]["state"] == "not applicable"
    assert [name for name, verdict in ran.verdicts.items() if verdict["state"] == "fail"] == []
