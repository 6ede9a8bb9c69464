"""What a resumed run must know of its past, read from its file.

Soak time stands still while no runner lives, so the run goes on from the soak second at which its load ended where an
event says so, as of a runner that was killed while it cleaned up, and else from the one at which the last sign of life
was recorded. Calls that were planned up to then and have no row were under way or not yet written when the runner died:
they become rows of kind ``missed``, so that every planned call still ends as exactly one row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import orjson

from soaklib.errors import RunError
from soaklib.plan.changes import LastingChange
from soaklib.plan.pacer import Pacer
from soaklib.plan.workload import Workload, probe_slot
from soaklib.records import EventName, Kind, Outcome, Purpose, RunStatus
from soaklib.runner.change_keys import number_of
from soaklib.runner.clock import SoakClock
from soaklib.runner.rows import MISSED, SKIPPED, Phases, Planned, outcome_of
from soaklib.store.views import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.store.writer import RunWriter

__all__ = ["Past", "recover", "refuse_complete"]

_RECORDED_WITHIN_US: Final = 5_000_000

_LAST_SIGN_OF_LIFE: Final = """
    select max(at_us) from (
        select max(greatest(planned_at_us, sent_at_us, done_at_us)) as at_us from outcomes
        union all select max(at_us) from runner_health
        union all select max(at_us) from events
        union all select max(started_at_us) from segments)"""


@dataclass(frozen=True, kw_only=True)
class Past:
    """The past of a run; the defaults are those of a run that has none.

    Attributes
    ----------
    segment
        Number of the segment to come.
    soak_s
        Soak second from which it goes on.
    last_us
        The last sign of life, on the run's clock.
    first_slot
        First slot of the load that has not been dealt with.
    first_probes
        The same for each probe of the plan, as its own turn.
    done
        Keys of the events that have happened and must not happen again, each with the name of its event: a change that
        was tried and failed has its key too.
    may_be_on
        Changes of the plan that may be on: that each would be made was written down, and not that it was taken back.
    generation
        The last token generation; -1 when there was none.
    outcomes, sent_calls
        Rows so far by (purpose, tool, kind), and of these the calls that were sent by (purpose, tool).
    policies
        Role -> id of the policies that the run made and did not remove, as far as its events tell.
    was_begun
        Whether a runner has worked on the run before, if only on its set-up.
    missed
        How many calls became rows of kind ``missed``.
    """

    segment: int = 0
    soak_s: float = 0.0
    last_us: int = 0
    first_slot: int = 0
    first_probes: tuple[int, ...] = ()
    done: Mapping[str, str] = field(default_factory=dict)
    may_be_on: tuple[LastingChange, ...] = ()
    generation: int = -1
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sent_calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    policies: Mapping[str, str] = field(default_factory=dict)
    was_begun: bool = False
    missed: int = 0

    @property
    def is_resumed(self) -> bool:
        """Whether there is a past."""
        return self.segment > 0


def refuse_complete(status: str) -> None:
    """Refuse to go on with a run that came to its end.

    Raises
    ------
    RunError
        It did.
    """
    if status == RunStatus.COMPLETED:
        msg = "the run is complete: there is nothing to resume; start a new one"
        raise RunError(msg)


def recover(writer: RunWriter, settings: SoakSettings, plan: Plan, *, slots: range | None = None) -> Past:
    """Settle a run that is to go on: close its last segment, write its missed calls, and give its past.

    `slots` are those of the whole run that are this file's to hold: a lane's of a fleet; None for all.

    Raises
    ------
    RunError
        The run is complete.
    """
    [(status,)] = writer.read("select status from run")
    refuse_complete(status)
    [(last_us,)] = writer.read(_LAST_SIGN_OF_LIFE)
    rows = writer.read("select segment, started_at_us, soak_started_s, ended_at_us from segments order by segment")
    writer.reopen_run()
    done = dict(writer.read("select event_key, name from events where event_key is not null"))
    if not rows:  # it died during its first set-up: no load had been sent
        return Past(
            last_us=last_us or 0, first_probes=(0,) * len(plan.probes), policies=_policies(writer), done=done,
            was_begun=True,
        )  # fmt: skip
    _end_earlier_segments(writer, rows, settings.speed)
    number, started_at_us, soak_started_s, ended_at_us = rows[-1]
    clock = SoakClock(
        Segment(segment=number, started_at_us=started_at_us, soak_started_s=soak_started_s), settings.speed
    )
    end_us = ended_at_us or _load_ended_us(writer, number) or last_us
    soak_s = min(clock.soak_s(end_us), settings.duration_s)
    writer.end_segment(
        Segment(
            segment=number, started_at_us=started_at_us, soak_started_s=soak_started_s, ended_at_us=end_us,
            soak_ended_s=soak_s,
        )
    )  # fmt: skip
    first_slot, first_probes = _first_of_each(writer, settings, plan, soak_s)
    own = range(settings.total_slots) if slots is None else slots
    due = range(own.start, min(first_slot, own.stop), own.step)
    missed = list(_Missed(writer, settings, plan, clock, last_us).rows(due, first_probes))
    writer.append({"outcomes": missed})
    outcomes, sent_calls = _counts(writer)
    [(generation,)] = writer.read("select coalesce(max(token_generation), -1) from outcomes")
    return Past(
        segment=number + 1, soak_s=soak_s, last_us=last_us, first_slot=first_slot, first_probes=first_probes, done=done,
        generation=generation, outcomes=outcomes, sent_calls=sent_calls,
        policies=_policies(writer), may_be_on=_may_be_on(writer, plan), was_begun=True,
        missed=sum(row.kind == Kind.MISSED for row in missed),
    )  # fmt: skip


def _load_ended_us(writer: RunWriter, segment: int) -> int | None:
    """Give when the load of a segment ended, by its event; None where its runner was killed under load."""
    for (data,) in writer.read("select data from events where name = ?", [EventName.LOAD_ENDED]):
        said = orjson.loads(data)
        if said["segment"] == segment:
            return int(said["ended_at_us"])
    return None


def _end_earlier_segments(writer: RunWriter, rows: list[tuple[int, int, float, int | None]], speed: float) -> None:
    """Fill in where segments ended that their runner did not live to end: where the one after each goes on."""
    for (number, started_at_us, soak_started_s, ended_at_us), (_, _, soak_ended_s, _) in pairwise(rows):
        if ended_at_us is None:
            segment = Segment(segment=number, started_at_us=started_at_us, soak_started_s=soak_started_s)
            end_us = SoakClock(segment, speed).at_us(soak_ended_s)
            writer.end_segment(replace(segment, ended_at_us=end_us, soak_ended_s=soak_ended_s))


def _first_of_each(writer: RunWriter, settings: SoakSettings, plan: Plan, soak_s: float) -> tuple[int, tuple[int, ...]]:
    """Give the first slot, and the first turn of each probe, that have not been dealt with.

    Which are due follows from the time; but one that has a row has been dealt with, also when its time, rounded to
    whole microseconds and mapped back, falls just after the last sign of life.
    """
    pacer = Pacer.of(settings)
    [(last_slot,)] = writer.read("select coalesce(max(slot), -1) from outcomes where purpose = ?", [Purpose.LOAD])
    first_slot = min(max(pacer.first_slot_from(soak_s), last_slot + 1), settings.total_slots)
    probes = len(plan.probes)
    last_turns = dict(
        writer.read(
            "select slot % $2, max(slot // $2) from outcomes where purpose = $1 group by all", [Purpose.PROBE, probes]
        )
        if probes
        else ()
    )
    first_turns = (
        max(int(-(-soak_s // probe.every_s)), last_turns.get(which, -1) + 1) for which, probe in enumerate(plan.probes)
    )
    return first_slot, tuple(first_turns)


def _counts(writer: RunWriter) -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str]]]:
    """Count the rows by (purpose, tool, kind), and the calls that were sent by (purpose, tool)."""
    outcomes: Counter[tuple[str, str, str]] = Counter()
    sent: Counter[tuple[str, str]] = Counter()
    for purpose, tool, kind, rows, attempted in writer.read(
        "select purpose, tool, kind, count(*), count(*) filter (attempts > 0) from outcomes group by all"
    ):
        outcomes[purpose, tool, kind] += rows
        sent[purpose, tool] += attempted
    return outcomes, sent


def _policies(writer: RunWriter) -> dict[str, str]:
    """Give role -> id of the policies that events say were made and not removed."""
    made: dict[str, str] = {}
    for name, detail, data in writer.read(
        "select name, detail, data from events where name in (?, ?) order by at_us, rowid",
        [EventName.POLICIES_CREATED, EventName.POLICIES_REMOVED],
    ):
        if name == EventName.POLICIES_CREATED:
            made |= orjson.loads(data) if data else _pairs(detail)
        else:
            gone = orjson.loads(data)["roles"] if data else detail.split()
            made = {role: policy for role, policy in made.items() if role not in gone}
    return made


def _pairs(detail: str) -> dict[str, str]:
    """Read ``name=value`` pairs of an event's line: what a run of version 1 has in the place of data."""
    return {name: value for name, _, value in (pair.partition("=") for pair in detail.split())}


