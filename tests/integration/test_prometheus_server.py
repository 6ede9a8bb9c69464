"""A real Prometheus server: one day written into its storage, and the reference gateway scraped by it."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import urllib.parse

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from prometheus_server import fetch, programs, prometheus_server, wait_for
from running_gateway import running_gateway

from soaklib.analysis.measures.counters import INCREASE_SCHEMA, prometheus_increase
from soaklib.analysis.sources.prometheus import POINTS_MAX, read_prometheus
from soaklib.analysis.sources.samples import read_exposition, samples_frame

pytestmark = pytest.mark.slow

MIDNIGHT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
LOOKBACK = dt.timedelta(minutes=5)


def day_of_scrapes(seed=5):
    """Give (at_ms, series number, value): three counters a minute, with jitter, resets, gaps and one late start."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    midnight_ms = round(MIDNIGHT.timestamp() * 1000)
    values = [0, 10_000, 0]
    rows = []
    for minute in range(24 * 60):
        for n in range(3):
            values[n] = 0 if rng.random() < 0.004 else values[n] + rng.choice([0, 0, 1, 7, 250])
            is_gap = 300 <= minute < 310 or rng.random() < 0.02
            if not is_gap and not (n == 2 and minute < 200):
                rows.append((midnight_ms + minute * 60_000 + rng.randrange(2_000), n, values[n]))
    # one that was at zero 0.8 minutes before it was first seen: where servers before 2.52 and since differ
    rows.extend((midnight_ms + (600 + n) * 60_000, 3, 8 + 10 * n) for n in range(3))
    return rows


@pytest.fixture(scope="module")
def day():
    """Give the day as a samples frame, as a server that scraped it would have it."""
    rows = day_of_scrapes()
    labels = [(("instance", "day:1"), ("job", "day"), ("n", str(n))) for _, n, _ in rows]
    return samples_frame([ms * 1000 for ms, _, _ in rows], ["day_total"] * len(rows), labels, [v for _, _, v in rows])


@pytest.fixture(scope="module")
def gateway():
    """Give the reference gateway's URL, after it made two agents."""
    with running_gateway() as own:
        for role in ("scraper", "engager"):
            fetch(
                f"{own.url}/api/create-agent", json.dumps({"name": role, "created_by": "test", "role": role}).encode()
            )
        yield own.url


@pytest.fixture(scope="module")
def server(tmp_path_factory, gateway):
    """Give the URL of a Prometheus server that has the day in its storage and scrapes the gateway every second."""
    _, promtool = programs()
    folder = tmp_path_factory.mktemp("prometheus")
    rows = sorted(day_of_scrapes(), key=lambda row: (row[1], row[0]))
    lines = [f'day_total{{instance="day:1",job="day",n="{n}"}} {value} {ms / 1000:.3f}' for ms, n, value in rows]
    (folder / "day.om").write_text("\n".join(["# TYPE day counter", *lines, "# EOF", ""]))
    blocks = [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "day.om", folder / "data"]
    subprocess.run(blocks, check=True, stdout=subprocess.DEVNULL)
    jobs = {"gateway": urllib.parse.urlsplit(gateway).netloc}
    with prometheus_server(folder, jobs, **{"storage.tsdb.retention.time": "100y"}) as url:
        yield url


@pytest.fixture(scope="module")
def version(server):
    """Give major and minor of the server's version."""
    build = json.loads(fetch(f"{server}/api/v1/status/buildinfo"))
    major, minor, *_ = build["data"]["version"].split(".")
    return int(major), int(minor)


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def instant(server, query, at):
    """Give the result of an instant query."""
    parameters = urllib.parse.urlencode({"query": query, "time": f"{at.timestamp():.3f}"})
    return json.loads(fetch(f"{server}/api/v1/query?{parameters}"))["data"]["result"]


def labels_of(metric):
    return tuple(sorted((key, value) for key, value in metric.items() if key != "__name__"))


def server_increase(server, selector, start, end):
    range_ms = (end - start) // dt.timedelta(milliseconds=1)
    result = instant(server, f"increase({selector}[{range_ms}ms])", end)
    frame = samples_frame(
        [round(end.timestamp() * 1000) * 1000] * len(result),
        ["day_total"] * len(result),
        [labels_of(one["metric"]) for one in result],
        [float(one["value"][1]) for one in result],
    )
    return frame.rename({"value": "increase"})


