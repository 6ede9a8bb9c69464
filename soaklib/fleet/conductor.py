"""The conductor's side of a fleet: lanes are placed, started together, listened to, and told to stop.

What exists once in a run is the soak's own: gates, policies, changes, probes, scrapes, events, the abort rule. This
lets others send its slots. A lane that dies stays dead while the soak goes on, and no other lane changes its pace: its
slots are missed, and the event says so. Whoever resumes the run starts the lanes that are missing, and no others; one
that lives then and was told to stop by the conductor before is missing as soon as it has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from soaklib.errors import SoaklibError, TargetError, first_line
from soaklib.fleet.desk import Desk
from soaklib.fleet.lanes import Lane
from soaklib.records import EventName
from soaklib.runner.senders import LaneSight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from soaklib.fleet.job import LaneJob
    from soaklib.fleet.report import LaneReport
    from soaklib.runner.clock import RunClock
    from soaklib.runner.events import EventLog
    from soaklib.runner.vitals import Vitals

__all__ = ["Fleet", "LaneState", "Place", "Placing"]

_READY_WITHIN_S: Final = 120.0
_LEAD_US: Final = 500_000
"""From the word that starts the soak to its start: the word's way to every lane."""
_TAKE_IN_EVERY_S: Final = 0.2
_END_WITHIN_S: Final = 60.0
_TELL_WITHIN_S: Final = 10.0
_LATE_S: Final = 60.0
"""A lane that stands still past the plan's end by more is not waited for: nobody may ever let it go on."""


class Place(Protocol):
    """Where one lane runs."""

    def report(self) -> LaneReport | None:
        """Give what the lane said last; None when it has said nothing."""

    def ended(self) -> str | None:
        """Give how the lane's process ended, in words that are empty when it ended well; None while it lives."""

    async def stop(self) -> None:
        """Tell it to stop."""

    async def kill(self) -> None:
        """End it."""

    def drop(self) -> None:
        """Tell it to stop, where it can be told without waiting."""


class Placing(Protocol):
    """Starts lanes somewhere."""

    async def start(self, job: Path, lane: Lane, folder: Path) -> Place:
        """Start a lane by its job's file, to record in a folder."""

    async def close(self) -> None:
        """Let go of what it needed."""


@dataclass
class LaneState:
    """What the conductor knows of a lane.

    Attributes
    ----------
    lane
        Which.
    place
        Where it runs; None for a lane that lives since before this conductor, or that has nothing left to do.
    is_alive
        Whether it is thought to live.
    report
        What it said last.
    is_complete
        Whether it has come to its end.
    """

    lane: Lane
    place: Place | None
    is_alive: bool = True
    report: LaneReport | None = None
    is_complete: bool = False


