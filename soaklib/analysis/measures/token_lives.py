"""Calls that were refused for their token, each beside the life of the token that it bore.

A token is asked to live for so long from when it is asked for. That was between the beginning of its rotation and the
moment at which all its tokens were in place, so that each generation has an earliest end and a latest one. A call that
was answered before the first bore a good token; one that was sent after the second bore a dead one, which the next
rotation should have replaced: it had the spare of a token's life over the time from one rotation to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["RefusedTokens", "refused_tokens"]

_CUT_OFF_US: Final = 1000
"""The moment until which a token is to live is asked for in whole milliseconds."""


class RefusedTokens(NamedTuple):
    """How many calls were refused with which tokens; times in milliseconds.

    Attributes
    ----------
    good
        With one that was good, or refused for something else than its age, or of which no age is known.
    neglected
        With a dead one, which the next rotation would have replaced too late however punctual it was.
    late
        With a dead one, which it would have replaced in time, had the generator begun it when it was due.
    unsure
        With one that may have been good or dead.
    rotation, lag_ms, took_ms
        The rotation that was over latest of those that came too late for the last two: how late it was begun, and what
        it took; None where it is not known.
    spare_ms
        How much longer tokens live than it is from one rotation to the next.
    """

    good: int
    neglected: int
    late: int
    unsure: int
    rotation: int | None
    lag_ms: float | None
    took_ms: float | None
    spare_ms: float


def refused_tokens(run: Run, of: str = "true") -> RefusedTokens:
    """Count the calls that were refused for their token by what is known of its life.

    Parameters
    ----------
    run
        The run.
    of
        SQL of which calls are looked at.
    """
    intervals = run.info.plan.intervals
    life_us = round(intervals.token_lifetime_s / run.info.speed * 1e6) - _CUT_OFF_US
    spare_us = life_us - round(intervals.rotate_tokens_s / run.info.speed * 1e6)
    due_s = f"next.rotation * {intervals.rotate_tokens_s!r}"
    # lanes of a fleet have tokens of their own, whose rotations do not say what they took
    query = f"""
        with told as (
            select (data->>'generation')::INTEGER as generation, at_us,
                   (1000 * coalesce(data->>'took_ms', data->>'tokens_took_ms')::DOUBLE)::BIGINT as took_us,
                   case when event_key like 'rotation:%' then split_part(event_key, ':', 2)::INTEGER end as rotation
            from events where name in ('TOKENS_ROTATED', 'SOAK_TEST_STARTED', 'SOAK_TEST_RESUMED') and data is not null
        ),
        tokens as (
            select generation, min(at_us - took_us) as begun_us, max(at_us) as placed_us, min(rotation) as rotation
            from told where generation is not null and took_us is not null group by generation
        ),
        lives as (
            select own.generation, own.begun_us + {life_us} as ends_us, own.placed_us + {life_us} as ended_us,
                   next.rotation, next.placed_us - next.begun_us as took_us,
                   case when next.rotation is not null then greatest(0, least(
                       (soak_seconds(next.begun_us) - {due_s}) / {run.info.speed!r} * 1e6, next.begun_us - own.placed_us
                   )) end as lag_us
            from tokens as own left join tokens as next on next.generation = own.generation + 1
        ),
        refused as (
            select rotation, lag_us, took_us,
                   case when reason is distinct from 'token_expired' or lane is not null or ends_us is null
                             or done_at_us is null or done_at_us < ends_us then 'good'
                        when sent_at_us < ended_us then 'unsure'
                        when took_us <= {spare_us} and lag_us + took_us > {spare_us} then 'late'
                        else 'neglected' end as what
            from valid_calls left join lives on lives.generation = token_generation
            where kind = 'unauthorized' and {of}
        )
        select count(*) filter (what = 'good'), count(*) filter (what = 'neglected'), count(*) filter (what = 'late'),
               count(*) filter (what = 'unsure'), {_of_latest("rotation")}, {_of_latest("lag_us")} / 1e3,
               {_of_latest("took_us")} / 1e3, {spare_us} / 1e3
        from refused"""  # noqa: S608 - our own numbers and conditions
    return RefusedTokens(*run.sql(query).row(0))


def _of_latest(column: str) -> str:
    return f"arg_max({column}, lag_us + took_us) filter (what in ('late', 'unsure'))"
