"""What counters counted: raw increases with reset detection, Prometheus' extrapolation beside them, and quantiles.

Nothing here knows which metrics are counters: apply it to ``_total``, ``_bucket``, ``_count`` and ``_sum`` series. A
series is a metric with its labels; a scrape is an instant at which samples were taken. Frames are those of
:mod:`soaklib.analysis.sources.samples`; `at` may not be null.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.measures.pairing import SERIES, Doubt, paired_samples
from soaklib.analysis.sources.samples import AT, LABELS, checked_samples, utc_us
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

__all__ = [
    "DOUBTS_SCHEMA",
    "INCREASE_SCHEMA",
    "RATE_SCHEMA",
    "increase",
    "increase_doubts",
    "prometheus_increase",
    "rate",
]

INCREASE_SCHEMA: Final = pl.Schema(
    [("at", AT), ("metric", pl.String()), ("labels", LABELS), ("increase", pl.Float64())],
)
"""Columns and types of :func:`increase` and :func:`prometheus_increase`."""

RATE_SCHEMA: Final = pl.Schema(
    [("at", AT), ("metric", pl.String()), ("labels", LABELS), ("rate_per_s", pl.Float64())],
)
"""Columns and types of :func:`rate`."""

DOUBTS_SCHEMA: Final = pl.Schema(
    [
        ("at", AT),
        ("metric", pl.String()),
        ("labels", LABELS),
        ("increase", pl.Float64()),
        ("doubt", pl.String()),
        ("detail", pl.String()),
    ],
)
"""Columns and types of :func:`increase_doubts`."""

SENTENCES: Final[Mapping[Doubt, str]] = MappingProxyType(
    {
        Doubt.RESTART: "the process began anew: what it counted after the last scrape before that is lost",
        Doubt.RESET: "the counter fell: what it counted after the last scrape before that is lost",
        Doubt.CUT_NUMBER: "the last number of this scrape or of the first one may be cut short",
        Doubt.SEVERAL_PROCESSES: IN_TURN,
        Doubt.OTHERS_FELL: "another counter fell at this scrape: this one may have begun anew as well",
        Doubt.CUT_SCRAPE: "scrapes between this and the last sample lack the whole family: counted from that sample",
        Doubt.ABSENT: "absent from scrapes since its last sample: counted from 0",
        Doubt.BEGIN_UNKNOWN: "absent from the first scrape, which may have been cut short: counted from 0",
    }
)
"""What each doubt means."""
EXTRAPOLATION_FACTOR: Final = 1.1
"""Prometheus extrapolates to the range's edge if it is nearer to the samples than this many mean sample distances."""

_CLAMPS_AFTER_THRESHOLD: Final = (2, 52)
_LEFT_OPEN: Final = (3, 0)


def increase(samples: pl.DataFrame, *, scrapes: pl.Series | None = None) -> pl.DataFrame:
    """Give what each series counted between two successive successful scrapes; no extrapolation, no interpolation.

    A value below its predecessor is a counter reset, and so is a start time that moved, of the process or of the series
    (``_created``): the increase is the value, and what was counted after the last scrape before the reset is lost with
    the process and appears nowhere. A series absent from the previous successful scrape starts at 0, so its first value
    is its increase; but where the scrape lacks its whole family, which was in every scrape before, the scrape is not
    whole, and the increase is from the last value known. At the first scrape nothing came before, so it has no rows. A
    failed scrape leaves a gap: the next successful scrape's increase covers it all, and stands at its own time. Where
    several processes answer in turn, each is counted for itself. The table of all that can happen is in
    :mod:`soaklib.analysis.measures.pairing`; where an increase cannot be sure, :func:`increase_doubts` says so.

    Parameters
    ----------
    samples
        A samples frame, in any order.
    scrapes
        Times of the successful scrapes (Datetime, UTC). Needed when `samples` is not all that they gave, because a
        series' first appearance can only be told from the first scrape if the scrapes before it are known: pass
        ``everything["at"]`` when filtering by metric. By default every time at which `samples` has anything but
        figures of /health, which a run reads between its scrapes of /metrics.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`INCREASE_SCHEMA` by time, series in the order in which they first appear in `samples`; null
        where it is not known: the value or its predecessor is NaN or cut short, or another process answers for the
        first time.

    Raises
    ------
    SettingsError
        It is no samples frame, `at` is null somewhere, a series has two samples at one time, or `scrapes` lacks the
        time of a sample.
    """
    return _increases(samples, scrapes).select(INCREASE_SCHEMA.names())


def increase_doubts(samples: pl.DataFrame, *, scrapes: pl.Series | None = None) -> pl.DataFrame:
    """Say of which rows of :func:`increase` nobody can be sure, and why; those that it does not name are right.

    Parameters
    ----------
    samples, scrapes
        As for :func:`increase`. The more of a scrape there is in the frame, the more is known: leave the start times of
        processes and ``_created`` in it.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`DOUBTS_SCHEMA`; ``doubt`` is a word of :class:`~soaklib.analysis.measures.pairing.Doubt`,
        ``detail`` its sentence. No rows where every increase is right.

    Raises
    ------
    SettingsError
        As for :func:`increase`.
    """
    doubted = _increases(samples, scrapes).filter(pl.col("doubt").is_not_null())
    detail = pl.col("doubt").replace_strict({str(doubt): words for doubt, words in SENTENCES.items()}, default=None)
    return doubted.with_columns(detail=detail.cast(pl.String)).select(DOUBTS_SCHEMA.names())


