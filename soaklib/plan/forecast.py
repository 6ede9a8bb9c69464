"""What a soak will do and what it will need, told before it starts: totals, disk, memory.

The numbers come from the plan and from the code that will run it. Every planned call ends as exactly one row, so the
calls planned are the rows to come. How large a row is on disk cannot be derived: it was measured, see
:data:`ROW_BYTES`.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from soaklib.errors import SettingsError
from soaklib.plan.cadence import occurrences, sampling_s
from soaklib.plan.counting import count_operations
from soaklib.plan.limits import MOST_QUEUED_ROWS
from soaklib.plan.workload import Workload
from soaklib.safety.memory import usable_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["ROW_BYTES", "Forecast", "PlannedCalls", "bytes_text", "forecast", "refuse_small_disk"]

_EXACT_SLOTS: Final = 2_000_000
"""Up to here each slot is asked what it does (about 1 us each); beyond, calls are told by the shares."""

ROW_BYTES: Final = 32
"""Bytes of run.duckdb a row: 30.8 for each of 1,124,953 outcomes of a real run, its samples and the file's fixed part
included; 15 to 19 in benchmarks of up to 10 million rows."""
_DATABASE_BYTES: Final = 5 << 19
"""Of a run.duckdb with next to nothing in it: 2.3 MB in the smallest real runs."""
_SAMPLE_BYTES: Final = 256
"""Bytes of text a sample of /metrics: 205 to 250 in real expositions."""
_SAMPLES: Final = 100
"""Samples a scrape beside one for each agent: 45 to 70 in real runs."""
_ROWS_BESIDE_SAMPLES: Final = 8
"""A scrape's rows beside the samples: one for each endpoint, and what /health says."""
_REPORT_BYTES: Final = 8 << 20
"""Figures and executed notebooks: 5.7 MB of a real run of 24 soak-hours."""

_RUNNER_BYTES: Final = 160 << 20
"""Resident memory of the runner with little in flight: 154 MB after 1,124,953 calls."""
_OPERATION_BYTES: Final = 16 << 10
"""Memory of an operation under way: 14 KiB over plain HTTP, with 1,000 to 8,000 of them; TLS takes more."""
_QUEUED_ROW_BYTES: Final = 410
"""Memory of a row that waits for the disk, measured over 500,000."""

_TIGHT_SHARE: Final = 0.5


