"""Success, denials and composition of outcomes over windows of soak time, and in each phase of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.measures.windows import (
    PARTS,
    aggregate,
    counting,
    groups_of,
    part_sql,
    seconds_of,
    window_end,
    window_ends_sql,
    window_sql,
)
from soaklib.analysis.statistics.blocks import alikeness
from soaklib.analysis.statistics.intervals import rate_interval
from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.analysis.statistics.blocks import Alikeness
    from soaklib.analysis.statistics.intervals import RateInterval

__all__ = [
    "DENIALS_SCHEMA",
    "PHASES_SCHEMA",
    "SUCCESS_SCHEMA",
    "denials",
    "outcome_counts",
    "success_by_phase",
    "success_rate",
    "tool_usage",
]

_MOST_WINDOWS: Final = 10_000_000

SUCCESS_SCHEMA: Final = pl.Schema(
    {
        "soak_s": pl.Float64(), "end_s": pl.Float64(), "at": pl.Datetime("us", "UTC"), "n": pl.Int64(),
        "successes": pl.Int64(),
        "success_rate": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(), "method": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`success_rate`; those of ``by=`` come after ``end_s``."""

DENIALS_SCHEMA: Final = pl.Schema(
    {
        "soak_s": pl.Float64(), "end_s": pl.Float64(), "at": pl.Datetime("us", "UTC"), "purpose": pl.String(),
        "reason": pl.String(), "n": pl.Int64(), "calls": pl.Int64(), "denial_rate": pl.Float64(), "low": pl.Float64(),
        "high": pl.Float64(), "method": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`denials`; those of ``by=`` come after ``end_s``."""


def outcome_counts(source: Run | pl.DataFrame, every: str = "1m", *, by: str | Sequence[str] = ()) -> pl.DataFrame:
    """Count planned calls by purpose and kind.

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Columns of ``calls`` to tell apart besides: ``"tool"``, or ``("role", "phase")``; see
        :data:`soaklib.analysis.measures.windows.GROUPS`.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (start and end of the window; no end for ``"all"``), the columns of `by`, ``purpose``,
        ``kind``, ``n``, in order.

    Raises
    ------
    SettingsError
        A column cannot be grouped by.
    """
    groups = groups_of(by)
    names, told = ", ".join(dict.fromkeys([*groups, "purpose", "kind"])), counting(source, every, groups)
    return aggregate(
        source,
        f"select {window_ends_sql(every)}, {names}, ({told.n})::BIGINT as n from {told.rows} "  # noqa: S608 - our own names
        "group by all order by all",
    )


def denials(source: Run | pl.DataFrame, every: str = "1m", *, by: str | Sequence[str] = ()) -> pl.DataFrame:
    """Count denials by policy, by purpose and reason, and give what share of the planned calls they are.

    The interval knows of bursts, as that of :func:`success_rate` does. Where every call was denied, it is one-sided.

    Parameters
    ----------
    source, every, by
        As for :func:`outcome_counts`; not by ``kind``, which is one here.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window), the columns of `by`, ``at`` (UTC time of the first planned call of that
        purpose and those columns in the window), ``purpose``, ``reason``, ``n`` (denials),
        ``calls`` (planned calls of the same in the window), ``denial_rate``, ``low`` and ``high`` (percent of
        ``calls``; the 95 % interval), ``method`` (how the interval was made). A window without denials has no row: of
        its calls none was denied, so that at most 3 in ``calls`` are (95 %, the rule of three).

    Raises
    ------
    SettingsError
        A column cannot be grouped by.
    """
    groups = tuple(name for name in groups_of(by) if name not in {"purpose", "reason"})
    if "kind" in groups:
        msg = "every denial is of kind 'denied': group by reason, which it is in any case, or take outcome_counts"
        raise SettingsError(msg)
    told = counting(source, every, groups)
    parts = aggregate(
        source,
        f"""
        select {window_sql(every)} as soak_s, {part_sql(every)} as part, {_listed(groups)} purpose,
               if(kind = 'denied', reason, null) as reason, kind = 'denied' as is_denied, min("at") as "at",
               ({told.n})::BIGINT as n
        from {told.rows} group by all order by all""",  # noqa: S608 - our own names
    )
    window = ["soak_s", *groups, "purpose"]
    planned = parts.group_by(*window, "part", maintain_order=True).agg(pl.col("at").min(), calls=pl.col("n").sum())
    denied = parts.filter("is_denied").select(*window, "reason", "part", "n")
    cells = denied.select(*window, "reason").unique(maintain_order=True)
    counted = (
        cells.join(planned, on=window, nulls_equal=True, maintain_order="left_right")
        .join(denied, on=[*window, "reason", "part"], how="left", nulls_equal=True, maintain_order="left")
        .group_by(*window, "reason", maintain_order=True)
        .agg(pl.col("at").min(), "part", pl.col("n").fill_null(0), "calls")
    )
    every_s, left_out = seconds_of(every), _planned(source)
    rows = []
    for key, windows in counted.group_by(*groups, "purpose", "reason", maintain_order=True):
        exploded = windows.explode("part", "n", "calls").rename({"n": "successes", "calls": "n"})
        alike = None if every_s is None else _alikeness(exploded, every_s, left_out)
        for soak_s, at, n, calls in windows.select("soak_s", "at", "n", "calls").iter_rows():
            interval = rate_interval(n, calls, alike=alike)
            *values, purpose, reason = key
            counts = (sum(n), sum(calls), *_percents(interval), interval.method)
            rows.append((soak_s, None, *values, at, purpose, reason, *counts))
    schema = _with_groups(DENIALS_SCHEMA, groups)
    return _ended(pl.DataFrame(rows, schema=schema, orient="row").sort(*window, "reason"), every)


def tool_usage(source: Run | pl.DataFrame, every: str = "1h") -> pl.DataFrame:
    """Count calls that were really sent, by tool and action.

    Parameters
    ----------
    source, every
        As for :func:`outcome_counts`.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window), ``tool``, ``action``, ``sent``, ``ok``.
    """
    told = counting(source, every)
    return aggregate(
        source,
        f"""
        select {window_ends_sql(every)}, tool, action, {told.where(told.is_sent)} as sent,
               {told.where("kind = 'ok'")} as ok
        from {told.rows} where purpose = 'load' group by all order by all""",  # noqa: S608 - our own names
    )


def success_rate(source: Run | pl.DataFrame, every: str = "1m", *, by: str | Sequence[str] = ()) -> pl.DataFrame:
    """Give the success rate of the load over windows of soak time, with its interval.

    A success is a call that policy should allow and that was answered ok; left out are skipped chain steps, and quota
    denials that the plan says may happen. There is one definition, in :mod:`soaklib.records`. The interval knows of
    bursts: its design effect is the larger of what the window's own parts show and what those of all windows show
    together, so that a window without a burst knows of those of others. The planned windows of a run are left aside
    for that; a frame knows none. A window shorter than the bursts cannot know them: its interval is about its own
    calls. See :func:`soaklib.analysis.statistics.intervals.rate_interval` and
    :func:`soaklib.analysis.statistics.blocks.alikeness`.

    Parameters
    ----------
    source, every, by
        As for :func:`outcome_counts`.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (start and end of the window; no end for ``"all"``), the columns of `by`, ``at`` (UTC),
        ``n`` (calls that count), ``successes``, ``success_rate``, ``low`` and ``high`` (percent, 0 to 100; the 95 %
        interval), ``method`` (how the interval was made). A window in which no call counts is there with n = 0 and null
        rates: a gap. By columns, each of their values has every window from the first of all to the last.

    Raises
    ------
    SettingsError
        A column cannot be grouped by, or the windows would be too many.
    """
    groups = groups_of(by)
    told = counting(source, every, groups)
    parts = aggregate(
        source,
        f"""
        select {window_sql(every)} as soak_s, {part_sql(every)} as part, {_listed(groups)} min("at") as "at",
               {told.where("counted")} as n, {told.where("counted and succeeded")} as successes
        from {told.rows} group by all order by {_listed(groups)} soak_s, part""",  # noqa: S608 - our own names
    )
    left_out = _planned(source)
    numbers = _numbers(parts, every)
    rates = [
        _with_gaps(_window_rates(one, every, left_out), numbers, every).with_columns(
            pl.lit(value, pl.String).alias(name) for name, value in zip(groups, key, strict=True)
        )
        for key, one in _by_groups(parts, groups)
    ]
    schema = _with_groups(SUCCESS_SCHEMA, groups)
    return pl.concat([pl.DataFrame(schema=schema), *(one.select(schema.names()) for one in rates)]).sort(
        "soak_s", *groups, maintain_order=True
    )


def _by_groups(parts: pl.DataFrame, groups: Sequence[str]) -> Iterable[tuple[tuple[object, ...], pl.DataFrame]]:
    """Give the rows of each group; without groups, all rows, even where there are none."""
    return parts.group_by(*groups, maintain_order=True) if groups else [((), parts)]


def _window_rates(parts: pl.DataFrame, every: str, left_out: list[tuple[float, float]]) -> pl.DataFrame:
    """Give the rate of each window from the counts of its parts, in the columns of :data:`SUCCESS_SCHEMA`."""
    every_s = seconds_of(every)
    alike = None if every_s is None else _alikeness(parts, every_s, left_out)
    windows = parts.group_by("soak_s", maintain_order=True).agg(pl.col("at").min(), pl.col("n", "successes"))
    rows = []
    for soak_s, at, n, successes in windows.iter_rows():
        interval = rate_interval(successes, n, alike=alike)
        rows.append((soak_s, None, at, interval.n, interval.successes, *_percents(interval), interval.method))
    return pl.DataFrame(rows, schema=SUCCESS_SCHEMA, orient="row")


def _listed(groups: Sequence[str]) -> str:
    """Give names as the beginning of a list in SQL."""
    return "".join(f"{name}, " for name in groups)


def _with_groups(schema: pl.Schema, groups: Sequence[str]) -> pl.Schema:
    """Give a schema with the columns of ``by=`` after the window's two."""
    [start, end, *rest] = schema.items()
    return pl.Schema([start, end, *((name, pl.String()) for name in groups), *rest])


