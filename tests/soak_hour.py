"""A soak-hour written by hand: chaos in the middle that opens a breaker, a quota cut after it, probes throughout.

3,600 slots at one a soak-second, one tool after the other, at 720 times the speed of the wall clock.
"""

import datetime as dt
import json

from soaklib.plan.model import load_plan
from soaklib.records import Event, HealthTick, Outcome, RunStatus
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

SPEED = 720.0
_US_PER_SOAK_S = 1e6 / SPEED
_TOOLS = (
    ("scraper", "serpapi", "search"),
    ("enricher", "http_fetch", "get"),
    ("enricher", "openai", "chat"),
    ("engager", "gmail_send", "send"),
)


def _at_us(soak_s):
    return round(soak_s * _US_PER_SOAK_S)


def _outcome(soak_s, slot, who, *, purpose="load", kind="ok", reason=None, status=200, expected="allow", phase=""):
    role, tool, action = who
    planned_us = _at_us(soak_s)
    sent_us, done_us = planned_us + 40, planned_us + 40 + 900 + slot % 700
    return (
        purpose, slot, 0, role, tool, action, planned_us, sent_us, done_us, status, kind, expected, reason, 1, 0,
        f"req_{slot}", phase,
    )  # fmt: skip


def _outcomes():
    for slot in range(3600):
        who = _TOOLS[slot % 4]
        soak_s = float(slot)
        phase = "baseline" if slot < 1800 else "after"
        if who[1] == "openai" and 1800 <= slot < 1875:
            failed = {"kind": "upstream_error", "reason": "chaos", "status": 502}
            refused = {"kind": "fast_fail", "reason": "breaker_open", "status": 502}
            yield _outcome(soak_s, slot, who, phase="chaos", **(failed if slot < 1820 else refused))
        elif who[1] == "openai" and slot >= 2400 and slot % 100 > 80:
            denied = {"kind": "denied", "reason": "quota", "status": 403, "expected": "either"}
            yield _outcome(soak_s, slot, who, phase="quota cut", **denied)
        else:
            yield _outcome(soak_s, slot, who, phase=phase, expected="either" if slot >= 2400 else "allow")
    for probe in range(60):
        who = ("scraper", "gmail_send", "send")
        denied = {"kind": "denied", "reason": "scope", "status": 403, "expected": "deny"}
        yield _outcome(probe * 60.0 + 0.5, probe, who, purpose="probe", **denied)


def _samples():
    for soak_s in range(30, 3600, 60):
        for _, tool, _ in _TOOLS:
            state = 2.0 if tool == "openai" and 1800 <= soak_s < 1900 else 0.0
            yield _at_us(soak_s), "gateway_breaker_state", (("tool", tool),), state
            yield _at_us(soak_s), "gateway_cache_hits_total", (("tool", tool),), soak_s / 30.0
            yield _at_us(soak_s), "gateway_retries_total_total", (("action", "x"), ("tool", tool)), 0.0


def _events():
    yield _at_us(0), "SOAK_TEST_STARTED", "run=r1", None
    for generation in range(1, 4):
        yield _at_us(900 * generation), "TOKENS_ROTATED", f"generation={generation}", f"rotation:{generation}"
    yield _at_us(0), "METRICS_SNAPSHOT", "soak-h0.prom", "snapshot:0"
    yield _at_us(1200), "CREDENTIALS_ROTATED_SUCCESSFULLY", "tool=openai", "change:0:rotate-credentials"
    yield _at_us(1800), "CHAOS_MODE_ON", "tool=openai mode=500 pct=50", "change:1:chaos"
    yield _at_us(1875), "CHAOS_MODE_OFF", "tool=openai", "change:1:chaos:off"
    yield _at_us(2400), "POLICY_UPDATED_OPENAI_QUOTA_REDUCED", "limit=540", "change:2:update-policy"
    yield _at_us(3600), "SOAK_TEST_COMPLETED", "", None


def _ticks():
    for second in range(1, 6):
        yield second * 1_000_000, 720, 720, 720, 2, 50, 3000, 1000, 800, 100_000_000, 0.3 * second, 40, 10**10, 0


def write_soak_hour(folder):
    """Write the run into a folder that is there."""
    writer = RunWriter(folder / DATABASE_NAME)
    anchor = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
    writer.begin_run(
        Manifest(
            run_id="r1", soaklib_version="0.1.0", anchor_utc=anchor, speed=SPEED, rps=1.0, hours=1.0, seed=1,
            target="http://127.0.0.1:1", embedded=True, settings="{}", plan=load_plan().model_dump_json(),
            environment=json.dumps({"python": "3.11"}),
        )
    )  # fmt: skip
    end_us = _at_us(3600)
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0, ended_at_us=end_us, soak_ended_s=3600.0)
    writer.append(
        {
            "segments": [segment_row(segment, runner_pid=1)],
            "outcomes": [Outcome(*row) for row in _outcomes()],
            "samples": _samples(),
            "events": [Event(*row) for row in _events()],
            "runner_health": [HealthTick(*row) for row in _ticks()],
            "scrapes": [(_at_us(s), "health", 200, True, 900, 200, None) for s in range(60, 3600, 60)],
        }
    )
    writer.end_run(RunStatus.COMPLETED, completed_utc=anchor + dt.timedelta(seconds=5), duration_s=5.0)
    writer.close()
