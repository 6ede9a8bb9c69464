"""Which calls that must be refused a run saw let through, by whether its answers bear ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.targets import refusal_proofs

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["let_through_sql"]

_BEARS_IDS: Final = "select exists(from outcomes where kind = 'ok' and correlation_id is not null)"


def let_through_sql(run: Run) -> str:
    """Give the SQL of whether a call that must be refused was let through for certain."""
    return refusal_proofs.let_through_sql(run.info.plan.target.kind, bears_ids=run.asked(_BEARS_IDS).item())
