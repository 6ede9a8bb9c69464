"""What the gateway's own counters counted, over windows of soak time, to stand beside what the client saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from soaklib.analysis.counters import increase
from soaklib.analysis.windows import seconds_of
from soaklib.records import HEALTH_METRIC_PREFIX

if TYPE_CHECKING:
    from soaklib.analysis.load import Run

__all__ = ["metered"]

_WART_SUFFIX = "_total"  # the real gateway says it twice


def metered(run: Run, metric: str, every: str = "1h", *, by: str = "tool") -> pl.DataFrame:
    """Give the increase of a counter, reset-aware, by one of its labels.

    An increase belongs to the window of the scrape before the one that found it, since which it was counted.

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
    window = pl.lit(0.0) if every_s is None else (pl.col("soak_s") / every_s).floor() * every_s
    since = times.sort("at").with_columns(pl.col("soak_s").shift(1))
    label = pl.col("labels").list.filter(pl.element().struct.field("key") == by).list.first().struct.field("value")
    counted = increase(samples, scrapes=times["at"])
    return (
        counted.join(since, on="at", how="left")
        .group_by(soak_s=window, label=label.fill_null(""))
        .agg(n=pl.col("increase").sum())
        .rename({"label": by})
        .sort("soak_s", by)
    )
