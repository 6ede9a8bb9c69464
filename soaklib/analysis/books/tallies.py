"""Answers and counters, added up between the moments at which the counters were read; all of it inside DuckDB.

Window *i* ends at reading *i* and begins at the one before; window 0 is what came before the first reading, window *n*
what came after the last of *n*. A call is in the window in which its answer came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.pairs import ANSWER_SQL, BOOKS
from soaklib.analysis.sources.samples import canonical_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soaklib.analysis.books.readings import Reading
    from soaklib.analysis.sources.run import Run

__all__ = ["answers_in_windows", "counter_names", "counters_at_readings", "window_sql"]


def counter_names(run: Run) -> dict[str, str]:
    """Give the counters of the books that a run's samples hold: name as exposed -> documented name."""
    wanted = {book.metric for book in BOOKS}
    names = run.sql("select distinct metric from samples order by metric")
    documented = canonical_names(names)["metric"]
    return {raw: name for raw, name in zip(names["metric"], documented, strict=True) if name in wanted}


_PIECE_US: Final = 1_000_000

_PIECES: Final = f"""
    select *, unnest(range(coalesce(previous_us, list_first($end_us::BIGINT[]), 0) // {_PIECE_US} - 1,
                           coalesce(end_us, list_last($end_us::BIGINT[]), 0) // {_PIECE_US} + 2)) as piece
    from (
        select win, begin_us, end_us, lag(end_us) over (order by win) as previous_us
        from (select unnest(range(len($end_us::BIGINT[]))) as win, unnest($begin_us::BIGINT[]) as begin_us,
                     unnest($end_us::BIGINT[]) as end_us
              union all select len($end_us::BIGINT[]), null, null)
    )"""  # noqa: S608 - our own number
"""Windows cut into pieces of a second, so that a row finds its window by one look-up and not by sorting all rows."""


def window_sql(source: str) -> str:
    """Give a SELECT of the rows of a source with ``answer``, ``from_us``, ``until_us``, ``win`` and its bounds.

    Parameters
    ----------
    source
        Name of a table with the columns of ``outcomes``. The parameters ``begin_us`` and ``end_us`` are those of the
        readings.
    """
    piece = f"""
        greatest(coalesce(list_first($end_us::BIGINT[]), 0) // {_PIECE_US} - 1,
                 least(rows.until_us // {_PIECE_US}, coalesce(list_last($end_us::BIGINT[]), 0) // {_PIECE_US} + 1))"""
    return f"""
        select rows.*, edges.win, edges.begin_us, edges.previous_us
        from (
            select *, {ANSWER_SQL} as answer, coalesce(sent_at_us, planned_at_us) as from_us,
                   coalesce(done_at_us, sent_at_us, planned_at_us) as until_us
            from {source}, (select exists(from outcomes where correlation_id is not null) as has_ids)
        ) as rows
        join ({_PIECES}) as edges
        on edges.piece = {piece} and (edges.end_us is null or rows.until_us <= edges.end_us)
           and (edges.previous_us is null or rows.until_us > edges.previous_us)
        where answer is not null"""  # noqa: S608 - our own texts


_ANSWERS: Final = f"""
    with sums as materialized (
        select win, tool, action, answer, reason, count(*) as rows, count(*) filter (until_us > begin_us) as late,
               sum(greatest(attempts - 1, 0))::BIGINT as again,
               list({{'from_us': from_us, 'until_us': until_us}}) filter (from_us <= previous_us) as spanning
        from ({window_sql("outcomes")}) group by win, tool, action, answer, reason
    )
    select win, tool, action, answer, reason, rows, late, 0::BIGINT as early, again from sums
    union all
    select edges.win, tool, action, answer, reason, 0, 0, count(*), 0
    from (select tool, action, answer, reason, unnest(spanning) as call from sums) as calls,
         (select unnest(range(len($end_us::BIGINT[]))) as win, unnest($end_us::BIGINT[]) as end_us) as edges
    where edges.end_us >= call.from_us and edges.end_us < call.until_us group by all"""  # noqa: S608 - our own texts


def answers_in_windows(run: Run, at: Sequence[Reading]) -> pl.DataFrame:
    """Count the calls that were sent, by window and kind of answer.

    Returns
    -------
    polars.DataFrame
        ``win``, ``tool``, ``action``, ``answer``, ``reason``, and the counts ``rows``; ``late``,
        those of them that ended while the reading at the window's end went on, and so may not be in it; ``early``,
        calls that were under way at that reading and ended later, and so may be in it; ``again``, how often calls were
        put on the wire after the first time.
    """
    sums = run.asked(_ANSWERS, edges_of(at))
    keys = ["win", "tool", "action", "answer", "reason"]
    return sums.group_by(keys).agg(pl.col("rows", "late", "early", "again").sum())


def counters_at_readings(run: Run, at: Sequence[Reading], names: Mapping[str, str]) -> pl.DataFrame:
    """Give where the counters stood at each scrape.

    Returns
    -------
    polars.DataFrame
        ``win`` (the reading's number), ``metric`` (documented name), ``tool``, ``action``, ``code``, ``kind`` (labels;
        null where the counter has none), ``count``, the sum over all other labels, and ``parts``, of how many series.
    """
    labels = ", ".join(
        f"""list_filter(labels, lambda label: label."key" = '{name}')[1]."value" as {name}"""
        for name in ("tool", "action", "code", "kind")
    )
    query = f"""
        select win, raw, tool, action, code, kind, sum("value") as "count", count(*) as parts
        from (
            select win, metric as raw, "value", {labels} from samples
            join (select unnest(range(len($at_us::BIGINT[]))) as win, unnest($at_us::BIGINT[]) as at_us) using (at_us)
            where list_contains($names, metric) and isfinite("value")
        ) group by all"""  # noqa: S608 - our own names
    values = run.sql(query, {"at_us": [reading.at_us for reading in at], "names": list(names)})
    return values.with_columns(metric=pl.col("raw").replace_strict(names, return_dtype=pl.String)).drop("raw")


def edges_of(at: Sequence[Reading]) -> dict[str, object]:
    """Give the readings as the parameters that :func:`window_sql` names."""
    return {"begin_us": [reading.begin_us for reading in at], "end_us": [reading.end_us for reading in at]}
