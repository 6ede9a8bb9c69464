"""A run as a card in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from soaklib.records import JUDGING

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["run_card"]

_CELL: Final = "text-align:left;vertical-align:top"
_VALUE: Final = f"{_CELL};white-space:normal;overflow-wrap:anywhere"


def run_card(run: Run, standing: str) -> str:
    """Give HTML that says what a run is and how it stands."""
    counts = run.sql("select kind, count(*) as n from calls group by kind order by n desc, kind")
    judged = run.sql("select state, count(*) as n from verdicts group by state order by n desc, state")
    earlier = (
        "" if not judged.height or run.info.judged_by == JUDGING else ", by another way of judging than this one's"
    )
    last_s = run.sql("select soak_seconds(max(planned_at_us)) from outcomes").item()
    rows = {
        "status": standing,
        "reached": "no call yet" if last_s is None else f"H+{last_s / 3600:.2f} of H+{run.info.hours:g}",
        "verdicts": ", ".join(f"{n} {state}" for state, n in judged.iter_rows()) + earlier or "none yet",
        "outcomes": ", ".join(f"{kind} {n:,}" for kind, n in counts.iter_rows()) or "none yet",
        "target": f"{run.info.target}{' (embedded reference gateway)' if run.info.embedded else ''}",
        "plan": f"{run.info.plan.name}, here {run.info.hours:g} h of soak time, "
        f"{run.info.rps:g} slots a soak-second, speed {run.info.speed:g}",
        "started": f"{run.info.started_utc:%Y-%m-%d %H:%M:%S} UTC",
    }
    body = "".join(
        f"<tr><th style='{_CELL}'>{name}</th><td style='{_VALUE}'>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    caption = f"<caption style='text-align:left'><b>Run {html.escape(run.info.run_id)}</b></caption>"
    return f"<table>{caption}{body}</table>"
