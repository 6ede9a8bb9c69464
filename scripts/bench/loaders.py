"""Measure the loaders against their targets, each in a process of its own so that its memory is its own.

Targets: 24 snapshots of 5,000 series each read in under 4 s; a day of 500 series every 60 s (720,000 samples) from
DuckDB or from Prometheus' JSON to a frame in under 5 s and 1 GB. Prints one line a measurement; exits 1 if one misses.
On a machine with other work the seconds of CPU are what two commits can be compared by.

    python scripts/bench/loaders.py
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.measures.counters import increase
from soaklib.analysis.sources.prometheus import read_prometheus
from soaklib.analysis.sources.request_log import read_database
from soaklib.analysis.sources.run import open_run
from soaklib.analysis.sources.snapshots import read_snapshots
from soaklib.gateway.database import SqliteDatabase
from soaklib.gateway.records import Outcome, ProxyLogRow
from soaklib.plan.model import load_plan
from soaklib.records import Sample
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

MINUTES: Final = 24 * 60
SERIES: Final = 500
LOG_ROWS: Final = 864_000
START: Final = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
TARGET_MB: Final = 1_000.0


class Measure(NamedTuple):
    """A measurement: what is prepared in a folder, what is timed on it, how many rows it gives, seconds it may take."""

    prepare: Callable[[Path], None]
    load: Callable[[Path], pl.DataFrame]
    rows: int
    target_s: float


def label_pairs(series: int) -> tuple[tuple[str, str], ...]:
    """Give the labels of a series, as many and as long as the gateway's."""
    return (
        ("action", "search"),
        ("agent_id", f"46ada2f0-0f6e-493f-abec-{series:012d}"),
        ("code", "200"),
        ("tool", f"tool_{series % 40}"),
    )


def write_snapshots(folder: Path) -> None:
    """Write 24 snapshots of 5,000 series, every tenth a bucket as the real gateway writes it."""
    for hour in range(24):
        lines = ["# HELP gateway_requests_total Calls.", "# TYPE gateway_requests_total counter"]
        for series in range(5_000):
            labels = ",".join(f'{key}="{value}"' for key, value in label_pairs(series))
            outside = 'le="25"' if series % 10 == 0 else ""
            lines.append(f"gateway_requests_total{{{labels}}}{outside} {series * hour}")
        (folder / f"soak-h{hour}.prom").write_text("\n".join(lines))


def write_run(folder: Path) -> None:
    """Write a run with a sample of 500 series every minute of a day."""
    writer = RunWriter(folder / DATABASE_NAME)
    manifest = Manifest(
        run_id="bench", soaklib_version="0", anchor_utc=START, speed=1.0, rps=10.0, hours=24.0, seed=0,
        target="http://127.0.0.1", embedded=True, settings="{}", plan=load_plan().model_dump_json(), environment="{}",
    )  # fmt: skip
    writer.begin_run(manifest)
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
    writer.append({"segments": [segment_row(segment, runner_pid=1)]})
    labels = [label_pairs(series) for series in range(SERIES)]
    for minute in range(MINUTES):
        at_us = minute * 60_000_000
        writer.append({"samples": [Sample(at_us, "gateway_requests_total", pairs, float(minute)) for pairs in labels]})
    writer.close()


def write_answer(folder: Path) -> None:
    """Write what a Prometheus server answers for 500 series every minute of a day."""
    times = [START.timestamp() + 60 * minute for minute in range(MINUTES)]
    result = [
        {
            "metric": {"__name__": "gateway_requests_total", **dict(label_pairs(series))},
            "values": [[at, str(minute * series)] for minute, at in enumerate(times)],
        }
        for series in range(SERIES)
    ]
    (folder / "answer.json").write_text(json.dumps({"status": "success", "data": {"result": result}}))


def write_request_log(folder: Path) -> None:
    """Write the reference gateway's log of a day at 10 calls a second."""
    database = SqliteDatabase(folder / "gateway.sqlite")
    database.open()
    answer = ("agent", "serpapi", "search", 200, Outcome.OK, None, None)
    for first in range(0, LOG_ROWS, 1_000):
        rows = [
            ProxyLogRow(f"req_{n}", START.timestamp() + n / 10, *answer, 1.5, success=True, cache_hit=False, attempts=1)
            for n in range(first, first + 1_000)
        ]
        database.write(rows)
    database.close()


def load_run(folder: Path) -> pl.DataFrame:
    """Read the samples of a run."""
    with open_run(folder) as run:
        return run.samples()


def load_answer(folder: Path) -> pl.DataFrame:
    """Read a server's answer over loopback."""
    body = (folder / "answer.json").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        """Gives the same answer to every GET."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        end = START + dt.timedelta(minutes=MINUTES - 1)
        frame = read_prometheus(f"http://127.0.0.1:{server.server_port}", "gateway_requests_total", START, end, "1m")
        server.shutdown()
    return frame


MEASURES: Final = {
    "snapshots": Measure(write_snapshots, read_snapshots, 24 * 5_000, 4.0),
    "duckdb": Measure(write_run, load_run, MINUTES * SERIES, 5.0),
    "prometheus": Measure(write_answer, load_answer, MINUTES * SERIES, 5.0),
    "request log": Measure(
        write_request_log, lambda folder: read_database(f"sqlite:///{folder}/gateway.sqlite"), LOG_ROWS, 10.0
    ),
}


def measure(name: str, folder: Path) -> str:
    """Time one loader and the counters on what it gave; give the row of the table."""
    started_s, worked_s = time.perf_counter(), time.process_time()
    frame = MEASURES[name].load(folder)
    took_s, worked_s = time.perf_counter() - started_s, time.process_time() - worked_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    if len(frame) != MEASURES[name].rows:
        message = f"{name}: {len(frame)} rows instead of {MEASURES[name].rows}"
        raise SystemExit(message)
    is_met = took_s < MEASURES[name].target_s and peak_mb < TARGET_MB
    counted = ""
    if "metric" in frame.columns:
        started_s, counting_s = time.perf_counter(), time.process_time()
        increase(frame)
        wall_s, counting_s = time.perf_counter() - started_s, time.process_time() - counting_s
        counted = f", increase {wall_s:.2f} s ({counting_s:.2f} of CPU)"
    verdict = "met" if is_met else "MISSED"
    worked = f"({worked_s:5.2f} of CPU)"
    return f"{name:12} {len(frame):8,} rows {took_s:6.2f} s {worked} {peak_mb:6.0f} MB  {verdict}{counted}"


def main() -> int:
    """Prepare and measure every loader in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", nargs=3, metavar=("STEP", "NAME", "FOLDER"), help=argparse.SUPPRESS)
    step = parser.parse_args().step
    if step is None:
        return max([run(name) for name in MEASURES])
    what, name, folder = step
    if what == "prepare":
        MEASURES[name].prepare(Path(folder))
        return 0
    row = measure(name, Path(folder))
    print(row)
    return int("MISSED" in row)


def run(name: str) -> int:
    """Give 0 if a loader meets its target."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--step"]
        subprocess.run([*command, "prepare", name, folder], check=True)
        return subprocess.run([*command, "load", name, folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