def rate(samples: pl.DataFrame, *, scrapes: pl.Series | None = None) -> pl.DataFrame:
    """Give each increase per second since the scrape before it; see :func:`increase` for everything else.

    Null where several processes answer in turn: none of them counted for the time between two scrapes.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`RATE_SCHEMA`.
    """
    elapsed_s = (pl.col("at") - pl.col("previous_at")).dt.total_microseconds() / 1e6
    deltas = _increases(samples, scrapes)
    return deltas.with_columns(rate_per_s=pl.col("increase") / elapsed_s).select(RATE_SCHEMA.names())


def prometheus_increase(
    samples: pl.DataFrame,
    start: dt.datetime,
    end: dt.datetime,
    *,
    server_version: tuple[int, int] = (3, 0),
) -> pl.DataFrame:
    """Give what Prometheus' ``increase(metric[end - start])`` at `end` gives for the same samples.

    Source: ``extrapolatedRate`` in prometheus/promql/functions.go. The difference of the last and the first value in
    the range, plus the value before every reset, is stretched to the range's edges, or half a mean sample distance
    beyond the samples where an edge is further away than 1.1 such distances, and never below a counter of zero.

    Parameters
    ----------
    samples
        A samples frame as scraped by that server, which keeps times to the millisecond.
    start, end
        The range, time zone included.
    server_version
        Version of the server: before 3.0 the range holds its start; before 2.52 a counter's zero was looked for up to
        1.1 sample distances ahead of the first sample, not half a one (prometheus pull request 13725).

    Returns
    -------
    polars.DataFrame
        Columns of :data:`INCREASE_SCHEMA`, ``at`` is `end`; series with fewer than two samples in the range have none.

    Raises
    ------
    SettingsError
        It is no samples frame, a time has no zone, or `end` is not after `start`.
    """
    start_ms, end_ms = utc_us(start) // 1000, utc_us(end) // 1000
    if end_ms <= start_ms:
        message = f"the range from {start.isoformat()} to {end.isoformat()} is empty: pass an end after the start"
        raise SettingsError(message)
    value, time_ms = pl.col("value"), pl.col("at").dt.epoch("ms")
    closed: Literal["right", "both"] = "right" if server_version >= _LEFT_OPEN else "both"
    in_range = (
        checked_samples(samples)
        .lazy()
        .filter(time_ms.is_between(start_ms, end_ms, closed=closed))
        .sort("at", maintain_order=True)
        .group_by(SERIES, maintain_order=True)
        .agg(
            n=pl.len(),
            first=value.first(),
            counted=value.last() - value.first() + value.shift(1).filter(value < value.shift(1)).sum(),
            to_start_s=(time_ms.first() - start_ms) / 1000,
            to_end_s=(end_ms - time_ms.last()) / 1000,
            sampled_s=(time_ms.last() - time_ms.first()) / 1000,
        )
        .filter(pl.col("n") > 1)
    )
    distance_s = pl.col("sampled_s") / (pl.col("n") - 1)
    to_start_s, to_end_s = _stretch(distance_s, clamps_after_threshold=server_version >= _CLAMPS_AFTER_THRESHOLD)
    stretched = (pl.col("sampled_s") + to_start_s + to_end_s) / pl.col("sampled_s")
    increased = in_range.with_columns(
        at=pl.lit(end_ms * 1000, dtype=pl.Int64).cast(AT),
        increase=pl.col("counted") * stretched,
    )
    return increased.select(INCREASE_SCHEMA.names()).collect()


def _stretch(distance_s: pl.Expr, *, clamps_after_threshold: bool) -> tuple[pl.Expr, pl.Expr]:
    """Give how far before the first and after the last sample the increase is extrapolated, seconds."""

    def limited(to_edge_s: pl.Expr) -> pl.Expr:
        return pl.when(to_edge_s < distance_s * EXTRAPOLATION_FACTOR).then(to_edge_s).otherwise(distance_s / 2)

    def clamped(to_start_s: pl.Expr) -> pl.Expr:
        has_zero = (pl.col("counted") > 0) & (pl.col("first") >= 0)
        to_zero_s = pl.col("sampled_s") * (pl.col("first") / pl.col("counted"))
        return pl.when(has_zero & (to_zero_s < to_start_s)).then(to_zero_s).otherwise(to_start_s)

    to_start_s = pl.col("to_start_s")
    before_s = clamped(limited(to_start_s)) if clamps_after_threshold else limited(clamped(to_start_s))
    return before_s, limited(pl.col("to_end_s"))


def _increases(samples: pl.DataFrame, scrapes: pl.Series | None) -> pl.DataFrame:
    """Give every sample after the first scrape, with ``increase``, ``doubt`` and ``previous_at``."""
    paired, names = paired_samples(samples, scrapes)
    return paired.with_columns(names[name].gather(paired["series"]) for name in SERIES)
