"""ContextForge as it is: sessions, tokens, a limit and its lock-out, a failing upstream, a kill and a restart."""

from collections import Counter

import pytest
from mcp_soaks import ask, begin, book_of, check, ended, failures, kill, resume, until_it_tells

import soaklib

pytestmark = pytest.mark.slow

WHOLE = (("every_s = 10", "every_s = 4"), ('"1/2"', '"1/4"'), ('"1/24"', '"1/2"'), ("share = 0.7", "share = 0.5"))
WHOLE += (("share = 0.3", "share = 0.5"), ("calls_a_session = 20", "calls_a_session = 5"))
RATE = ("--rps", "2")


@pytest.fixture(scope="module")
def run(contextforge, tmp_path_factory):
    """A short soak of its own plan to its end: sessions at a virtual server."""
    return ended(begin(contextforge, tmp_path_factory.mktemp("whole"), *RATE, "--hours", "0.006", edits=WHOLE))


def counted(run, metric, *labels):
    """Give the increase of a counter over the run, by labels."""
    book = Counter()
    for name, sign in (("soak-final.prom", 1), ("soak-h0.prom", -1)):
        for row in soaklib.read_exposition(run.folder / name).filter(metric=metric).iter_rows(named=True):
            of = {label["key"]: label["value"] for label in row["labels"]}
            book[tuple(of[name] for name in labels)] += sign * int(row["value"])
    return {key: n for key, n in book.items() if n}


def test_what_failed_is_told(run):
    """A token that may only read, three that must be refused, and a tool whose upstream fails: each for itself."""
    rows = failures(run)
    assert rows == [
        ("load", "poster", "rest-post", "upstream_error", "upstream", None),
        ("probe", "dismissed", "upstream-echo", "unauthorized", "token_revoked", None),
        ("probe", "latecomer", "upstream-echo", "unauthorized", "token_invalid", None),
        ("probe", "outsider", "upstream-echo", "denied", "scope", None),
        ("probe", "stranger", "upstream-echo", "unauthorized", "token_invalid", None),
    ]
    phases = (
        run.sql("select distinct phase from outcomes where purpose = 'load' and kind <> 'ok'").to_series().to_list()
    )
    assert "upstream outage" in phases
    assert set(phases) <= {"upstream outage", "upstream mended"}  # its end takes time


def test_a_preflight_finds_it_fit_and_leaves_nothing(contextforge):
    """All that its plan does is tried beforehand: sessions are ended, and tokens taken back once."""
    code, said = check(contextforge, *RATE, "--hours", "0.006")
    assert (code, " problem " in said) == (0, False), said


def test_sessions_are_ended(run):
    """Every session is ended, also those of the token that may open some and end none; none was lost."""
    book = book_of(run)
    assert book["opened"] == book["closed"] > 5
    assert (book["left"], book["lost"]) == (0, 0)


def test_the_books_differ_by_what_contextforge_does_not_count(run):
    """Its counter has the calls that got to a tool, all as 200; of those whose token is refused it counts none."""
    rows = dict(run.sql("select kind, count(*) from outcomes where sent_at_us is not null group by all").rows())
    book = book_of(run)
    counts = counted(run, "http_requests_total", "handler", "method", "status")
    ours = {key: n for key, n in counts.items() if key[0].startswith(("/mcp", "/servers"))}
    calls = sum(n for kind, n in rows.items() if kind != "unauthorized")
    posts = sum(n for (_, method, _), n in ours.items() if method == "POST")
    # opened before the first snapshot or ended after the last, a session's own requests are not in it
    assert calls <= posts <= calls + 2 * book["opened"]
    assert {status for _, method, status in ours if method == "POST"} <= {"2xx", "200", "202"}


def test_over_rpc_an_upstreams_failures_are_one(contextforge, tmp_path):
    """The shipped plan runs as it is; what fails over /rpc is an error inside a 200, of which no more is told."""
    run = ended(begin(contextforge, tmp_path, *RATE, "--hours", "0.004", plan="contextforge.toml"))
    assert failures(run) == [("probe", "outsider", "upstream-echo", "denied", "scope", None)]
    assert run.sql("select count(*) from outcomes where kind = 'ok'").item() > 20
    assert run.sql("select distinct status from outcomes").rows() == [(200,)]


def test_a_killed_soak_goes_on_over_a_restart_of_the_gateway(contextforge, tmp_path):
    """After kill -9 the run is resumed, tokens that were left are revoked, and it outlives a restart."""
    folder = kill(begin(contextforge, tmp_path, *RATE, "--hours", "0.02", edits=WHOLE), tmp_path)
    second = resume(contextforge, folder)
    until_it_tells(second)
    contextforge.restart()
    run = ended(second)
    slots = run.sql("select count(*), count(distinct slot), max(slot) from outcomes where purpose = 'load'").row(0)
    assert slots == (144, 144, 143)
    last = run.sql(
        "select distinct kind from outcomes where tool = 'upstream-echo' and purpose = 'load' and slot > 135"
    )
    assert last.rows() == [("ok",)]
    assert tokens_of(contextforge, run.info.run_id) == []


def test_a_limit_and_its_lock_out_are_told_apart(contextforge, tmp_path):
    """An address over its limit is denied its requests, then locked out; of its health it is then told nothing."""
    contextforge.recipe.environment["RATE_LIMIT_MEDIUM_RPM"] = "20"  # the last test of this gateway
    contextforge.restart()
    flags = (*RATE, "--hours", "0.006")
    run = ended(begin(contextforge, tmp_path, *flags, edits=WHOLE))
    limits = {row[3:] for row in failures(run) if row[0] == "load" and row[3] == "rate_limited"}
    assert limits == {("rate_limited", "rate_limit", "requests"), ("rate_limited", "rate_limit", "lock-out")}
    seen = run.sql("select \"limit\" from outcomes where kind = 'rate_limited' order by sent_at_us").to_series()
    assert seen[0] == "requests"
    told = run.sql("select distinct ok, status from scrapes where endpoint = 'health' order by all").rows()
    assert told == [(False, 429), (True, 200)]
    [detail] = run.sql(
        "select detail from events where name = 'HEALTH_GATE_FAILED' and detail like 'before%'"
    ).to_series()
    assert "this address is limited or locked out" in detail


def tokens_of(gateway, run_id):
    """Give the names of a run's tokens that are still good."""
    login = {"email": gateway.variables["SOAK_CONTEXTFORGE_EMAIL"]}
    login["password"] = gateway.variables["SOAK_CONTEXTFORGE_PASSWORD"]
    token = ask(f"{gateway.url}/auth/login", login)["access_token"]
    listed = ask(f"{gateway.url}/tokens?limit=100", Authorization=f"Bearer {token}")["tokens"]
    return [one["name"] for one in listed if one["name"].startswith(run_id)]
