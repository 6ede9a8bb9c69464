"""How many agents a load needs under a limit of calls an agent may make."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from soaklib.plan.given import AgentLimit
from soaklib.records import EventName

if TYPE_CHECKING:
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.runner.events import EventLog

__all__ = ["busiest_role", "planned_calls", "say_rate_limit"]

_LIMIT_WINDOW_S: Final = 60.0  # of a limit that nobody stated
_STANDARD_DEVIATIONS: Final = 5.0
"""Room for the draw of the slots: the busiest of a day's 1,440 minutes lies some 3.5 of these above the mean."""


def planned_calls(plan: Plan, role: str, slots: float) -> tuple[float, float]:
    """Give the calls that a role is planned to make in a stretch, and the most that the draw of slots makes of it.

    Parameters
    ----------
    plan
        Names the operations and their shares.
    role
        Whose calls; one of no operation makes none.
    slots
        Slots of the stretch. What each does is drawn, so that the calls of a role spread about what is planned.

    Returns
    -------
    tuple of float
        Calls planned, and planned plus five standard deviations.
    """
    own = [operation for operation in plan.operations if operation.role == role]
    mean = sum(operation.share * len(operation.steps) for operation in own)
    variance = sum(operation.share * len(operation.steps) ** 2 for operation in own) - mean**2
    return slots * mean, slots * mean + _STANDARD_DEVIATIONS * math.sqrt(slots * variance)


def busiest_role(plan: Plan, slots: float) -> tuple[float, float]:
    """Give the calls of the role that makes most of them in a stretch, as :func:`planned_calls` does."""
    return max(
        (planned_calls(plan, role, slots) for role in plan.roles), key=lambda calls: calls[1], default=(0.0, 0.0)
    )


async def say_rate_limit(
    rate_limited: asyncio.Future[str], events: EventLog, plan: Plan, settings: SoakSettings, stated: str | None
) -> None:
    """Say once how many agents the load would need: by the limit that is known, or how to tell by one that is not.

    The role that was refused is told, and the busiest one beside it: every role has as many agents.

    What is known goes into the event's data: a 429 beyond it is no failure of the gateway's (the view ``calls``).

    Parameters
    ----------
    rate_limited
        Has the role that got the first 429.
    events, plan, settings
        Of the run.
    stated
        The limit that the target is known for, as ``--agent-limit`` takes it.
    """
    role = await rate_limited
    said = settings.agent_limit or stated
    limit = None if said is None else AgentLimit.parse(said)
    window_s = _LIMIT_WINDOW_S if limit is None else limit.window_s
    # the reference gateway shortens the limit's window by its speed, so that in soak time it is the same
    rps = settings.rps * (1 if settings.embedded else settings.speed)
    refused, busiest = planned_calls(plan, role, rps * window_s), busiest_role(plan, rps * window_s)
    what = f"a call of the role {role} was answered with 429; in {window_s:g} s it plans {_calls(refused)}"
    if busiest[1] > refused[1]:
        what += f", the busiest role {_calls(busiest)}"
    if limit is None:
        events.write(
            EventName.RATE_LIMITED,
            f"{what}: divide that by what the gateway allows an agent, for --agents-per-role; --agent-limit says what "
            "it allows, and 429 beyond that is then no failure of the gateway's",
        )
    else:
        agents, most = (math.ceil(calls / limit.calls) + 1 for _, calls in (refused, busiest))
        needed = f"{agents} for it, and {most} for the busiest," if most > agents else f"{agents}"
        wall_s = window_s / settings.speed if settings.embedded else window_s
        events.write(
            EventName.RATE_LIMITED,
            f"{what}: that is --agents-per-role {needed} where an agent may make {limit.calls} in {window_s:g} s",
            data={"calls": limit.calls, "window_s": wall_s},
        )
    await asyncio.Event().wait()


def _calls(planned: tuple[float, float]) -> str:
    return f"{planned[0]:.0f} calls, up to {planned[1]:.0f} as its slots are drawn"
