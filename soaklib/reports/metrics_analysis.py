"""``metrics-analysis.txt``: what the gateway's own metrics counted over the run, by tool, action and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.histograms import histogram_quantile
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.measures.pairing import SERIES, Doubt, paired_samples
from soaklib.analysis.sources.samples import canonical_names
from soaklib.analysis.sources.snapshots import exposed_kinds
from soaklib.errors import SoaklibError
from soaklib.exposition.ending import STARTS
from soaklib.exposition.kinds import counts
from soaklib.records import HEALTH_METRIC_PREFIX
from soaklib.reports.text_table import cell, plain_table

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["METRICS_ANALYSIS_NAME", "metrics_analysis"]

METRICS_ANALYSIS_NAME: Final = "metrics-analysis.txt"

_LABELS: Final = ("tool", "action", "code", "kind", "mode")
"""Labels that are told apart, in this order; others, such as an agent's id, are added up."""

_OF_LEVELS: Final = (*_LABELS, "quantile")

_QUANTILES: Final = (0.5, 0.95, 0.99)


def metrics_analysis(run: Run) -> str:
    """Give the text; it follows from the run's samples alone.

    Counters are given as their increase from the first scrape to the last: every reset is seen and nothing is
    extrapolated. What was counted before the first scrape is in none of the numbers.

    Raises
    ------
    SoaklibError
        The run has no samples of /metrics.
    """
    samples = canonical_names(run.samples())
    exposed = samples.filter(~pl.col("metric").str.starts_with(HEALTH_METRIC_PREFIX))
    if exposed.is_empty():
        msg = "no scrape of /metrics was recorded"
        raise SoaklibError(msg)
    first, last = exposed["at"].min(), exposed["at"].max()
    is_counter = pl.col("metric").is_in(_counters(run, samples["metric"].unique()))
    rising = _rising(exposed, is_counter)
    by_turns = rising.filter(pl.col("doubt") == Doubt.SEVERAL_PROCESSES)
    unknown = (
        by_turns.filter(pl.col("previous_at").is_not_null())["metric"].unique().sort()
    )  # no start time tells whose
    is_counter &= ~pl.col("metric").is_in(unknown.to_list())
    counted = _by_label(exposed, is_counter, rising.filter(is_counter))
    is_whole = ~(pl.col("metric").str.ends_with("_bucket") | pl.col("metric").str.ends_with("_sum"))
    span = f"{exposed['at'].n_unique():,} scrapes from {cell(first)} to {cell(last)}"
    sections = [
        f"Metrics of the gateway {run.info.target}, run {run.info.run_id}",
        f"{span}.\nIncreases are from the first to the last, resets included, without extrapolation.{_turns(by_turns)}",
        *(
            [_section("Counters of which it is not known what they counted", unknown.to_frame())]
            if len(unknown)
            else []
        ),
        _section("Counters", counted.filter(is_whole & (pl.col("increase") != 0))),
        _section("Counters that did not move", counted.filter(is_whole & (pl.col("increase") == 0)).drop("increase")),
        _section(
            "Histograms, by the buckets that hold the quantiles (in the metric's own unit)",
            _held(exposed.filter(~pl.col("metric").is_in(unknown.to_list())), counted),
        ),
        _section("Levels", _levels(samples, is_counter)),
    ]
    return "\n\n".join(sections) + "\n"


def _section(title: str, frame: pl.DataFrame) -> str:
    used = [name for name in frame.columns if name not in _OF_LEVELS or frame[name].null_count() < frame.height]
    body = plain_table(used, frame.select(used).rows()) if frame.height else "none"
    return f"{title}\n{'-' * len(title)}\n{body}"


