"""What became of every planned change, and what its tool's calls met before, during and after it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.statistics.effect import effect
from soaklib.analysis.statistics.intervals import rate_interval
from soaklib.plan.changes import PolicyChange
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.effect import Effect
    from soaklib.plan.changes import Change

__all__ = ["EFFECTS_OF_CHANGES_SCHEMA", "WINDOWS_SCHEMA", "change_shifts", "change_windows", "planned_changes"]

CHANGES_SCHEMA: Final = pl.Schema(
    {
        "number": pl.Int64(), "change": pl.String(), "subject": pl.String(), "tool": pl.String(), "phase": pl.String(),
        "planned_s": pl.Float64(), "made_s": pl.Float64(), "ended_s": pl.Float64(), "state": pl.String(),
        "event": pl.String(), "detail": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`planned_changes`."""

WINDOWS_SCHEMA: Final = pl.Schema(
    {
        "number": pl.Int64(), "window": pl.String(), "start_s": pl.Float64(), "end_s": pl.Float64(),
        "n": pl.Int64(), "ok_rate": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(),
        "fast_fails": pl.Int64(), "upstream_errors": pl.Int64(), "quota_denials": pl.Int64(), "other": pl.Int64(),
        "service_p50_ms": pl.Float64(),
    }
)  # fmt: skip
"""Columns and types of :func:`change_windows`."""

EFFECTS_OF_CHANGES_SCHEMA: Final = pl.Schema(
    {
        "number": pl.Int64(), "shift": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(),
        "shift_p_value": pl.Float64(),
        "transient": pl.Float64(), "transient_low": pl.Float64(), "transient_high": pl.Float64(),
        "transient_p_value": pl.Float64(), "n": pl.Int64(), "cells": pl.Int64(),
    }
)  # fmt: skip
"""Columns and types of :func:`change_shifts`."""

_LOOK_S: Final = 3600.0
"""How far before and after a change its tool's calls are looked at, soak seconds; less where changes lie closer."""

_STATES: Final = {
    EventName.CHANGE_UNSUPPORTED: "unsupported",
    EventName.CHANGE_FAILED: "failed",
    EventName.CHANGE_UNCERTAIN: "not known to be made",
    EventName.HEALTH_GATE_FAILED: "stopped by its health gate",
}


def planned_changes(run: Run) -> pl.DataFrame:
    """Give every planned change and what became of it.

    Returns
    -------
    polars.DataFrame
        ``number`` (place in the plan), ``change`` (what is done), ``subject`` (to what), ``tool`` (whose calls it
        meets), ``phase``, ``planned_s``, ``made_s`` and ``ended_s`` (soak seconds; null where it was not made or has no
        end; of what lasts from the gate before it on, for it works before its answer is here), ``state`` (``made``,
        ``unsupported``, ``failed``, ``not known to be made``, ``stopped by its health gate``, ``not made``), ``event``
        and ``detail`` (of its last event; null where there is none), in order of the plan.
    """
    events = run.sql(
        """
        select split_part(event_key, ':', 2)::INTEGER as number, event_key like '%:off' as is_end,
               soak_seconds(at_us) as soak_s, name, detail
        from events where event_key like 'change:%' order by at_us, row_number() over ()"""
    )
    chaos = {
        number: times
        for number, *times in run.sql(
            "select number, soak_seconds(on_us), soak_seconds(off_us) from chaos_windows"
        ).iter_rows()
    }
    rows = []
    for number, change in enumerate(run.info.plan.changes):
        own = events.filter(~pl.col("is_end"), number=number)
        begun = own.filter(name=str(change.event)).head(1)
        last = (begun if begun.height else own).tail(1)
        name = last["name"].item() if last.height else None
        state = "made" if begun.height else _STATES.get(name, "not made") if name else "not made"
        rows.append(
            (
                number, change.do, change.subject, _tool(change), change.phase, change.at * run.info.planned_soak_s,
                *chaos.get(number, [begun["soak_s"].item() if begun.height else None, None]),
                state, name, last["detail"].item() if last.height else None,
            )
        )  # fmt: skip
    return pl.DataFrame(rows, schema=CHANGES_SCHEMA, orient="row")


def change_windows(run: Run) -> pl.DataFrame:
    """Give what the load's calls of a change's tool met before it, while it lasted, and after it.

    Returns
    -------
    polars.DataFrame
        ``number`` (of the change), ``window`` (``before``, ``during``, ``after``; a change of no length has no
        ``during``), ``start_s`` and ``end_s`` (soak seconds: an hour, or less where another change lies closer),
        ``n`` (calls that were sent), ``ok_rate``, ``low`` and ``high`` (percent that were answered ok; the 95 %
        interval), ``fast_fails``, ``upstream_errors``, ``quota_denials``, ``other`` (calls that were not ok for another
        reason), ``service_p50_ms`` (median service time of ok calls; null without one).
    """
    rows = []
    for number, tool, *spans in _windows(run):
        for window, start_s, end_s in spans:
            minutes = run.sql(
                """
                select floor(soak_s / 60) as minute, count(*)::BIGINT as n,
                       count(*) filter (kind = 'ok')::BIGINT as ok,
                       count(*) filter (kind = 'fast_fail')::BIGINT as fast_fails,
                       count(*) filter (kind = 'upstream_error')::BIGINT as upstream_errors,
                       count(*) filter (kind = 'denied' and reason = 'quota')::BIGINT as quota_denials
                from calls
                where purpose = 'load' and tool = $tool and attempts > 0 and soak_s >= $start_s and soak_s < $end_s
                group by minute order by minute""",
                {"tool": tool, "start_s": start_s, "end_s": end_s},
            )
            median_ms = run.sql(
                """
                select quantile_disc(service_us, 0.5) / 1000 from calls
                where purpose = 'load' and tool = $tool and kind = 'ok' and soak_s >= $start_s and soak_s < $end_s""",
                {"tool": tool, "start_s": start_s, "end_s": end_s},
            ).item()
            found = rate_interval(minutes["ok"].to_numpy(), minutes["n"].to_numpy())
            rates = (None if ratio is None else 100 * ratio for ratio in (found.rate, found.low, found.high))
            named = [int(minutes[name].sum()) for name in ("fast_fails", "upstream_errors", "quota_denials")]
            other = found.n - found.successes - sum(named)
            rows.append((number, window, start_s, end_s, found.n, *rates, *named, other, median_ms))
    return pl.DataFrame(rows, schema=WINDOWS_SCHEMA, orient="row")


