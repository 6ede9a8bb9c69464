"""Rows of ``outcomes`` as the load makes them, for what looks at rows."""

from soaklib.plan.workload import Call
from soaklib.records import Expected, Kind, Reason
from soaklib.runner.rows import CUT_OFF, DROPPED, MISSED, Planned, outcome_of
from soaklib.targets.base import Identity, Reading


def _row(purpose, tool, reading, **came):
    call = Call(0, "scraper", tool, "do", Expected.ALLOW, None)
    return outcome_of(Planned(purpose, 1, (call,), 1, "baseline"), 0, 0, reading, Expected.ALLOW, **came)


def answered(purpose, tool, kind, service_us):
    """Give the row of a call that was answered."""
    reading = Reading(Kind(kind), None if kind == Kind.OK else Reason.INTERNAL)
    return _row(purpose, tool, reading, identity=Identity("a", "scraper", ""), sent_us=7, done_us=7 + service_us)


def cut_off(purpose, tool):
    """Give the row of a call that was under way when the run stopped."""
    return _row(purpose, tool, CUT_OFF, identity=Identity("a", "scraper", ""), sent_us=7)


def unsent(purpose, tool, kind):
    """Give the row of a call that never left."""
    return _row(purpose, tool, {reading.kind: reading for reading in (DROPPED, MISSED)}[kind])