def _ended(windows: pl.DataFrame, every: str) -> pl.DataFrame:
    """Fill in the ends of windows."""
    return windows.with_columns(window_end(every))


def _planned(source: Run | pl.DataFrame) -> list[tuple[float, float]]:
    """Give the stretches, in soak seconds, whose failures are no bursts but the plan's doing; a frame knows none."""
    return [] if isinstance(source, pl.DataFrame) else planned_windows(source).rows()


def _alikeness(parts: pl.DataFrame, every_s: float, left_out: list[tuple[float, float]]) -> Alikeness | None:
    """Measure how alike calls of a window are, from all windows; ``soak_s``, ``part``, ``n``, ``successes``."""
    start, length_s = pl.col("soak_s") + pl.col("part") * (every_s / PARTS), every_s / PARTS
    is_planned = pl.any_horizontal(
        pl.lit(value=False), *((start + length_s > start_s) & (start < end_s) for start_s, end_s in left_out)
    )
    kept = parts.filter(~is_planned)
    won, tried = (pl.col(name).sum().over("soak_s") for name in ("successes", "n"))
    kept = kept.filter((won > 0) & (won < tried)).sort("soak_s")
    window, part = kept["soak_s"].rle_id().to_numpy(), kept["part"].to_numpy()
    counts = np.zeros((2, kept["soak_s"].n_unique(), PARTS))
    counts[:, window, part] = kept["successes"].to_numpy(), kept["n"].to_numpy()
    return alikeness(*counts)


