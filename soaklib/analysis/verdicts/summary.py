"""The few numbers that a script wants of a run: what goes into soak-summary.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soaklib.analysis.verdicts.criteria.let_through import refused_probe_sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soaklib.analysis.sources.run import Run
    from soaklib.records import Verdict

__all__ = ["refused_probes", "summary"]


def summary(run: Run, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Sum a run up.

    Parameters
    ----------
    run
        The run.
    verdicts
        Its verdicts.

    Returns
    -------
    dict
        ``success_rate``, ``denial_rate``, ``failure_rate`` (percent, 0 to 100; None when nothing counts), ``totals``
        (``ok``, ``denied``, ``fail``, ``total``: rows of ``outcomes`` but those of trials), ``kinds`` (the same rows by
        kind), ``configuration``, ``completed_at`` (ISO 8601, UTC), ``duration_seconds`` (wall), ``status``,
        ``verdicts``.
    """
    kinds = dict(run.sql("select kind, sum(n)::BIGINT from call_partials group by kind order by kind").iter_rows())
    counted, succeeded = run.sql(
        "select coalesce(sum(n) filter (counted), 0)::BIGINT,"
        " coalesce(sum(n) filter (counted and succeeded), 0)::BIGINT from call_partials"
    ).row(0)
    total, ok, denied = sum(kinds.values()), kinds.get("ok", 0), kinds.get("denied", 0)
    info = run.info
    return {
        "run_id": info.run_id,
        "success_rate": _percent(succeeded, counted),
        "denial_rate": _percent(denied, total),
        "failure_rate": _percent(total - ok - denied, total),
        "totals": {"ok": ok, "denied": denied, "fail": total - ok - denied, "total": total},
        "kinds": kinds,
        "configuration": {
            "target": info.target,
            "embedded": info.embedded,
            "rps": info.rps,
            "hours": info.hours,
            "speed": info.speed,
            "seed": info.seed,
            "plan": info.plan.name,
            "settings": info.settings,
            "soaklib_version": info.soaklib_version,
            "environment": info.environment,
        },
        "started_at": info.started_utc.isoformat(),
        "completed_at": None if info.completed_utc is None else info.completed_utc.isoformat(),
        "duration_seconds": info.duration_s,
        "status": info.status,
        "verdicts": [verdict._asdict() for verdict in verdicts],
    }


def refused_probes(run: Run) -> int:
    """Count the probes that are among ``fail`` by their kind, and were refused as they must be: for their tokens."""
    query = f"purpose = 'probe' and kind <> 'denied' and {refused_probe_sql(run)}"
    return int(run.sql(f"select count(*) from outcomes where {query}").item())  # noqa: S608 - our own conditions


def _percent(part: int, whole: int) -> float | None:
    return None if whole == 0 else 100 * part / whole