def change_shifts(run: Run) -> pl.DataFrame:
    """Measure, against placebo times of the same run, how the share of calls that are not ok moves at each change.

    The series is the percentage of the tool's sent calls that were not answered ok, minute by minute, from the change
    before to the change after, so that no other change lies in it. See :func:`soaklib.effect`.

    Returns
    -------
    polars.DataFrame
        ``number`` (of the change), ``shift`` with ``low``, ``high`` and ``shift_p_value`` (after less before),
        ``transient`` with ``transient_low``, ``transient_high`` and ``transient_p_value`` (while it lasts less before;
        null for a change of no length), percentage points, each less the median of the same difference at the placebo
        times, null where the series is too short; ``n`` (placebo times), ``cells`` (minutes looked at).
    """
    changes = planned_changes(run).filter(pl.col("made_s").is_not_null()).sort("made_s")
    edges = [0.0, *changes["made_s"], run.info.planned_soak_s]
    ends = [0.0, *(ended or made for made, ended in changes.select("made_s", "ended_s").iter_rows())]
    rows: list[tuple[object, ...]] = []
    for place, (number, tool, made_s, ended_s) in enumerate(
        changes.select("number", "tool", "made_s", "ended_s").iter_rows()
    ):
        series = run.sql(
            """
            select floor(soak_s / 60) * 60 as soak_s, min("at") as "at",
                   100 * count(*) filter (kind <> 'ok') / count(*) as "value"
            from valid_calls
            where purpose = 'load' and tool = $tool and attempts > 0 and soak_s >= $start_s and soak_s < $end_s
            group by 1 order by 1""",
            {"tool": tool, "start_s": ends[place], "end_s": edges[place + 2]},
        )
        if not series.height or not series["soak_s"][0] < made_s <= (ended_s or made_s) < series["soak_s"][-1]:
            rows.append((number, *[None] * 8, 0, series.height))
            continue
        moments = pl.DataFrame({"soak_s": [made_s, ended_s or made_s]})
        at, until = in_soak_time(moments)["at"]
        found = effect(
            in_soak_time(series), at=at, until=until if ended_s else None, window=_reach(series, made_s, ended_s)
        )
        rows.append(
            (
                number, found.shift, *(found.interval or (None, None)), found.shift_p_value,
                *((None, None, None, None) if ended_s is None else _passing(found)), found.n_placebo, series.height,
            )
        )  # fmt: skip
    return pl.DataFrame(rows, schema=EFFECTS_OF_CHANGES_SCHEMA, orient="row")


def _passing(found: Effect) -> tuple[float | None, float | None, float | None, float | None]:
    low, high = found.transient_interval or (None, None)
    return found.transient, low, high, found.transient_p_value


def _reach(series: pl.DataFrame, made_s: float, ended_s: float | None) -> dt.timedelta | None:
    """Give a window that fits on both sides of a change; None for the usual one."""
    room_s = min(made_s - series["soak_s"][0], series["soak_s"][-1] - (ended_s or made_s))
    usual_s = (series["soak_s"][-1] - series["soak_s"][0]) / 12
    return dt.timedelta(seconds=room_s) if 0 < room_s < usual_s else None


def _windows(run: Run) -> Iterator[tuple[int, str, *tuple[tuple[str, float, float], ...]]]:
    """Give number, tool, and (window, start, end) of every change that was made."""
    changes = planned_changes(run).filter(pl.col("made_s").is_not_null()).sort("made_s")
    rows = changes.select("number", "tool", "made_s", "ended_s").rows()
    for place, (number, tool, made_s, ended_s) in enumerate(rows):
        earliest = max([0.0, *(ended or made for _, _, made, ended in rows[:place])])
        latest = rows[place + 1][2] if place + 1 < len(rows) else run.info.planned_soak_s
        spans = [("before", max(made_s - _LOOK_S, earliest), made_s)]
        if ended_s is not None:
            spans.append(("during", made_s, ended_s))
        over_s = made_s if ended_s is None else ended_s
        spans.append(("after", over_s, min(over_s + _LOOK_S, latest)))
        yield number, tool, *(span for span in spans if span[1] < span[2])


def _tool(change: Change) -> str | None:
    return change.action.split(":")[0] if isinstance(change, PolicyChange) else change.tool