def _percents(interval: RateInterval) -> tuple[float | None, ...]:
    """Give a share and its bounds in percent."""
    return tuple(None if ratio is None else 100 * ratio for ratio in (interval.rate, interval.low, interval.high))


def _numbers(parts: pl.DataFrame, every: str) -> pl.DataFrame | None:
    """Give the numbers of all windows from the first to the last, as ``number``; None for one over everything.

    By number: the starts themselves are no exact floats, and those made here would not all meet them.
    """
    every_s = seconds_of(every)
    if every_s is None or parts.is_empty():
        return None
    starts_s = parts["soak_s"].to_numpy()
    first, last = round(starts_s.min() / every_s), round(starts_s.max() / every_s)
    if last - first >= _MOST_WINDOWS:
        msg = f"windows of {every_s:g} s would be {last - first + 1:,}; pass a longer every"
        raise SettingsError(msg)
    return pl.DataFrame({"number": pl.int_range(first, last + 1, eager=True)})


def _with_gaps(windows: pl.DataFrame, numbers: pl.DataFrame | None, every: str) -> pl.DataFrame:
    """Put in the windows that have no planned call at all, with n = 0."""
    every_s = seconds_of(every)
    if every_s is None and windows.is_empty():  # the one window is there, whatever is in it
        return pl.DataFrame([(0.0, *[None] * 2, 0, 0, *[None] * 3, "none")], schema=windows.schema, orient="row")
    if every_s is None or numbers is None:
        return windows
    numbered = windows.with_columns(number=(pl.col("soak_s") / every_s).round().cast(pl.Int64)).drop("soak_s", "end_s")
    filled = numbers.join(numbered, on="number", how="left", maintain_order="left").with_columns(
        pl.col("n", "successes").fill_null(0), pl.col("method").fill_null("none"),
        soak_s=pl.col("number") * every_s, end_s=(pl.col("number") + 1) * every_s,
    )  # fmt: skip
    return filled.select(windows.columns)


