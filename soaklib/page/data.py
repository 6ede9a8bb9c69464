"""What the page shows of a run, as plain values: the same frames that the figures are drawn from, bounded in size.

Times are soak seconds. A series is a mapping of equally long columns, so that the page hands them to the charts as
they are. No series has more than :data:`MOST_POINTS` points, and no list more rows than its own bound, however long a
run is.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from soaklib.analysis.measures.latency import first_token, latency
from soaklib.analysis.measures.marks import marks
from soaklib.analysis.measures.rates import outcome_counts, success_rate, tool_usage
from soaklib.analysis.measures.so_far import success_so_far
from soaklib.analysis.verdicts.criteria import judged_anew, known_verdicts
from soaklib.analysis.verdicts.sensitivity import smallest_found
from soaklib.analysis.verdicts.sentence import ORDER, verdict_sentence, verdict_word
from soaklib.analysis.verdicts.units import CRITERION_UNITS, POINTS
from soaklib.records import State, Verdict
from soaklib.records.moments import soak_text
from soaklib.reports.wording import SENTENCE, places_for, worded, worded_interval

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["MOST_POINTS", "board", "page_data", "window"]

MOST_POINTS: Final = 300
"""Windows on a time axis: as many as a screen can tell apart."""

QUANTILES: Final = (0.5, 0.9, 0.99)
_MOST_EVENTS: Final = 1000
_EVENT: Final = ("soak_s", "name", "detail")
_MOST_CALLS: Final = 50
_WHOLE: Final = 100.0
_MOST_TEXT: Final = 400
_LENGTHS: Final = {
    "1s": 1, "5s": 5, "10s": 10, "30s": 30, "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "6h": 21600,
    "1d": 86400,
}  # fmt: skip
_CALL: Final = (
    "select soak_s, tool, action, kind, status, reason, round(response_us / 1000.0, 1) as response_ms, attempts, "
    "phase, correlation_id from calls where purpose = 'load' and "
)
_PLACE: Final = "planned_at_us desc, slot, step"
"""What puts calls in order that are alike in all else, so that the page is the same each time."""


def window(soak_s: float) -> str:
    """Give the shortest usual window that divides a time in soak seconds into no more than :data:`MOST_POINTS`."""
    return next((name for name, length in _LENGTHS.items() if soak_s / length <= MOST_POINTS), "1d")


def board(run: Run) -> list[dict[str, Any]]:
    """Give the criteria, what failed first, as :func:`~soaklib.analysis.verdicts.criteria.known_verdicts` has them.

    ``said`` and ``said_interval`` are the measure and its interval as people read them, each with its unit; ``found``
    is the smallest change that it would have found.
    """
    rows = (
        {**_plain(row), **_said(row), "found": smallest_found(Verdict(**row))}
        for row in known_verdicts(run).iter_rows(named=True)
    )
    return sorted(rows, key=lambda row: ORDER[State(row["state"])])


def page_data(run: Run, judged: list[dict[str, Any]] | None = None, *, goes_on: bool = False) -> dict[str, Any]:
    """Give everything that the page shows of a run.

    Parameters
    ----------
    run
        The run; one that goes on is shown as far as it has come.
    judged
        Its criteria, from :func:`board`; None to ask for them here.
    goes_on
        Whether the run is still being written.
    """
    rows = board(run) if judged is None else judged
    info = run.info
    every = window(info.planned_soak_s)
    return {
        "run": {
            "id": info.run_id, "status": str(info.status), "target": info.target, "plan": info.plan.name,
            "speed": info.speed, "rps": info.rps, "hours": info.hours,
            "started": f"{info.started_utc:%Y-%m-%d %H:%M:%S} UTC",
            "version": info.soaklib_version, "window": every, "goes_on": goes_on,
            "made": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} UTC",
        },
        "verdict": {"word": verdict_word(rows), "sentence": _sentence(run, rows, goes_on=goes_on)},
        "criteria": rows,
        "success": _columns(
            success_rate(run, every=every).select("soak_s", "n", y="success_rate", low="low", high="high")
        ),
        "latency": _latencies(run, every),
        "kinds": _split(outcome_counts(run, every=every).filter(purpose="load"), "kind", n="n"),
        "tools": _split(_by_tool(tool_usage(run, every=every)), "tool", n="sent", ok="ok"),
        "marks": [_plain(row) for row in marks(run).iter_rows(named=True)],
        "events": [_plain(row) for row in run.events().select(_EVENT).tail(_MOST_EVENTS).iter_rows(named=True)],
        "slowest": _calls(run, f"response_us is not null order by response_us desc, {_PLACE}"),
        "failures": _calls(run, f"counted and not succeeded order by {_PLACE}"),
        "failed": run.sql("select count(*) from calls where purpose = 'load' and counted and not succeeded").item(),
    }  # fmt: skip


def _sentence(run: Run, rows: list[dict[str, Any]], *, goes_on: bool) -> str:
    if not goes_on:
        anew, beside = judged_anew(run), run.info.reference
        said = verdict_sentence(rows) + (f" ({anew})" if anew else "")
        return said + (f" Latency and errors are judged against the day of {beside.run_id}." if beside else "")
    reached_s = run.sql("select coalesce(max(soak_s), 0) from calls where purpose = 'load'").item()
    return f"Running: {soak_text(max(reached_s, 0))} of {soak_text(run.info.planned_soak_s)}; {success_so_far(run)}"


def _said(row: dict[str, Any]) -> dict[str, str]:
    """Word a criterion's measure, interval and threshold: no more digits than the interval warrants."""
    unit, low, high = CRITERION_UNITS.get(row["name"], ""), row["low"], row["high"]
    said = worded(row["measure"], unit, places_for(low, high))
    points, between = (" pp" * (unit == POINTS and value is not None) for value in (row["measure"], low))
    return {
        "said": said + points, "said_interval": worded_interval(low, high, unit) + between,
        "threshold": worded(row["threshold"], SENTENCE),
    }  # fmt: skip


