"""Metrics text as a frame of samples, the one shape that every source of metrics is read into.

====== =============================== ==========================================================================
column type                            meaning
====== =============================== ==========================================================================
at     Datetime, microseconds, UTC     when the sample was taken; null where nothing tells
metric String                          name with its suffix (``_bucket``, ``_sum``, ``_count``, ``_total``)
labels List of Struct{key, value}      sorted by key
value  Float64                         as exposed; NaN and infinities included
====== =============================== ==========================================================================
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.errors import ExpositionError, SettingsError
from soaklib.exposition.text import Exposition, parse_exposition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soaklib.exposition.line import Labels

__all__ = [
    "AT",
    "CANONICAL_ENDINGS",
    "LABELS",
    "SAMPLES_SCHEMA",
    "canonical_names",
    "checked_samples",
    "exposition_repairs",
    "labels_series",
    "parse_source",
    "read_exposition",
    "samples_frame",
    "utc_us",
]

LABELS: Final = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
"""Type of the column ``labels``."""

AT: Final = pl.Datetime("us", "UTC")
"""Type of the column ``at``."""

SAMPLES_SCHEMA: Final = pl.Schema(
    [("at", AT), ("metric", pl.String()), ("labels", LABELS), ("value", pl.Float64())],
)
"""Columns and types of a samples frame."""

REPAIRS_SCHEMA: Final = pl.Schema({"line": pl.Int64, "what": pl.String, "text": pl.String, "result": pl.String})
"""Columns and types of :func:`exposition_repairs`."""

CANONICAL_ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_total_total": "_total",
        "_ms_ms": "_ms",
        "_ms_ms_bucket": "_ms_bucket",
        "_ms_ms_sum": "_ms_sum",
        "_ms_ms_count": "_ms_count",
    },
)
"""How the real gateway ends a name, and how it is documented to end; every other name is canonical as it is."""


def read_exposition(
    source: Path | str | bytes,
    *,
    at: dt.datetime | None = None,
    canonical: bool = False,
) -> pl.DataFrame:
    """Read a /metrics text in any condition into a samples frame.

    A malformed line costs that line only; :func:`exposition_repairs` tells what was mended or skipped.

    Parameters
    ----------
    source
        A file (pathlib.Path) or the text itself (str or bytes; a str is never taken for a path).
    at
        When it was scraped, for the samples without a timestamp of their own; their ``at`` is null without it.
    canonical
        Give names as documented (see :func:`canonical_names`) instead of as exposed.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`SAMPLES_SCHEMA`, one row a sample, in the order of the text.

    Raises
    ------
    ExpositionError
        The file cannot be read, or the text is empty or no exposition.
    SettingsError
        `at` has no time zone.
    """
    samples = parse_source(source).samples
    at_us = None if at is None else utc_us(at)
    frame = samples_frame(
        [at_us if sample.timestamp_us is None else sample.timestamp_us for sample in samples],
        [sample.metric for sample in samples],
        [sample.labels for sample in samples],
        [sample.value for sample in samples],
    )
    return canonical_names(frame) if canonical else frame


def exposition_repairs(source: Path | str | bytes) -> pl.DataFrame:
    """Tell what of a /metrics text was mended, skipped or ignored, line by line.

    Parameters
    ----------
    source
        As for :func:`read_exposition`.

    Returns
    -------
    polars.DataFrame
        ``line`` (1-based), ``what`` (a :class:`~soaklib.exposition.line.Defect`), ``text`` (the line, its first 200
        characters) and ``result`` (the line as it was read; null when it was left out). Empty for a valid text.

    Raises
    ------
    ExpositionError
        As for :func:`read_exposition`.
    """
    repairs = parse_source(source).repairs
    rows = [(repair.line, repair.what.value, repair.text, repair.result) for repair in repairs]
    return pl.DataFrame(rows, schema=REPAIRS_SCHEMA, orient="row")


def canonical_names(samples: pl.DataFrame) -> pl.DataFrame:
    """Give every metric its documented name: :data:`CANONICAL_ENDINGS` is the whole mapping.

    ``gateway_requests_total_total`` becomes ``gateway_requests_total``, ``gateway_request_duration_ms_ms_bucket``
    becomes ``gateway_request_duration_ms_bucket``. Labels and values stay.
    """
    metric = pl.col("metric")
    for ending, documented in CANONICAL_ENDINGS.items():
        metric = (
            pl.when(metric.str.ends_with(ending)).then(metric.str.strip_suffix(ending) + documented).otherwise(metric)
        )
    return samples.with_columns(metric.alias("metric"))


def parse_source(source: object) -> Exposition:
    """Read a file or a text; see :func:`read_exposition`."""
    if isinstance(source, str | bytes):
        return parse_exposition(source)
    if not isinstance(source, Path):
        message = (
            f"cannot read an exposition from {type(source).__name__}: pass a pathlib.Path, or text as str or bytes"
        )
        raise ExpositionError(message)
    try:
        data = source.read_bytes()
    except OSError as error:
        message = f"cannot read {source}: {error.strerror}; pass a file with the text of /metrics"
        raise ExpositionError(message) from error
    try:
        return parse_exposition(data)
    except ExpositionError as error:
        message = f"{source}: {error}"
        raise ExpositionError(message) from error


def checked_samples(samples: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of a samples frame in their order and types.

    Raises
    ------
    SettingsError
        A column is missing or of another kind, or `at` is null somewhere.
    """
    missing = [name for name in SAMPLES_SCHEMA if name not in samples.columns]
    if missing:
        message = f"this is no samples frame, it lacks {', '.join(missing)}: pass what a reader of metrics gave"
        raise SettingsError(message)
    try:
        checked = samples.select(SAMPLES_SCHEMA.names()).cast(SAMPLES_SCHEMA)
    except pl.exceptions.PolarsError as error:
        message = f"this is no samples frame, its types are not those of SAMPLES_SCHEMA: {error}"
        raise SettingsError(message) from error
    if checked["at"].null_count():
        message = "samples without a time cannot be counted over time: pass at= to read_exposition"
        raise SettingsError(message)
    return checked


