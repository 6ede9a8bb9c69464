"""What a gateway states beside its answers, by window: usage, price, its own time, tries, what its limits leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.analysis.measures.windows import aggregate, groups_of, window_ends_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from soaklib.analysis.sources.run import Run

__all__ = ["stated"]


def stated(source: Run | pl.DataFrame, every: str = "1h", *, by: str | Sequence[str] = ("tool",)) -> pl.DataFrame:
    """Give what the answers to the load's calls state, refusals too, over windows of soak time.

    Parameters
    ----------
    source
        A run, or a frame of its outcomes.
    every
        Length of a window in soak time; ``"all"`` for one over everything.
    by
        Column of ``calls`` to tell apart, or several, such as ``("tool", "key_id")``; empty for all calls together.

    Returns
    -------
    polars.DataFrame
        ``soak_s`` and ``end_s`` (the window; no end for ``"all"``), the columns of `by`, ``n`` (calls sent);
        ``first_byte_p50_ms`` (of streams, from the sending; see :func:`soaklib.first_token` for the first token, with
        intervals), ``chunks`` (of a stream, on average), ``input_tokens``, ``output_tokens`` and ``cost_usd`` (sums),
        ``gateway_p50_ms`` and ``gateway_p99_ms`` (what the gateway says it took itself), ``retries`` and ``fallbacks``
        (sums), ``remaining_least`` (fewest calls that a limit still let through). Null where no answer of the window
        says so; a window without a call has no row.

    Raises
    ------
    SettingsError
        A column cannot be grouped by, or a frame lacks one.
    """
    names = "".join(f"{name}, " for name in groups_of(by))
    return aggregate(
        source,
        f"""
        select {window_ends_sql(every)}, {names} count(*)::BIGINT as n,
               quantile_disc(first_byte_at_us - sent_at_us, 0.5) / 1000 as first_byte_p50_ms, avg(chunks) as chunks,
               sum(input_tokens)::BIGINT as input_tokens, sum(output_tokens)::BIGINT as output_tokens,
               sum(cost_usd)::DOUBLE as cost_usd,
               quantile_disc(gateway_us, 0.5) / 1000 as gateway_p50_ms,
               quantile_disc(gateway_us, 0.99) / 1000 as gateway_p99_ms,
               sum(retries)::BIGINT as retries, sum(fallbacks)::BIGINT as fallbacks,
               min(remaining)::BIGINT as remaining_least
        from calls where purpose = 'load' and sent_at_us is not null group by all order by all""",  # noqa: S608 - our own names
    )