def _latencies(run: Run, every: str) -> list[dict[str, Any]]:
    """Give a series for every tool and for all together, every measure and quantile.

    One has ``at_least`` where some of its values are lower bounds: they fall among calls that were given up.
    """
    frames = [
        (by, measured(run, every=every, by=by, quantiles=QUANTILES))
        for by in ((), ("tool",))
        for measured in (latency, first_token)
    ]
    series = []
    for by, frame in frames:
        keys = [*by, "measure", "quantile"]
        for key, part in frame.sort("soak_s").partition_by(keys, as_dict=True, maintain_order=True).items():
            values = dict(zip(keys, key, strict=True))
            bounds = ("at_least",) * bool(part["at_least"].any())
            columns = part.select("soak_s", "n", *bounds, y="latency_ms", low="low_ms", high="high_ms")
            series.append(
                {
                    "tool": str(values.get("tool", "all tools") or "none"), "measure": values["measure"],
                    "percentile": f"p{round(100 * float(values['quantile']), 3):g}",
                    "columns": _columns(columns),
                }
            )  # fmt: skip
    return series


def _split(frame: pl.DataFrame, by: str, **columns: str) -> dict[str, dict[str, list[Any]]]:
    """Give counts for each value of a column, in every window that has any: a window without a row had none."""
    windows = frame.select("soak_s").unique()
    counted = frame.select("soak_s", by, **{name: pl.col(column) for name, column in columns.items()})
    return {
        str(value): _columns(
            windows.join(counted.filter(pl.col(by) == value).drop(by), on="soak_s", how="left")
            .sort("soak_s")
            .fill_null(0)
        )
        for value in counted[by].drop_nulls().unique().sort()
    }


def _by_tool(usage: pl.DataFrame) -> pl.DataFrame:
    return usage.group_by("soak_s", "tool", maintain_order=True).agg(pl.col("sent", "ok").sum())


def _calls(run: Run, which: str) -> list[dict[str, Any]]:
    return [_plain(row) for row in run.sql(f"{_CALL}{which} limit {_MOST_CALLS}").iter_rows(named=True)]


def _columns(frame: pl.DataFrame) -> dict[str, list[Any]]:
    return {name: [_value(value) for value in frame[name]] for name in frame.columns}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name == "query" else _value(value) for name, value in row.items()}  # a query is asked whole


def _value(value: Any) -> Any:
    """Give a value as JSON can hold it: no infinity, no more digits than are drawn, no endless text."""
    if isinstance(value, float):
        short = float(f"{value:.6g}") if math.isfinite(value) else None
        return value if short == _WHOLE != value else short  # one failure in a million is not none
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return f"{value[:_MOST_TEXT]}…"
    return value
