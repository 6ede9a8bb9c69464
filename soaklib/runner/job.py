"""What one soak is to do, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soaklib.runner.recovery import Past

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from soaklib.errors import SoaklibError
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.records import RunStatus
    from soaklib.runner.senders import Senders
    from soaklib.store.views import Segment

__all__ = ["SoakJob", "SoakResult"]


@dataclass(frozen=True, kw_only=True)
class SoakJob:
    """One soak to be run.

    Attributes
    ----------
    run_id, folder
        Name of the run, and where it leaves its files.
    settings, plan
        What to do.
    target
        Base URL of the gateway.
    anchor_utc
        UTC time of the run's microsecond 0.
    past
        What happened before, when the run is resumed.
    senders
        What sends the load in its place; None where it sends the load itself. Soak time then never stands still: the
        senders go by the plan's clock, whether their conductor lives or not.
    """

    run_id: str
    folder: Path
    settings: SoakSettings
    plan: Plan
    target: str
    anchor_utc: dt.datetime
    past: Past = field(default_factory=Past)
    senders: Senders | None = None


@dataclass(frozen=True, kw_only=True)
class SoakResult:
    """How a soak ended.

    Attributes
    ----------
    status
        ``completed``, ``interrupted`` or ``failed``.
    segments
        The stretches of the run that this runner made, their ends filled in.
    error
        Why it failed; None otherwise.
    """

    status: RunStatus
    segments: tuple[Segment, ...]
    error: SoaklibError | None = None
