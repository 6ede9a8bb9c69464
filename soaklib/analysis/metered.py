"""What the gateway's own counters counted, over windows of soak time, to stand beside what the client saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from soaklib.analysis.counters import increase
from soaklib.analysis.windows import seconds_of
from soaklib.records import HEALTH_METRIC_PREFIX

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["metered"]

_WART_SUFFIX = "_total"  # the real gateway says it twice


def metered(run: Run, metric: str, every: str = "1h", *, by: str = "tool") -> pl.DataFrame:
    """Give the increase of a counter, reset-aware, by one of its labels.

    When a call was counted between two scrapes nobody knows: an increase is spread evenly over the time between them,
    so that shorter windows hold fractions. The last scrape comes after the end of the load, and what it found was
    counted before. The sum over all windows is what was counted.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the counter; found too if the gateway says ``_total`` twice.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Name of the label; series without it are counted under ``""``.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, the label, ``n``, in order; no row where nothing was scraped.
    """
    times = run.sql(
        'select distinct utc(at_us) as "at", soak_seconds(at_us) as soak_s from samples '
        "where not starts_with(metric, $health)",
        {"health": HEALTH_METRIC_PREFIX},
    )
    samples = pl.concat([run.samples(name) for name in (metric, metric + _WART_SUFFIX)])
    every_s = seconds_of(every)
    between = times.sort("at").select("at", since_s=pl.col("soak_s").shift(1), until_s=pl.col("soak_s"))
    between = between.with_columns(until_s=_until_the_end(run.info.planned_soak_s))
    label = pl.col("labels").list.filter(pl.element().struct.field("key") == by).list.first().struct.field("value")
    counted = increase(samples, scrapes=times["at"]).join(between, on="at").with_columns(label=label.fill_null(""))
    return (
        _spread(counted, every_s)
        .group_by("soak_s", "label")
        .agg(n=pl.col("increase").sum())
        .rename({"label": by})
        .sort("soak_s", by)
    )


def _until_the_end(end_s: float) -> pl.Expr:
    """Give the later of the two scrapes, or the end of the load if that comes between them."""
    return pl.when(pl.col("since_s") < end_s).then(pl.min_horizontal("until_s", end_s)).otherwise("until_s")


def _spread(counted: pl.DataFrame, every_s: float | None) -> pl.DataFrame:
    """Give each increase's part in each window, as ``soak_s`` and ``increase``."""
    if every_s is None:
        return counted.with_columns(soak_s=pl.lit(0.0))
    since_s, until_s = pl.col("since_s"), pl.col("until_s")
    first = (since_s / every_s).floor().cast(pl.Int64)
    end = pl.max_horizontal((until_s / every_s).ceil().cast(pl.Int64), first + 1)
    parts = counted.with_columns(place=pl.int_ranges(first, end)).explode("place")
    start_s = pl.col("place") * every_s
    overlap_s = pl.min_horizontal(until_s, start_s + every_s) - pl.max_horizontal(since_s, start_s)
    # soak time stands still while no runner lives, and so it may between two scrapes
    share = pl.when(until_s > since_s).then(overlap_s / (until_s - since_s)).otherwise(1.0)
    return parts.with_columns(soak_s=start_s, increase=pl.col("increase") * share)
