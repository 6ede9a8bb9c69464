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
from soaklib.analysis.statistics.intervals import TAIL_OBSERVATIONS
from soaklib.analysis.verdicts.criteria import judged_anew, known_verdicts
from soaklib.analysis.verdicts.sensitivity import smallest_found
from soaklib.analysis.verdicts.sentence import ORDER, verdict_sentence, verdict_word
from soaklib.records import State, Verdict
from soaklib.records.moments import soak_text
from soaklib.records.units import CRITERION_UNITS, unit_behind
from soaklib.reports.wording import SAID_WITH_VALUE, SENTENCE, places_for, worded, worded_interval

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
_HALF: Final = 0.5
_LEAST_WINDOWS: Final = 6
_ALL: Final = "all tools"
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
    behind, between = (
        f" {unit_behind(row['name'], value)}" * (unit not in SAID_WITH_VALUE and value is not None)
        for value in (row["measure"], low if high is None else high)
    )
    return {
        "said": said + behind.rstrip(), "said_interval": worded_interval(low, high, unit) + between.rstrip(),
        "threshold": worded(row["threshold"], SENTENCE),
    }  # fmt: skip


def _latencies(run: Run, every: str) -> list[dict[str, Any]]:
    """Give a series for every tool and for all together, every measure and quantile.

    A value that too few calls tell is null, as figures leave it out; where most of a tool's are, that quantile of it
    comes by longer windows. One has ``at_least`` where some of its values are lower bounds: they fall among calls that
    were given up.
    """
    series = []
    for by in ((), ("tool",)):
        for measured in (latency, first_token):
            usual = measured(run, every=every, by=by, quantiles=QUANTILES)
            windows = _windows(run, every, usual, by)
            for (length,), told in windows.partition_by("window", as_dict=True, maintain_order=True).items():
                levels = tuple(told["quantile"].unique().sort())
                frame = usual if length == every else measured(run, every=str(length), by=by, quantiles=levels)
                own = frame.join(told, on=[*by, "quantile"], how="semi", nulls_equal=True)
                series += _series(own, by, str(length))
    return sorted(series, key=lambda one: (one["tool"] != _ALL, one["tool"], one["measure"], one["percentile"]))


def _series(frame: pl.DataFrame, by: tuple[str, ...], length: str) -> list[dict[str, Any]]:
    """Give each tool's, measure's and quantile's own columns."""
    keys = [*by, "measure", "quantile"]
    # one rule for the page and the figures: what a quantile is told by
    told = frame.with_columns(
        pl.when("sufficient").then(name) for name in ("latency_ms", "low_ms", "high_ms", "at_least")
    ).sort("soak_s")
    series = []
    for key, part in told.partition_by(keys, as_dict=True, maintain_order=True).items():
        values = dict(zip(keys, key, strict=True))
        bounds = ("at_least",) * bool(part["at_least"].any())
        columns = part.select("soak_s", "n", *bounds, y="latency_ms", low="low_ms", high="high_ms")
        series.append(
            {
                "tool": str(values.get("tool", _ALL) or "none"), "measure": values["measure"], "window": length,
                "percentile": f"p{round(100 * float(values['quantile']), 3):g}", "columns": _columns(columns),
            }
        )  # fmt: skip
    return series


def _windows(run: Run, every: str, frame: pl.DataFrame, by: tuple[str, ...]) -> pl.DataFrame:
    """Give by which windows each quantile comes: longer ones where fewer than half of a tool's have calls enough."""
    told = frame.group_by(*by, "quantile", maintain_order=True).agg(pl.col("n").median(), pl.col("sufficient").mean())
    lengths = [
        every if sufficient >= _HALF else _longer(run, every, usual, level) or every
        for level, usual, sufficient in told.select("quantile", "n", "sufficient").iter_rows()
    ]
    return told.select(*by, "quantile").with_columns(pl.Series("window", lengths, pl.String))


def _longer(run: Run, every: str, usual: float, level: float) -> str | None:
    """Give the shortest longer window in which most have calls enough for a quantile; None where it leaves too few."""
    needed_s = _LENGTHS[every] * TAIL_OBSERVATIONS / (min(level, 1 - level) * usual)
    most_s = run.info.planned_soak_s / _LEAST_WINDOWS
    return next((name for name, length_s in _LENGTHS.items() if needed_s <= length_s <= most_s), None)


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
