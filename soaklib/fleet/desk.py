"""The conductor's desk: a small TCP server that tells what time it is for the run, and when the soak starts.

========================== ===========================================================================================
a line that it is sent     what it answers
========================== ===========================================================================================
``RUN time``               its reading of the run's clock, microseconds, put right after a sleep; at once
``RUN ready LANE``         the reading at which the soak starts; when that is known, which is when all lanes are ready
========================== ===========================================================================================

RUN is the run's id, so that a lane is never told another run's time. Nothing that it is told can change the run: a
stranger at its port learns the time and nothing else.

How far another clock is ahead of this one follows from a round trip (Cristian, Distributed Computing 3, 1989): an
answer that was read somewhere between asking and hearing is off by half the time between the two at most. The shortest
of a few round trips has the smallest bound.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from soaklib.errors import SettingsError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_BOUND_US", "ClockOffset", "Desk", "address", "ask_start", "measure_offset"]

MOST_BOUND_US: Final = 50_000
"""A clock that is known no better than this is not known well enough to send by."""
_ROUND_TRIPS: Final = 9
_TOLD_FROM_US: Final = 500  # half of what the load's own loop is late by
_ANSWERS_WITHIN_S: Final = 5.0
_STARTS_WITHIN_S = 180.0  # longer than a conductor waits for the last of its lanes
_LINE: Final = re.compile(rb"(\S+) (time|ready) ?(\d{1,5})?\n")
_MOST_LINE_BYTES: Final = 256


@dataclass(frozen=True)
class ClockOffset:
    """How far a clock is ahead of the conductor's.

    Attributes
    ----------
    offset_us
        The best guess.
    bound_us
        How far it may be off, either way: half of the shortest round trip.
    """

    offset_us: int
    bound_us: int

    def applied_us(self, before_us: int = 0) -> int:
        """Give what is corrected by: what was before, unless the offset is told from it, and by half a millisecond."""
        is_told = abs(self.offset_us - before_us) > max(self.bound_us, _TOLD_FROM_US)
        return self.offset_us if is_told else before_us

    def told(self, applied_us: int) -> dict[str, int]:
        """Give the data of the event that says what was measured, and what is corrected by since."""
        return {"offset_us": self.offset_us, "bound_us": self.bound_us, "applied_us": applied_us}

    @classmethod
    def of(cls, asked_us: int, said_us: int, heard_us: int) -> Self:
        """Give what one round trip tells: asked and heard by the own clock, and what the other one said between."""
        return cls((asked_us + heard_us) // 2 - said_us, -(-(heard_us - asked_us) // 2))


class Desk:
    """Answers lanes, on entering until leaving.

    Parameters
    ----------
    run_id
        Whose lanes are answered.
    now_us
        The conductor's clock.
    host, port
        Where to listen; port 0 for any that is free.

    Attributes
    ----------
    ready
        Numbers of the lanes that have said so.
    arrived
        Set when one more has.
    start_us
        Takes when the soak starts.
    """

    def __init__(self, run_id: str, now_us: Callable[[], int], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._run_id = run_id.encode()
        self._now_us = now_us
        self._at = host, port
        self.ready: set[int] = set()
        self.arrived = asyncio.Event()
        self.start_us: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._answer, *self._at, limit=_MOST_LINE_BYTES)
        except OSError as exc:
            msg = f"cannot listen on {self._at[0]}:{self._at[1]} for the lanes: {exc.strerror or exc}"
            raise SettingsError(msg) from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.start_us.cancel()

    @property
    def address(self) -> str:
        """Where lanes find it, as host:port."""
        return f"{self._at[0]}:{self._server.sockets[0].getsockname()[1]}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.CancelledError):  # a client that is gone, or says no such line
            while (match := _LINE.fullmatch(await reader.readline())) is not None and match[1] == self._run_id:
                said_us = self._now_us()
                if match[2] == b"ready" and match[3]:
                    self.ready.add(int(match[3]))
                    self.arrived.set()
                    said_us = await asyncio.shield(self.start_us)
                writer.write(b"%d\n" % said_us)
                await writer.drain()
        writer.close()


def address(text: str) -> tuple[str, int]:
    """Read host:port.

    Raises
    ------
    SettingsError
        It is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal():
        msg = f"{text!r}: must have the form HOST:PORT"
        raise SettingsError(msg)
    return host.strip("[]"), int(port)


async def measure_offset(desk: str, run_id: str, now_us: Callable[[], int], *, k: int = _ROUND_TRIPS) -> ClockOffset:
    """Measure how far a clock is ahead of the conductor's, by the shortest of `k` round trips.

    Raises
    ------
    TargetError
        The desk does not answer.
    """
    measured = []
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            reader, writer = await asyncio.open_connection(*address(desk))
            try:
                for _ in range(k):
                    asked_us = now_us()
                    writer.write(f"{run_id} time\n".encode())
                    said = await reader.readline()
                    measured.append(ClockOffset.of(asked_us, int(said), now_us()))
            finally:
                writer.close()
    except (OSError, ValueError) as exc:  # TimeoutError is an OSError
        msg = f"the conductor's desk at {desk} does not tell the time of the run: {str(exc) or 'no answer'}"
        raise TargetError(msg) from exc
    return min(measured, key=lambda one: one.bound_us)


async def ask_start(desk: str, run_id: str, lane: int) -> int:
    """Say that a lane is ready, and wait until the conductor says when the soak starts, by the conductor's clock.

    Raises
    ------
    TargetError
        The conductor is gone, or cannot be reached any more, which nothing else may tell.
    """
    try:
        async with asyncio.timeout(_STARTS_WITHIN_S):
            reader, writer = await asyncio.open_connection(*address(desk))
            try:
                writer.write(f"{run_id} ready {lane}\n".encode())
                return int(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError) as exc:
        msg = f"the conductor's desk at {desk} was gone before it said when the soak starts"
        raise TargetError(msg) from exc
