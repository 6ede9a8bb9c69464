"""Tokens and money that answers state against what the gateway's counters counted, model by model or key by key.

What was stated within the time that the counters cover is known but for calls that were under way at its edges: the
truth lies between the tokens of the calls that lie whole within it and those of all that touch it. A call that stated
nothing (a stream that was cut, an answer that never came) may have been counted too: what is counted beyond the most
that was stated is explained by such calls as far as they may reach, each as far as the largest that was stated. A
gateway that began anew has forgotten what it counted since the reading before: what is missing is explained as far as
the calls of that time reach.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import polars as pl

from soaklib.analysis.books.pairs import Cause
from soaklib.analysis.books.readings import is_in_turn, readings
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.measures.meanings import told_by
from soaklib.analysis.measures.metrics import metered
from soaklib.analysis.measures.windows import summed
from soaklib.errors import SettingsError
from soaklib.targets import load_target
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.analysis.sources.run import Run
    from soaklib.targets.base import MetricMap, Series

__all__ = ["spend", "tokens"]

_UPSTREAM: Final = "upstream_tokens_total"
_ALL: Final = "all"
_UNSTATED: Final = "kind not in ('denied', 'unauthorized', 'rate_limited', 'fast_fail')"


class _Book(NamedTuple):
    """What is held against what.

    Attributes
    ----------
    meaning
        What the counter has to mean.
    column
        Of ``outcomes``: what an answer states.
    rounding
        What sums may differ by that is no difference: absolute, and as a share.
    """

    meaning: Meaning
    column: str
    rounding: tuple[float, float]


_DIRECTIONS: Final = {
    "in": _Book(Meaning.TOKENS_IN, "input_tokens", (0.5, 0.0)),
    "out": _Book(Meaning.TOKENS_OUT, "output_tokens", (0.5, 0.0)),
}
_MONEY: Final = _Book(Meaning.SPEND, "cost_usd", (1e-12, 1e-9))
"""Money is added up in another order by either side: sums of binary fractions differ in their last digits."""
_BY: Final[Mapping[str, str]] = {"model": "tool", "key": "coalesce(key_id, '')"}


def tokens(run: Run, by: Literal["model", "key"] = "model") -> pl.DataFrame:
    """Compare the tokens that answers state with those that were counted.

    Parameters
    ----------
    run
        The run; of a stretch of it, the whole is judged.
    by
        ``"model"``, or ``"key"``: the keys that calls were made with, as the gateway's metrics call them (column
        ``key_id`` of ``outcomes``).

    Returns
    -------
    polars.DataFrame
        By ``direction`` (``in``, ``out``), that of `by` (``all`` where the counter does not tell them apart) and
        ``source`` (whose counter: ``gateway``, or ``upstream`` where the soak's own is what is scraped): ``answers``
        that stated usage, ``stated`` and ``stated_most`` (tokens of those that lie whole between the first and the last
        reading, and of all that touch it), ``unstated`` (calls that may have used tokens and stated none), ``counted``,
        ``lost`` and ``too_many`` (tokens beyond what can be explained), and the ``cause`` of a difference, or null.
        Where several processes answer the scrapes in turn nobody knows what is missing: the ``cause`` says so, and
        none is ``lost``; where they tell no start times, nobody knows what was ``counted`` either, and it is null.
        Empty where no answer states usage or no such counter was scraped. Where the counter tells keys apart and all
        calls bear theirs, what others used with other keys does not count.

    Raises
    ------
    SettingsError
        `by` is neither of the two.
    """
    parts = [
        _book(run.whole, book, by, pl.Int64()).select(pl.lit(direction).alias("direction"), pl.all())
        for direction, book in _DIRECTIONS.items()
    ]
    return pl.concat(parts).sort("direction", by)


def spend(run: Run, by: Literal["model", "key"] = "model") -> pl.DataFrame:
    """Compare the money that answers say they cost with what was counted, in US dollars.

    Parameters
    ----------
    run, by
        As for :func:`tokens`.

    Returns
    -------
    polars.DataFrame
        As :func:`tokens` gives it, without ``direction`` and in dollars. A stream of LiteLLM states what it cost only
        where ``include_cost_in_streaming_usage`` is set there.

    Raises
    ------
    SettingsError
        `by` is neither of the two.
    """
    return _book(run.whole, _MONEY, by, pl.Float64()).sort(by)


def _book(run: Run, book: _Book, by: str, number: pl.DataType) -> pl.DataFrame:
    if by not in _BY:
        msg = f"by={by!r} is unknown; pass 'model' or 'key'"
        raise SettingsError(msg)
    schema = {
        by: pl.String(), "source": pl.String(), "answers": pl.Int64(), "stated": number, "stated_most": number,
        "unstated": pl.Int64(), "counted": pl.Float64(), "lost": pl.Float64(), "too_many": pl.Float64(),
        "cause": pl.String(),
    }  # fmt: skip
    metrics = load_target(run.info.plan.target).metrics
    series = metrics.meanings.get(book.meaning)
    found = None if series is None else _counted(run, series, metrics, by)
    if series is None or found is None:
        return pl.DataFrame(schema=schema)
    named = f"'{_ALL}'" if _ALL in found else _BY[by]
    stated = _stated(run, book.column, named)
    is_unknown = set(found.values()) == {None} or is_in_turn(run, _names(series.metric), untold=True)
    is_short = not is_unknown and any((found.get(name) or 0.0) < least for name, _, least, *_ in stated.iter_rows())
    forgotten = _forgotten(run, series.metric, book.column, named) if is_short else {}
    source = "upstream" if series.metric == _UPSTREAM else "gateway"
    exactly = int if number == pl.Int64() else float
    rows: list[tuple[object, ...]] = []
    for name, answers, least, most, largest, unstated in stated.iter_rows():
        about = name, source, answers, exactly(least), exactly(most), unstated
        if is_unknown:
            rows.append((*about, None, 0.0, 0.0, IN_TURN))
            continue
        counted = found.get(name) or 0.0
        told = _judged(
            counted, least, most, unstated * largest, book.rounding,
            forgotten=None if forgotten is None else forgotten.get(name, 0.0),
        )  # fmt: skip
        rows.append((*about, counted, *told))
    return pl.DataFrame(rows if any(row[2] for row in rows) else [], schema=schema, orient="row")


def _judged(
    counted: float, least: float, most: float, reach: float, rounding: tuple[float, float], *, forgotten: float | None
) -> tuple[float, float, str | None]:
    slack = rounding[0] + rounding[1] * most
    lost = max(0.0, least - counted)
    beyond = max(0.0, counted - most)
    too_many = max(0.0, beyond - reach)
    if lost > slack and forgotten is None:
        return 0.0, 0.0, IN_TURN
    if forgotten is not None and lost - forgotten > slack:
        return lost - forgotten, 0.0, str(Cause.LOST)
    if lost > slack:
        return 0.0, 0.0, str(Cause.RESTART)
    if too_many > slack:
        return 0.0, too_many, "counted too often"
    return 0.0, 0.0, "calls that stated no usage" if beyond > slack else None


def _names(metric: str) -> list[str]:
    """Give the names that a counter may have."""
    return [metric, f"{metric}_total"]


def _counted(run: Run, series: Series, metrics: MetricMap, by: str) -> dict[str, float | None] | None:
    """Give what a counter counted, by model or key, or all of it together; None where it was not scraped.

    What nobody knows is None, too. What others did with keys that are none of the run's is left out where both sides
    tell keys apart.
    """
    labels = _labels_of(run, series.metric)
    keys = _own_keys(run) if metrics.key_label in labels else []
    label = {"model": metrics.model_label, "key": metrics.key_label}[by]
    told = [name for name in dict.fromkeys((label, metrics.key_label)) if name in labels]
    counted = told_by(series, metered(run, series.metric, "all", by=[*series.labels, *told]))
    if metrics.key_label in told:
        shortened = pl.col(metrics.key_label).str.head(len(keys[0]) if keys else 0)
        counted = counted.with_columns(shortened.alias(metrics.key_label))
        counted = counted.filter(shortened.is_in(keys)) if keys else counted
    if not counted.height:
        return None
    if label not in told or (by == "key" and not keys):
        return {_ALL: float(counted["n"].sum()) if counted["n"].count() else None}
    return dict(summed(counted, "n", label).iter_rows())


def _forgotten(run: Run, metric: str, column: str, name: str) -> dict[str, float] | None:
    """Give, by name, what may have been counted and forgotten; None where several processes answer in turn."""
    counters = _names(metric)
    if is_in_turn(run, counters):
        return None
    anew = [(last, first) for last, first in pairwise(readings(run, counters)) if last.epoch != first.epoch]
    touched = " or ".join(
        f"done_at_us >= {last.begin_us} and sent_at_us <= {first.end_us}" for last, first in anew
    ) or "false"  # fmt: skip
    query = f"""
        select {name} as name, coalesce(sum({column}), 0)::DOUBLE from outcomes
        where attempts > 0 and ({touched}) group by 1"""  # noqa: S608 - our own names and numbers
    return dict(run.sql(query).iter_rows())


def _labels_of(run: Run, metric: str) -> list[str]:
    query = """select distinct unnest(map_keys(labels)) as label from readings
               where metric in ($name, $name || '_total')"""
    return run.sql(query, {"name": metric})["label"].to_list()


def _own_keys(run: Run) -> list[str]:
    """Give the ids of the keys that calls were made with; none where some call bears none."""
    keys = run.sql("select distinct key_id from outcomes where attempts > 0")["key_id"].to_list()
    return [] if None in keys else keys


def _stated(run: Run, column: str, name: str) -> pl.DataFrame:
    """Give, by name: answers that state it, the sum at least and at most, the largest, and the other calls."""
    query = f"""
        with edges as (
            select min(at_us - duration_us) as first_us, min(at_us) as first_end_us,
                   max(at_us - duration_us) as last_us, max(at_us) as last_end_us
            from scrapes where endpoint = 'metrics' and ok
        )
        select {name} as name, count({column}) as answers,
               coalesce(sum({column}) filter (sent_at_us >= first_end_us and done_at_us <= last_us), 0)::DOUBLE
                   as least,
               coalesce(sum({column}) filter (done_at_us >= first_us and sent_at_us <= last_end_us), 0)::DOUBLE as most,
               coalesce(max({column}), 0)::DOUBLE as largest, count(*) filter ({column} is null and {_UNSTATED})
        from outcomes, edges where attempts > 0 group by 1 order by 1"""  # noqa: S608 - our own names
    return run.sql(query)
