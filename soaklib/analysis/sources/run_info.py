"""The manifest of a run: what it was meant to do, with which settings, and how it ended."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from soaklib.errors import RunError
from soaklib.plan.model import Plan
from soaklib.store.views import read_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from soaklib.store.views import Segment

__all__ = ["NamedReference", "RunInfo", "read_info"]

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +-]{0,199}")


class NamedReference(NamedTuple):
    """The good run that a run is judged against, and the SHA-256 of the file with what is kept of it."""

    run_id: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The manifest of a run.

    Attributes
    ----------
    run_id, soaklib_version, target, embedded, status, seed
        As written when the run started and ended.
    anchor_utc, completed_utc
        UTC; the second is None unless the run ended by itself.
    speed, rps, hours
        Soak seconds a wall second, slots a soak-second, planned soak-hours.
    duration_s
        Wall seconds from start to end; None unless the run ended by itself.
    settings, environment
        The settings in force; host, Python and package versions.
    plan
        The plan.
    segments
        The stretches in which a runner lived.
    """

    run_id: str
    soaklib_version: str
    anchor_utc: dt.datetime
    speed: float
    rps: float
    hours: float
    seed: int
    target: str
    embedded: bool
    settings: Mapping[str, Any]
    plan: Plan
    environment: Mapping[str, Any]
    status: str
    completed_utc: dt.datetime | None
    duration_s: float | None
    segments: tuple[Segment, ...]

    @property
    def planned_soak_s(self) -> float:
        """Planned length in soak seconds."""
        return self.hours * 3600

    @property
    def judged_by(self) -> int:
        """Which way of judging gave the recorded verdicts, see :data:`soaklib.records.JUDGING`."""
        judged = self.environment.get("judged")
        by = judged.get("by") if isinstance(judged, dict) else None
        return by if isinstance(by, int) else 1

    @property
    def follows_the_clock(self) -> bool:
        """Whether its soak time is a time of day: it ran at speed 1, and was never cut off."""
        return self.speed == 1 and all(segment.segment == 0 for segment in self.segments)

    @property
    def reference(self) -> NamedReference | None:
        """The good run that it is judged against; a run of speed 1 that was cut off is judged by itself."""
        named = self.environment.get("reference")
        if not isinstance(named, dict) or (self.speed == 1 and not self.follows_the_clock):
            return None
        run_id, sha256 = named.get("run_id"), named.get("sha256")
        known = isinstance(run_id, str) and isinstance(sha256, str) and _RUN_ID.fullmatch(run_id)
        return NamedReference(str(run_id), str(sha256)) if known else None

    @property
    def started_utc(self) -> dt.datetime:
        """UTC time of soak second 0."""
        start_us = self.segments[0].started_at_us if self.segments else 0
        return self.anchor_utc + dt.timedelta(microseconds=start_us)


def read_info(connection: duckdb.DuckDBPyConnection) -> RunInfo:
    """Read the manifest of the run that a connection sees.

    Raises
    ------
    RunError
        There is none, or its run id is none.
    ValueError
        Settings, environment or plan are no JSON, or the plan is none.
    """
    names = [
        "run_id", "soaklib_version", "anchor_utc", "speed", "rps", "hours", "seed", "target", "embedded", "settings",
        "plan", "environment", "status", "completed_utc", "duration_s",
    ]  # fmt: skip
    row = connection.execute(f"select {', '.join(names)} from run").fetchone()  # noqa: S608 - our own names
    if row is None:
        msg = "the run has no manifest row: it ended before it began"
        raise RunError(msg)
    values = dict(zip(names, row, strict=True))
    if not _RUN_ID.fullmatch(values["run_id"]):
        msg = f"the run's id {values['run_id']!r} is none: files are named by it"
        raise RunError(msg)
    for name in ("anchor_utc", "completed_utc"):
        if values[name] is not None:
            values[name] = values[name].astimezone(dt.UTC)
    values["settings"] = json.loads(values["settings"])
    values["environment"] = json.loads(values["environment"])
    values["plan"] = Plan.model_validate_json(values["plan"])
    return RunInfo(**values, segments=tuple(read_segments(connection)))
