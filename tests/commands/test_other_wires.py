"""Rehearsals of OpenAI's and MCP's wire, run as a person would run them, against the soak's own upstream."""

import json
from functools import partial

import pytest
from rehearsals import Rehearsal, run_command, side_by_side

import soaklib

pytestmark = pytest.mark.slow

LATENESS = ("--seed", "1", "--no-report", "--thresholds.late-ms", "2000")
CHANGELESS = """
name = "no changes"
[target]
kind = "openai"
[intervals]
rotate_tokens_s = 900
token_lifetime_s = 1200
snapshot_s = 3600
scrape_s = 60
[roles.asker]
scopes = ["small:stream"]
[[operations]]
role = "asker"
share = 1.0
[[operations.steps]]
tool = "small"
action = "stream"
params = { messages = [{ role = "user", content = "{n}" }] }
"""


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """A rehearsal of each plan, all at the same time."""
    changeless = tmp_path_factory.mktemp("plan") / "plan.toml"
    changeless.write_text(CHANGELESS)
    flags = {
        "openai": ("--plan", "openai.toml", "--hours", "2"),
        "mcp": ("--plan", "mcp.toml", "--hours", "2"),
        "changeless": ("--plan", str(changeless), "--hours", "0.5", "--rps", "0.2"),
    }
    return side_by_side(
        {name: partial(rehearse, tmp_path_factory.mktemp(name), *words) for name, words in flags.items()}
    )


def rehearse(folder, *flags):
    return Rehearsal(run_command(*flags, "--speed", "360", *LATENESS, "--out", str(folder)))


@pytest.fixture
def streams(soaked):
    """A rehearsal of openai.toml, found by its name."""
    return soaked["openai"].result()


@pytest.fixture
def sessions(soaked):
    """A rehearsal of mcp.toml."""
    return soaked["mcp"].result()


def test_streams_are_measured(streams):
    """Every stream that succeeded has its first byte, first token, chunks and usage; what was cut is told, no more."""
    run = soaklib.open_run(streams.folder)
    ok = run.sql(
        "select count(*) n, count(*) filter (chunks = 8 and input_tokens = 9 and output_tokens = 8 "
        "and sent_at_us <= first_byte_at_us and first_byte_at_us <= first_token_at_us "
        "and first_token_at_us < done_at_us) whole from outcomes where action = 'stream' and kind = 'ok'"
    ).row(0)
    assert ok[0] == ok[1] > 100
    other = run.sql("select count(*) from outcomes where action <> 'stream' and (chunks is not null or kind = 'x')")
    assert other.item() == 0
    cut = run.sql("select distinct kind, reason, phase, tool from outcomes where kind <> 'ok' order by all").rows()
    assert {row[2:] for row in cut} <= {("cut streams", "small"), ("after cut streams", "small")}  # its end takes time
    assert ("invalid_response", "stream_truncated", "cut streams", "small") in cut
    assert {identity.rpartition("-")[0].rpartition("-")[2] for (identity,) in run.sql(
        "select distinct identity from outcomes").rows()} == {"asker", "indexer"}  # fmt: skip


def test_the_upstreams_own_counts_agree(streams):
    """The upstream's last word on its requests and tokens is what the rows say."""
    run = soaklib.open_run(streams.folder)
    text = (streams.folder / "soak-final.prom").read_bytes()
    samples = soaklib.read_exposition(text)
    total = lambda metric: samples.filter(samples["metric"] == metric)["value"].sum()  # noqa: E731 - said once, here
    rows, tokens = run.sql(
        "select count(*), sum(input_tokens) + sum(coalesce(output_tokens, 0)) from outcomes where kind = 'ok'"
    ).row(0)
    sent = run.sql("select count(*) from outcomes where sent_at_us is not null").item()
    assert total("upstream_requests_total") == sent
    assert total("upstream_tokens_total") == tokens
    assert rows == streams.summary["totals"]["ok"]


def test_a_rehearsal_of_streams_is_judged(streams):
    """Its run is completed, and no criterion on the calls fails."""
    assert streams.summary["status"] == "completed"
    states = {name: streams.verdicts[name]["state"] for name in ("every slot accounted for", "success rate", "healthy")}
    assert states == dict.fromkeys(states, "pass")


def test_sessions_are_counted_and_ended(sessions):
    """Each session that was opened is ended, and the event says how many; the failing tool is told, and no more."""
    run = soaklib.open_run(sessions.folder)
    data = run.sql("select data from events where name = 'SESSIONS_CLOSED'").item()
    book = json.loads(data) if isinstance(data, str) else data
    assert book["opened"] == book["closed"] > 10
    assert (book["left"], book["lost"]) == (0, 0)
    failed = run.sql("select distinct kind, reason, tool from outcomes where kind not in ('ok', 'skipped')").rows()
    assert failed == [("upstream_error", "tool_error", "search")]
    assert sessions.summary["status"] == "completed"


def test_each_sender_of_a_fleet_ends_its_sessions(tmp_path):
    """Those of the lanes are ended and judged with the conductor's."""
    fleet = rehearse(tmp_path, "--plan", "mcp.toml", "--hours", "0.5", "--senders", "2")
    run = soaklib.open_run(fleet.folder)
    told = run.sql(
        "select regexp_extract(detail, '^lane=(.)', 1) as lane, data from events "
        "where name = 'SESSIONS_CLOSED' order by lane"
    ).rows()
    books = {lane: json.loads(data) for lane, data in told}
    assert list(books) == ["", "0", "1"]
    assert all(book["opened"] == book["closed"] > 0 for book in books.values()), books
    verdict = fleet.verdicts["sessions closed"]
    assert (verdict["state"], verdict["n"]) == ("pass", sum(book["opened"] for book in books.values()))


def test_a_plan_without_changes_is_judged(soaked):
    """A soak in which nothing is changed has its verdicts like any other, and stated settings go before a table's."""
    run = soaked["changeless"].result()
    assert run.summary["totals"]["ok"] == run.summary["totals"]["total"] == 360
    assert run.verdicts["success rate"]["state"] == "pass"


@pytest.mark.parametrize(
    "flag", [("--gateway-quirks", "real"), ("--database-url", "sqlite:///x")], ids=lambda flag: flag[0]
)
def test_what_is_for_the_reference_gateway_is_refused(flag, tmp_path):
    """A flag of the reference gateway with a plan that is rehearsed otherwise is bad usage, and leaves nothing."""
    ended = run_command("--plan", "mcp.toml", *flag, "--out", str(tmp_path / "runs"))
    assert ended.returncode == 2
    assert "this plan is rehearsed against the mock upstream" in ended.stderr.replace("\n", " ")
    assert list((tmp_path / "runs").iterdir()) == []
