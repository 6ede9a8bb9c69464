"""A manifest and outcomes for tests that write a run's file, by hand or through its recorder."""

import asyncio
import datetime as dt
from contextlib import closing
from dataclasses import replace

from soaklib.plan.model import load_plan
from soaklib.records import Outcome, RunStatus
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import Manifest, RunWriter, segment_row

ANCHOR = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
MANIFEST = Manifest(
    run_id="r1", soaklib_version="0", anchor_utc=ANCHOR, speed=720.0, rps=1.0, hours=24.0, seed=1,
    target="http://127.0.0.1:1", embedded=True, settings="{}", plan="{}", environment="{}",
)  # fmt: skip


def outcome(slot, **changes):
    """Give a load call's row, answered `ok`, with some columns changed."""
    number = slot if isinstance(slot, int) else 0
    row = {
        "purpose": "load", "slot": slot, "step": 0, "role": "scraper", "tool": "serpapi", "action": "search",
        "planned_at_us": number * 1000, "sent_at_us": number * 1000 + 10, "done_at_us": number * 1000 + 500,
        "status": 200,
        "kind": "ok", "expected": "allow", "reason": None, "attempts": 1, "token_generation": 0,
        "correlation_id": f"req_{slot}", "phase": "baseline",
    }  # fmt: skip
    return Outcome(**(row | changes))


async def all_acknowledged(recorder):
    """Wait for the other process to say that everything is on disk."""
    async with asyncio.timeout(10):
        while recorder.queued_rows:  # noqa: ASYNC110 - it has no event for what only tests want
            await asyncio.sleep(0.01)


def with_plan(**parts):
    """Give the statement that gives the run the default plan with other parts."""
    text = load_plan().model_copy(update=parts).model_dump_json().replace("'", "''")
    return f"update run set plan = '{text}'"


def written_run(folder, *, plan, rows, events=(), **of_manifest):
    """Write a completed run of ten minutes at speed 1 into a folder: its plan, its calls, its events."""
    segment = Segment(segment=0, started_at_us=0, soak_started_s=0.0)
    with closing(RunWriter(folder / DATABASE_NAME)) as writer:
        own = {"speed": 1.0, "embedded": False, "plan": plan.model_dump_json()} | of_manifest
        writer.begin_run(replace(MANIFEST, **own))
        writer.append(
            {
                "segments": [segment_row(segment, runner_pid=1)],
                "outcomes": [tuple(row) for row in rows],
                "events": [tuple(event) for event in events],
            }
        )
        writer.end_segment(replace(segment, ended_at_us=600_000_000, soak_ended_s=600.0))
        writer.end_run(RunStatus.COMPLETED, completed_utc=ANCHOR, duration_s=600.0)
    return folder
