"""What a soak asks of senders that send its load in its place: it then conducts, and sends no slot itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from soaklib.runner.soak import Soak

__all__ = ["Senders"]


class Senders(Protocol):
    """Processes that send the load, each its share of the slots."""

    async def begin(self, soak: Soak) -> int:
        """Start them, or find those that live; give the reading of the run's clock at soak second 0.

        It is over when it is time to ask for the first tokens.

        Raises
        ------
        SoaklibError
            They cannot be started.
        """

    async def sent(self) -> None:
        """Wait until each has sent its last slot, or is lost."""

    async def watch(self) -> None:
        """Take in what they tell, until cancelled."""

    async def end(self) -> None:
        """Tell those that still send to stop, and wait until all are gone."""
