"""What was scraped, in soak time: gauges as the series that drift is judged in, gauges and counters by window.

A day has 86,400 wall seconds, and a figure has room for some hundred points: so windows. What the gateway's own
counters counted in them stands beside what the client saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.counting import counted_in_run, scrape_times
from soaklib.analysis.measures.pairing import Doubt
from soaklib.analysis.measures.windows import seconds_of, summed, window_end, window_ends_sql
from soaklib.analysis.sources.snapshots import exposed_kinds
from soaklib.errors import SettingsError, near_miss
from soaklib.records import HEALTH_METRIC_PREFIX
from soaklib.store.quoting import name_sql, text_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["gauge", "gauge_windows", "generator_memory", "in_soak_time", "metered", "metric"]

_SOAK_EPOCH: Final = pl.datetime(2000, 1, 1, time_unit="us", time_zone="UTC")

_WART_SUFFIX: Final = "_total"  # the real gateway says it twice
_BEFORE_THE_END_S: Final = 1e-6
_COUNTER_ENDINGS: Final = ("_total", "_count", "_sum", "_bucket")
_HOWS: Final = ("value", "increase", "rate")


def gauge(run: Run, metric: str) -> pl.DataFrame:
    """Give a gauge's value at each scrape, its series added up.

    Parameters
    ----------
    run
        The run.
    metric
        Name of the gauge, such as ``health_memory_used_bytes`` or ``process_resident_memory_bytes``.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, ``at`` (UTC), ``value``, in order of time; empty if it was never scraped.
    """
    return run.sql(
        'select soak_seconds(at_us) as soak_s, utc(at_us) as "at", sum("value") as "value" from samples '
        "where metric = $metric group by all order by soak_s",
        {"metric": metric},
    )


def in_soak_time(frame: pl.DataFrame) -> pl.DataFrame:
    """Put soak time in place of UTC, so that what is judged by the hour is judged by the soak-hour.

    Soak time stands still while no runner lives: a series of a resumed run has no hole in it, and the windows of
    :func:`~soaklib.analysis.measures.marks.planned_windows` lie where they belong.

    Parameters
    ----------
    frame
        A series, which has ``soak_s``, or windows, which have ``start_s`` and ``end_s``.

    Returns
    -------
    polars.DataFrame
        The frame; ``at`` of a series, ``start`` and ``end`` of windows are soak time counted from 2000-01-01 UTC,
        whatever they were before. Windows in this form are a mask for such a series.

    Raises
    ------
    SettingsError
        There is neither.

    Examples
    --------
    ``drift(in_soak_time(series), mask=in_soak_time(planned_windows(run)))``
    """
    if "soak_s" in frame.columns:
        return frame.with_columns(at=_soak_time("soak_s"))
    if {"start_s", "end_s"} <= set(frame.columns):
        return frame.with_columns(start=_soak_time("start_s"), end=_soak_time("end_s"))
    msg = "the frame has neither soak_s nor start_s and end_s; pass one that soaklib made from a run"
    raise SettingsError(msg)


def _soak_time(column: str) -> pl.Expr:
    return _SOAK_EPOCH + pl.duration(microseconds=(pl.col(column) * 1e6).round().cast(pl.Int64))


def gauge_windows(run: Run, metric: str, every: str = "5m") -> pl.DataFrame:
    """Give a gauge over windows of soak time, as few points as a figure can show.

    Parameters
    ----------
    run, metric
        The run, and the name of the gauge; its series are added up.
    every
        Length of a window in soak time.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window; no end for ``"all"``), ``value`` (median of its readings), ``low`` and
        ``high`` (the least and the largest), ``n`` (readings), in order; a window without a reading has no row.
    """
    readings = """select soak_seconds(at_us) as soak_s, sum("value") as "value" from samples
                  where metric = $metric group by at_us"""
    return run.sql(_windows_sql(run, readings, every), {"metric": metric})


def generator_memory(run: Run, every: str = "5m") -> pl.DataFrame:
    """Give the load generator's own memory, in bytes, over windows of soak time; as :func:`gauge_windows` does."""
    readings = 'select soak_seconds(at_us) as soak_s, rss_bytes as "value" from runner_health'
    return run.sql(_windows_sql(run, readings, every))


