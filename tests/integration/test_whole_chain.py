"""The whole chain with one command: a gateway that logs into PostgreSQL, a Prometheus that scrapes gateway and runner,
the soak, its bundle, and the check of it.

    .venv/bin/python -m pytest tests/integration/test_whole_chain.py

The dashboard for Grafana is held to what that Prometheus answers.
"""

import datetime as dt
import json
import math
import re
import subprocess
import sys
import urllib.parse
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from postgres_server import PASSWORD, postgres_server
from prometheus_server import fetch, free_port, programs, prometheus_server, wait_for
from rehearsals import Rehearsal
from running_gateway import running_gateway

import soaklib

pytestmark = pytest.mark.slow

SPEED = "240"
DASHBOARD = json.loads((Path(__file__).parents[2] / "scripts" / "grafana-dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RATE_INTERVAL = "4s"  # Grafana's own: four times the scrape interval
RECORDED = ("outcomes", "samples", "scrapes", "events", "runner_health", "segments")


@pytest.fixture(scope="module", autouse=True)
def _direct():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def chain(tmp_path_factory, _direct):
    """Two soak-hours in 30 s with everything on: the run, Prometheus, the database, and one text of the runner's."""
    folder = tmp_path_factory.mktemp("chain")
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server("pg_dump", "psql")).new_database("gateway")
        url = stack.enter_context(running_gateway("--speed", SPEED, "--database-url", database)).url
        port = free_port()
        runner = f"127.0.0.1:{port}"
        server = stack.enter_context(
            prometheus_server(folder, {"gateway": urllib.parse.urlsplit(url).netloc, "soaklib": runner})
        )
        arguments = [
            "--gateway-url", url, "--hours", "2", "--speed", SPEED, "--rps", "0.5", "--thresholds.late-ms", "500",
            "--database-url", database, "--metrics-port", str(port), "--out", str(folder / "runs"),
            "--no-preflight",  # whose calls the gateway counts, too
            "--no-report",  # tests/test_other_gateway.py and test_wheel.py make one each
        ]  # fmt: skip
        started = dt.datetime.now(dt.UTC)
        with subprocess.Popen(
            [sys.executable, "-m", "soaklib.run", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        ) as running:  # fmt: skip
            text = wait_for(
                lambda: (text := fetch(f"http://{runner}/metrics")).count(b"soaklib_outcomes_total{") > 4 and text,
                "a text of the runner's metrics",
            )
            stdout, stderr = running.communicate(timeout=400)
        run = Rehearsal(subprocess.CompletedProcess([], running.returncode, stdout, stderr))
        with soaklib.open_run(run.folder) as opened:
            ended = opened.info.anchor_utc + dt.timedelta(
                microseconds=opened.sql("select max(ended_at_us) from segments").item()
            )
        yield SimpleNamespace(
            run=run, server=server, database=database, runner_text=text, started=started, ended=ended, gateway=url
        )


def asked(chain, query, *, at=None):
    """Give (labels, value) of an instant query, as of the end of the run where no time is given."""
    at = at or chain.ended + dt.timedelta(seconds=10)
    parameters = urllib.parse.urlencode({"query": query, "time": f"{at.timestamp():.3f}"})
    result = json.loads(fetch(f"{chain.server}/api/v1/query?{parameters}"))["data"]["result"]
    return [(one["metric"], float(one["value"][1])) for one in result]


def last_of(chain, metric, *labels):
    """Give the last values that the server scraped of a metric of the runner, by labels."""
    return {
        tuple(found[label] for label in labels): value
        for found, value in asked(chain, f'last_over_time({metric}{{job="soaklib"}}[5m])')
    }


def rows_of(chain, query):
    """Give a query's rows: all but the last column as the key of it."""
    with soaklib.open_run(chain.run.folder) as run:
        return {row[:-1]: float(row[-1]) for row in run.sql(query).iter_rows()}


def test_the_soak_passes_and_its_evidence_is_authentic(chain):
    """No criterion fails, exit code 0, and the bundle says the same of itself; with the database in it.

    But for times: what else this machine does moves the latency of a rehearsal, and the exit code with it.
    """
    failed = [name for name, verdict in chain.run.verdicts.items() if verdict["state"] == "fail"]
    assert [name for name in failed if "drift in latency" not in name] == [], chain.run.ended.stderr
    assert chain.run.ended.returncode == (1 if failed else 0)
    folder = chain.run.folder
    assert chain.run.ended.stdout.splitlines()[-1] == str(folder)
    assert (folder / "database-snapshot.sql.gz").stat().st_size > 1000
    bundle = folder / f"soak-artifacts-{folder.name}.tar.gz"
    verified = subprocess.run(
        [sys.executable, "-m", "soaklib.verify", str(bundle)], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr


def test_the_password_of_the_database_is_nowhere(chain):
    """Neither as it is nor as it stands in the URL."""
    secrets = (PASSWORD.encode(), urllib.parse.quote(PASSWORD, safe="").encode())
    for path in chain.run.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path
    assert not any(secret.decode() in chain.run.ended.stderr for secret in secrets)


def test_the_books_balance_with_the_request_log_in_postgresql(chain):
    """Every call that the gateway logged is one that the client saw, and the other way round; so the verdict says."""
    with soaklib.open_run(chain.run.folder) as run:
        sent = run.sql("select count(*) from outcomes where attempts > 0 and correlation_id is not null").item()
        lines = soaklib.reconcile(run, database=chain.database)
    logged = soaklib.read_database(chain.database)
    assert len(logged) == sent
    from_log = lines.filter(lines["database_rows"].is_not_null())
    assert from_log["database_rows"].sum() >= sent
    assert from_log["discrepancy"].abs().sum() == 0
    assert chain.run.verdicts["books balanced"]["detail"].endswith("; the gateway's request log agrees too")


def test_the_last_numbers_that_prometheus_scraped_are_the_rows_of_the_run(chain):
    """Every counter, by its labels, to the last call: the runner waits for the scrape that carries them."""
    by_kind = "select purpose, tool, kind, count(*) from outcomes group by all"
    assert last_of(chain, "soaklib_outcomes_total", "purpose", "tool", "kind") == rows_of(chain, by_kind)
    planned = "select purpose, tool, count(*) from outcomes group by all"
    assert last_of(chain, "soaklib_calls_planned_total", "purpose", "tool") == rows_of(chain, planned)
    sent = "select purpose, tool, count(*) from outcomes where attempts > 0 group by all"
    assert last_of(chain, "soaklib_calls_sent_total", "purpose", "tool") == rows_of(chain, sent)
    tables = " union all ".join(f"select count(*) as n from {table}" for table in RECORDED)
    written = rows_of(chain, f"select sum(n) from ({tables})")
    assert last_of(chain, "soaklib_recorder_rows_acknowledged_total") == written


def test_the_histograms_hold_what_the_rows_say(chain):
    """Service times bucket by bucket; schedule lags as many as were sent, and as late to within the clock's reading."""
    scraped = last_of(chain, "soaklib_service_time_seconds_bucket", "tool", "le")
    for bound_s in (0.001, 0.005, 0.05, 0.5, 30.0):
        expected = rows_of(
            chain,
            f"select tool, count(*) filter (done_at_us - sent_at_us <= {round(bound_s * 1e6)}) from outcomes "
            "where done_at_us is not null group by tool",
        )
        assert {(tool,): n for (tool, le), n in scraped.items() if float(le) == bound_s} == expected
    lags = last_of(chain, "soaklib_schedule_lag_seconds_count")
    assert lags == rows_of(chain, "select count(*) from outcomes where attempts > 0")
    [lag_sum_s] = last_of(chain, "soaklib_schedule_lag_seconds_sum").values()
    [sum_s] = rows_of(chain, "select sum(sent_at_us - planned_at_us) / 1e6 from outcomes where attempts > 0").values()
    assert lag_sum_s == pytest.approx(sum_s, rel=0.1, abs=0.5)


def test_the_run_and_its_end_are_told(chain):
    """Run id, soak time up to the end, the last phase, a memory that a runner has."""
    [(info, _)] = asked(chain, "last_over_time(soaklib_run_info[5m])")
    assert info["run_id"] == chain.run.folder.name
    assert last_of(chain, "soaklib_soak_time_seconds") == {(): 7200.0}
    phases = last_of(chain, "soaklib_phase", "phase")
    assert {name for (name,), value in phases.items() if value} == {"quota cut"}
    [memory_bytes] = last_of(chain, "process_resident_memory_bytes").values()
    assert 50 << 20 < memory_bytes < 1 << 30


def test_prometheus_counted_at_the_gateway_what_the_client_saw(chain):
    """Its requests by tool and code are the rows of these answers, once each."""
    query = 'sum by (tool, code) (last_over_time(gateway_requests_total{job="gateway"}[5m]))'
    counted = {(labels["tool"], labels["code"]): value for labels, value in asked(chain, query)}
    answered = "select tool, status::VARCHAR, count(*) from outcomes where status in (200, 502) group by all"
    assert {key: value for key, value in counted.items() if value} == rows_of(chain, answered)


def test_promtool_finds_nothing_wrong_with_the_metrics(chain):
    """Names, units, types and help are as Prometheus' own linter wants them."""
    ended = subprocess.run(
        [programs()[1], "check", "metrics"], input=chain.runner_text, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


# -- the dashboard


def _expressions():
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['legendFormat']}".strip())


@pytest.mark.parametrize("expression", list(_expressions()))
def test_every_query_of_the_dashboard_finds_data(chain, expression):
    """With its variables filled in as Grafana does, over the run."""
    variables = {
        "$run": chain.run.folder.name,
        "$gateway": f"({re.escape(urllib.parse.urlsplit(chain.gateway).netloc)})",
        "$__rate_interval": RATE_INTERVAL,
    }
    for name, value in variables.items():
        expression = expression.replace(name, value.replace("\\", "\\\\") if name == "$gateway" else value)
    assert "$" not in expression
    parameters = {"query": expression, "start": chain.started.timestamp(), "end": chain.ended.timestamp(), "step": 1}
    answer = json.loads(fetch(f"{chain.server}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"))
    assert answer["status"] == "success"
    values = [float(value) for series in answer["data"]["result"] for _, value in series["values"]]
    assert any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("variable", [one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"],
                         ids=lambda one: one["name"])  # fmt: skip
def test_every_variable_of_the_dashboard_has_values(chain, variable):
    """The runs and the gateways that the server knows."""
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    parameters = urllib.parse.urlencode({"match[]": metric, "start": chain.started.timestamp()})
    values = json.loads(fetch(f"{chain.server}/api/v1/label/{label}/values?{parameters}"))["data"]
    expected = {"run": chain.run.folder.name, "gateway": urllib.parse.urlsplit(chain.gateway).netloc}
    assert values == [expected[variable["name"]]]
