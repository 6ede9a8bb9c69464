"""Tokens that answers state against what the gateway's counters counted, model by model.

What was stated within the time that the counters cover is known but for calls that were under way at its edges: the
truth lies between the tokens of the calls that lie whole within it and those of all that touch it. A call that stated
no usage (a stream that was cut, an answer that never came) may have been counted too: what is counted beyond the most
that was stated is explained by such calls as far as they may reach, each as far as the largest that was stated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.metrics import metered
from soaklib.targets import load_target
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run
    from soaklib.targets.base import Series

__all__ = ["TOKENS_SCHEMA", "tokens"]

TOKENS_SCHEMA: Final = pl.Schema(
    {
        "direction": pl.String(), "model": pl.String(), "source": pl.String(), "answers": pl.Int64(),
        "stated": pl.Int64(), "stated_most": pl.Int64(), "unstated": pl.Int64(), "counted": pl.Float64(),
        "lost": pl.Float64(), "too_many": pl.Float64(), "cause": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`tokens`."""

_DIRECTIONS: Final = (("in", Meaning.TOKENS_IN, "input_tokens"), ("out", Meaning.TOKENS_OUT, "output_tokens"))
_MODEL_LABEL: Final = "requested_model"
_UPSTREAM: Final = "upstream_tokens_total"
_ALL: Final = "all"
_ROUNDING: Final = 0.5


def tokens(run: Run) -> pl.DataFrame:
    """Compare the tokens that answers state with those that were counted.

    Parameters
    ----------
    run
        The run; of a stretch of it, the whole is judged.

    Returns
    -------
    polars.DataFrame
        By ``direction`` (``in``, ``out``), ``model`` (``all`` where the counter does not tell them apart) and
        ``source`` (whose counter: ``gateway``, or ``upstream`` where the soak's own is what is scraped): ``answers``
        that stated
        usage, ``stated`` and ``stated_most`` (tokens of those that lie whole between the first and the last reading,
        and of all that touch it), ``unstated`` (calls that may have used tokens and stated none), ``counted``, ``lost``
        and ``too_many`` (tokens beyond what can be explained), and the ``cause`` of a difference, or null. Empty where
        no answer states usage or no such counter was scraped.
    """
    run = run.whole
    meanings = load_target(run.info.plan.target).metrics.meanings
    rows = []
    for direction, meaning, column in _DIRECTIONS:
        series = meanings.get(meaning)
        if series is not None:
            rows += _of_series(run, direction, series, column)
    return pl.DataFrame(rows, schema=TOKENS_SCHEMA, orient="row").sort("direction", "model")


def _of_series(run: Run, direction: str, series: Series, column: str) -> list[tuple[object, ...]]:
    by = _MODEL_LABEL if _has_label(run, series.metric) else ""
    names = [*series.labels, by] if by else list(series.labels)
    counted = metered(run, series.metric, "all", by=names)
    for label, value in series.labels.items():
        counted = counted.filter(pl.col(label) == value)
    if not counted.height:
        return []
    stated = _stated(run, column, "tool" if by else f"'{_ALL}'")
    found = dict(counted.group_by(by).agg(pl.col("n").sum()).iter_rows()) if by else {_ALL: float(counted["n"].sum())}
    source = "upstream" if series.metric == _UPSTREAM else "gateway"
    rows: list[tuple[object, ...]] = []
    for model, answers, least, most, largest, unstated in stated.iter_rows():
        rows.append((direction, model, source, answers, least, most, unstated,
                     *_judged(found.get(model, 0.0), least, most, unstated * largest)))  # fmt: skip
    return rows if any(row[3] for row in rows) else []


def _judged(counted: float, least: int, most: int, reach: int) -> tuple[float, float, float, str | None]:
    lost = max(0.0, least - counted)
    beyond = max(0.0, counted - most)
    too_many = max(0.0, beyond - reach)
    if lost > _ROUNDING:
        return counted, lost, 0.0, "lost"
    if too_many > _ROUNDING:
        return counted, 0.0, too_many, "counted too often"
    return counted, 0.0, 0.0, "calls that stated no usage" if beyond > _ROUNDING else None


def _has_label(run: Run, metric: str) -> bool:
    query = "select count(*) from readings where metric in ($name, $name || '_total') and labels[$label] is not null"
    return bool(run.sql(query, {"name": metric, "label": _MODEL_LABEL}).item())


def _stated(run: Run, column: str, model: str) -> pl.DataFrame:
    """Give, by model: answers with usage, their tokens at least and at most, the largest, and the other calls."""
    query = f"""
        with edges as (
            select min(at_us - duration_us) as first_us, min(at_us) as first_end_us,
                   max(at_us - duration_us) as last_us, max(at_us) as last_end_us
            from scrapes where endpoint = 'metrics' and ok
        )
        select {model} as model, count({column}) as answers,
               coalesce(sum({column}) filter (sent_at_us >= first_end_us and done_at_us <= last_us), 0)::BIGINT
                   as least,
               coalesce(sum({column}) filter (done_at_us >= first_us and sent_at_us <= last_end_us), 0)::BIGINT as most,
               coalesce(max({column}), 0)::BIGINT as largest,
               count(*) filter ({column} is null
                                and kind not in ('denied', 'unauthorized', 'rate_limited', 'fast_fail')) as unstated
        from outcomes, edges where attempts > 0 group by 1 order by 1"""  # noqa: S608 - our own names
    return run.sql(query)