def samples_frame(
    at_us: Sequence[int | None],
    metric: Sequence[str],
    labels: Sequence[Labels],
    value: Sequence[float],
) -> pl.DataFrame:
    """Make a samples frame from columns of equal length.

    Parameters
    ----------
    at_us
        Microseconds since the Unix epoch; None where nothing tells.
    metric, value
        As in the frame.
    labels
        (key, value) pairs sorted by key.
    """
    index: dict[Labels, int] = {}
    codes = [index.setdefault(pairs, len(index)) for pairs in labels]
    return pl.DataFrame(
        {
            "at": pl.Series(at_us, dtype=pl.Int64).cast(AT),
            "metric": pl.Series(metric, dtype=pl.String),
            "labels": labels_series(list(index)).gather(pl.Series(codes, dtype=pl.UInt32)),
            "value": pl.Series(value, dtype=pl.Float64),
        },
    )


def labels_series(labels: Sequence[Labels]) -> pl.Series:
    """Make the column ``labels``; from flat columns, as polars builds nested rows one Python object at a time."""
    flat = [(row, key, value) for row, pairs in enumerate(labels) for key, value in pairs]
    lists = (
        pl.DataFrame(flat, schema={"row": pl.Int64, "key": pl.String, "value": pl.String}, orient="row")
        .group_by("row", maintain_order=True)
        .agg(labels=pl.struct("key", "value"))
    )
    rows = pl.DataFrame({"row": pl.Series(range(len(labels)), dtype=pl.Int64)})
    joined = rows.join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.col("labels").cast(LABELS).fill_null(pl.lit([], dtype=LABELS)))["labels"]


def utc_us(at: dt.datetime) -> int:
    """Give a time as microseconds since the Unix epoch.

    Raises
    ------
    SettingsError
        It has no time zone.
    """
    if at.tzinfo is None:
        message = f"the time {at.isoformat()} has no time zone: pass an aware datetime, such as datetime.now(UTC)"
        raise SettingsError(message)
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
