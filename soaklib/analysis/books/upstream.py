"""Three books of the same calls: what the client saw, what the gateway counted, what the mock upstream behind it did.

The upstream is the soak's own, and says what it was asked and did (events ``UPSTREAM_COUNTED``). What it answered whole
was brought about by some call: by one that was answered ok, or by one of which the client does not know what became of
it upstream. More than those can explain was *asked twice*: a gateway that tries again what had succeeded, or sends a
call to two places, pays for it. An ok that no whole answer of the upstream stands behind came from elsewhere: a cache,
or the gateway itself.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.measures.meanings import told_by
from soaklib.analysis.measures.metrics import metered
from soaklib.analysis.measures.windows import summed
from soaklib.records import EventName
from soaklib.targets import load_target
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["UPSTREAM_SCHEMA", "upstream_books", "upstream_lateness"]

UPSTREAM_SCHEMA: Final = pl.Schema(
    {
        "what": pl.String(), "model": pl.String(), "client": pl.Int64(), "client_most": pl.Int64(),
        "unknown": pl.Int64(), "gateway": pl.Float64(), "upstream": pl.Int64(), "asked_twice": pl.Int64(),
        "from_elsewhere": pl.Int64(),
    }
)  # fmt: skip
"""Columns and types of :func:`upstream_books`."""

_ALL: Final = "all"
_WHAT: Final[Mapping[str, tuple[str, str, Meaning]]] = {
    "answers": ("answers", "1", Meaning.REQUESTS),
    "tokens in": ("in", "input_tokens", Meaning.TOKENS_IN),
    "tokens out": ("out", "output_tokens", Meaning.TOKENS_OUT),
}
"""What is held -> the upstream's word for it, what an ok call says of it in SQL, what the gateway's counter means."""
_REFUSED: Final = "('denied', 'unauthorized', 'rate_limited', 'fast_fail')"
_COUNTED: Final = f"select at_us, data from events where name = '{EventName.UPSTREAM_COUNTED}' order by at_us"  # noqa: S608 - our own word


class _Count(NamedTuple):
    """What the upstream said, and from when to when it was asked."""

    asked_us: int
    at_us: int
    began_s: float
    each: Mapping[str, Mapping[str, int]]


def upstream_books(run: Run) -> pl.DataFrame:
    """Hold what the client saw, what the gateway counted and what the mock upstream did against each other.

    Parameters
    ----------
    run
        The run; of a stretch of it, the whole is judged.

    Returns
    -------
    polars.DataFrame
        By ``what`` (``answers``, ``tokens in``, ``tokens out``) and ``model`` (``all`` where the upstream has other
        names for them): ``client`` and ``client_most`` (of calls answered ok that lie whole between the first and the
        last word of the upstream, and of all that touch it), ``unknown`` (as much as calls may have brought about that
        were sent, and neither answered ok nor refused), ``gateway`` (what its counter counted; null where it has none;
        answers that were no success may be among them), ``upstream`` (of its whole answers), ``asked_twice`` (what no
        call explains) and ``from_elsewhere`` (what the client was answered and the upstream never gave). Empty where
        the run knows of no such upstream, or it began anew meanwhile.
    """
    run = run.whole
    counts = _counts(run)
    if len(counts) < 2 or any(later.began_s != earlier.began_s for earlier, later in pairwise(counts)):  # noqa: PLR2004 - the first word and the last
        return pl.DataFrame(schema=UPSTREAM_SCHEMA)
    first, last = counts[0], counts[-1]
    has_names = set(last.each) & set(run.info.plan.tools) and set(last.each) <= _called(run)
    rows = [
        row
        for what, (word, column, meaning) in _WHAT.items()
        for row in _rows(run, (what, column), _gateway(run, meaning, by_name=bool(has_names)),
                         _increase(first, last, word, by_name=bool(has_names)), (first, last))
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=UPSTREAM_SCHEMA, orient="row").sort("what", "model")


def upstream_lateness(run: Run) -> tuple[int, float] | None:
    """Give how many answers and frames left the upstream late during the run, and the longest delay in ms so far.

    None where the run knows of no such upstream. What was late there is not the gateway's.
    """
    said = [json.loads(data)["late"] for _, data in run.whole.sql(_COUNTED).iter_rows()]
    return (said[-1]["count"] - said[0]["count"], float(said[-1]["max_ms"])) if said else None


def _counts(run: Run) -> list[_Count]:
    return [
        _Count(told["asked_us"], at_us, told["began_s"], told["each"])
        for at_us, data in run.sql(_COUNTED).iter_rows()
        for told in [json.loads(data)]
    ]


def _called(run: Run) -> set[str]:
    return set(run.sql("select distinct tool from outcomes where attempts > 0")["tool"])


def _increase(first: _Count, last: _Count, word: str, *, by_name: bool) -> dict[str, int]:
    grown = {name: said[word] - first.each.get(name, {}).get(word, 0) for name, said in last.each.items()}
    return grown if by_name else {_ALL: sum(grown.values())}


def _gateway(run: Run, meaning: Meaning, *, by_name: bool) -> dict[str, float | None]:
    """Give what the gateway's counter counted, by model where it tells them apart; nothing where it is not known."""
    metrics = load_target(run.info.plan.target).metrics
    series = metrics.meanings.get(meaning)
    if series is None or (by_name and metrics.model_label is None):
        return {}
    label = metrics.model_label if by_name else None
    by = [*series.labels, *((label,) if label else ())]
    counted = told_by(series, metered(run, series.metric, "all", by=by))
    if not counted.height:
        return {}
    if label is None:
        return {_ALL: float(counted["n"].sum())} if counted["n"].count() else {}
    return dict(summed(counted, "n", label).iter_rows())


def _rows(
    run: Run,
    of: tuple[str, str],
    gateway: Mapping[str, float | None],
    upstream: Mapping[str, int],
    words: Sequence[_Count],
) -> list[tuple[object, ...]]:
    (what, column), (first, last) = of, words
    name = f"'{_ALL}'" if _ALL in upstream else "tool"
    found = run.sql(
        f"""
        select {name} as model,
               coalesce(sum({column}) filter (kind = 'ok' and sent_at_us >= {first.at_us}
                                              and done_at_us <= {last.asked_us}), 0)::BIGINT as least,
               coalesce(sum({column}) filter (kind = 'ok' and done_at_us >= {first.asked_us}
                                              and sent_at_us <= {last.at_us}), 0)::BIGINT as most,
               count(*) filter (kind not in ('ok', {_REFUSED[1:-1]})
                                or kind = 'ok' and {column} is null)::BIGINT as silent,
               coalesce(max({column}), 0)::BIGINT as largest
        from outcomes where attempts > 0 group by 1 order by 1"""  # noqa: S608 - our own names and numbers
    )
    rows: list[tuple[object, ...]] = []
    for model, least, most, silent, largest in found.iter_rows():
        unknown, did = silent * largest, upstream.get(model, 0)
        rows.append(
            (what, model, least, most, unknown, gateway.get(model), did, max(0, did - most - unknown),
             max(0, least - did))
        )  # fmt: skip
    return rows
