"""From when on a quota that the plan cut may deny calls: read from the events, so that no process must remember it.

What a row of ``outcomes`` expects is what the plan said. A cut takes effect at the gateway before its answer is here,
so it may deny from the gate before it on; one whose answer was lost, or whose runner died over it, may be in force as
well. One that the gateway refused is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import EventName
from soaklib.store.quoting import text_sql

if TYPE_CHECKING:
    import duckdb

__all__ = ["GATE_NUMBER", "IS_OF_A_CUT", "IS_OF_VERSION_1", "may_be_cut_sql"]

IS_OF_A_CUT: Final = "contains(event_key, 'update-policy')"
"""Whether an event is of a cut; a run without any is asked no more."""

GATE_NUMBER: Final = r"nullif(regexp_extract(event_key, '^begun:change:(\d+):', 1), '')::INTEGER"
"""Before which of the plan's changes a gate was; NULL of any other event."""
IS_OF_VERSION_1: Final = "(event_key is null and change is null)"
"""Whether a gate was written by version 1, so that its line alone says what it was before; one by hand has a key."""

_SAID: Final = rf"""
    select name, at_us,
           nullif(regexp_extract(event_key, '^(again:)?(begun:)?change:(\d+):update-policy', 3), '')::INTEGER
    from events
    where name <> 'HEALTH_GATE_FAILED'
      and (regexp_matches(event_key, '^(again:)?(begun:)?change:\d+:update-policy')
           or (name = 'HEALTH_GATE_PASSED' and {IS_OF_VERSION_1} and starts_with(detail, 'before update-policy')))
    order by at_us, name <> 'HEALTH_GATE_PASSED'"""  # noqa: S608 - our own words
_REFUSED: Final = (EventName.CHANGE_FAILED, EventName.CHANGE_UNSUPPORTED)


def may_be_cut_sql(connection: duckdb.DuckDBPyConnection) -> str:
    """Give SQL that says of a row of ``outcomes`` whether a quota of its own may have been cut when it ended."""
    conditions = []
    for number, from_us in sorted(_since(connection).items()):
        [(role, scope)] = connection.execute(
            "select plan->>$1, plan->>$2 from run", [f"$.changes[{number}].{part}" for part in ("role", "action")]
        ).fetchall()
        if role is not None and scope is not None:
            conditions.append(
                f"(coalesce(done_at_us, planned_at_us) >= {from_us} and role = {text_sql(role)} and {_is_of(scope)})"
            )
    return " or ".join(conditions) or "false"


def _is_of(scope: str) -> str:
    """Give SQL of whether a call's `tool:action` is a scope, without putting that together for each call."""
    cut_at = [place for place, letter in enumerate(scope) if letter == ":"]
    ways = [f'(tool = {text_sql(scope[:place])} and "action" = {text_sql(scope[place + 1 :])})' for place in cut_at]
    return f"({' or '.join(ways) or 'false'})"


def _since(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Give from when on each cut, by its number in the plan, may be in force."""
    begun: dict[int, int] = {}
    since: dict[int, int] = {}
    gate_us = None  # of a run of version 1, whose gates do not say by a key what they are before
    for name, at_us, number in connection.execute(_SAID).fetchall():
        if number is None:
            gate_us = at_us
        elif name == EventName.HEALTH_GATE_PASSED:
            begun.setdefault(number, at_us)
        elif name in _REFUSED:
            begun.pop(number, None)
        else:
            since.setdefault(number, begun.pop(number, gate_us or at_us))
    return begun | since