class PlannedCalls(NamedTuple):
    """Calls planned of one kind: purpose, who calls what, and how many if every chain runs to its end."""

    purpose: str
    role: str
    tool: str
    action: str
    calls: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a soak will do and need.

    Attributes
    ----------
    slots, calls
        Slots of the load, and calls by purpose, role and tool.
    is_exact
        Whether `calls` are counted slot by slot; otherwise they follow from the shares.
    rotations, snapshots, scrapes
        How often tokens are replaced, /metrics is kept verbatim (the final one left out), and samples are taken.
    disk_bytes, free_bytes
        What the run's folder takes at most, and what its file system has free.
    memory_bytes, available_bytes
        What the runner takes at most, and what this process may use of what the machine has.
    """

    slots: int
    calls: tuple[PlannedCalls, ...]
    is_exact: bool
    rotations: int
    snapshots: int
    scrapes: int
    disk_bytes: int
    free_bytes: int
    memory_bytes: int
    available_bytes: int

    @property
    def rows(self) -> int:
        """How many rows ``outcomes`` will have."""
        return sum(entry.calls for entry in self.calls)

    def warnings(self) -> list[str]:
        """Give a sentence for whatever will be tight."""
        said = []
        if self.disk_bytes > _TIGHT_SHARE * self.free_bytes:
            said.append(
                f"the disk is tight: about {bytes_text(self.disk_bytes)} of {bytes_text(self.free_bytes)} free may be "
                "needed; leave the rest to this run"
            )
        if self.memory_bytes > self.available_bytes:
            said.append(
                f"memory is tight: up to {bytes_text(self.memory_bytes)} of {bytes_text(self.available_bytes)} "
                "available may be needed; lower --max-in-flight"
            )
        return said


def forecast(settings: SoakSettings, plan: Plan) -> Forecast:
    """Give what a soak will do and need; nothing is sent and nothing is made.

    Disk: a row of ``outcomes`` for each planned call, of ``samples`` and ``scrapes`` for each scrape, of
    ``runner_health`` for each wall second, :data:`ROW_BYTES` each; the snapshots' text; figures and notebooks; and all
    of it once more, for the bundle at the end or for what a reader of the live run is shown before it. Memory: the
    runner, the in-flight cap full, and the recorder's queue full.
    """
    duration_s, intervals = settings.duration_s, plan.intervals
    calls = tuple(_calls(settings, plan))
    snapshots = occurrences(duration_s, intervals.snapshot_s)
    scrapes = occurrences(duration_s, sampling_s(intervals.scrape_s, duration_s, settings.speed))
    samples = _SAMPLES + settings.agents_per_role * len(plan.roles)
    rows = sum(entry.calls for entry in calls) + scrapes * (samples + _ROWS_BESIDE_SAMPLES)
    rows += int(settings.wall_duration_s)
    files_bytes = _DATABASE_BYTES + rows * ROW_BYTES + (snapshots + 1) * samples * _SAMPLE_BYTES
    files_bytes += _REPORT_BYTES if settings.report else 0
    return Forecast(
        slots=settings.total_slots,
        calls=calls,
        is_exact=settings.total_slots <= _EXACT_SLOTS,
        rotations=max(0, occurrences(duration_s, intervals.rotate_tokens_s) - 1),
        snapshots=snapshots,
        scrapes=scrapes,
        disk_bytes=2 * files_bytes,
        free_bytes=shutil.disk_usage(_nearest_folder(settings.out)).free,
        memory_bytes=_RUNNER_BYTES + settings.in_flight_cap * _OPERATION_BYTES + MOST_QUEUED_ROWS * _QUEUED_ROW_BYTES,
        available_bytes=min(psutil.virtual_memory().available, usable_memory_bytes()),
    )


def refuse_small_disk(outlook: Forecast, out: Path) -> None:
    """Refuse a soak that its disk cannot hold, or whose folder cannot be made.

    Raises
    ------
    SettingsError
        More is needed than is free, a file is in the way, or the user may not write there.
    """
    is_in_the_way = any(path.exists() and not path.is_dir() for path in (out, *out.parents))
    if is_in_the_way or not os.access(_nearest_folder(out), os.W_OK | os.X_OK):
        msg = f"--out {out}: no folder can be made there; pass another one"
        raise SettingsError(msg)
    if outlook.disk_bytes > outlook.free_bytes:
        msg = (
            f"--out {out}: the soak needs about {bytes_text(outlook.disk_bytes)} of disk and "
            f"{bytes_text(outlook.free_bytes)} are free; free some, pass another --out, or lower --rps or --hours"
        )
        raise SettingsError(msg)


def bytes_text(size_bytes: float) -> str:
    """Word a size with three digits and a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1000:  # noqa: PLR2004 - three digits
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.3g} TiB" if size_bytes < 1000 else f"{size_bytes:,.0f} TiB"  # noqa: PLR2004 - a unit has at most three digits


def _calls(settings: SoakSettings, plan: Plan) -> list[PlannedCalls]:
    """Count the planned calls of the load, then of the probes, each by role, tool and action."""
    slots = settings.total_slots
    if slots <= _EXACT_SLOTS:
        operations = count_operations(Workload(plan, settings.seed), slots)
    else:
        operations = Counter({n: round(operation.share * slots) for n, operation in enumerate(plan.operations)})
    load: Counter[tuple[str, str, str]] = Counter()
    for number, operation in enumerate(plan.operations):
        for step in operation.steps:
            load[operation.role, step.tool, step.action] += operations[number]
    probes: Counter[tuple[str, str, str]] = Counter()
    for probe in plan.probes:
        probes[probe.role, probe.tool, probe.action] += occurrences(settings.duration_s, probe.every_s)
    return [PlannedCalls("load", *who, count) for who, count in load.items()] + [
        PlannedCalls("probe", *who, count) for who, count in probes.items()
    ]


def _nearest_folder(path: Path) -> Path:
    """Give the path itself, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
