"""The plan as a person sees it before the start."""

import datetime as dt
import io
import zoneinfo

import pytest
from rich.console import Console

from soaklib.commands.preview import Preview, show_plan
from soaklib.plan.forecast import forecast
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan

STARTS = dt.datetime(2026, 11, 24, 14, 30, 15, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """What the caller's environment says of a proxy is not shown."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def _shown(*arguments, hindered=None, notes=(), zone="UTC", terminal=False):
    """Give what is shown, as text."""
    settings = load_settings(list(arguments))
    plan = load_plan(settings.plan)
    preview = Preview(
        settings, plan, forecast(settings, plan), hindered or {}, notes, STARTS, zoneinfo.ZoneInfo(zone)
    )  # fmt: skip
    out = io.StringIO()
    show_plan(preview, Console(file=out, force_terminal=terminal, width=200, color_system=None))
    return out.getvalue()


def _row(text, *, of):
    """Give the one line that begins with some words, whatever the columns' widths."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    [line] = [line for line in lines if line.startswith(of)]
    return line


REAL = ("--gateway-url", "http://127.0.0.1:3000", "--max-in-flight", "100")


def test_each_change_stands_with_soak_time_length_and_wall_clock():
    """H+8, H+12 for half an hour, and H+16 of a day that begins at 14:30:15."""
    text = _shown(*REAL)
    assert _row(text, of="rotate-credentials") == (
        "rotate-credentials H+8 2026-11-24 22:30:15 +00:00 openai gets a new credential"
    )
    assert _row(text, of="chaos") == (
        "chaos H+12 to H+12:30 30 min 2026-11-25 02:30:15 +00:00 openai: mode 500, 50 % of the calls"
    )
    assert _row(text, of="update-policy").startswith(
        "update-policy H+16 2026-11-25 06:30:15 +00:00 quota on openai:chat"
    )
    assert _row(text, of="end H").startswith("end H+24 24 h 2026-11-25 14:30:15 +00:00")


def test_what_recurs_stands_with_its_cadence():
    """Rotations, snapshots, samples, probes: how often, from when, how many times."""
    text = _shown(*REAL)
    assert _row(text, of="token rotation") == (
        "token rotation every 15 min from H+0:15 2026-11-24 14:45:15 +00:00 95 times, for tokens of 20 min"
    )
    assert "every 1 h from H+0" in _row(text, of="snapshot")
    assert "24 and a final one" in _row(text, of="snapshot")
    assert "every 1 min" in _row(text, of="probe every")


def test_what_is_read_is_what_the_gateway_has():
    """Another path of metrics is named, and a gateway without metrics is not said to be read."""
    text = _shown("--plan", "litellm.toml", *REAL)
    assert _row(text, of="samples").endswith("1,440 times /metrics/ and what tells its health")
    assert _row(text, of="snapshot").endswith("24 and a final one, of /metrics/")
    text = _shown("--plan", "openai.toml", *REAL)
    assert _row(text, of="samples") == "samples never: the gateway has no metrics"
    assert _row(text, of="snapshot") == "snapshot never: the gateway has no metrics"
    assert "polic" not in text


def test_the_totals_stand_by_role_and_tool():
    """864,000 slots; every call is a row to come."""
    text = _shown(*REAL)
    assert "864,000 slots, 1,124,953 planned calls, each one row" in text
    assert _row(text, of="load enricher openai") == "load enricher openai chat 259,513"
    assert _row(text, of="probe scraper") == "probe scraper gmail_send send 1,440"


def test_in_a_rehearsal_wall_time_is_told_beside_soak_time():
    """A day at 720 times the speed is two minutes."""
    text = _shown()
    assert text.startswith(
        "24-hour soak: 24 soak-hours in 2 min of wall time, 720 slots a second, to the reference gateway"
    )
    assert "30 min (2.5 s wall)" in _row(text, of="chaos")
    assert _row(text, of="end H").startswith("end H+24 24 h (2 min wall) 2026-11-24 14:32:15 +00:00")


@pytest.mark.parametrize(
    ("zone", "clock"),
    [
        ("Asia/Tokyo", "2026-11-25 07:30:15 +09:00 (2026-11-24 in UTC)"),
        ("America/New_York", "2026-11-24 17:30:15 -05:00 openai"),
        ("Asia/Kolkata", "2026-11-25 04:00:15 +05:30 (2026-11-24 in UTC)"),
    ],
)
def test_wall_clock_times_are_local_with_their_offset(zone, clock):
    """The date in UTC stands beside one that differs from it, and only then."""
    assert clock in _row(_shown(*REAL, zone=zone), of="rotate-credentials")


def test_the_offset_is_that_of_each_time():
    """When clocks go back in the soak, the hours after it have the new offset."""
    text = _shown(*REAL, "--hours", "8000", zone="Europe/Berlin")
    assert "+01:00" in _row(text, of="start")
    assert "+02:00" in _row(text, of="chaos")


def test_a_change_that_cannot_be_made_is_said_in_its_row_and_below():
    """With the time it was planned for."""
    problem = "unsupported, the gateway has no POST /api/admin/chaos/tool"
    text = _shown(*REAL, hindered={1: problem}, notes=["baseline policies: unsupported"])
    assert _row(text, of="chaos").endswith(f"({problem})")
    assert f"\nthe change chaos at H+12: {problem}\n" in text
    assert text.endswith("baseline policies: unsupported\n")


def test_disk_and_memory_stand_below():
    """How much, out of how much, and by which measure."""
    text = _shown(*REAL)
    assert "disk: about 106 MiB at most in data/runs (" in text
    assert "at 32 bytes a row" in text
    assert "with 100 operations in flight" in text


def test_a_terminal_gets_tables_with_rules_and_a_log_gets_columns():
    """The same cells."""
    assert "────" in _shown(*REAL, terminal=True)
    assert "────" not in _shown(*REAL)
    for words in ("H+12 to H+12:30", "518,528", "95 times, for tokens of 20 min"):
        assert words in _shown(*REAL, terminal=True)


def test_a_soak_shorter_than_a_cadence_says_that_it_never_comes():
    """Six minutes see no rotation."""
    assert "never: the soak is shorter" in _row(_shown("--hours", "0.1"), of="token rotation")


def test_a_proxy_that_the_environment_names_is_said_not_to_be_used(monkeypatch):
    """In one line, by the variables' names and not their values; the embedded gateway is on this machine anyway."""
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("all_proxy", "")
    note = "HTTP_PROXY, https_proxy is not obeyed: every request goes straight to the gateway, none through a proxy"
    assert _shown(*REAL).splitlines().count(note) == 1
    assert "secret" not in _shown(*REAL)
    assert "not obeyed" not in _shown()


@pytest.mark.parametrize("terminal", [True, False])
def test_words_of_a_plan_and_a_gateway_are_no_markup(terminal):
    """In the tables, their titles and the warnings below them: all of it is shown as it is."""
    words = "unsupported, the gateway says [/app/x.js:12] [red]no[/red]"
    text = _shown(*REAL, hindered={1: words}, notes=["[bold]baseline[/nothing]"], terminal=terminal)
    assert text.count("[/app/x.js:12] [red]no[/red]") == 2
    assert text.endswith("[bold]baseline[/nothing]\n")


OPEN = "http://gateway.example is not on this machine and speaks plain HTTP: "


@pytest.mark.parametrize(
    ("url", "flags", "token", "said"),
    [
        ("http://gateway.example", (), None, OPEN + "the agents' tokens can be read on the way there; use https"),
        (
            "http://gateway.example", ("--header-env", "Authorization=X"), "t",
            OPEN + "the agents' tokens, the header Authorization and the admin token can be read on the way there; "
            "use https",
        ),
        ("https://gateway.example", ("--header-env", "Authorization=X"), "t", None),
        ("http://127.0.0.1:3000", ("--header-env", "Authorization=X"), "t", None),
        ("http://[::1]:3000", (), "t", None),
    ],
)  # fmt: skip
def test_tokens_that_would_go_openly_over_a_network_are_warned_of(monkeypatch, url, flags, token, said):
    """One line before the start, for plain HTTP to another machine and for nothing else."""
    monkeypatch.delenv("SOAK_GATEWAY_ADMIN_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", token)
    lines = _shown("--gateway-url", url, "--max-in-flight", "100", *flags).splitlines()
    assert [line for line in lines if "plain HTTP" in line] == ([] if said is None else [said])
