"""What happened when: the marks that every chart with a time axis bears, and the windows that verdicts leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.breakers import recovery_limit_s
from soaklib.plan.changes import ChaosChange, LastingChange, PolicyChange
from soaklib.records import EventName

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["MARKS_SCHEMA", "change_events", "marks", "planned_windows"]

MARKS_SCHEMA: Final = pl.Schema(
    {"start_s": pl.Float64(), "end_s": pl.Float64(), "kind": pl.String(), "label": pl.String()}
)


_BY_HAND: Final = r"""
    select soak_seconds(at_us) as soak_s, name, detail, regexp_extract(detail, '(tool|action)=([^\s:]+)', 2) as tool,
           case when name = 'CHAOS_MODE_ON' then 'chaos on ' || tool
                when name = 'CHAOS_MODE_OFF' then 'chaos off ' || tool
                when name like 'CREDENTIALS_%' then 'credentials of ' || tool else 'quota on ' || tool end as what
    from events
    where event_key like 'inbox:%' and (name in ('CHAOS_MODE_ON', 'CHAOS_MODE_OFF', 'CREDENTIALS_ROTATED_SUCCESSFULLY')
                                        or name like 'POLICY_UPDATED_%')
    order by at_us"""


def change_events(run: Run) -> pl.DataFrame:
    """Give the changes that were really made, as their events say.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``name`` (of the event), ``detail``, ``number`` (place in the plan), ``is_end`` (whether it ended a
        change rather than began it), in order of time.
    """
    made = run.sql(
        """
        select soak_seconds(at_us) as soak_s, name, detail, split_part(event_key, ':', 2)::INTEGER as number,
               event_key like '%:off' as is_end
        from events where event_key like 'change:%' order by at_us, row_number() over ()"""
    )
    # as text: polars would make an enumeration of EventName, which has no place for the names that a plan's tools make
    ends = (EventName.CHAOS_MODE_OFF, EventName.CHANGE_UNDONE)
    done = [str(name) for name in (*(change.event for change in run.info.plan.changes), *ends)]
    return made.filter(pl.col("name").is_in(done))


def marks(run: Run) -> pl.DataFrame:
    """Give what to mark on a time axis, in soak seconds; of a stretch, what lies within it.

    Returns
    -------
    polars.DataFrame
        ``start_s``, ``end_s`` (null for a moment), ``kind`` (``phase``, ``change``, ``gap``, ``invalid``),
        ``label``.
    """
    if run is not run.whole:
        return _within(marks(run.whole), run.start_s, run.end_s)
    rows: list[tuple[float, float | None, str, str]] = []
    starts = run.info.plan.phase_starts(run.info.planned_soak_s)
    ends = [start_s for start_s, _ in starts[1:]] + [run.info.planned_soak_s]
    rows += [(start_s, end_s, "phase", name) for (start_s, name), end_s in zip(starts, ends, strict=True)]
    for soak_s, number, is_end in change_events(run).select("soak_s", "number", "is_end").iter_rows():
        change = run.info.plan.changes[number]
        if is_end:
            label = "chaos off" if isinstance(change, ChaosChange) else f"undone: {change.subject}"
        elif isinstance(change, ChaosChange):
            label = f"chaos on: {change.tool} {change.mode}, {change.pct} %"
        elif isinstance(change, LastingChange):
            label = f"made: {change.subject}"
        elif isinstance(change, PolicyChange):
            label = f"quota cut: {change.action}"
        else:
            label = f"credentials rotated: {change.tool}"
        rows.append((soak_s, None, "change", label))
    rows += [
        (soak_s, None, "change", f"by hand: {what}")
        for soak_s, what in run.sql(_BY_HAND).select("soak_s", "what").iter_rows()
    ]
    rows += [(segment.soak_started_s, None, "gap", "runner was down") for segment in run.info.segments[1:]]
    rows += [
        (start_s, end_s, "invalid", _invalid(lag_us))
        for start_s, end_s, lag_us in run.sql(
            "select start_s, end_s, lag_us from invalid_windows order by 1"
        ).iter_rows()
    ]
    return pl.DataFrame(rows, schema=MARKS_SCHEMA, orient="row")


def _invalid(lag_us: int | None) -> str:
    return (
        "generator out of ports or descriptors" if lag_us is None else f"generator late by up to {lag_us / 1e6:.1f} s"
    )


def _within(told: pl.DataFrame, start_s: float, end_s: float) -> pl.DataFrame:
    """Give the marks of a stretch, bands cut at its edges."""
    last_s = pl.col("end_s").fill_null(pl.col("start_s"))
    is_moment = pl.col("end_s").is_null()
    begun = pl.when(is_moment).then(pl.col("start_s") >= start_s).otherwise(last_s > start_s)
    return told.filter(begun & (pl.col("start_s") < end_s)).with_columns(
        pl.max_horizontal("start_s", pl.lit(start_s)),
        pl.when(~is_moment).then(pl.min_horizontal("end_s", pl.lit(end_s))),
    )


def planned_windows(run: Run) -> pl.DataFrame:
    """Give the stretches in which the plan itself makes calls fail: chaos, until its breaker has had time to recover.

    A quota that was cut makes no window: the denials it causes are expected and are told apart call by call.

    Returns
    -------
    polars.DataFrame
        ``start_s`` and ``end_s`` in soak seconds, from the events, so that chaos which never came on leaves none, and
        chaos which nobody ended excuses nothing beyond its planned time.
    """
    windows = run.whole.asked(
        "select number, soak_seconds(on_us), soak_seconds(off_us) from chaos_windows order by 2"
    ).rows()
    rows = [
        (start_s, (_planned_end_s(run, number) if end_s is None else end_s) + recovery_limit_s(run))
        for number, start_s, end_s in windows
    ]
    return pl.DataFrame(rows, schema={"start_s": pl.Float64(), "end_s": pl.Float64()}, orient="row")


def _planned_end_s(run: Run, number: int) -> float:
    change = run.info.plan.changes[number]
    return (change.at + (change.lasts if isinstance(change, LastingChange) else 0.0)) * run.info.planned_soak_s
