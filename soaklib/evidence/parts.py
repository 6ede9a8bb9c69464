"""The parts of the evidence that are due, and what became of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.kept_log import REQUEST_LOG_NAME
from soaklib.analysis.verdicts.criteria.wording import is_asked_for
from soaklib.evidence.dump import DUMP_NAME
from soaklib.evidence.manifest import Part, PartState, SnapshotState
from soaklib.evidence.seal import SEAL_FOLDER
from soaklib.reports.metrics_analysis import METRICS_ANALYSIS_NAME
from soaklib.reports.run_report import report_name
from soaklib.store.names import EVENT_LOG_NAME, SUMMARY_NAME
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from soaklib.analysis.sources.run import Run
    from soaklib.evidence.manifest import DatabaseSnapshot

__all__ = ["SEAL_PART", "due_parts"]

SEAL_PART: Final = f"{SEAL_FOLDER}/"
"""How the Parquet files are called as a part; they are due only when they were asked for."""

_REPORT: Final = "made by: python -m soaklib.report RUN"
_SNAPSHOT: Final = re.compile(r"soak-h\d+\.prom")


def due_parts(
    run: Run,
    files: Collection[str],
    *,
    failed: Mapping[str, str],
    left_out: Mapping[str, str],
    snapshot: DatabaseSnapshot,
) -> tuple[Part, ...]:
    """Say of every part that is due whether it is there.

    Parameters
    ----------
    run
        The run, which says how many hourly snapshots there should be.
    files
        Paths of the files of the bundle.
    failed
        File -> why it could not be made.
    left_out
        File -> why it is not in the bundle although it is there.
    snapshot
        The snapshot of the gateway's database.
    """
    info = run.info

    def part(name: str, hint: str = "") -> Part:
        if name in left_out:
            return Part(name=name, state=PartState.LEFT_OUT, detail=left_out[name])
        if name in files:
            return Part(name=name, state=PartState.PRESENT)
        return Part(name=name, state=PartState.MISSING, detail=failed.get(name, hint))

    planned = int(-(-info.planned_soak_s // info.plan.intervals.snapshot_s))
    taken = sum(_SNAPSHOT.fullmatch(name) is not None for name in files)
    final = part("soak-final.prom", "the run did not come to its end")
    hourly = Part(
        name=f"soak-h0.prom to soak-h{planned - 1}.prom", detail=f"{taken} of {planned}",
        state=PartState.PRESENT if taken >= planned else PartState.MISSING,
    )  # fmt: skip
    if not taken and final.state is PartState.MISSING and info.segments and not is_asked_for(run, "metrics"):
        not_due = {"state": PartState.NOT_DUE, "detail": "the gateway has no metrics"}
        hourly, final = hourly.model_copy(update=not_due), final.model_copy(update=not_due)
    figures = sum(name.startswith("figures/") for name in files)
    parts = [
        part(DATABASE_NAME),
        hourly,
        final,
        part(EVENT_LOG_NAME),
        part(SUMMARY_NAME),
        Part(
            name="figures/", detail=f"{figures} files" if figures else _REPORT,
            state=PartState.PRESENT if figures else PartState.MISSING,
        ),
        *(part(name, _REPORT) for name in ("report.html", "whitepaper.html", "whitepaper.pdf", "claims.json")),
        part(METRICS_ANALYSIS_NAME),
        part(report_name(info.run_id)),
    ]  # fmt: skip
    if SEAL_PART in failed:
        parts.append(part(SEAL_PART))
    if REQUEST_LOG_NAME in files or info.settings.get("database_url") is not None:
        parts.append(part(REQUEST_LOG_NAME, "the gateway's database could not be read when the run ended"))
    if snapshot.state is not SnapshotState.NOT_APPLICABLE:
        parts.append(part(DUMP_NAME, snapshot.detail))
    named = {entry.name for entry in parts}
    return (*parts, *(part(name) for name in sorted(left_out) if name not in named))