def _labelled(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Give each of the labels a column of its own."""
    columns = []
    for name in names:
        value = pl.element().struct["value"].filter(pl.element().struct["key"] == name)
        columns.append(pl.col("labels").list.eval(value).list.first().alias(name))
    return frame.with_columns(columns)


def _rising(exposed: pl.DataFrame, is_wanted: pl.Expr) -> pl.DataFrame:
    """Give increase and doubt of the wanted counters; what tells a restart or a number cut short is looked at, too."""
    tells = pl.col("metric").is_in(STARTS) | pl.col("metric").str.ends_with("_created")
    is_end = pl.col("at").ne_missing(pl.col("at").shift(-1))
    paired, titles = paired_samples(exposed.filter(is_wanted | tells | is_end), exposed["at"])
    return paired.with_columns(titles[name].gather(paired["series"]) for name in SERIES).filter(is_wanted)


def _turns(by_turns: pl.DataFrame) -> str:
    """Say that several processes answered in turn."""
    return f"\n{IN_TURN[:1].upper()}{IN_TURN[1:]}." if by_turns.height else ""


def _counters(run: Run, metrics: pl.Series) -> list[str]:
    """Give those that count by the TYPE in the run's snapshots, and by their names where there is none."""
    told = exposed_kinds(run.folder)
    names = canonical_names(pl.DataFrame({"metric": list(told)}, schema={"metric": pl.String}))["metric"]
    kinds = dict(zip(names, told.values(), strict=True))
    return [name for name in metrics if counts(name, kinds)]


def _by_label(exposed: pl.DataFrame, is_counter: pl.Expr, rising: pl.DataFrame) -> pl.DataFrame:
    """Give the increase of every counter over the run."""
    # a counter that is there at the first scrape only, or alone, has not moved
    still = exposed.filter(is_counter).select("metric", "labels", increase=pl.lit(0.0))
    both = pl.concat([rising.select("metric", "labels", "increase"), still.unique(maintain_order=True)])
    return (
        _labelled(both, *_LABELS)
        .group_by("metric", *_LABELS)
        .agg(increase=pl.col("increase").sum())
        .sort("metric", *_LABELS, nulls_last=False)
    )


def _held(exposed: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    """Give number, mean and quantiles of every histogram."""
    histogram = pl.col("metric").str.extract(r"^(.*)_(?:bucket|count|sum)$")
    is_bucket = pl.col("metric").str.ends_with("_bucket")
    is_part = is_bucket | pl.col("metric").str.ends_with("_count")
    end = exposed["at"].max()
    rising = _rising(exposed, is_part)
    if rising.is_empty():
        return pl.DataFrame()
    names = ("tool", "action")
    label = pl.element().struct["key"]
    whole = (
        rising.with_columns(pl.col("labels").list.eval(pl.element().filter(label.is_in([*names, "le"]))))
        .group_by("metric", "labels", maintain_order=True)
        .agg(value=pl.col("increase").sum())
        .with_columns(at=pl.lit(end))
    )
    by = ["metric", *names]
    totals = (
        counted.with_columns(part=pl.col("metric").str.extract(r"_(count|sum)$"), metric=histogram)
        .filter(pl.col("part").is_not_null())
        .group_by(by)
        .agg(
            n=pl.col("increase").filter(pl.col("part") == "count").sum(),
            mean=pl.col("increase").filter(pl.col("part") == "sum").sum()
            / pl.col("increase").filter(pl.col("part") == "count").sum(),
        )
    )
    for q in _QUANTILES:
        held = histogram_quantile(whole, q)
        interval = pl.Series(
            f"p{q * 100:g}",
            [None if low is None else f"{low:g} to {high:g}" for low, high in held.select("low", "high").iter_rows()],
            dtype=pl.String,
        )
        held = _labelled(held, *names).select(*by, interval)
        totals = totals.join(held, on=by, how="left", nulls_equal=True)
    return totals.sort(by)


def _levels(samples: pl.DataFrame, is_counter: pl.Expr) -> pl.DataFrame:
    """Give what is no counter: first, last, least and most; series that are not told apart are added up.

    What a summary says of a quantile stands by itself: such numbers have no sum.
    """
    value, names = pl.col("value"), _OF_LEVELS
    return (
        _labelled(samples.filter(~is_counter), *names)
        .group_by("at", "metric", *names)
        .agg(value.sum())
        .sort("at")
        .group_by("metric", *names)
        .agg(first=value.first(), last=value.last(), least=value.min(), most=value.max())
        .sort("metric", *names)
    )
