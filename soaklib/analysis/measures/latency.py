"""Exact latency quantiles from all rows, with what never came back counted as it was seen: longer than its wait.

A timeout or a transport error says that the answer would have taken longer than the time until it was given up: it is
right-censored there. Every quantile therefore places those calls behind all others. Where a quantile falls among them,
its value is unknown but bounded, and what is reported is that lower bound, flagged `at_least`. Nothing is left out, and
quantiles of windows are never averaged.

Interval bounds are order statistics too, at the ranks that
:func:`soaklib.analysis.statistics.intervals.order_shares` gives for calls that are alike when they lie close together.
They are sorted here and not in DuckDB, which takes five times as long for it; so the calls come out of it in chunks of
bounded size; of a window that has more all keys are held, 8 bytes a call.

How the calls of each window spread over latencies is told by counts in bins of equal width on a log scale.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from soaklib.analysis.measures.ranks import PART_BITS, US_BITS, Keys
from soaklib.analysis.measures.windows import (
    OF_CALLS,
    OF_PARTIALS,
    aggregate,
    asking,
    counting,
    groups_of,
    part_sql,
    seconds_of,
    window_end,
    window_ends_sql,
    window_sql,
)
from soaklib.errors import SettingsError
from soaklib.records import Kind
from soaklib.store.quoting import name_sql, text_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from soaklib.analysis.measures.ranks import Ints
    from soaklib.analysis.measures.windows import Ask, Counting
    from soaklib.analysis.sources.run import Run

__all__ = ["CENSORED_KINDS", "QUANTILES", "first_token", "latency", "latency_bins"]

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
CENSORED_KINDS: Final = (Kind.TIMEOUT, Kind.TRANSPORT_ERROR)
_CHUNK_CALLS: Final = 4_000_000
_CENSORED: Final = "(" + ", ".join(f"'{kind}'" for kind in CENSORED_KINDS) + ")"
Whom: TypeAlias = Literal["served", "all"]


class _Sought(NamedTuple):
    """Of which calls what is measured.

    Attributes
    ----------
    calls
        SQL of whether a call is one of them.
    partials
        SQL of whether those of a row of partials are; None where only the calls themselves can say.
    durations
        Measure -> SQL of how long it took, or was waited for, in microseconds.
    given_up
        SQL of whether it would have taken longer than that.
    """

    calls: str
    partials: str | None
    durations: Mapping[str, str]
    given_up: str


_DURATIONS: Final = {"response": "done_at_us - planned_at_us", "service": "done_at_us - sent_at_us"}
_STREAMS: Final = "(tool, action) in (select distinct (tool, action) from calls where first_token_at_us is not null)"
_FIRST_TOKEN: Final = _Sought(
    f"purpose = 'load' and {OF_CALLS.is_ended} and {_STREAMS}"
    f" and (kind = 'ok' and first_token_at_us is not null or kind in {_CENSORED})",
    None,
    {"first token": "coalesce(first_token_at_us, done_at_us) - sent_at_us"},
    "first_token_at_us is null",
)


def latency(
    source: Run | pl.DataFrame,
    every: str = "1m",
    *,
    by: str | Sequence[str] = ("tool",),
    quantiles: Sequence[float] = QUANTILES,
    whom: Whom = "served",
) -> pl.DataFrame:
    """Give quantiles of service time and of response time over windows of soak time, with their intervals.

    Service time is what the gateway took (done - sent); response time counts from the planned time (done - planned), so
    that a generator or a gateway that stalls cannot hide the wait it caused (coordinated omission).

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Column of ``calls`` to tell apart, null by itself, or several; empty for all calls together.
    quantiles
        Levels between 0 and 1.
    whom
        ``"served"``: calls that were answered ok, and those that were given up, which would have been; ``"all"``: every
        call that was sent and ended. A refusal takes a fraction of a millisecond, and many of them would make a gateway
        look fast. With ``kind`` in `by` it is always ``"all"``.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (start and end of the window; no end for ``"all"``), the columns of `by`, ``measure``
        (``service`` or ``response``), ``quantile``, ``latency_ms``, ``at_least`` (whether that is a lower bound only),
        ``n`` (calls), ``sufficient`` (whether at least ten observations lie beyond
        the quantile, on either side), ``low_ms`` and ``high_ms`` (the 95 % interval; null where not sufficient,
        ``high_ms`` infinite where it lies among calls that were given up). A window in which no call ended has no row.

    Raises
    ------
    SettingsError
        A level is not between 0 and 1, a column cannot be grouped by, or `whom` is neither of the two.

    Notes
    -----
    An interval knows of the bursts of its own window, not of those that fell into others, as that of
    :func:`soaklib.analysis.measures.rates.success_rate` does: it says how well the window's own calls tell its
    quantile. For the quantile that the run has in the long run, take ``"all"``.
    """
    whom = "all" if "kind" in groups_of(by) else whom
    sought = _Sought(_of(whom), _of(whom, OF_PARTIALS), _DURATIONS, f"kind in {_CENSORED}")
    return _quantiles(source, every, by, quantiles, sought)


def first_token(
    source: Run | pl.DataFrame,
    every: str = "1m",
    *,
    by: str | Sequence[str] = ("tool",),
    quantiles: Sequence[float] = QUANTILES,
) -> pl.DataFrame:
    """Give quantiles of the time to first token over windows of soak time, with their intervals.

    That is from its sending to the first content of its stream; given up before it, it would have taken longer.

    Parameters
    ----------
    source, every, by, quantiles
        As for :func:`latency`; of the calls of streams that were answered ok, and those that were given up.

    Returns
    -------
    polars.DataFrame
        As :func:`latency` gives it, with ``measure`` ``first token`` alone. No rows where nothing was streamed.

    Raises
    ------
    SettingsError
        As for :func:`latency`.
    """
    return _quantiles(source, every, by, quantiles, _FIRST_TOKEN)


def _quantiles(
    source: Run | pl.DataFrame, every: str, by: str | Sequence[str], quantiles: Sequence[float], sought: _Sought
) -> pl.DataFrame:
    if not quantiles or not all(0 < level < 1 for level in quantiles):
        msg = f"quantiles={list(quantiles)} must lie between 0 and 1; pass for example [0.5, 0.99]"
        raise SettingsError(msg)
    names = ["soak_s", *(groups := groups_of(by))]
    levels = sorted({float(level) for level in quantiles})
    rows: list[tuple[object, ...]] = []
    told = OF_CALLS if sought.partials is None else counting(source, every, groups)
    with asking(source) as ask:
        cells = ask(
            f"""
            select {window_sql(every)} as soak_s, {"".join(f"{name}, " for name in groups)} ({told.n})::BIGINT as n,
                   min({told.first_us}) as first_us, max({told.last_us}) as last_us
            from {told.rows} where {sought.calls if told is OF_CALLS else sought.partials}
            group by all having {told.n} > 0 order by all"""  # noqa: S608 - our own names
        )
        for chunk in _chunks(cells):
            for key, keys_of in _groups(ask, every, names, chunk, sought):
                for measure in sought.durations:
                    found = Keys.of(keys_of(measure)).quantiles(levels)
                    rows += [(*key, measure, *quantile) for quantile in found]
    schema = dict(cells.select(names).schema) | {
        "measure": pl.String(), "quantile": pl.Float64(), "latency_ms": pl.Float64(), "at_least": pl.Boolean(),
        "n": pl.Int64(), "sufficient": pl.Boolean(), "low_ms": pl.Float64(), "high_ms": pl.Float64(),
    }  # fmt: skip
    frame = pl.DataFrame(rows, schema=schema, orient="row").sort(*names, "measure", "quantile")
    return frame.select("soak_s", window_end(every), pl.exclude("soak_s"))


def _of(whom: str, told: Counting = OF_CALLS) -> str:
    """Give SQL for the calls of the load whose latency is meant."""
    if whom not in {"served", "all"}:
        msg = f"whom={whom!r} is unknown; pass 'served' or 'all'"
        raise SettingsError(msg)
    ended = f"purpose = 'load' and {told.is_ended}"
    return ended if whom == "all" else f"{ended} and (kind = 'ok' or kind in {_CENSORED})"


def _chunks(cells: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Split the cells into runs of a bounded number of calls; a larger cell stands alone."""
    begun, calls = 0, 0
    starts = cells["soak_s"].to_list()
    counts = cells["n"].to_list()
    for place, n in enumerate(counts):
        if calls + n > _CHUNK_CALLS and place > begun:
            yield cells[begun:place]
            begun, calls = place, 0
        calls += n
    if starts:
        yield cells[begun:]


