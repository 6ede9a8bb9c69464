"""How many agents a load needs under a limit of calls an agent may make."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from soaklib.records import EventName

if TYPE_CHECKING:
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.runner.events import EventLog

__all__ = ["busiest_role", "say_rate_limit"]

_LIMIT_CALLS: Final = 5  # the real gateway's limit: calls an agent may make ...
_LIMIT_WINDOW_S: Final = 60.0  # ... in this many seconds
_STANDARD_DEVIATIONS: Final = 5.0
"""Room for the draw of the slots: the busiest of a day's 1,440 minutes lies some 3.5 of these above the mean."""


def busiest_role(plan: Plan, slots: float) -> tuple[float, float]:
    """Give the most calls that a role is planned to make in a stretch, and the most that the draw of slots makes of it.

    Parameters
    ----------
    plan
        Names the operations and their shares.
    slots
        Slots of the stretch. What each does is drawn, so that the calls of a role spread about what is planned.

    Returns
    -------
    tuple of float
        Calls planned, and planned plus five standard deviations.
    """
    busiest = (0.0, 0.0)
    for role in plan.roles:
        own = [operation for operation in plan.operations if operation.role == role]
        mean = sum(operation.share * len(operation.steps) for operation in own)
        variance = sum(operation.share * len(operation.steps) ** 2 for operation in own) - mean**2
        most = slots * mean + _STANDARD_DEVIATIONS * math.sqrt(slots * variance)
        busiest = max(busiest, (slots * mean, most), key=lambda calls: calls[1])
    return busiest


async def say_rate_limit(rate_limited: asyncio.Event, events: EventLog, plan: Plan, settings: SoakSettings) -> None:
    """Say once how many agents a role would need: by the limit that is known, and how to tell by another."""
    await rate_limited.wait()
    # the reference gateway shortens the limit's window by its speed, so that in soak time it is the same
    rps = settings.rps * (1 if settings.embedded else settings.speed)
    planned, most = busiest_role(plan, rps * _LIMIT_WINDOW_S)
    agents = math.ceil(most / _LIMIT_CALLS) + 1
    events.write(
        EventName.RATE_LIMITED,
        f"calls are answered with 429; the busiest role plans {planned:.0f} calls a minute, and up to {most:.0f} as "
        f"its slots are drawn: divide that by what the gateway allows an agent, which is --agents-per-role {agents} "
        f"where it is {_LIMIT_CALLS} in {_LIMIT_WINDOW_S:g} s",
    )
    await asyncio.Event().wait()
