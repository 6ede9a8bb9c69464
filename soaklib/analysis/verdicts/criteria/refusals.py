"""What became of a call that must be refused, of a run whose answers bear ids or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.targets import refusals

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["let_through_sql"]

_BEARS_IDS: Final = "select exists(from outcomes where kind = 'ok' and correlation_id is not null)"


def let_through_sql(run: Run) -> str:
    """Give the SQL of whether a call that must be refused was let through for certain."""
    return refusals.let_through_sql(run.info.plan.target.kind, bears_ids=run.asked(_BEARS_IDS).item())