def _groups(
    ask: Ask, every: str, names: Sequence[str], cells: pl.DataFrame, sought: _Sought
) -> Iterator[tuple[tuple[object, ...], Callable[[str], Ints]]]:
    """Give each cell's name, and what gives the keys of its calls by a measure, before the next cell is asked for."""
    window, every_s = window_sql(every), seconds_of(every)
    first_s = cells["soak_s"][0]
    number = "0" if every_s is None else f"round(({window} - {first_s!r}) / {every_s!r})::BIGINT"
    numbers = np.rint((cells["soak_s"].to_numpy() - first_s) / (every_s or 1.0)).astype(np.int64)
    for name in names[1:]:
        values = cells[name].unique().sort()
        places = dict(zip(values, range(len(values)), strict=True))
        whens = " ".join(
            f"when {name} is not distinct from {text_sql(value)} then {place}" for value, place in places.items()
        )
        number = f"({number}) * {len(values)} + case {whens} end"
        numbers = numbers * len(values) + np.array([places[value] for value in cells[name]])
    key = f"* {1 << US_BITS} + if({sought.given_up}, {1 << PART_BITS}, 0) + {part_sql(every)}"
    columns = {"cell": number} | {measure: f"({taken}) {key}" for measure, taken in sought.durations.items()}
    first_us, last_us = cells.select(pl.min("first_us"), pl.max("last_us")).row(0)

    def calls_of(*wanted: str, from_us: int = first_us, until_us: int = last_us) -> pl.DataFrame:
        selected = ", ".join(f"{columns[name]} as {name_sql(name)}" for name in wanted)
        return ask(
            f"""
            select {selected} from calls
            where {sought.calls} and planned_at_us between $from_us and $until_us and ({number}) is not null""",  # noqa: S608 - our own names and numbers, and quoted values
            {"from_us": from_us, "until_us": until_us},
        )

    def piecewise(measure: str) -> Ints:
        """Give all keys of the one cell, which is of everything, perhaps: each call is held once, and as its key."""
        keys, filled = np.empty(n := cells["n"].item(), dtype=np.int64), 0
        edges = np.linspace(first_us, last_us + 1, -(-n // _CHUNK_CALLS) + 1).astype(np.int64).tolist()
        for from_us, next_us in pairwise(edges):
            piece = calls_of(measure, from_us=from_us, until_us=next_us - 1)[measure].to_numpy()
            ends = filled + len(piece)
            if ends > len(keys):  # calls of a live run have ended since they were counted
                keys = np.pad(keys, (0, ends - len(keys)))
            keys[filled:ends], filled = piece, ends
        return keys[:filled]

    if cells.height == 1:
        yield cells.select(names).row(0), piecewise
        return
    calls = calls_of("cell", *sought.durations)
    keys = {measure: calls[measure].to_numpy() for measure in sought.durations}
    cell = calls["cell"].to_numpy()
    small = numbers.max(initial=0) <= np.iinfo(np.int16).max  # 16 bits are sorted in one pass
    order = np.argsort(cell.astype(np.int16) if small else cell, kind="stable")
    edges = np.flatnonzero(np.diff(cell[order], prepend=-1, append=-1))
    named = dict(zip(numbers.tolist(), cells.select(names).rows(), strict=True))
    for start, end in pairwise(edges.tolist()):
        if (row := named.get(int(cell[order[start]]))) is not None:  # others are of windows that reach into the chunk
            yield row, partial(_picked, keys, order[start:end])


def _picked(keys: Mapping[str, Ints], own: npt.NDArray[np.intp], measure: str) -> Ints:
    return keys[measure][own]


def latency_bins(
    source: Run | pl.DataFrame,
    every: str = "15m",
    *,
    measure: Literal["service", "response"] = "service",
    bins_per_decade: int = 10,
    whom: Whom = "served",
    by: str | Sequence[str] = (),
) -> pl.DataFrame:
    """Count the calls of the load by window and latency.

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    measure
        Service time (done - sent) or response time (done - planned).
    bins_per_decade
        How finely: 10 gives bins that end 26 % above their start.
    whom
        As for :func:`latency`.
    by
        Column to tell apart besides, or several, such as ``"tool"``.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window), ``low_ms`` and ``high_ms`` (the bin, its end excluded), ``censored``
        (whether these calls were given up rather than answered, so that the bin is only a lower bound), ``n``, and
        those of `by`; empty bins have no row.

    Raises
    ------
    SettingsError
        The measure or `whom` is neither of the two, there is no bin in a decade, or `by` is no column to group by.
    """
    if measure not in {"service", "response"}:
        msg = f"measure={measure!r} is unknown; pass 'service' or 'response'"
        raise SettingsError(msg)
    if bins_per_decade < 1:
        msg = f"bins_per_decade={bins_per_decade} makes no bins; pass 1 or more"
        raise SettingsError(msg)
    told = "".join(f"{name_sql(column)}, " for column in groups_of(by))
    begin = "sent_at_us" if measure == "service" else "planned_at_us"
    return aggregate(
        source,
        f"""
        with binned as (
            select {window_ends_sql(every)}, {told}kind in {_CENSORED} as censored,
                   floor(log10(greatest(done_at_us - {begin}, 1)) * {bins_per_decade})::INTEGER as bin
            from calls where {_of(whom)}
        )
        select soak_s, end_s, {told}pow(10, bin / {bins_per_decade}.0) / 1000 as low_ms,
               pow(10, (bin + 1) / {bins_per_decade}.0) / 1000 as high_ms, censored, count(*)::BIGINT as n
        from binned group by soak_s, end_s, {told}bin, censored order by soak_s, {told}bin, censored""",  # noqa: S608 - our own names
    )
