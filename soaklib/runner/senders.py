"""What a soak asks of senders that send its load in its place: it then conducts, and sends no slot itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from soaklib.runner.clock import RunClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.vitals import Vitals

__all__ = ["LaneSight", "Senders"]


class LaneSight(NamedTuple):
    """What is seen of one sender while it runs.

    Attributes
    ----------
    lane
        Its number.
    is_alive
        Whether it is thought to live.
    slots_passed
        Slots of the whole schedule that are behind it.
    sent_per_s, in_flight, lag_us, p50_us, p99_us
        Calls sent in the last second, operations under way, the largest lag of the last second, and service times.
    outcomes
        Its rows so far, by kind.
    """

    lane: int
    is_alive: bool
    slots_passed: int
    sent_per_s: float
    in_flight: int
    lag_us: int
    p50_us: int | None
    p99_us: int | None
    outcomes: Counter[str]


class Senders(Protocol):
    """Processes that send the load, each its share of the slots."""

    async def begin(self, *, clock: RunClock, events: EventLog, vitals: Vitals) -> int:
        """Start them, or find those that live; give the reading of the run's clock at soak second 0.

        It is over when it is time to ask for the first tokens.

        Raises
        ------
        SoaklibError
            They cannot be started.
        """

    def lanes_seen(self) -> Sequence[LaneSight]:
        """Give what is seen of each, in the order of their numbers."""

    async def sent(self) -> None:
        """Wait until each has sent its last slot, or is lost."""

    async def watch(self) -> None:
        """Take in what they tell, until cancelled."""

    async def end(self) -> None:
        """Tell those that still send to stop, and wait until all are gone."""

    def drop(self) -> None:
        """Tell them to stop, as far as they can be told without waiting: this process is about to leave."""
