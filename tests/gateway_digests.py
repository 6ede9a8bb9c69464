"""A small made-up set of kept runs: a direct line, one gateway that adds 20 ms and leaks, one that adds nothing.

45 minutes at two calls a second each, one tool by chat and by stream, an upstream that fails for three minutes, probes
with a key that must be refused.
"""

import datetime as dt
import json
import random
from dataclasses import replace
from pathlib import Path

from stored_rows import ANCHOR, MANIFEST

from soaklib.digests.distil import digest
from soaklib.digests.process import PROCESS_NAME
from soaklib.evidence.judging import judge_folder
from soaklib.plan.model import Plan
from soaklib.records import Event, HealthTick, Outcome, RunStatus
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter, segment_row

MINUTES = 45
RPS = 2
SECOND_US = 1_000_000
LASTS_S = MINUTES * 60
OUTAGE_S = (1350.0, 1530.0)
PLAN = Plan.model_validate(
    {
        "name": "made up",
        "target": {"kind": "openai"},
        "intervals": {"rotate_tokens_s": 900, "token_lifetime_s": 1200, "snapshot_s": 3600, "scrape_s": 60},
        "roles": {"asker": {"scopes": ["fast:chat", "fast:stream"]}, "stranger": {"scopes": ["none:none"]}},
        "operations": [
            {"role": "asker", "share": 0.5, "steps": [{"tool": "fast", "action": action, "params": {"messages": []}}]}
            for action in ("chat", "stream")
        ],
        "probes": [
            {"role": "stranger", "tool": "fast", "action": "chat", "every_s": 60, "params": {"messages": []}}
        ],
        "changes": [
            {
                "do": "upstream", "name": "outage", "tool": "fast", "at": OUTAGE_S[0] / LASTS_S,
                "lasts": (OUTAGE_S[1] - OUTAGE_S[0]) / LASTS_S, "phase": "outage", "phase_after": "mended",
                "behave": {"mode": "503"},
            }
        ],
    }
)  # fmt: skip


def _call(slot, added_ms, noise):
    """Give the row of a call of the load."""
    at_s, action = slot / RPS, ("chat", "stream")[slot % 2]
    is_out = OUTAGE_S[0] <= at_s < OUTAGE_S[1] + 4
    planned = round(at_s * SECOND_US)
    took_us = round(1000 * (60 + added_ms + noise.expovariate(1 / 5)))
    first = {"first_token_at_us": planned + 100 + took_us // 2, "chunks": 8} if action == "stream" else {}
    fate = {"kind": "upstream_error", "reason": "upstream", "status": 503} if is_out else {"kind": "ok", "status": 200}
    return _row(
        slot=slot, action=action, planned_at_us=planned, done_at_us=planned + 100 + took_us, **fate,
        **({} if is_out else first),
    )  # fmt: skip


def _row(**columns):
    whole = {
        "purpose": "load", "step": 0, "role": "asker", "tool": "fast", "expected": "allow", "reason": None,
        "attempts": 1, "token_generation": 0, "correlation_id": None, "phase": "",
    } | columns  # fmt: skip
    return Outcome(**whole, sent_at_us=whole["planned_at_us"] + 100)


def _probe(number, *, lets_in):
    planned = round((number * 60 + 0.25) * SECOND_US)
    refused = {"kind": "unauthorized", "reason": "token_invalid", "status": 401}
    return _row(
        purpose="probe", slot=number, role="stranger", action="chat", planned_at_us=planned,
        done_at_us=planned + 2000, expected="deny", **({"kind": "ok", "status": 200} if lets_in else refused),
    )  # fmt: skip


def _events():
    yield Event(round(OUTAGE_S[0] * SECOND_US), "CHANGE_MADE", "", "change:0:upstream", "upstream", "outage", None)
    yield Event(
        round(OUTAGE_S[1] * SECOND_US), "CHANGE_UNDONE", "", "change:0:upstream:off", "upstream", "outage", None
    )
    book = '{"opened": 40, "closed": 38, "left": 2, "lost": 0, "overused": 0}'
    yield Event(LASTS_S * SECOND_US, "SESSIONS_CLOSED", "", None, None, None, book)


def write_run(folder, run_id, *, added_ms=0.0, leak_mib_per_hour=0.0, lets_in=(), status=RunStatus.COMPLETED):
    """Write a run, judged, with its claims and what was read of its gateway from outside, into a new folder."""
    folder.mkdir(parents=True)
    noise = random.Random(run_id)  # noqa: S311 - noise
    end_us = LASTS_S * SECOND_US
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0, ended_at_us=end_us, soak_ended_s=float(LASTS_S))
    writer = RunWriter(folder / DATABASE_NAME)
    own = {
        "run_id": run_id, "speed": 1.0, "rps": float(RPS), "hours": MINUTES / 60, "embedded": False,
        "plan": PLAN.model_dump_json(), "settings": '{"plan": "/somewhere/soak.toml"}',
        "environment": '{"cpus": 2, "host": "somewhere", "python": "3.11"}',
    }  # fmt: skip
    writer.begin_run(replace(MANIFEST, **own))
    ticks = ((s * SECOND_US, 1, 1, 1, 1, 0, 500, 500, 500, 10**8, 0.1 * s, 9, 10**10, 0) for s in range(1, LASTS_S, 30))
    writer.append(
        {
            "segments": [segment_row(segment, runner_pid=1)],
            "outcomes": [
                *(_call(slot, added_ms, noise) for slot in range(LASTS_S * RPS)),
                *(_probe(number, lets_in=number in lets_in) for number in range(MINUTES)),
            ],
            "events": list(_events()),
            "runner_health": [HealthTick(*tick) for tick in ticks],
        }
    )
    writer.end_run(status, completed_utc=ANCHOR + dt.timedelta(seconds=LASTS_S), duration_s=float(LASTS_S))
    writer.close()
    judge_folder(folder)
    claims = {"settings[plan].value": "/somewhere/soak.toml", "host.name": "somewhere"}
    (folder / "claims.json").write_text(json.dumps([{"name": name, "value": value} for name, value in claims.items()]))
    lines = ["at,rss_bytes,cpu_s,processes"]
    for second in range(0, LASTS_S, 10):
        resident = (200 + leak_mib_per_hour * second / 3600 + noise.gauss(0, 0.3)) * 2**20
        at = (ANCHOR + dt.timedelta(seconds=second)).isoformat(timespec="milliseconds")
        lines.append(f"{at},{round(resident)},{0.004 * RPS * second:.2f},2")
    (folder / PROCESS_NAME).write_text("\n".join(lines) + "\n")
    return folder


def write_digests(where: Path) -> Path:
    """Write the runs and their digests; give the folder of the digests."""
    kept = where / "gateways"
    for name, of_run in {
        "direct-openai": {},
        "slow": {"added_ms": 20.0, "leak_mib_per_hour": 60.0, "lets_in": (7,)},
        "thin": {"added_ms": 0.0},
    }.items():
        run = write_run(where / "runs" / name, name, **of_run)
        digest(run, kept / name, name=name, about=f"made up: {name}", is_direct=name.startswith("direct"))
    return kept
