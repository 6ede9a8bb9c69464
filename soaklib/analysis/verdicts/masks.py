"""What of a series is left out when drift is looked for: what the plan did, and what a late generator spoiled.

Of a fleet each lane is late by itself. It spoils what it measured, and nothing that others did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.measures.metrics import in_soak_time

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["calls_not_judged", "readings_not_judged"]

_MOST_UNLIKE: Final = 0.05
_MOMENT: Final = {"start_s": pl.Float64, "end_s": pl.Float64}


def readings_not_judged(run: Run, lane: int | None = None) -> pl.DataFrame:
    """Give the planned windows and those in which one reader was late, as a mask of series in soak time.

    Parameters
    ----------
    run
        The run.
    lane
        Who read what is judged: a lane its own memory; None for the one sender, or the conductor of a fleet, which
        alone reads what the gateway says of itself.
    """
    late = run.sql("select start_s, end_s from invalid_windows where lane is not distinct from $lane", {"lane": lane})
    return in_soak_time(pl.concat([planned_windows(run), late]))


def calls_not_judged(run: Run, window_s: float) -> pl.DataFrame:
    """Give the planned windows and those whose calls tell of their generator, as a mask of series in soak time.

    The series have no call that touches a moment in which its own lane was late: see ``valid_calls``. Left out besides
    is a window

    - in which most of the lanes were late: the machine stood still, and what it had put off came in a burst, which the
      gateway feels for longer. Where there is one sender, that is each window in which it was late;
    - whose calls came from other lanes than were planned in it, by more than 5 % of the calls: lanes may be near to the
      gateway and far from it, and one that comes and goes would pass for a change of the gateway. Of each lane that
      part counts as planned which is left of it in the run's middle window: one that is late all the time is left out
      of all windows, and those are alike.

    Parameters
    ----------
    run
        The run.
    window_s
        Length of the series' windows, soak seconds.
    """
    planned = planned_windows(run)
    if not run.sql("select exists(from invalid_windows)").item():
        return in_soak_time(planned)
    lanes = run.sql("select distinct coalesce(lane, -1)::BIGINT as lane from calls where purpose = 'load'")
    late = (
        run.sql("select start_s, end_s, coalesce(lane, -1)::BIGINT as lane from invalid_windows")
        .join(lanes, on="lane")
        .with_columns(
            window=pl.int_ranges(
                (pl.col("start_s") / window_s).floor().cast(pl.Int64),
                (pl.col("end_s") / window_s).ceil().cast(pl.Int64),
            )
        )
        .explode("window")
    )
    of_most = late.group_by("window").agg(pl.col("lane").n_unique()).filter(2 * pl.col("lane") > lanes.height)
    unlike = _unlike_windows(run, window_s) if late.height and lanes.height > 1 else []
    windows = sorted({*of_most["window"].to_list(), *unlike})
    # a moment takes the one window that it falls into, however its edges are rounded
    middles = [(window + 0.5) * window_s for window in windows]
    return in_soak_time(pl.concat([planned, pl.DataFrame({"start_s": middles, "end_s": middles}, schema=_MOMENT)]))


def _unlike_windows(run: Run, window_s: float) -> list[int]:
    """Give the windows whose calls came from other lanes than is usual.

    A window's calls are held against those that were planned in it, of each lane the usual part: of few calls no two
    windows have the same lanes, also where none was late.
    """
    usual = (pl.col("kept") / pl.col("planned")).median().over("lane")
    shares = pl.col("kept") / pl.col("kept").sum() - pl.col("usual") / pl.col("usual").sum()
    apart = (
        run.sql(
            f"""
            select floor(soak_s / {window_s!r})::BIGINT as "window", coalesce(lane, -1) as lane,
                   count(*) as planned, count(*) filter (is_valid) as kept
            from judged_calls where purpose = 'load' group by all"""  # noqa: S608 - our own number
        )
        .with_columns(usual=pl.col("planned") * usual)
        .group_by("window")
        .agg(distance=shares.abs().sum() / 2)
    )
    # of a window without a call, or with calls of lanes alone that usually have none, nothing is known: no number
    return apart.filter(pl.col("distance").is_finite() & (pl.col("distance") > _MOST_UNLIKE))["window"].sort().to_list()
