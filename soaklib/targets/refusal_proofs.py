"""What became of a call that must be refused: it was refused, it was let through, or it tells neither.

A gateway that is full, a limiter that asks for no token, and a balancer whose gateway restarts answer before anybody
looks at who calls: such an answer is no proof, as a time limit is none. Nor is the word that a session is gone, or that
a quota or a budget is used up: whose it is was known then, and nobody said that it may not.

The contract of the default kind of gateway says that it asks for token and policy before parameters, limits and the
tool, and that each answer of its own bears an id; of any other kind only what has passed them for certain is proof.
"""

from __future__ import annotations

from typing import Final

from soaklib.plan.model import TargetTable

__all__ = ["IS_REFUSED", "let_through_sql"]

IS_REFUSED: Final = (
    "(kind in ('unauthorized', 'denied') and coalesce(reason, '') not in ('session_lost', 'quota', 'budget'))"
)
"""SQL of whether a call was refused for whom it was made as, or for what it asked for."""

_IS_OF_ANY: Final = "(status = 429 or status >= 500)"
"""What a balancer and a limiter in front of the gateway say as well as the gateway itself."""


def let_through_sql(kind: str, *, bears_ids: bool) -> str:
    """Give the SQL of whether a call that must be refused was let through for certain.

    Parameters
    ----------
    kind
        What the plan's ``[target]`` calls the gateway.
    bears_ids
        Whether answers were seen that have a correlation id.
    """
    is_default = kind == TargetTable().kind
    is_from_elsewhere = "false" if is_default and not bears_ids else f"{_IS_OF_ANY} and correlation_id is null"
    return f"""(case
            when coalesce("limit", '') = 'lock-out' or coalesce(reason, '') = 'overloaded' then false
            when {is_from_elsewhere} then false
            when kind = 'rate_limited' then {str(is_default).lower()}
            when kind = 'invalid_response' then status between 200 and 299
            when kind = 'invalid_request' then coalesce(reason, '') <> 'client_error' or status between 200 and 299
            when kind = 'upstream_error' then coalesce(reason, '') <> 'internal' or coalesce(status, 0) < 500
            else kind in ('ok', 'fast_fail') end)"""