def test_split_range(server, day):
    """A day in steps of 5 s, more than one query gives, has each point once: the last sample before it."""
    start, step = MIDNIGHT, dt.timedelta(seconds=5)
    points = pl.DataFrame({"at": pl.datetime_range(start, start + dt.timedelta(days=1), step, eager=True)})
    assert len(points) > POINTS_MAX
    read = read_prometheus(server, "day_total", start, points["at"][-1], step)
    for n in range(3):
        series = pl.col("labels").list.last().struct.field("value") == str(n)
        scrapes = day.filter(series).select("at", "value", scraped="at")
        expected = points.join_asof(scrapes, on="at").filter(pl.col("at") - pl.col("scraped") < LOOKBACK)
        assert_frame_equal(read.filter(series).select("at", "value"), expected.select("at", "value"))


def test_increase(server, version, day):
    """Over 60 ranges of any length and place, the extrapolated increase is the server's to 1e-9."""
    rng = random.Random(7)  # noqa: S311 - no secret
    compared = 0
    for _ in range(60):
        end = MIDNIGHT + dt.timedelta(milliseconds=rng.randrange(86_400_000))
        start = end - dt.timedelta(milliseconds=rng.randrange(90_000, rng.choice([600_000, 10_000_000])))
        ours = prometheus_increase(day, start, end, server_version=version)
        theirs = server_increase(server, "day_total", start, end)
        compared += len(theirs)
        assert_frame_equal(ours, theirs, check_row_order=False, rel_tol=1e-9, abs_tol=1e-9)
    assert compared > 100


def test_edges(server, version, day):
    """A range that begins and ends on a sample is the server's too, whichever of its ends are open."""
    times = day.filter(pl.col("labels").list.last().struct.field("value") == "1")["at"]
    for first, last in ((10, 20), (100, 101), (500, 700)):
        ours = prometheus_increase(day, times[first], times[last], server_version=version)
        theirs = server_increase(server, "day_total", times[first], times[last])
        assert_frame_equal(ours, theirs, check_row_order=False, rel_tol=1e-9, abs_tol=1e-9)
    assert ours.schema == INCREASE_SCHEMA


def test_zero(server, version, day):
    """A counter that began shortly before its first sample is extrapolated as far back as the server does."""
    start, end = MIDNIGHT + dt.timedelta(minutes=590), MIDNIGHT + dt.timedelta(minutes=602)
    late = day.filter(pl.col("labels").list.last().struct.field("value") == "3")
    ours = prometheus_increase(late, start, end, server_version=version)
    theirs = server_increase(server, 'day_total{n="3"}', start, end)
    assert_frame_equal(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def test_absent_series(server):
    """A query that matches nothing is an empty frame."""
    assert read_prometheus(server, "absent_total", MIDNIGHT, MIDNIGHT + dt.timedelta(hours=1), 60).is_empty()


def test_scraped_gateway(server, gateway):
    """The server scrapes the reference gateway, and gives the samples that the gateway's own text has."""
    wait_for(lambda: instant(server, 'gateway_agent_creations_total{job="gateway"} == 2', now()), "a scrape")
    at = now()
    scraped = read_prometheus(server, '{job="gateway",__name__=~"gateway_.*"}', at, at, 1)
    target = {"instance": urllib.parse.urlsplit(gateway).netloc, "job": "gateway"}
    added = pl.element().struct["key"].is_in(list(target))
    without = scraped.with_columns(labels=pl.col("labels").list.filter(~added))
    exposed = read_exposition(fetch(f"{gateway}/metrics"), at=at.replace(microsecond=at.microsecond // 1000 * 1000))
    gateway_metrics = exposed.filter(pl.col("metric").str.starts_with("gateway_"))
    assert len(gateway_metrics) > 5
    assert_frame_equal(without.sort("metric", "labels"), gateway_metrics.sort("metric", "labels"))


def test_increase_of_scraped(server, version):
    """On what the server scraped itself, the extrapolated increase is the server's to 1e-9."""
    query = 'process_cpu_seconds_total{job="gateway"}'
    wait_for(lambda: float(instant(server, f"count_over_time({query}[1m])", now())[0]["value"][1]) >= 5, "five scrapes")
    end = now().replace(microsecond=0)
    start = end - dt.timedelta(minutes=1)
    ((series),) = instant(server, f"{query}[2m]", end)
    raw = samples_frame(
        [round(time_s * 1000) * 1000 for time_s, _ in series["values"]],
        ["process_cpu_seconds_total"] * len(series["values"]),
        [labels_of(series["metric"])] * len(series["values"]),
        [float(value) for _, value in series["values"]],
    )
    ((theirs),) = instant(server, f"increase({query}[1m])", end)
    ours = prometheus_increase(raw, start, end, server_version=version)
    assert ours["increase"].to_list() == pytest.approx([float(theirs["value"][1])], rel=1e-9)


def now():
    return dt.datetime.now(dt.UTC)
