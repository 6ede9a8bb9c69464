"""Which calls that must be refused a run saw let through, by whether its answers bear ids, and which refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.analysis.verdicts.criteria.wording import is_of_the_load
from soaklib.targets import refusal_proofs

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["let_through_sql", "refused_probe_sql"]

_BEARS_IDS: Final = "select exists(from outcomes where kind = 'ok' and correlation_id is not null)"


def let_through_sql(run: Run) -> str:
    """Give the SQL of whether a call that must be refused was let through for certain."""
    return refusal_proofs.let_through_sql(run.info.plan.target.kind, bears_ids=run.asked(_BEARS_IDS).item())


def refused_probe_sql(run: Run) -> str:
    """Give the SQL of whether a probe was refused as it must be: by policy, or for the token that it tries."""
    return f"{refusal_proofs.IS_REFUSED} and (kind = 'denied' or not {is_of_the_load(run)})"
