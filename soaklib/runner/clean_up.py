"""Taking back what was made, whatever becomes of any of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from soaklib.errors import first_line
from soaklib.records import EventName

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from soaklib.runner.events import EventLog
    from soaklib.runner.recorder import Recorder

__all__ = ["clean_up", "hand_over_rows"]

_WITHIN_S: Final = 30.0
_HANDED_OVER_WITHIN_S: Final = 1.0


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


async def hand_over_rows(recorder: Recorder) -> None:
    """Hand over the last rows, which nothing else does while a gateway is waited for with no load on.

    They are waited for no longer than a disk takes that is well: what is on is to be taken back.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_HANDED_OVER_WITHIN_S):
            await recorder.is_written_down()
