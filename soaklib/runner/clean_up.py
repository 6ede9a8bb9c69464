"""Taking back what was made, whatever becomes of any of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from soaklib.errors import first_line
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from soaklib.runner.events import EventLog

__all__ = ["clean_up"]

_WITHIN_S: Final = 30.0


async def clean_up(step: Awaitable[object], events: EventLog, *, within_s: float | None = _WITHIN_S) -> None:
    """Take one step of a clean-up; that it failed is said, and keeps none of the others from being taken.

    Parameters
    ----------
    step
        What is to be done.
    events
        Where to say what failed.
    within_s
        How long it may take, wall seconds; None for a step with its own limit.
    """
    try:
        async with asyncio.timeout(within_s):
            await step
    except TimeoutError:
        events.write(EventName.CHANGE_FAILED, "clean-up: it took too long")
    except ExceptionGroup as failures:  # of changes that are taken back side by side
        for exc in failures.exceptions:
            events.write(EventName.CHANGE_FAILED, f"clean-up: {first_line(exc)}")
    except Exception as exc:  # noqa: BLE001 - whatever a target raises: what else is on is to be taken back
        events.write(EventName.CHANGE_FAILED, f"clean-up: {first_line(exc)}")
