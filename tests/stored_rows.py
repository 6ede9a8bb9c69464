"""A manifest and outcomes for tests that write a run's file by hand."""

import datetime as dt

from soaklib.plan.model import load_plan
from soaklib.records import Outcome
from soaklib.store.writer import Manifest

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


def with_plan(**parts):
    """Give the statement that gives the run the default plan with other parts."""
    text = load_plan().model_copy(update=parts).model_dump_json().replace("'", "''")
    return f"update run set plan = '{text}'"
