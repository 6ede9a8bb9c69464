"""Exact latency quantiles from all rows, with what never came back counted as it was seen: longer than its wait.

A timeout or a transport error says that the answer would have taken longer than the time until it was given up: it is
right-censored there. Every quantile therefore places those calls behind all others. Where a quantile falls among them,
its value is unknown but bounded, and what is reported is that lower bound, flagged `at_least`. Nothing is left out, and
quantiles of windows are never averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.windows import aggregate, window_sql
from soaklib.errors import SettingsError
from soaklib.records import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from soaklib.analysis.load import Run

__all__ = ["CENSORED_KINDS", "QUANTILES", "latency"]

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
CENSORED_KINDS: Final = (Kind.TIMEOUT, Kind.TRANSPORT_ERROR)
_TAIL_OBSERVATIONS: Final = 10
_GROUPS: Final = frozenset({"tool", "action", "role", "phase", "purpose", "kind"})


def latency(
    source: Run | pl.DataFrame,
    every: str = "1m",
    *,
    by: Sequence[str] = ("tool",),
    quantiles: Sequence[float] = QUANTILES,
) -> pl.DataFrame:
    """Give quantiles of service time and of response time over windows of soak time.

    Service time is what the gateway took (done - sent); response time counts from the planned time (done - planned), so
    that a generator or a gateway that stalls cannot hide the wait it caused (coordinated omission).

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Columns of ``calls`` to tell apart; empty for all calls together.
    quantiles
        Levels between 0 and 1.

    Returns
    -------
    polars.DataFrame
        ``soak_s``, the columns of `by`, ``measure`` (``service`` or ``response``), ``quantile``, ``latency_ms``,
        ``at_least`` (whether that is a lower bound only), ``n`` (calls of the load that were sent and ended), and
        ``sufficient`` (whether at least ten observations lie beyond the quantile).

    Raises
    ------
    SettingsError
        A level is not between 0 and 1, or a column cannot be grouped by.
    """
    if not quantiles or not all(0 < level < 1 for level in quantiles):
        msg = f"quantiles={list(quantiles)} must lie between 0 and 1; pass for example [0.5, 0.99]"
        raise SettingsError(msg)
    if unknown := [name for name in by if name not in _GROUPS]:
        msg = f"cannot group by {', '.join(unknown)}; pass some of {', '.join(sorted(_GROUPS))}"
        raise SettingsError(msg)
    groups = "".join(f"{name}, " for name in by)
    levels = "[" + ", ".join(repr(float(level)) for level in quantiles) + "]"
    censored = "(" + ", ".join(f"'{kind}'" for kind in CENSORED_KINDS) + ")"
    return aggregate(
        source,
        f"""
        with ended as (
            select {window_sql(every)} as soak_s, {groups} kind in {censored} as censored,
                   unnest([{{'measure': 'response', 'us': done_at_us - planned_at_us}},
                           {{'measure': 'service', 'us': done_at_us - sent_at_us}}]) as m
            from calls where purpose = 'load' and sent_at_us is not null and done_at_us is not null
        ),
        grouped as (
            select soak_s, {groups} m.measure as measure, count(*)::BIGINT as n,
                   quantile_disc(if(censored, 'infinity'::DOUBLE, m.us::DOUBLE), {levels}) as upper_us,
                   quantile_disc(m.us::DOUBLE, {levels}) as lower_us
            from ended group by all
        ),
        one_level as (
            select * exclude (upper_us, lower_us), unnest({levels}) as quantile, unnest(upper_us) as upper_us,
                   unnest(lower_us) as lower_us
            from grouped
        )
        select soak_s, {groups} measure, quantile::DOUBLE as quantile,
               if(isinf(upper_us), lower_us, upper_us) / 1000 as latency_ms, isinf(upper_us) as at_least, n,
               n * (1 - quantile::DOUBLE) >= {_TAIL_OBSERVATIONS} as sufficient
        from one_level order by all""",  # noqa: S608 - our own names, checked above
    )
