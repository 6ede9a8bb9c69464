"""Whether the generator kept its own schedule, window by window: the yardstick of everything else that was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.measures.windows import window_ends_sql

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["MOST_LANES_NAMED", "measurement_validity", "missed_by_lane"]

MOST_LANES_NAMED: Final = 8


def measurement_validity(run: Run, every: str = "15m") -> pl.DataFrame:
    """Give how well the generator kept its schedule.

    Parameters
    ----------
    run
        The run.
    every
        Length of a window in soak time.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window), ``planned_per_s`` and ``sent_per_s`` (calls a wall second, mean of the
        window's seconds),
        ``schedule_lag_max_ms`` (largest sent - planned), ``loop_lag_max_ms`` (largest lateness of the event loop's own
        timer), ``seconds`` (wall seconds that stand behind it).
    """
    return run.sql(
        f"""
        with ticks as (
            select soak_seconds(at_us - 1) as soak_s, * exclude (at_us) from runner_health
        ), lanes as (
            select lane, {window_ends_sql(every)}, avg(planned) as planned_per_s, avg(sent) as sent_per_s,
                   max(schedule_lag_max_us) / 1000 as schedule_lag_max_ms,
                   max(loop_lag_max_us) / 1000 as loop_lag_max_ms, count(*)::BIGINT as seconds
            from ticks group by all
        )
        select soak_s, end_s, sum(planned_per_s) as planned_per_s, sum(sent_per_s) as sent_per_s,
               max(schedule_lag_max_ms) as schedule_lag_max_ms, max(loop_lag_max_ms) as loop_lag_max_ms,
               max(seconds) as seconds
        from lanes group by soak_s, end_s order by soak_s"""  # noqa: S608 - our own names
    )


def missed_by_lane(run: Run) -> str:
    """Word which share of its slots each lane of a fleet missed, those that missed most first.

    Parameters
    ----------
    run
        The run.

    Returns
    -------
    str
        ``missed: 659 of the 720 slots of lane 1 (91.5 %)``; empty where no lane missed a slot, or there is none.
    """
    lanes = run.sql(
        """
        select lane, count(*) filter (kind = 'missed') as missed, count(*) as slots
        from outcomes where purpose = 'load' and step = 0 and lane is not null group by lane
        having missed > 0 order by missed / slots desc, lane"""
    ).rows()
    if not lanes:
        return ""
    named = ", ".join(
        f"{missed} of the {slots} slots of lane {lane} ({100 * missed / slots:.1f} %)"
        for lane, missed, slots in lanes[:MOST_LANES_NAMED]
    )
    others = len(lanes) - MOST_LANES_NAMED
    return f"missed: {named}{f', and smaller shares of {others} more' if others > 0 else ''}"