def _windows_sql(run: Run, readings: str, every: str, labels: str = "") -> str:
    """Give a query of readings by window; one that came after the end of the load belongs to the last."""
    last_s = run.info.planned_soak_s - _BEFORE_THE_END_S
    return f"""
        select {window_ends_sql(every)}, {labels} median("value")::DOUBLE as "value", min("value")::DOUBLE as low,
               max("value")::DOUBLE as high, count(*)::BIGINT as n
        from (select * replace (least(soak_s, {last_s!r}) as soak_s) from ({readings}))
        group by all order by soak_s, {labels} n"""  # noqa: S608 - our own queries


def metered(run: Run, metric: str, every: str = "1h", *, by: str | Sequence[str] = "tool") -> pl.DataFrame:
    """Give the increase of a counter, reset-aware, by its labels.

    When a call was counted between two scrapes nobody knows: an increase is spread evenly over the time between them,
    so that shorter windows hold fractions. The last scrape comes after the end of the load, and what it found was
    counted before. The sum over all windows is what was counted; of a stretch, the share that fell into it.

    Parameters
    ----------
    run
        The run, or a stretch of it.
    metric
        Name of the counter; found too if the gateway says ``_total`` twice.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Name of the label, or of several; series without it are counted under ``""``. Empty for all series together.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window; no end for ``"all"``), the labels, ``n``, in order; no row where nothing
        was scraped. Null where nobody knows, as where several processes answer the scrapes in turn and tell no start
        times (:func:`soaklib.increase_doubts`).
    """
    labels = _labels_of(by)
    counted, _ = _counted(run, metric, labels)
    windows = summed(_spread(counted, seconds_of(every)), "increase", "soak_s", *labels)
    return windows.select("soak_s", window_end(every), *labels, n="increase")


def metric(
    run: Run, name: str, *, every: str | None = None, by: str | Sequence[str] = (), how: str | None = None
) -> pl.DataFrame:
    """Give a scraped metric over soak time; see :meth:`soaklib.analysis.sources.reading.Run.metric`."""
    labels = _labels_of(by)
    if how is not None and how not in _HOWS:
        msg = f"how={how!r} is unknown{near_miss(how, _HOWS)}; pass one of {', '.join(_HOWS)}"
        raise SettingsError(msg)
    name = _as_scraped(run, name, labels)
    how = how or ("increase" if name.endswith(_COUNTER_ENDINGS) else "value")
    if how == "value":
        return _values(run, name, labels, every)
    _refuse_gauge(run, name, how)
    counted, in_turn = _counted(run, name, labels)
    if every is None:
        told = counted.rename({"since_s": "soak_s", "until_s": "end_s"})
    else:
        told = _spread(counted, seconds_of(every)).with_columns(window_end(every))
    told = summed(told, "increase", "soak_s", "end_s", *labels).rename({"increase": "value"})
    if how == "rate":
        first_s, last_s = _counted_from_to_s(run)
        from_s, to_s = pl.max_horizontal("soak_s", pl.lit(first_s)), pl.min_horizontal("end_s", pl.lit(last_s))
        # none of several processes counted for the time between two scrapes
        told = told.with_columns(pl.when(to_s > from_s, pl.lit(not in_turn)).then(pl.col("value") / (to_s - from_s)))
    return told


def _refuse_gauge(run: Run, name: str, how: str) -> None:
    """Refuse to count what is known to be no counter: each of its falls would be taken for a restart."""
    if name.startswith(HEALTH_METRIC_PREFIX):
        why = "is a gauge, read from /health"
    elif not name.endswith(_COUNTER_ENDINGS) and exposed_kinds(run.folder).get(name) == "gauge":
        why = "is a gauge by its TYPE"
    else:
        return
    msg = f"{name} {why}, and has no {how}; pass how='value', or leave it out"
    raise SettingsError(msg)


def _labels_of(by: str | Sequence[str]) -> tuple[str, ...]:
    return (by,) if isinstance(by, str) else tuple(dict.fromkeys(by))