def _may_be_on(writer: RunWriter, plan: Plan) -> tuple[LastingChange, ...]:
    """Give the changes that may be on: the events say that each was about to be made, and not that it is taken back."""
    on: dict[tuple[str, str], LastingChange] = {}
    lasting = [change for change in plan.changes if isinstance(change, LastingChange)]
    for name, detail, key, subject in writer.read(
        "select name, detail, event_key, subject from events order by at_us, rowid"
    ):
        for change in lasting:
            whose = subject or _pairs(detail).get("tool")
            if name == change.end_event and whose == change.subject:
                on.pop((change.do, change.subject), None)
        number = None if key is None else number_of(key)
        begun = plan.changes[number] if number is not None and number < len(plan.changes) else None
        if not isinstance(begun, LastingChange) or name == begun.end_event:
            continue
        if name in (EventName.CHANGE_FAILED, EventName.CHANGE_UNSUPPORTED):
            on.pop((begun.do, begun.subject), None)
        elif name != EventName.HEALTH_GATE_FAILED:
            on[begun.do, begun.subject] = begun
    return tuple(on.values())


@dataclass(frozen=True)
class _Missed:
    """Finds the planned calls before the end of the last segment that have no row."""

    writer: RunWriter
    settings: SoakSettings
    plan: Plan
    clock: SoakClock
    last_us: int

    def rows(self, due: range, first_probes: tuple[int, ...]) -> Iterator[Outcome]:
        """Give a row for every planned call that has none."""
        workload = Workload(self.plan, self.settings.seed)
        phases = Phases(self.plan.phase_starts(self.settings.duration_s), self.clock)
        pacer = Pacer.of(self.settings)
        for slot, known in self._unfinished(Purpose.LOAD, due):
            calls, _ = workload.operation(slot)
            planned_us = self.clock.at_us(pacer.due_s(slot))
            planned = Planned(Purpose.LOAD, slot, calls, 0, phases.at(planned_us))
            yield from self._steps(planned, planned_us, known)
        probes = len(workload.probes)
        for which, (probe, first) in enumerate(zip(self.plan.probes, first_probes, strict=True)):
            slots = range(probe_slot(0, which, probes), probe_slot(first, which, probes), probes)
            for slot, known in self._unfinished(Purpose.PROBE, slots):
                planned_us = self.clock.at_us(slots.index(slot) * probe.every_s)
                planned = Planned(Purpose.PROBE, slot, (workload.probes[which],), 0, phases.at(planned_us))
                yield from self._steps(planned, planned_us, known)

    def _unfinished(self, purpose: Purpose, slots: range) -> list[tuple[int, dict[int, tuple[str, int | None]]]]:
        """Give those of some slots that may lack rows, each with the (kind, done time) of the steps it has.

        A slot lacks rows when it has none, or when a chain's step was ok so shortly before the end that the next one
        was still under way.
        """
        since_us = self.last_us - self.settings.http_timeout_ms * 1000 - _RECORDED_WITHIN_US
        rows = self.writer.read(
            """
            with seen as (
                select slot, list({'step': step, 'kind': kind, 'done_at_us': done_at_us} order by step) as steps
                from outcomes where purpose = $1 group by slot
            )
            select planned.slot, seen.steps from range($2, $3, $4) as planned(slot) left join seen using (slot)
            where seen.slot is null or (seen.steps[-1].kind = 'ok' and seen.steps[-1].done_at_us >= $5)
            order by 1""",
            [purpose.value, slots.start, slots.stop, slots.step, since_us],
        )
        return [
            (slot, {step["step"]: (step["kind"], step["done_at_us"]) for step in steps or ()}) for slot, steps in rows
        ]

    def _steps(self, planned: Planned, planned_us: int, known: dict[int, tuple[str, int | None]]) -> Iterator[Outcome]:
        before_ok = True
        for step, call in enumerate(planned.calls):
            if step in known:
                kind_before, done_at_us = known[step]
                planned_us, before_ok = done_at_us or planned_us, kind_before == Kind.OK
                continue
            yield outcome_of(planned, step, planned_us, MISSED if before_ok else SKIPPED, call.expected)
            before_ok = False
