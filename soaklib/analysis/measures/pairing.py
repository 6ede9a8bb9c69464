"""Every sample of a counter beside the one before it of the same series and process, and what lies between them.

A series is a metric with its labels, ``le`` of a bucket and ``quantile`` by their value and not by their spelling. What
can happen between two samples of one series, and what its increase then is:

======================= ======================================= ===================================== ==================
what                    told by                                 increase                              doubt
======================= ======================================= ===================================== ==================
it counts on            a value that is no lower                the difference                        none
a fall by rounding      a fall by a billionth part at most      0                                     none
a restart               a start time, or ``_created``, that     the value; what came between the last ``restart``
                        moved, though the value may be higher   scrape and the restart is lost
a reset                 a value that falls                      the value; likewise                   ``reset``
a reset, passed over    another counter falls at the same       the difference, which is the least    ``others_fell``
                        scrape, this one does not
a number cut short      the last line of one scrape, whose      null; the next increase covers it     ``cut_number``
                        digits begin the number that was due
one in the first scrape the same, and it rises to such a number the difference                        ``cut_number``
processes in turn       start times that go back and forth      by process; null at the first sight   ``several``
                        (:mod:`.lineage`)                       of each
the same, untold        counters that go back and forth         as by resets                          ``several``
a scrape cut short      a family that was in every scrape       the difference to the last value; the ``cut_scrape``
                        before and is back after                series was unknown, not 0
a series that vanishes  others of its family stay, or it has    the value                             ``absent``
                        been away before
a series that appears   none of it before                       the value                             at the second
                                                                                                      scrape
                                                                                                      ``begin_unknown``
NaN                     a value that is NaN, or the one before  null                                  none
======================= ======================================= ===================================== ==================
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.lineage import A_REAL_TIME_S, lineage_of, take_turns
from soaklib.analysis.sources.samples import AT, LABELS, checked_samples
from soaklib.errors import SettingsError
from soaklib.exposition.ending import STARTS
from soaklib.records import HEALTH_METRIC_PREFIX

if TYPE_CHECKING:
    from soaklib.analysis.measures.lineage import Lineage

__all__ = ["COUNTED_SUFFIX", "CREATED", "ROUNDING", "SERIES", "Doubt", "paired_samples"]

SERIES: Final = ("metric", "labels")
PAIRED: Final = ("at", "previous_at", "scrape", "series", "increase", "doubt")
"""Columns of :func:`paired_samples`."""

ROUNDING: Final = 1e-9
"""Relative: a sum of many addends, added up in another order, falls by less; a process that began anew by more."""

COUNTED_SUFFIX: Final = r"_(?:total|bucket|count|sum)$"
CREATED: Final = "_created"
_BY_VALUE: Final = ("le", "quantile")
_MOST_DIGITS: Final = 18


class Doubt(StrEnum):
    """Why an increase may be less than what was counted, or another; see the module's table."""

    RESTART = "restart"
    RESET = "reset"
    CUT_NUMBER = "cut_number"
    SEVERAL_PROCESSES = "several"
    OTHERS_FELL = "others_fell"
    CUT_SCRAPE = "cut_scrape"
    ABSENT = "absent"
    BEGIN_UNKNOWN = "begin_unknown"


