"""A FastMCP server as it is: sessions of both eras, a limit, tokens, a failing upstream, a kill and a restart."""

import pytest
from mcp_soaks import ask, begin, book_of, check, ended, failures, kill, resume, until_it_tells

pytestmark = pytest.mark.slow

WHOLE = (('"1/4"', '"1/6"'), ('"1/20"', '"1/6"'), ('"1/24"', '"1/6"'), ("every_s = 10", "every_s = 2"))
WHOLE += (("per_second = 0.75", "per_second = 1.0"), ("burst = 5", "burst = 1"))
RATE = ("--rps", "10")


def upstreams_calls(gateway):
    """Give how often the upstream's tools were called."""
    by_name = ask(f"{gateway.upstream}/control/counts")["by_name"]
    return {name: n for name, n in by_name.items() if name in {"echo", "post"}}


@pytest.fixture(scope="module")
def run_and_calls(fastmcp, tmp_path_factory):
    """A short soak to its end, and what reached the upstream of it."""
    before = upstreams_calls(fastmcp)
    run = ended(begin(fastmcp, tmp_path_factory.mktemp("whole"), *RATE, "--hours", "0.006", edits=WHOLE))
    return run, {tool: n - before.get(tool, 0) for tool, n in upstreams_calls(fastmcp).items()}


def test_what_failed_is_told(run_and_calls):
    """The limit while it is cut, the tool whose upstream fails, both tokens that must be refused: each for itself."""
    run, _ = run_and_calls
    assert failures(run) == [
        ("load", "poster", "rest-post", "rate_limited", "rate_limit", "requests"),
        ("load", "poster", "rest-post", "upstream_error", "tool_error", None),
        ("probe", "latecomer", "upstream-echo", "unauthorized", "token_invalid", None),
        ("probe", "stranger", "upstream-echo", "unauthorized", "token_invalid", None),
    ]
    phases = set(run.sql("select distinct kind, phase from outcomes where purpose = 'load' and kind <> 'ok'").rows())
    seen = {("rate_limited", "limit cut"), ("upstream_error", "upstream outage")}
    late = {("rate_limited", "limit restored"), ("upstream_error", "upstream mended")}  # an end takes time
    assert seen <= phases <= seen | late


def test_the_limit_lets_through_what_it_says(run_and_calls):
    """While it is cut to one a second with no burst, no more calls pass than that; initialize counts, too."""
    run, _ = run_and_calls
    passed, lasted_s = run.sql(
        "select count(*), (max(sent_at_us) - min(sent_at_us)) / 1e6 from outcomes "
        "where tool = 'rest-post' and phase = 'limit cut' and kind = 'ok'"
    ).row(0)
    assert 1 <= passed <= lasted_s + 2


def test_sessions_are_ended(run_and_calls):
    """Every session that was opened is ended and none was lost; each answer came as one event of a stream."""
    run, _ = run_and_calls
    book = book_of(run)
    assert book["opened"] == book["closed"] > 5
    assert (book["left"], book["lost"]) == (0, 0)
    assert run.sql("select distinct chunks from outcomes where kind = 'ok'").rows() == [(1,)]


def test_the_upstream_saw_each_call(run_and_calls):
    """What reached the upstream is what succeeded or failed there: what was refused before did not."""
    run, calls = run_and_calls
    reached = run.sql(
        "select split_part(tool, '-', 2), count(*) from outcomes where kind in ('ok', 'upstream_error') group by all"
    ).rows()
    assert calls == dict(reached)


def test_the_stateless_era_needs_no_session(fastmcp, tmp_path):
    """Revision 2026-07-28 is answered without a session, in one piece, and failures are told as in the other."""
    edits = (('era = "sessions"\nsessions = "calls"\ncalls_a_session = 20', 'era = "stateless"'), *WHOLE)
    run = ended(begin(fastmcp, tmp_path, *RATE, "--hours", "0.004", edits=edits))
    assert run.sql("select count(*) from events where name = 'SESSIONS_CLOSED'").item() == 0
    assert run.sql("select distinct chunks is null from outcomes where kind = 'ok'").rows() == [(True,)]
    kinds = {row[:5] for row in failures(run)}
    assert ("load", "poster", "rest-post", "upstream_error", "tool_error") in kinds
    assert {row[3] for row in kinds if row[0] == "probe"} == {"unauthorized"}


def test_a_preflight_finds_it_fit_and_leaves_nothing(fastmcp):
    """All that its plan does is tried beforehand, and taken back."""
    code, said = check(fastmcp, *RATE, "--hours", "0.006")
    assert (code, " problem " in said) == (0, False), said


def test_a_killed_soak_goes_on_over_a_restart_of_the_server(fastmcp, tmp_path):
    """After kill -9 the run is resumed; a server that starts anew knows none of its sessions: new ones are made."""
    folder = kill(begin(fastmcp, tmp_path, *RATE, "--hours", "0.01", edits=WHOLE), tmp_path)
    second = resume(fastmcp, folder)
    until_it_tells(second)
    fastmcp.restart()
    run = ended(second)
    slots = run.sql("select count(*), count(distinct slot), max(slot) from outcomes where purpose = 'load'").row(0)
    assert slots == (360, 360, 359)
    told = book_of(run)
    assert told["opened"] == told["closed"] + told["left"] + told["lost"]
    assert told["lost"] > 0
    last = run.sql(
        "select kind, count(*) from outcomes where tool = 'upstream-echo' and slot > 340 group by all"
    ).rows()
    assert [kind for kind, _ in last if kind != "unauthorized"] == ["ok"]
