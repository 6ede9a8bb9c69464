"""What a histogram says about a quantile: the bucket that holds it, and nothing finer."""

from __future__ import annotations

import math
from typing import Final

import polars as pl

from soaklib.analysis.sources.samples import AT, LABELS, checked_samples
from soaklib.errors import SettingsError

__all__ = ["QUANTILE_SCHEMA", "histogram_quantile"]

QUANTILE_SCHEMA: Final = pl.Schema(
    [
        ("at", AT),
        ("metric", pl.String()),
        ("labels", LABELS),
        ("low", pl.Float64()),
        ("high", pl.Float64()),
        ("n", pl.Float64()),
    ],
)
"""Columns and types of :func:`histogram_quantile`."""

RANK_TOLERANCE: Final = 1e-12
"""Relative: 0.1 x 30 is 3.0000000000000004 in floating point, and the third observation is meant."""

_HISTOGRAM: Final = ("at", "metric", "labels")


def histogram_quantile(samples: pl.DataFrame, q: float) -> pl.DataFrame:
    """Give the bucket that holds a quantile of each histogram, as the interval that it is.

    The quantile is the smallest value that at least the share `q` of all observations does not exceed. It lies above
    `low` and is at most `high`; where in between, the histogram does not say, and no interpolation pretends to know
    (as ``histogram_quantile`` of Prometheus does).

    Parameters
    ----------
    samples
        A samples frame with the ``_bucket`` lines of one or more histograms, whose values count since the start of the
        process, or what :func:`~soaklib.analysis.measures.counters.increase` made of it, which counts since the scrape
        before. Pass the ``_count`` lines too: they give the number of observations if the ``+Inf`` bucket is missing.
        Other metrics are ignored.
    q
        Between 0 and 1.

    Returns
    -------
    polars.DataFrame
        A row for each time and histogram: ``at``, ``metric`` (without ``_bucket``), ``labels`` (without ``le``),
        ``low`` and ``high`` (in the metric's unit), ``n`` (observations). The first bucket begins at 0 if it ends above
        0, else at minus infinity. `high` is infinite above the last finite bucket, and also if the number of
        observations is nowhere, since they may lie above all buckets that there are; ``n`` is then null. Both are null
        if there are no observations.

    Raises
    ------
    SettingsError
        It is no samples frame, `at` is null somewhere, or `q` is not between 0 and 1.
    """
    if not 0 <= q <= 1:
        message = f"q={q!r} is no quantile: pass a number between 0 and 1, such as 0.99"
        raise SettingsError(message)
    if "value" not in samples.columns and "increase" in samples.columns:
        samples = samples.rename({"increase": "value"})
    samples = checked_samples(samples).filter(pl.col("value").is_not_nan())
    buckets = _buckets(samples)
    held = (
        buckets.group_by(_HISTOGRAM, maintain_order=True)
        .agg(infinite=pl.col("seen").filter(pl.col("le") == math.inf).first(), seen=pl.col("seen").last())
        .join(_counts(samples), on=_HISTOGRAM, how="left", maintain_order="left")
        .with_columns(n=pl.coalesce("infinite", "count"))
        .with_columns(rank=pl.coalesce("n", "seen") * q * (1 - RANK_TOLERANCE))
    )
    holding = (
        buckets.join(held.select(*_HISTOGRAM, "rank"), on=_HISTOGRAM, maintain_order="left")
        .filter((pl.col("seen") > 0) & (pl.col("seen") >= pl.col("rank")))
        .group_by(_HISTOGRAM, maintain_order=True)
        .agg(low=pl.col("low").first(), high=pl.col("le").first())
    )
    last = buckets.group_by(_HISTOGRAM, maintain_order=True).agg(last=pl.col("le").last())
    is_empty, is_beyond = pl.coalesce("n", "seen") == 0, pl.col("high").is_null()
    return (
        held.join(holding, on=_HISTOGRAM, how="left", maintain_order="left")
        .join(last, on=_HISTOGRAM, how="left", maintain_order="left")
        .with_columns(
            low=pl.when(is_empty).then(None).when(is_beyond).then("last").otherwise("low"),
            high=pl.when(is_empty).then(None).when(is_beyond | pl.col("n").is_null()).then(math.inf).otherwise("high"),
        )
        .sort("at", maintain_order=True)
        .select(QUANTILE_SCHEMA.names())
    )


def _buckets(samples: pl.DataFrame) -> pl.DataFrame:
    """Give ``at``, ``metric``, ``labels``, ``low``, ``le`` and ``seen`` (observations up to ``le``), by ``le``."""
    le = (
        pl.col("labels").list.eval(pl.element().struct["value"].filter(pl.element().struct["key"] == "le")).list.first()
    )
    buckets = samples.filter(pl.col("metric").str.ends_with("_bucket"))
    series = (
        buckets.select("labels")
        .unique(maintain_order=True)
        .with_columns(
            le=le.cast(pl.Float64, strict=False),
            others=pl.col("labels").list.filter(pl.element().struct["key"] != "le"),
        )
        .filter(pl.col("le").is_not_nan())
    )
    return (
        buckets.join(series, on="labels", maintain_order="left")
        .select("at", pl.col("metric").str.strip_suffix("_bucket"), pl.col("others").alias("labels"), "le", "value")
        .sort("le", maintain_order=True)
        .with_columns(seen=pl.col("value").cum_max().over(_HISTOGRAM), low=pl.col("le").shift(1).over(_HISTOGRAM))
        .with_columns(low=pl.col("low").fill_null(pl.when(pl.col("le") > 0).then(0.0).otherwise(-math.inf)))
    )


def _counts(samples: pl.DataFrame) -> pl.DataFrame:
    counts = samples.filter(pl.col("metric").str.ends_with("_count"))
    return counts.select("at", pl.col("metric").str.strip_suffix("_count"), "labels", pl.col("value").alias("count"))
