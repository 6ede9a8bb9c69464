"""LiteLLM as it is, with streams, a limit, keys that must be refused, an upstream that fails, a kill and a restart."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

import soaklib
from soaklib.plan.model import Step
from soaklib.targets.base import Identity
from soaklib.targets.openai import OpenAITarget
from soaklib.targets.openai.options import OpenAIOptions

pytestmark = pytest.mark.slow

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ALLOWED_S = 180
SHORT = ("--speed", "10", "--rps", "0.6", "--no-report", "--thresholds.late-ms", "2000", "--drain-s", "60")
"""6 calls a second, a sixth of what a worker bears."""
STATUS = {"ok": "200", "denied": "403", "rate_limited": "429", "token_expired": "401", "upstream_error": "503"}
STATUS |= {
    "token_invalid": "None"
}  # the one difference: custom auth raised, the caller is told 401, the counter nothing


def soak(gateway, folder, *more):
    """Begin a soak, as a person would."""
    plan = folder / "plan.toml"
    text = Path(gateway.soak_command()[3]).read_text()
    for there, here in (("rpm_limit = 30", "rpm_limit = 3"), ('"1/10"', '"1/6"'), ('"1/16"', '"1/6"')):
        assert there in text
        text = text.replace(there, here)
    plan.write_text(text)
    command = gateway.soak_command(*SHORT, "--out", str(folder / "runs"), *more)
    command[3] = str(plan)
    return begin(command, gateway)


def begin(command, gateway):
    """Begin a command with the gateway's keys in its environment."""
    return subprocess.Popen(
        command, env=os.environ | gateway.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(condition, process):
    """Wait until something is so; the process has to live that long."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.5)


def answered(folder, condition):
    """Give how many calls of the one run that goes on in a folder were answered ok."""
    for run in folder.glob("runs/2*/run.duckdb"):
        with soaklib.open_run(run.parent) as live:
            return live.sql(f"select count(*) from outcomes where kind = 'ok' and {condition}").item()
    return 0


def ended(process):
    """Wait for the end of a soak; give its run."""
    out, err = process.communicate(timeout=ALLOWED_S)
    assert process.returncode in (0, 1), err  # some criteria of so short a soak are not met
    return soaklib.open_run(out.splitlines()[-1])


@pytest.fixture(scope="module")
def run(litellm, tmp_path_factory):
    """A short soak to its end."""
    return ended(soak(litellm, tmp_path_factory.mktemp("whole"), "--hours", "0.06"))


def counted(run, metric, *labels):
    """Give the increase of a counter over the run, by labels."""
    first, last = (
        soaklib.read_exposition(run.folder / name).filter(metric=metric) for name in ("soak-h0.prom", "soak-final.prom")
    )
    book = Counter()
    for samples, sign in ((last, 1), (first, -1)):
        for row in samples.iter_rows(named=True):
            of = {label["key"]: label["value"] for label in row["labels"]}
            book[tuple(of[name] for name in labels)] += sign * int(row["value"])
    return {key: value for key, value in book.items() if value}


def test_streams_are_measured(run):
    """Each stream of the real proxy has its first byte and token, its chunks and the usage that the upstream stated."""
    n, whole = run.sql(
        "select count(*), count(*) filter (chunks = 8 and input_tokens = 9 and output_tokens = 8 and "
        "sent_at_us <= first_byte_at_us and first_byte_at_us <= first_token_at_us and first_token_at_us < done_at_us) "
        "from outcomes where action = 'stream' and kind = 'ok'"
    ).row(0)
    assert n == whole > 30


def test_what_denied_is_told(run):
    """The limit that is cut, the key that may not, the one nobody knows and the expired one are each told apart."""
    rows = run.sql(
        "select distinct purpose, role, tool, kind, reason, \"limit\" from outcomes where kind <> 'ok' order by all"
    ).rows()
    assert rows == [
        ("load", "limited", "limited", "rate_limited", "rate_limit", "requests"),
        ("load", "writer", "second", "upstream_error", "upstream", None),
        ("probe", "asker", "second", "denied", "model", None),
        ("probe", "latecomer", "fast", "unauthorized", "token_expired", None),
        ("probe", "stranger", "fast", "unauthorized", "token_invalid", None),
    ]
    outside = run.sql(
        """
        with changed as (select if(subject = 'outage', 'second', 'limited') as tool, min(at_us) as from_us,
                                max(at_us) filter (name = 'CHANGE_UNDONE') as until_us
                         from events where subject in ('outage', 'limit-cut') group by subject)
        select count(*) from outcomes join changed using (tool)
        where purpose = 'load' and kind <> 'ok' and (done_at_us < from_us or sent_at_us > until_us)"""
    )
    assert outside.item() == 0


def test_books_balance(run):
    """LiteLLM's counter has each answer once, by status, and its tokens are those that answers stated.

    But for calls that were under way when the first snapshot was taken, which may be in it already.
    """
    later = "sent_at_us >= (select min(at_us) from events where name = 'METRICS_SNAPSHOT')"
    rows = run.sql(
        f"select if(kind = 'unauthorized', reason, kind) as what, count(*) filter ({later}), count(*) from outcomes "
        "where sent_at_us is not null group by what"
    ).rows()
    seen = counted(run, "litellm_proxy_total_requests_metric_total", "status_code")
    assert seen.keys() == {(STATUS[what],) for what, _, _ in rows}
    assert [what for what, least, most in rows if not least <= seen[STATUS[what],] <= most] == []
    for way in ("input", "output"):
        least, most = run.sql(
            f"select sum({way}_tokens) filter ({later}), sum({way}_tokens) from outcomes where kind = 'ok'"
        ).row(0)
        assert least <= sum(counted(run, f"litellm_{way}_tokens_metric_total").values()) <= most


def test_money_and_tokens_are_booked_on_the_key_and_the_model_that_used_them(run):
    """What each answer says that it cost, streams too, is what LiteLLM's counter of spend has, as the verdicts say."""
    states = dict(run.verdicts().select("name", "state").iter_rows())
    books = ("token books balanced", "money books balanced", "upstream asked once")
    assert [states[name] for name in books] == ["pass"] * 3
    for by in ("model", "key"):
        frame = soaklib.spend(run, by=by)
        assert set(frame["source"]) == {"gateway"}
        used = frame.filter(frame["answers"] > 0)
        assert used.height == 3
        for row in used.iter_rows(named=True):
            few = 3 * row["stated"] / row["answers"]  # calls under way at the first or the last scrape
            assert row["counted"] == pytest.approx(row["stated"], abs=few)
    cost_usd = run.sql(
        "select sum(cost_usd), sum(9 * 1e-6 + output_tokens * 4e-6) from outcomes where kind = 'ok'"
    ).row(0)
    assert cost_usd[0] == pytest.approx(cost_usd[1])


OK, UPSTREAM = ("ok", None), ("upstream_error", "upstream")
NOTHING = ("invalid_response", "body_invalid")  # one empty frame, and the stream's last word
MISBEHAVIOUR = {  # of the upstream: what a chat and a stream are by then
    "reset": (UPSTREAM, UPSTREAM), "cut": (UPSTREAM, UPSTREAM), "500": (UPSTREAM, UPSTREAM),
    "502": (UPSTREAM, UPSTREAM),
    "429": (UPSTREAM, UPSTREAM), "400": (("invalid_request", "upstream"),) * 2, "junk-frame": (OK, UPSTREAM),
    "html": (UPSTREAM, NOTHING), "bad-json": (UPSTREAM, NOTHING), "empty": (UPSTREAM, NOTHING),
    "shape": (UPSTREAM, NOTHING),
    "error-frame": (("upstream_error", "internal"), UPSTREAM),  # LiteLLM itself fails at an error inside a 200
    "truncate": (UPSTREAM, OK),  # LiteLLM adds the end that is missing: on its wire nothing tells
}  # fmt: skip


def test_what_the_upstream_does_is_told_by_what_litellm_answers(litellm):
    """Each misbehaviour of the upstream is read from the real proxy's answer, in one piece and streamed."""
    seen = {}
    for mode in MISBEHAVIOUR:
        with ask(litellm.control, "PUT", json.dumps({"mode": mode}).encode()):
            seen[mode] = tuple(read_answer(litellm, action) for action in ("chat", "stream"))
    with ask(litellm.control, "DELETE"):
        assert seen == MISBEHAVIOUR


def ask(url, method, body=None, headers=()):
    """Give the answer, whatever its status."""
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - the loopback
    try:
        return DIRECT.open(request, timeout=30)
    except urllib.error.HTTPError as refusal:
        return refusal


def read_answer(gateway, action):
    """Give kind and reason of one call, read by the target."""
    target = OpenAITarget(OpenAIOptions(is_litellm=True))
    params = {"messages": [{"role": "user", "content": "hello"}]}
    template = target.compile(Step(tool="fast", action=action, params=params), "asker")
    wire = template.request(Identity("a", "asker", gateway.variables["SOAK_LITELLM_KEY_A"]), 1)
    reader = target.reader(template)
    with ask(gateway.url + wire.path, wire.method, wire.body, wire.headers) as answer:
        reader.head(answer.status, answer.headers)
        reader.feed(answer.read(), 1)
    reading = reader.end()
    return reading.kind, reading.reason


def test_a_killed_soak_goes_on_over_a_restart_of_the_gateway(litellm, tmp_path):
    """After kill -9 the run is resumed; while the gateway is away calls fail as such, and after that they succeed."""
    first = soak(litellm, tmp_path, "--hours", "2")
    until(lambda: answered(tmp_path, "true") > 10, first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    [folder] = tmp_path.glob("runs/2*")
    second = begin([litellm.soak_command()[0], "run", "--resume", str(folder)], litellm)
    until(lambda: "SOAK_TEST_RESUMED" in (folder / "soak-events.log").read_text(), second)
    litellm.restart()
    away = "(select max(slot) from outcomes where purpose = 'load' and kind = 'transport_error')"
    until(lambda: answered(tmp_path, f"slot > {away}") > 10, second)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=ALLOWED_S)
    assert second.returncode == 130
    run = soaklib.open_run(folder)
    slots, distinct, last = run.sql(
        "select count(*), count(distinct slot), max(slot) from outcomes where purpose = 'load'"
    ).row(0)
    assert slots == distinct == last + 1
    assert run.sql("select count(*) from segments").item() == 2
    allowed = {"ok", "missed", "transport_error", "timeout", "interrupted"}  # no change was due yet
    assert set(run.sql("select distinct kind from outcomes where purpose = 'load'")["kind"]) <= allowed
