"""The preflight as a command: what is shown, what is refused, what the run keeps of it."""

import io
import json
import urllib.request
from pathlib import Path

import pytest
from rehearsals import run_command
from rich.console import Console
from running_gateway import running_gateway

from soaklib.analysis.sources.run import open_run
from soaklib.commands.preflight import refuse_problems, show_findings, try_out, with_limit
from soaklib.errors import SettingsError, TargetError
from soaklib.plan.forecast import forecast
from soaklib.plan.given import AgentLimit
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.preflight.findings import Found, Standing

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
URL = ("--gateway-url", "http://127.0.0.1:1")


def found_with(*problems, **attributes):
    """Give findings with some problems: of the settings, or of the gateway."""
    found = Found(**attributes)
    found.add("clocks", Standing.NOTE, "apart")
    for what in problems:
        found.add(what, Standing.PROBLEM, f"{what} is wrong", is_of_settings=what == "limit")
    return found


@pytest.mark.parametrize(
    ("problems", "error", "code"), [(("limit",), SettingsError, 2), (("limit", "chaos"), TargetError, 3)]
)
def test_a_soak_that_would_be_lost_is_refused_with_all_its_problems(problems, error, code):
    """By other settings alone it can be mended (2), or the gateway has to be (3)."""
    with pytest.raises(error) as refused:
        refuse_problems(found_with(*problems))
    words = "; ".join(f"{what}: {what} is wrong" for what in problems)
    assert (str(refused.value), refused.value.exit_code) == (f"{words} (--no-preflight starts all the same)", code)


def test_what_is_only_worth_knowing_refuses_nothing():
    """Notes are shown, and the soak begins."""
    refuse_problems(found_with())


def test_a_limit_that_was_found_is_the_runs_as_if_it_had_been_stated():
    """It stands in the run's settings; one that was stated stays."""
    found = found_with(limit=AgentLimit(5, 60.0))
    settings = load_settings(URL)
    assert json.loads(with_limit(settings, found).public_json())["agent_limit"] == "5/60s"
    assert with_limit(settings, found_with()) == settings
    stated = load_settings([*URL, "--agent-limit", "9/10s"])
    assert with_limit(stated, found).agent_limit == "9/10s"


@pytest.mark.parametrize("terminal", [False, True])
def test_what_was_found_is_a_table(terminal):
    """Columns in a log, rules on a terminal; a gateway's words are no markup."""
    found = found_with()
    found.add("change chaos: openai", Standing.PROBLEM, "it said [red]no[/red]")
    out = io.StringIO()
    show_findings(found, [], Console(file=out, force_terminal=terminal, width=120, color_system=None))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "change chaos: openai problem it said [red]no[/red]" in lines
    assert lines[1].startswith("tried" if not terminal else "") is True


def test_a_request_log_that_cannot_be_read_is_a_problem(tmp_path, monkeypatch):
    """A day's books would have one side; nothing was tried yet."""
    monkeypatch.setattr("soaklib.commands.preflight.Preflight.run", _nothing)
    settings, plan = load_settings([*URL, "--database-url", f"sqlite:///{tmp_path}/none.sqlite"]), load_plan()
    with pytest.raises(TargetError, match="request log: "):
        try_out(
            settings, plan, forecast(settings, plan), url=URL[1], log_url=settings.database_url, hindered={},
            console=Console(file=io.StringIO()),
        )  # fmt: skip


async def _nothing(self):
    return self.found


def test_deep_goes_on_from_a_check():
    """By itself, or without anything tried, it is refused."""
    for flags in (["--deep"], ["--check", "--deep", "--no-preflight"]):
        with pytest.raises(SettingsError, match="--deep goes on from a check that passed: pass --check with it"):
            load_settings([*URL, *flags])


@pytest.mark.slow
def test_a_real_gateways_limit_is_found_before_the_run_and_everything_is_as_before(tmp_path):
    """Too few agents are refused with code 2; `--check --deep` with enough soaks for a while, and keeps the limit."""
    with running_gateway("--rate-limit", "5") as own:
        at = ("--gateway-url", own.url, "--rps", "1", "--out", str(tmp_path / "runs"))
        refused = run_command(*at)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "limit of an agent: 5 calls in 60 s; the busiest role plans 36, and up to 71" in refused.stderr
        assert not (tmp_path / "runs").exists()
        for route in ("/api/policies", "/api/admin/chaos", "/api/admin/creds"):
            with urllib.request.urlopen(own.url + route) as answer:  # noqa: S310 - a gateway of ours
                assert _things(json.load(answer)) == [], route
        deep = run_command(
            "--check", "--deep", *at, "--agents-per-role", "16", "--hours", "0.002", "--no-report", "--drain-s", "1",
            "--database-url", f"sqlite:///{own.said['sqlite_file']}",
        )  # fmt: skip
        assert "everything is in order; now a minute of it" in deep.stderr
        [run] = [path for path in (tmp_path / "runs" / "checks").iterdir() if not path.is_symlink()]
        assert deep.stdout.strip() == str(run)

    with open_run(run) as opened:
        assert opened.info.settings["agent_limit"] == "5/60s"
        assert opened.sql("select count(*) from outcomes where kind = 'rate_limited'").item() == 0


def _things(said):
    """Give what an answer lists, whatever it is listed under."""
    if isinstance(said, list):
        return said
    return [one for value in said.values() if isinstance(value, list | dict) for one in value]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (
            "openai.toml",
            ["call of asker: small:stream ok answered", "change http: cut-streams ok made, and taken back"],
        ),
        ("mcp.toml", ["call of reader: search:call ok answered", "change http: failing-tool ok made, and taken back"]),
    ],
)
def test_other_kinds_of_gateway_are_tried_the_same_way(plan, lines):
    """By their own wire: streams and sessions, their metrics by meaning, their changes by literal requests."""
    ended = run_command("--plan", plan, "--check")
    assert ended.returncode == 0, ended.stderr
    shown = [" ".join(line.split()) for line in ended.stderr.splitlines()]
    assert [line for line in lines if line not in shown] == []
    assert "metrics ok 13 names; 7 of 7 meanings found" in shown