@dataclass
class Fleet:
    """The lanes of a run, as its soak sees them.

    Attributes
    ----------
    job
        What each is told.
    run_folder
        Where the job's file is written.
    folder_of
        Gives a lane's folder.
    placing
        Starts them.
    to_start
        Numbers of the lanes to be started; others live already, or are complete.
    living
        Says of a lane's number whether it lives.
    complete
        Says of a lane's number whether its files tell that it came to its end; it may wait for the disk.
    pid_of
        Gives the process of a lane that lives; None where it is none of this machine's.
    desk_host
        Address of this machine that lanes reach.
    lanes
        What is known of each.
    """

    job: LaneJob
    run_folder: Path
    folder_of: Callable[[int], Path]
    placing: Placing
    to_start: frozenset[int]
    living: Callable[[int], bool] = field(default=lambda _: False)
    complete: Callable[[int], bool] = field(default=lambda _: False)
    pid_of: Callable[[int], int | None] = field(default=lambda _: None)
    desk_host: str = "127.0.0.1"
    lanes: list[LaneState] = field(default_factory=list)
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack, repr=False)

    async def begin(self, *, clock: RunClock, events: EventLog, vitals: Vitals) -> int:
        """Start the lanes, wait until all are ready, and say when the soak starts.

        Raises
        ------
        TargetError
            One of them ended before, or is not ready within two minutes.
        """
        self._vitals, self._events, self._clock = vitals, events, clock
        desk = Desk(self.job.run_id, clock.caught_up_us, host=self.desk_host)
        self._desk = await self._open.enter_async_context(desk)
        self.job = self.job.model_copy(update={"desk": self._desk.address})
        self._path = self.job.write(self.run_folder)
        self._stops_by_us = clock.now_us() + round(1e6 * self._stops_within_s)
        for number in range(self.job.lanes):
            state = LaneState(Lane(number, self.job.lanes), None)
            self.lanes.append(state)
            if number in self.to_start:
                await self._start(state)
            elif not self.living(number):
                await self._ended(state)
        start_us = self.job.start_us
        if start_us is None:
            await self._all_ready()
            start_us = clock.now_us() + _LEAD_US
            self.job = self.job.model_copy(update={"start_us": start_us})
            self.job.write(self.run_folder)
            self._desk.start_us.set_result(start_us)
        self._events.write(
            EventName.LANE_STARTED,
            f"lanes={self.job.lanes} started={len(self.to_start)} desk={self._desk.address} start_us={start_us}",
        )
        settings = self.job.settings_of(Lane(0, self.job.lanes))
        self._last_us = start_us + round(1e6 * (settings.duration_s / settings.speed + _LATE_S))
        await clock.sleep_until(start_us - self.job.tokens_before_us)
        return start_us

    def lanes_seen(self) -> list[LaneSight]:
        """Give what is seen of each lane."""
        return [_sight(state) for state in self.lanes]

    async def sent(self) -> None:
        """Wait until each lane has sent its last slot, or stands still past the plan's end; for the dead up to that."""
        is_said = False
        while unsent := [state for state in self.lanes if not _has_sent(state)]:
            sending = [state for state in unsent if state.is_alive]
            if not sending and self._clock.now_us() > self._last_us - _LATE_S * 1e6:
                return
            if not sending and len(unsent) == len(self.lanes) and not is_said:
                is_said = True
                said = "no lane lives any more: nothing is sent from here on; stop the run and resume it"
                self._events.write(EventName.LANE_LOST, said)
            if self._clock.now_us() > self._last_us:
                for state in sending:
                    said = f"lane {state.lane}: {_LATE_S:g} s after its end it still sends; it is waited for no longer"
                    self._events.write(EventName.LANE_LOST, said)
                return
            await asyncio.sleep(_TAKE_IN_EVERY_S)

    async def watch(self) -> None:
        """Take in what the lanes tell, until cancelled."""
        while True:
            await asyncio.sleep(_TAKE_IN_EVERY_S)
            for state in self._take_in():
                await self._ended(state)

    async def end(self) -> None:
        """Tell lanes that still send to stop, and wait until all are gone."""
        await asyncio.gather(
            *(
                self._told(state, state.place.stop())
                for state in self.lanes
                if state.place is not None and state.place.ended() is None and not _has_sent(state)
            )
        )
        unheard = [state for state in self._unheard() if self._signal(state, signal.SIGTERM)]
        try:
            async with asyncio.timeout(self._stops_within_s):
                while any(state.place is not None and state.is_alive for state in self.lanes) or any(
                    self.living(state.lane.number) for state in unheard
                ):
                    self._take_in()
                    await asyncio.sleep(_TAKE_IN_EVERY_S)
        except TimeoutError:
            self._events.write(EventName.LANE_LOST, "lanes that do not stop are ended")
            for state in self._unheard():
                self._signal(state, signal.SIGKILL)
        await self.close()

    async def close(self) -> None:
        """End what still lives, and let go of everything."""
        await asyncio.gather(
            *(
                self._told(state, state.place.kill())
                for state in self.lanes
                if state.place is not None and state.place.ended() is None
            )
        )
        try:
            await self._open.aclose()
        finally:
            await self.placing.close()

    def drop(self) -> None:
        """Tell lanes to stop, those that can be told without waiting."""
        for state in self.lanes:
            if state.place is not None and state.place.ended() is None:
                state.place.drop()
        for state in self._unheard():
            self._signal(state, signal.SIGTERM)

    @property
    def _stops_within_s(self) -> float:
        """For how long a lane that is told to stop is waited for."""
        return _END_WITHIN_S + float(self.job.settings.get("drain_s", 0))

    async def _start(self, state: LaneState) -> None:
        state.place = await self.placing.start(self._path, state.lane, self.folder_of(state.lane.number))
        state.is_alive = True

    async def _ended(self, state: LaneState) -> None:
        """Look at a lane that was not started here and does not live: it is complete, or missing, or lost.

        It is missing where it ended in the time that the conductor before this one would have waited for it, since that
        may have told it to stop, or where it waited for that one to say when the soak starts. It is then started, as
        those are that were missing from the beginning.
        """
        number = state.lane.number
        try:
            state.is_complete = await asyncio.to_thread(self.complete, number)
        except SoaklibError:  # somebody has its files: then it will be seen to live
            return
        if state.is_complete:
            state.is_alive = False
        elif state.report is None and (self.job.start_us is None or self._clock.now_us() < self._stops_by_us):
            try:
                await self._start(state)
            except (OSError, SoaklibError) as exc:
                self._lost(state, f"its sender ended after the resume, and cannot be started: {first_line(exc)}")
            else:
                said = f"lane {state.lane}: its sender of before the resume has ended; it is started again"
                self._events.write(EventName.LANE_STARTED, said)
        else:
            self._lost(state, "its sender, which was not started here, has ended")

    def _lost(self, state: LaneState, how: str) -> None:
        state.is_alive = False
        self._events.write(EventName.LANE_LOST, f"lane {state.lane}: {how}; its slots are missed from here")

    async def _told(self, state: LaneState, telling: Awaitable[None]) -> None:
        """Wait for a lane to be told to end; that it cannot be told is said, and keeps no other from being told."""
        try:
            async with asyncio.timeout(_TELL_WITHIN_S):
                await telling
        except Exception as exc:  # noqa: BLE001 - whatever the place raises: the others are to be told, and changes undone
            said = f"lane {state.lane}: it cannot be told to end: {first_line(exc) or 'no answer'}"
            self._events.write(EventName.LANE_LOST, said)

    def _unheard(self) -> list[LaneState]:
        """Give the lanes that live by another process than one that was started here.

        They outlived the conductor before this one, or somebody started them again.
        """
        elsewhere = (state for state in self.lanes if state.place is None or state.place.ended() is not None)
        return [state for state in elsewhere if self.living(state.lane.number)]

    def _signal(self, state: LaneState, number: signal.Signals) -> bool:
        """Send a signal to a lane that was not started here; say whether it was sent."""
        pid, why = self.pid_of(state.lane.number), "its sender is none of this machine's processes"
        if pid is not None:
            try:
                os.kill(pid, number)
            except OSError as exc:
                why = f"its sender, process {pid}: {exc.strerror}"
            else:
                return True
        said = f"lane {state.lane}: it goes on sending and cannot be told to stop ({why}); stop it where it runs"
        self._events.write(EventName.LANE_LOST, said)
        return False

    async def _all_ready(self) -> None:
        """Wait until all lanes have said that they are ready, which none can that another conductor started."""
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                while late := {state.lane.number for state in self.lanes} - self._desk.ready:
                    for state in self.lanes:
                        if state.place is None and state.is_alive and not self.living(state.lane.number):
                            await self._ended(state)
                        elif state.place is not None and (how := state.place.ended()) is not None:
                            msg = f"lane {state.lane} ended before the soak began: {how or 'it said nothing'}"
                            raise TargetError(msg)
                    await asyncio.sleep(_TAKE_IN_EVERY_S)
        except TimeoutError as exc:
            msg = f"lanes {', '.join(map(str, sorted(late)))} were not ready within {_READY_WITHIN_S:g} s"
            raise TargetError(msg) from exc

    def _take_in(self) -> list[LaneState]:
        """Add what lanes have sent since the last look to the counters; give those that died and are another's."""
        gone: list[LaneState] = []
        for state in self.lanes:
            if state.place is None or not state.is_alive:
                if self._is_gone(state):
                    gone.append(state)
                continue
            how = state.place.ended()  # before its last words are read: they are there when it has ended
            if (report := state.place.report()) is not None:
                self._add(report, state.report)
                state.report = report
            if how and self.living(state.lane.number):  # what it was placed by is gone, and the sender goes on
                state.place = None
                self._events.write(EventName.LANE_LOST, f"lane {state.lane}: {how}; its sender goes on, unheard")
            elif how:
                self._lost(state, how)
            elif how is not None:
                state.is_alive, state.is_complete = False, True
        most = max((state.report.slots_passed for state in self.lanes if state.report), default=0)  # of all that ended
        self._vitals.slots_passed = min((report.slots_passed for report in self._heard()), default=most)
        self._vitals.sent_per_s = sum(report.sent_per_s for report in self._heard())
        return gone

    def _heard(self) -> list[LaneReport]:
        """Give what the lanes that live and are heard said last."""
        return [state.report for state in self.lanes if state.is_alive and state.place and state.report]

    def _is_gone(self, state: LaneState) -> bool:
        """Say whether a lane that nobody here started lives no more; one that died somebody may have started again."""
        if not self.living(state.lane.number):
            return state.is_alive
        if not state.is_alive:
            state.place, state.is_alive = None, True
            self._events.write(EventName.LANE_STARTED, f"lane {state.lane}: somebody started it again; it is unheard")
        return False

    def _add(self, report: LaneReport, before: LaneReport | None) -> None:
        outcomes, sent = (Counter(report.outcomes), Counter(report.sent_calls))
        if before is None:
            self._vitals.earlier.update(outcomes)
        else:
            outcomes.subtract(before.outcomes)
            sent.subtract(before.sent_calls)
        self._vitals.outcomes.update(outcomes)
        self._vitals.sent_calls.update(sent)


def _has_sent(state: LaneState) -> bool:
    return state.is_complete or (state.report is not None and state.report.has_sent)


def _sight(state: LaneState) -> LaneSight:
    report, kinds = state.report, Counter[str]()
    if report is None:
        return LaneSight(state.lane.number, state.is_alive, 0, 0.0, 0, 0, None, None, kinds)
    for (_, _, kind), count in report.outcomes.items():
        kinds[kind] += count
    is_live = 1 if state.is_alive else 0  # what it did last it does no more
    return LaneSight(
        state.lane.number, state.is_alive, report.slots_passed, is_live * report.sent_per_s,
        is_live * report.in_flight, report.lag_us, report.p50_us, report.p99_us, kinds,
    )  # fmt: skip