def _as_scraped(run: Run, name: str, labels: Sequence[str]) -> str:
    """Give a metric's name as it was scraped; refuse one that the run does not have, and labels that it does not have.

    A counter is found without its ``_total``, and where the gateway says that twice.
    """
    known = run.whole.sql("select distinct metric from samples")["metric"].to_list()
    found = next((one for one in (name, name + _WART_SUFFIX) if one in known), None)
    if found is None:
        near = near_miss(name, known)
        msg = f"no metric {name!r} was scraped{near}; run.samples()['metric'].unique() lists those that were"
        raise SettingsError(msg)
    has = run.whole.sql(
        "select distinct unnest(map_keys(labels)) as label from readings where metric = $name", {"name": found}
    )["label"].to_list()
    for label in labels:
        if label not in has:
            msg = f"{name} has no label {label!r}{near_miss(label, has)}; it has {', '.join(sorted(has)) or 'none'}"
            raise SettingsError(msg)
    return found


def _counted_from_to_s(run: Run) -> tuple[float, float]:
    """Give the soak time within a run, or a stretch of it, of which its scrapes tell what was counted."""
    first_s, last_s = run.whole.sql(
        "select coalesce(min(soak_s), 0), coalesce(max(soak_s), 0) from readings"
        " where not starts_with(metric, $health)",
        {"health": HEALTH_METRIC_PREFIX},
    ).row(0)
    return first_s if run is run.whole else max(first_s, run.start_s), min(last_s, run.end_s)


def _values(run: Run, name: str, labels: Sequence[str], every: str | None) -> pl.DataFrame:
    """Give a gauge's values, those of series that are not told apart added up, at each scrape or by window."""
    told = "".join(f"coalesce(labels[{text_sql(label)}], '') as {name_sql(label)}, " for label in labels)
    readings = f"""select soak_s, at_utc, {told} sum("value") as "value" from readings
                   where metric = $metric group by all"""  # noqa: S608 - quoted
    named = "".join(f"{name_sql(label)}, " for label in labels)
    if every is None:
        query = f'select soak_s, at_utc as "at", {named} "value" from ({readings}) order by soak_s, {named} "value"'  # noqa: S608 - quoted
    else:
        query = _windows_sql(run, readings, every, named)
    return run.sql(query, {"metric": name})


def _counted(run: Run, metric: str, labels: Sequence[str]) -> tuple[pl.DataFrame, bool]:
    """Give the increases of a counter (``since_s``, ``until_s``, the labels, ``increase``), and whether by turns.

    Those of a stretch are made of the whole run, for what was counted by its first scrape began before it; of an
    increase that reaches over an edge the share within counts. Where several processes answer in turn, and no start
    times tell them apart, none is known.
    """
    times = scrape_times(run.whole)
    rising = counted_in_run(run.whole, (metric, metric + _WART_SUFFIX), times["at"])
    by_turns = rising.filter(pl.col("doubt") == Doubt.SEVERAL_PROCESSES)
    if by_turns["previous_at"].count():  # there is none where start times tell whose each scrape is
        rising = rising.with_columns(increase=pl.lit(None, dtype=pl.Float64))
    between = times.select("at", since_s=pl.col("soak_s").shift(1), until_s=pl.col("soak_s"))
    between = between.with_columns(until_s=_until_the_end(run.info.planned_soak_s))
    counted = rising.join(between, on="at")
    counted = counted.select("since_s", "until_s", *(_label(name).alias(name) for name in labels), "increase")
    if run is not run.whole:
        counted = _within(counted, run.start_s, run.end_s)
    return counted, by_turns.height > 0


def _label(name: str) -> pl.Expr:
    found = pl.col("labels").list.filter(pl.element().struct.field("key") == name).list.first()
    return found.struct.field("value").fill_null("")


def _within(counted: pl.DataFrame, start_s: float, end_s: float) -> pl.DataFrame:
    """Cut increases at the edges of a stretch."""
    since_s, until_s = pl.max_horizontal("since_s", pl.lit(start_s)), pl.min_horizontal("until_s", pl.lit(end_s))
    length_s = pl.col("until_s") - pl.col("since_s")
    share = pl.when(length_s > 0).then((until_s - since_s) / length_s).otherwise(1.0)
    # what has no length was counted at one moment, which lies within or does not
    is_within = (since_s < until_s) | ((length_s <= 0) & pl.col("until_s").is_between(start_s, end_s, closed="left"))
    return counted.filter(is_within).with_columns(since_s=since_s, until_s=until_s, increase=pl.col("increase") * share)


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