def paired_samples(samples: pl.DataFrame, scrapes: pl.Series | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give every sample of the second scrape and later with its increase and the doubt about it.

    Parameters
    ----------
    samples, scrapes
        As for :func:`~soaklib.analysis.measures.counters.increase`.

    Returns
    -------
    tuple of polars.DataFrame
        ``at``, ``previous_at`` (null where processes take turns), ``scrape``, ``series``, ``increase``, ``doubt`` (null
        where there is none), in order; and the names, ``series``, ``metric`` and ``labels``.
    """
    samples = checked_samples(samples)
    numbered, lineage = _numbered(samples, scrapes)
    # Names and labels, by far the most of a samples frame, are looked up once and then go by a number.
    groups = samples.group_by(SERIES, maintain_order=True).agg("at", "value").with_row_index("name")
    names = groups.select(*SERIES, pl.col("name").cast(pl.Int64))
    same, is_respelt = _by_value(names)
    placed = groups.lazy().select(pl.col("name").cast(pl.Int64), "at", "value").explode("at", "value")
    placed = placed.join(numbered.lazy(), on="at", maintain_order="left")
    if is_respelt:
        placed = placed.join(same.lazy(), on="name").sort("name", maintain_order=True)
    else:
        placed = placed.rename({"name": "series"})
    by_turn = [pl.col("series"), pl.col("process"), pl.col("scrape")]
    if not lineage.in_turn:  # by one number, which is several times as fast
        by_turn = [pl.col("series") * numbered.height + pl.col("scrape")]
    paired = placed.collect().sort(by_turn, maintain_order=is_respelt)
    if is_respelt:
        _refuse_twice(paired.sort("name", "scrape"), "name")
        paired = paired.unique(["series", "scrape"], keep="first", maintain_order=True).sort(by_turn)
    paired = _with_last(paired)
    if not is_respelt:
        _refuse_twice(paired, "series")
    titles = names.rename({"name": "series"})
    paired = _with_created(paired, titles)
    paired = _with_gaps(paired, titles)
    paired = _with_cut_numbers(paired, samples, titles)
    paired = _judged(paired, in_turn=lineage.in_turn)
    if not lineage.in_turn:
        paired = _with_others(_with_turns(paired, lineage), titles)
    paired = paired.lazy().filter(pl.col("scrape") > 0).select(PAIRED).collect()
    return paired.sort(pl.col("scrape") * titles.height + pl.col("series")), titles


def _refuse_twice(paired: pl.DataFrame, key: str) -> None:
    is_same = (pl.col(key) == pl.col(key).shift(1)) & (pl.col("scrape") == pl.col("scrape").shift(1))
    if paired.select(is_same.any()).item():
        message = "a series has two samples at one time: read each scrape once"
        raise SettingsError(message)


def _numbered(samples: pl.DataFrame, scrapes: pl.Series | None) -> tuple[pl.DataFrame, Lineage]:
    """Give of all scrapes ``at``, ``previous_at``, ``scrape`` (0 for the first), ``process``, ``turn``, ``epoch``."""
    if scrapes is None:
        is_health = pl.col("metric").str.starts_with(HEALTH_METRIC_PREFIX)
        scrapes = samples.filter(~is_health)["at"]
    elif not samples["at"].is_in(scrapes.cast(AT).implode()).all():
        message = "scrapes lacks times of samples: pass the times of all successful scrapes, such as everything['at']"
        raise SettingsError(message)
    times = pl.DataFrame({"at": scrapes.cast(AT).unique().sort()})
    starts = samples.filter(pl.col("metric").is_in(STARTS), pl.col("value").is_finite())
    told = starts.sort("metric").group_by("at").agg(started_s=pl.col("value").first())
    started = times.join(told, on="at", how="left", maintain_order="left")["started_s"].to_list()
    lineage = lineage_of(started, (times["at"].dt.epoch("us") / 1e6).to_list())
    numbered = times.with_columns(
        previous_at=pl.col("at").shift(1),
        scrape=pl.int_range(pl.len(), dtype=pl.Int64),
        process=pl.Series(lineage.process, dtype=pl.Int64),
        epoch=pl.Series(lineage.epoch, dtype=pl.Int64),
    )
    if lineage.in_turn:  # no distance between two scrapes is the time in which one process counted
        numbered = numbered.with_columns(previous_at=pl.lit(None, dtype=AT))
    turn = pl.int_range(pl.len(), dtype=pl.Int64).over("process") if lineage.in_turn else pl.col("scrape")
    return numbered.with_columns(turn=turn), lineage


def _by_value(names: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """Give ``name`` and ``series``, the first name that is the same but for spelling; and whether any is respelt."""
    key, value = pl.element().struct["key"], pl.element().struct["value"]
    number = value.cast(pl.Float64, strict=False).cast(pl.String)
    spelt = pl.when(key.is_in(_BY_VALUE)).then(pl.coalesce(number, value)).otherwise(value)
    has_number = pl.col("labels").list.eval(key.is_in(_BY_VALUE)).list.any()
    numbers = names.filter(has_number).with_columns(
        labels=pl.col("labels").list.eval(pl.struct(key=key, value=spelt)).cast(LABELS)
    )
    if not numbers.height or not numbers.select(pl.struct(SERIES).is_duplicated().any()).item():
        return names.select("name", series="name"), False
    same = pl.concat([names.filter(~has_number), numbers]).sort("name")
    return same.select("name", series=pl.col("name").first().over(SERIES)), True


def _with_last(paired: pl.DataFrame) -> pl.DataFrame:
    """Put ``last_value``, ``last_turn`` and ``last_epoch`` beside each sample, null where there is none before."""
    is_same = (pl.col("series") == pl.col("series").shift(1)) & pl.col("process").eq_missing(pl.col("process").shift(1))
    return paired.with_columns(
        pl.when(is_same).then(pl.col(name).shift(1)).alias(f"last_{name}") for name in ("value", "turn", "epoch")
    )


def _with_created(paired: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    """Say in ``is_new`` whether the series' own ``_created`` moved since it was last told."""
    metric = pl.col("metric")
    own_labels = pl.col("labels").list.filter(~pl.element().struct["key"].is_in(_BY_VALUE))
    created = titles.filter(metric.str.ends_with(CREATED)).select(
        base=metric.str.strip_suffix(CREATED), labels="labels", created_series="series"
    )
    if not created.height:
        return paired.with_columns(is_new=pl.lit(value=False))
    bases = titles.select("series", base=metric.str.replace(COUNTED_SUFFIX, ""), labels=own_labels)
    of_series = bases.join(created, on=["base", "labels"]).select("series", "created_series")
    values = paired.select("scrape", created_series="series", created="value")
    is_same = (pl.col("series") == pl.col("series").shift(1)) & pl.col("process").eq_missing(pl.col("process").shift(1))
    # A scrape that lacks it was of the life before, unless the next one tells a time before it.
    earlier = pl.col("created").forward_fill().over("series", "process")
    later = pl.col("created").backward_fill().over("series", "process")
    was_begun = (later > A_REAL_TIME_S) & (later <= pl.col("at").dt.epoch("us") / 1e6)
    known = pl.coalesce("created", pl.when(was_begun).then(later), earlier)
    moved = is_same & (pl.col("known") != pl.col("known").shift(1))
    return (
        paired.join(of_series, on="series", how="left", maintain_order="left")
        .join(values, on=["scrape", "created_series"], how="left", maintain_order="left")
        .with_columns(known=known)
        .with_columns(is_new=moved.fill_null(value=False))
        .drop("created", "known", "created_series")
    )


def _with_gaps(paired: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    """Say in ``is_cut_scrape`` whether a series was away because scrapes were cut short: all its family was.

    A family that has been away before, or comes late, is one that a gateway does not expose at all times; of one that
    was there in every scrape before it is the scrape that lacks something.
    """
    is_gap = pl.col("last_turn") < pl.col("turn") - 1
    if not paired.select(is_gap.any()).item():
        return paired.with_columns(is_cut_scrape=pl.lit(value=False))
    paired = paired.with_columns(metric=titles["metric"].gather(paired["series"]))
    keys = ["metric", "process"]
    there = paired.select(*keys, "turn").unique().sort("turn")
    there = there.with_columns(nth=pl.int_range(pl.len()).over(keys))
    joined = paired.join(there, on=[*keys, "turn"], how="left", maintain_order="left", nulls_equal=True).join(
        there.rename({"turn": "last_turn", "nth": "last_nth"}),
        on=[*keys, "last_turn"], how="left", maintain_order="left", nulls_equal=True,
    )  # fmt: skip
    is_whole = (pl.col("last_nth") == pl.col("last_turn")) & (pl.col("nth") == pl.col("last_nth") + 1)
    return joined.with_columns(is_cut_scrape=(is_gap & is_whole).fill_null(value=False)).drop(
        "metric", "nth", "last_nth"
    )


def _with_cut_numbers(paired: pl.DataFrame, samples: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    """Say in ``is_cut_number`` which values are the first digits of a number; what comes after goes by the one before.

    It is the last line of its scrape, it falls, the next scrape is above what was before, and the digits of a value
    between the two begin with its own.
    """
    value, last, after = pl.col("value"), pl.col("last_value"), pl.col("value").shift(-1)
    goes_on = (pl.col("series") == pl.col("series").shift(-1)) & pl.col("process").eq_missing(
        pl.col("process").shift(-1)
    )
    is_first = goes_on & (pl.col("turn") == 0) & (after >= value * 10)
    is_dip = (
        goes_on & (pl.col("last_turn") == pl.col("turn") - 1) & (value < last) & (after >= last)
        & (pl.col("last_epoch") == pl.col("epoch")) & ~pl.col("is_new")
    )  # fmt: skip
    if not paired.select((is_dip | is_first).any()).item():
        return paired.with_columns(is_cut_number=pl.lit(value=False), follows_cut=pl.lit(value=False))
    paired = paired.with_row_index("row").with_columns(after=after)
    dips = paired.filter(is_dip | is_first)
    cut: list[int] = []
    cut_first: list[int] = []
    ends = samples.with_columns(line=pl.int_range(pl.len())).join(dips.select("at").unique(), on="at")
    ends = ends.sort("line").group_by("at").agg(pl.col("metric", "labels").last())
    ends = ends.join(titles, on=SERIES).select("at", "series")
    of_end = dips.join(ends, on=["at", "series"])
    for row, turn, number, low, high in of_end.select("row", "turn", "value", "last_value", "after").iter_rows():
        if _begins_a_number(number, max(number * 10, 1.0) if turn == 0 else low, high):
            (cut_first if turn == 0 else cut).append(row)
    is_cut = pl.col("row").is_in(cut)
    follows = is_cut.shift(1, fill_value=False)
    paired = paired.with_columns(
        is_cut_number=is_cut,
        follows_cut=pl.col("row").is_in(cut_first).shift(1, fill_value=False),
        last_value=pl.when(follows).then(pl.col("last_value").shift(1)).otherwise("last_value"),
    )
    return paired.drop("row", "after")


def _begins_a_number(value: float, low: float, high: float) -> bool:
    """Whether the digits of a value begin those of a number from `low` to `high`."""
    if not all(map(math.isfinite, (value, low, high))) or value < 0:
        return False
    _, point, decimals = repr(value).partition(".")
    step = 1.0 if value.is_integer() else 10.0 ** -len(decimals.partition("e")[0]) if point else 1.0
    if not value:
        return low < step
    return any(
        value * scale <= high and (value + step) * scale > low for scale in (10.0**n for n in range(_MOST_DIGITS))
    )


def _judged(paired: pl.DataFrame, *, in_turn: bool) -> pl.DataFrame:
    """Give ``increase`` and ``doubt`` by the module's table."""
    value, last = pl.col("value"), pl.col("last_value")
    is_next = (pl.col("last_turn") == pl.col("turn") - 1).fill_null(value=False)
    is_known = is_next | pl.col("is_cut_scrape")
    is_restart = (pl.col("last_epoch") != pl.col("epoch")).fill_null(value=False) | pl.col("is_new")
    is_first = (pl.col("turn") == 0) | pl.col("process").is_null()
    counts_on = is_known & ~is_restart & ((value >= last) | ((last > 0) & (value >= last * (1 - ROUNDING))))
    falls = is_known & ~counts_on & last.is_not_nan()
    delta = (
        pl.when(value.is_nan() | (is_known & ~is_restart & last.is_nan()) | pl.col("is_cut_number"))
        .then(None)
        .when(is_first if in_turn else pl.lit(value=False))
        .then(None)
        .when(counts_on)
        .then(pl.when(value >= last).then(value - last).otherwise(0.0))
        .otherwise(value)
    )
    doubt = (
        pl.when(in_turn)
        .then(pl.lit(Doubt.SEVERAL_PROCESSES.value))
        .when(pl.col("is_cut_number") | pl.col("follows_cut"))
        .then(pl.lit(Doubt.CUT_NUMBER.value))
        .when(is_restart)
        .then(pl.lit(Doubt.RESTART.value))
        .when(falls)
        .then(pl.lit(Doubt.RESET.value))
        .when(pl.col("is_cut_scrape"))
        .then(pl.lit(Doubt.CUT_SCRAPE.value))
        .when(last.is_not_null() & ~is_next)
        .then(pl.lit(Doubt.ABSENT.value))
        .when(last.is_null() & (pl.col("turn") == 1))
        .then(pl.lit(Doubt.BEGIN_UNKNOWN.value))
    )
    return paired.with_columns(increase=delta, doubt=doubt)


def _with_turns(paired: pl.DataFrame, lineage: Lineage) -> pl.DataFrame:
    """Doubt every counter that falls where counters alone tell that several processes took turns."""
    if any(lineage.epoch):
        return paired
    falling = paired.filter(pl.col("doubt") == Doubt.RESET)["series"].unique()
    moments = paired.filter(pl.col("series").is_in(falling.implode())).sort("scrape")
    if moments.filter(pl.col("doubt") == Doubt.RESET)["scrape"].n_unique() < 2:  # noqa: PLR2004 - in turn is more than once
        return paired
    states: dict[int, dict[int, float]] = {}
    for scrape, series, value in moments.select("scrape", "series", "value").iter_rows():
        states.setdefault(scrape, {})[series] = value
    if not take_turns(list(states.values())):
        return paired
    is_one = pl.col("series").is_in(falling.implode())
    return paired.with_columns(doubt=pl.when(is_one).then(pl.lit(Doubt.SEVERAL_PROCESSES.value)).otherwise("doubt"))


def _with_others(paired: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    """Doubt every counter at a scrape at which another one falls: they begin anew together, and some pass their value.

    What is a counter is told by its name here, as gauges fall all the time.
    """
    counters = titles.filter(pl.col("metric").str.contains(COUNTED_SUFFIX))["series"]
    is_counter = pl.col("series").is_in(counters.implode())
    fell = paired.filter(is_counter, pl.col("doubt") == Doubt.RESET)["scrape"].unique()
    if fell.is_empty():
        return paired
    is_beside = is_counter & pl.col("scrape").is_in(fell.implode()) & pl.col("doubt").is_null()
    return paired.with_columns(doubt=pl.when(is_beside).then(pl.lit(Doubt.OTHERS_FELL.value)).otherwise("doubt"))
