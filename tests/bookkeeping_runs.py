"""Runs made row by row, with a gateway in miniature that counts each call at a moment that the test knows."""

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from soaklib.analysis.books.pairs import FINDINGS
from soaklib.analysis.books.reconcile import reconcile
from soaklib.analysis.sources.reading import Run
from soaklib.analysis.sources.run_info import read_info
from soaklib.plan.model import load_plan
from soaklib.records import Outcome, RunStatus
from soaklib.store.views import Segment, prepare_reader
from soaklib.store.writer import Manifest, RunWriter, segment_row

ANCHOR = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
ANCHOR_US = round(ANCHOR.timestamp() * 1_000_000)
TOOLS = {"serpapi": "search", "http_fetch": "get", "openai": "chat", "gmail_send": "send"}
_ANSWERS = {
    "ok": (200, None), "denied": (403, "scope"), "unauthorized": (403, "token_expired"),
    "rate_limited": (429, "rate_limit"), "invalid_request": (400, "parameters"), "upstream_error": (502, "upstream"),
    "fast_fail": (502, "breaker_open"), "timeout": (None, "read_timeout"), "transport_error": (None, "connect_refused"),
    "interrupted": (None, "stopped"), "dropped": (None, "in_flight_cap"), "missed": (None, "no_runner"),
}  # fmt: skip


@dataclass
class Call:
    """A call: when it was under way (us), how it ended, when the gateway counted it and what the count missed."""

    sent_us: int
    done_us: int | None
    kind: str = "ok"
    tool: str = "serpapi"
    counted_us: int | None = None
    times: int = 1  # how often the requests counter counts it
    seen_by_client: bool = True
    executed: bool = True  # whether any counter but requests knows it
    attempts: int = 1
    has_id: bool = True  # whether its answer carries a correlation id
    counts: bool = True  # whether the gateway had it at all

    @property
    def moment_us(self):
        if self.counted_us is not None:
            return self.counted_us
        return self.sent_us if self.done_us is None else (self.sent_us + self.done_us) // 2


@dataclass
class Scrape:
    """A GET of /metrics from `begin_us` to `end_us`, whose text was made at `made_us` (in the middle if None)."""

    begin_us: int
    end_us: int
    made_us: int | None = None
    ok: bool = True
    leaves_out: frozenset = frozenset()  # metrics that the text lacks

    @property
    def moment_us(self):
        return (self.begin_us + self.end_us) // 2 if self.made_us is None else self.made_us


@dataclass
class Miniature:
    """A gateway, its calls and its scrapes; `write` makes a run of them."""

    calls: list
    scrapes: list
    restarts_us: list = field(default_factory=list)
    tells_start: bool = True
    ahead_us: int = 0  # of its clock before the run's
    every_ok: int = 1  # how often it counts each 200
    exposes: tuple = (
        "gateway_requests_total", "gateway_request_duration_ms_count", "gateway_policy_denials_total",
        "gateway_token_expirations_total", "gateway_token_validations_total", "gateway_breaker_fastfail_total",
    )  # fmt: skip
    embedded: bool = False
    status: RunStatus = RunStatus.COMPLETED

    def counters(self, scrape):
        """Give the counters at a scrape: {(metric, labels): value}."""
        begun_us = max([at for at in self.restarts_us if at <= scrape.moment_us], default=-1)
        values = {}
        for call in self.calls:
            status, reason = _ANSWERS[call.kind]
            if not call.counts:
                continue
            if not begun_us < call.moment_us <= scrape.moment_us or (status is None and call.counted_us is None):
                continue
            status = status or 200
            labels = (("action", TOOLS[call.tool]), ("tool", call.tool))
            met = []
            if status in (200, 502):
                times = call.times * (self.every_ok if status == 200 else 1)
                met.append(("gateway_requests_total", (labels[0], ("code", str(status)), labels[1]), times))
                met.append(("gateway_request_duration_ms_count", labels, int(call.executed)))
            if call.kind == "fast_fail":
                met.append(("gateway_breaker_fastfail_total", (("tool", call.tool),), 1))
            if call.kind == "denied":
                met.append(("gateway_policy_denials_total", (("kind", reason),), 1))
            if call.kind == "unauthorized":
                met.append(("gateway_token_expirations_total", (), 1))
            met.append(("gateway_token_validations_total", (), int(call.executed)))
            for metric, its_labels, times in met:
                values[metric, its_labels] = values.get((metric, its_labels), 0) + times
        if self.tells_start:
            start_us = ANCHOR_US + (begun_us if begun_us >= 0 else -60_000_000) + self.ahead_us
            values["gateway_process_start_time_seconds", ()] = start_us / 1e6
        return values

    def correlation_id(self, number, call):
        """Give the id that the gateway made when the call arrived."""
        return f"req_{(ANCHOR_US + call.moment_us + self.ahead_us) // 1000}_{number:09}"

    def outcomes(self):
        """Give the rows that the client wrote."""
        rows = []
        for number, call in enumerate(self.calls):
            if not call.seen_by_client:
                continue
            status, reason = _ANSWERS[call.kind]
            sent_us = None if call.kind in ("dropped", "missed") else call.sent_us
            corr_id = self.correlation_id(number, call) if status and call.has_id else None
            rows.append(
                (
                    "load", number, 0, "scraper", call.tool, TOOLS[call.tool], call.sent_us, sent_us, call.done_us,
                    status, call.kind, "allow", reason, 0 if sent_us is None else call.attempts, 0, corr_id, "baseline",
                )
            )  # fmt: skip
        return rows

    def write(self, folder):
        """Write the run and open it."""
        samples = [
            (scrape.end_us, metric, labels, float(value))
            for scrape in self.scrapes
            if scrape.ok
            for (metric, labels), value in self.counters(scrape).items()
            if metric in (*self.exposes, "gateway_process_start_time_seconds") and metric not in scrape.leaves_out
        ]
        scrapes = [
            (one.end_us, "metrics", 200 if one.ok else None, one.ok, one.end_us - one.begin_us, 1, None)
            for one in self.scrapes
        ]
        return write_run(
            folder, self.outcomes(), samples, scrapes, embedded=self.embedded, status=self.status
        )  # fmt: skip

    def but(self, **changes):
        """Give the same with something else."""
        return replace(self, **changes)


