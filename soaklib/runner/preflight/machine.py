"""What this machine, and the container around it, leave a soak to work with."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

from soaklib.runner.preflight.findings import Standing
from soaklib.safety.control_groups import cpu_limit, process_limit
from soaklib.safety.memory import usable_memory_bytes
from soaklib.safety.reaching import proxy_note

if TYPE_CHECKING:
    from soaklib.plan.forecast import Forecast
    from soaklib.plan.settings import SoakSettings
    from soaklib.runner.preflight.findings import Found

__all__ = ["look_at_machine"]

_CALLS_A_CPU: Final = 5_000.0
"""Calls a second that one processor sends and records, a fifth below what was measured."""
_RESERVED_FILES: Final = 128
_LEAST_PROCESSES: Final = 64
_MIB: Final = 1 << 20


def look_at_machine(settings: SoakSettings, outlook: Forecast, calls_per_slot: float, found: Found) -> None:
    """Compare what the soak needs with descriptors, memory, disk, processors and processes, as a container has them."""
    _descriptors(settings, found)
    _processors(settings, calls_per_slot, found)
    tight = outlook.warnings()
    found.add(
        "disk and memory",
        Standing.NOTE if tight else Standing.OK,
        "; ".join(tight)
        or f"{outlook.disk_bytes // _MIB:,} of {outlook.free_bytes // _MIB:,} MiB free; this process may use "
        f"{usable_memory_bytes() // _MIB:,} MiB",
    )
    note = None if settings.embedded else proxy_note()
    found.add("proxy variables", Standing.OK if note is None else Standing.NOTE, note or "none")


def _descriptors(settings: SoakSettings, found: Found) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    senders = settings.senders or 1
    needed = settings.in_flight_cap // senders + _RESERVED_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        found.add("descriptors", Standing.OK, f"{needed:,} at most, of {_many(soft)}")
        return
    found.add(
        "descriptors",
        Standing.PROBLEM,
        f"--max-in-flight {settings.in_flight_cap:,} takes {needed:,} and {soft:,} are allowed: ulimit -n {needed} "
        f"(up to {_many(hard)}), or a lower --max-in-flight",
        is_of_settings=True,
    )


def _processors(settings: SoakSettings, calls_per_slot: float, found: Found) -> None:
    there, limit = len(os.sched_getaffinity(0)), cpu_limit()
    processors = there if limit is None else min(there, limit)
    of = f"{processors:g} processors" + ("" if limit is None else f" (the container's limit; {there} are there)")
    calls = settings.rps * settings.speed * calls_per_slot
    useful = min(processors, settings.senders or 1)
    if calls > useful * _CALLS_A_CPU:
        text = f"{of}: {calls:,.0f} calls a second are more than {useful:g} of them send in time; pass --senders"
        found.add("processors", Standing.NOTE, text)
    else:
        found.add("processors", Standing.OK, f"{of}, for {calls:,.0f} calls a second")
    most = process_limit()
    if most is not None:
        needed = _LEAST_PROCESSES + (settings.senders or 1)
        standing = Standing.OK if most >= needed else Standing.PROBLEM
        found.add("processes", standing, f"the container allows {most:,}; the soak and its report take up to {needed}")


def _many(limit: int) -> str:
    return "as many as there are" if limit == resource.RLIM_INFINITY else f"{limit:,}"
