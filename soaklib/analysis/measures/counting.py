"""Metrics of a run, paired: what each of their samples counted since the one before, and what of it is doubted.

:mod:`soaklib.analysis.measures.pairing` is told beside the metrics what tells a restart (start times of processes and
``_created``), and which series the texts of the scrapes ended with: only the last number of a text can be cut short.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.pairing import COUNTED_SUFFIX, CREATED, SERIES, Doubt, paired_samples
from soaklib.analysis.sources.samples import AT
from soaklib.exposition.ending import STARTS
from soaklib.records import HEALTH_METRIC_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["counted_in_run", "scrape_times"]

_SAMPLES: Final = """
    select utc(at_us) as "at", metric, labels, "value" from samples where list_contains($names, metric)
    order by at_us, row_number() over ()"""
_ENDS: Final = """
    select "at", metric, labels, "value" from (
        select utc(at_us) as "at", metric, labels, "value", row_number() over () as line from samples
        where not starts_with(metric, $health) and list_contains($at_us::BIGINT[], epoch_us(utc(at_us)))
    ) qualify line = max(line) over (partition by "at")"""


def scrape_times(run: Run) -> pl.DataFrame:
    """Give ``at`` and ``soak_s`` of the scrapes of /metrics that gave samples, in order."""
    return run.sql(
        'select distinct at_utc as "at", soak_s from readings where not starts_with(metric, $health) order by 1',
        {"health": HEALTH_METRIC_PREFIX},
    )


def counted_in_run(run: Run, names: Sequence[str], scrapes: pl.Series) -> pl.DataFrame:
    """Give every sample of some metrics, but those of the first scrape, with its increase and the doubt about it.

    Parameters
    ----------
    run
        The run.
    names
        Names of the metrics, as exposed.
    scrapes
        Column ``at`` of :func:`scrape_times`.

    Returns
    -------
    polars.DataFrame
        ``at``, ``previous_at``, ``metric``, ``labels``, ``increase``, ``doubt``; see
        :func:`~soaklib.analysis.measures.pairing.paired_samples`.
    """
    created = [re.sub(COUNTED_SUFFIX, "", name) + CREATED for name in names]
    wanted = [*dict.fromkeys((*names, *created, *STARTS))]
    samples = run.sql(_SAMPLES, {"names": wanted})
    samples = samples.filter(pl.col("at") <= pl.lit(scrapes.max(), dtype=AT))  # a run that goes on may have more by now
    paired, titles = paired_samples(samples, scrapes)
    doubted = paired.filter(pl.col("doubt") == Doubt.CUT_NUMBER)["at"].unique()
    if len(doubted):  # by what is the last of the wanted metrics, and need not be of the text
        ends = run.sql(_ENDS, {"health": HEALTH_METRIC_PREFIX, "at_us": doubted.dt.epoch("us").to_list()})
        paired, titles = paired_samples(pl.concat([samples, ends.filter(~pl.col("metric").is_in(wanted))]), scrapes)
    told = paired.with_columns(titles[name].gather(paired["series"]) for name in SERIES)
    told = told.filter(pl.col("metric").is_in(list(names)))
    return told.select("at", "previous_at", *SERIES, "increase", "doubt")