def write_run(folder, outcomes, samples, scrapes, *, embedded=False, status=RunStatus.COMPLETED, anchor=ANCHOR):
    """Write a run of one segment from rows and open it; its database is in memory, where books are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = RunWriter(Path(":memory:"))
    writer.begin_run(
        Manifest(
            run_id="miniature", soaklib_version="0", anchor_utc=anchor, speed=1.0, rps=10.0, hours=1.0, seed=1,
            target="http://127.0.0.1:1", embedded=embedded, settings="{}", plan=load_plan().model_dump_json(),
            environment="{}",
        )
    )  # fmt: skip
    segment = segment_row(Segment(segment=0, started_at_us=0, soak_started_s=0.0), runner_pid=1)
    writer.append(
        {"segments": [segment], "outcomes": [Outcome(*row) for row in outcomes], "samples": samples, "scrapes": scrapes}
    )
    if status is not RunStatus.RUNNING:
        writer.end_run(status, completed_utc=anchor, duration_s=1.0)
    prepare_reader(writer._connection)
    return Run(folder, writer._connection, read_info(writer._connection))


SECOND = 1_000_000


def calls_from(start_s, count, **values):
    """Calls of 2 ms, ten a second."""
    first_us = round(start_s * SECOND)
    return [Call(first_us + number * 100_000, first_us + number * 100_000 + 2_000, **values) for number in range(count)]


def scrapes_at(*seconds):
    """Scrapes of 4 ms that end a little before a call of `calls_from` begins."""
    return [Scrape(round(at * SECOND) - 10_000, round(at * SECOND) - 6_000) for at in seconds]


def clean(**changes):
    """Five windows of 10 s in which all is well."""
    return Miniature(calls_from(1, 480), scrapes_at(0.5, 10, 20, 30, 40, 50)).but(**changes)


def found(frame):
    """Give what is not harmless: (end of the window, outcome, tool, discrepancy, cause)."""
    findings = frame.filter(pl.col("cause").is_in(FINDINGS)).select("end_s", "outcome", "tool", "discrepancy", "cause")
    return [(round(end_s), *rest) for end_s, *rest in findings.iter_rows()]


def explained(frame, outcome):
    """Give the rows of an outcome: (end of the window, client rows, increase, residual, cause)."""
    rows = frame.filter(outcome=outcome).select("end_s", "client_rows", "counter_increase", "residual", "cause")
    return [(round(end_s), *rest) for end_s, *rest in rows.iter_rows()]


class Reconciler:
    """Writes miniatures below a folder, each as a run of its own, and reconciles them."""

    def __init__(self, folder):
        self._folder = folder
        self._number = 0

    def __call__(self, miniature, **options):
        self._number += 1
        with miniature.write(self._folder / str(self._number)) as run:
            return reconcile(run, **options)