PHASES_SCHEMA: Final = pl.Schema(
    {
        "phase": pl.String(), "soak_s": pl.Float64(), "calls": pl.Int64(), "denied": pl.Int64(), "failed": pl.Int64(),
        "n": pl.Int64(), "success_rate": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(),
    }
)  # fmt: skip
"""Columns and types of :func:`success_by_phase`."""


def success_by_phase(run: Run) -> pl.DataFrame:
    """Give the success rate of the load in each phase, with an interval that knows of bursts.

    Returns
    -------
    polars.DataFrame
        ``phase``, ``soak_s`` (when its first call was planned), ``calls`` (planned), ``denied``, ``failed`` (neither ok
        nor denied), ``n`` (calls that count towards success), ``success_rate``, ``low`` and ``high`` (percent; the
        95 % interval, see :func:`soaklib.analysis.statistics.intervals.rate_interval`), in order of time.
    """
    minutes = run.sql(
        """
        select phase, floor(soak_s / 60) as minute, min(first_s) as soak_s, sum(n)::BIGINT as calls,
               coalesce(sum(n) filter (kind = 'denied'), 0)::BIGINT as denied,
               coalesce(sum(n) filter (kind not in ('ok', 'denied')), 0)::BIGINT as failed,
               coalesce(sum(n) filter (counted), 0)::BIGINT as n,
               coalesce(sum(n) filter (counted and succeeded), 0)::BIGINT as successes
        from call_partials where purpose = 'load' group by all order by minute"""
    )
    phases = minutes.group_by("phase", maintain_order=True).agg(
        pl.col("soak_s").min(), pl.col("calls", "denied", "failed").sum(), pl.col("n", "successes")
    )
    rows = []
    for *told, n, successes in phases.sort("soak_s").iter_rows():
        found = rate_interval(successes, n)
        rates = (None if ratio is None else 100 * ratio for ratio in (found.rate, found.low, found.high))
        rows.append((*told, found.n, *rates))
    return pl.DataFrame(rows, schema=PHASES_SCHEMA, orient="row")
