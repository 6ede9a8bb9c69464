"""What the person at the terminal sees while a soak runs: a panel that stays, or plain lines when it is no terminal."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from soaklib.commands.terminal import plain, say
from soaklib.errors import first_line
from soaklib.records import Kind

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from soaklib.runner.senders import LaneSight
    from soaklib.runner.soak import Soak

__all__ = ["show_progress"]

_REFRESH_S: Final = 0.5
_LINE_EVERY_S: Final = 10.0
_LINE_EVERY_LONG_S: Final = 60.0
_LONG_RUN_S: Final = 3600.0
_MOST_LANES: Final = 16  # on a screen; the metrics have them all
_GOOD_KINDS: Final = frozenset({Kind.OK, Kind.DENIED})


async def show_progress(soak: Soak, console: Console) -> None:
    """Show how the soak goes until cancelled; what goes wrong is said once, and lines are tried from then on."""
    is_said = False
    while True:
        try:
            await (_show_panel if console.is_terminal and not is_said else _show_lines)(soak, console)
        except Exception as exc:  # noqa: BLE001 - a terminal, its library and our own panel may raise whatever they
            # like: what is shown is no part of the measurement, which goes on.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return  # it was raised on the way out, in place of the cancellation
            if not is_said:
                is_said = True
                say(console, f"how the soak goes cannot be shown ({first_line(exc)}); the soak goes on", "yellow")
        await asyncio.sleep(_LINE_EVERY_S)


async def _show_panel(soak: Soak, console: Console) -> None:
    """Show a panel that stays in its place."""
    with Live(_panel(soak), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(_REFRESH_S)
            live.update(_panel(soak), refresh=True)


async def _show_lines(soak: Soak, console: Console) -> None:
    """Show a line now and then."""
    pause_s = _LINE_EVERY_LONG_S if soak.job.settings.wall_duration_s > _LONG_RUN_S else _LINE_EVERY_S
    while True:
        await asyncio.sleep(pause_s)
        console.print(plain(_line(soak)), soft_wrap=True)


def _hours(seconds: float) -> str:
    """Word a length of time as H:MM:SS."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _milliseconds(value_us: int | None) -> str:
    return "-" if value_us is None else f"{value_us / 1000:.1f} ms"


def _next_change(soak: Soak, soak_s: float) -> str:
    coming = None if soak.timeline is None else soak.timeline.next_change(soak_s)
    if coming is None:
        return "none left"
    start_s, name = coming
    return f"{name} at H+{_hours(start_s)[:-3]}, in {_hours((start_s - soak_s) / soak.job.settings.speed)}"


def _line(soak: Soak) -> str:
    """Give the state as one line for a log."""
    settings, vitals, soak_s = soak.job.settings, soak.vitals, soak.soak_s
    p50, p99 = vitals.service_quantiles_us(0.5, 0.99)
    stamp = dt.datetime.now(dt.UTC).strftime("%H:%M:%SZ")
    kinds = " ".join(f"{kind}={count}" for kind, count in sorted(vitals.kinds.items()))
    return (
        f"{stamp} H+{_hours(soak_s)} of {_hours(settings.duration_s)} | sent {vitals.sent_per_s:.0f}/s | {kinds} | "
        f"p50 {_milliseconds(p50)} p99 {_milliseconds(p99)} | in flight {vitals.in_flight} | "
        f"lag {_milliseconds(vitals.last_schedule_lag_us)} | {_lanes(soak)}{soak.events.last}"
    )


def _lanes(soak: Soak) -> str:
    """Give the lanes of a fleet for a line: how many live, and which sends least."""
    seen = [] if soak.job.senders is None else list(soak.job.senders.lanes_seen())
    if not seen:
        return ""
    slowest = min(seen, key=lambda lane: lane.sent_per_s)
    alive = sum(lane.is_alive for lane in seen)
    return f"{alive} of {len(seen)} lanes live, lane {slowest.lane} sends least, {slowest.sent_per_s:.0f}/s | "


def _panel(soak: Soak) -> RenderableType:
    """Give the state as a panel."""
    settings, vitals, soak_s = soak.job.settings, soak.vitals, soak.soak_s
    p50, p99 = vitals.service_quantiles_us(0.5, 0.99)
    remaining_s = settings.duration_s - soak_s
    rows: list[tuple[str, RenderableType]] = [
        ("soak time", f"H+{_hours(soak_s)} of {_hours(settings.duration_s)}, {_hours(remaining_s)} to go"),
        ("", ProgressBar(total=settings.duration_s, completed=soak_s, width=50)),
        ("wall time left", _hours(remaining_s / settings.speed)),
        ("slots", f"{vitals.slots_passed:,} of {settings.total_slots:,}"),
        ("rate", f"{settings.rps * settings.speed:,.0f} slots/s planned, {vitals.sent_per_s:,.0f} calls/s sent"),
        ("outcomes", _kinds(soak)),
        ("service time", f"p50 {_milliseconds(p50)}, p99 {_milliseconds(p99)} (latest calls)"),
        ("in flight", f"{vitals.in_flight:,} of at most {settings.in_flight_cap:,}"),
        ("schedule lag", f"{_milliseconds(vitals.last_schedule_lag_us)} at most in the last second"),
        ("not yet on disk", f"{soak.recorder.queued_rows:,} rows"),
        ("next change", _next_change(soak, soak_s)),
        ("last event", _on_one_line(soak.events.last)),
    ]
    if soak.job.senders is not None:
        rows += [(f"lane {seen.lane}", _lane(seen)) for seen in soak.job.senders.lanes_seen()[:_MOST_LANES]]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="ellipsis")
    for name, value in rows:
        table.add_row(name, plain(value) if isinstance(value, str) else value)
    return Group(plain(f"soak {soak.job.run_id} on {soak.job.target}", "bold"), table)


def _lane(seen: LaneSight) -> str:
    """Give how a lane does on one line."""
    kinds = " ".join(f"{kind}={count}" for kind, count in sorted(seen.outcomes.items()))
    if not seen.is_alive:
        return f"ended after {seen.slots_passed:,} slots of the schedule; {kinds}"
    return (
        f"{seen.sent_per_s:,.0f} calls/s, p50 {_milliseconds(seen.p50_us)}, p99 {_milliseconds(seen.p99_us)}, "
        f"lag {_milliseconds(seen.lag_us)}, in flight {seen.in_flight:,}; {kinds}"
    )


def _on_one_line(words: str) -> Text:
    text = plain(words)
    text.overflow, text.no_wrap = "ellipsis", True
    return text


def _kinds(soak: Soak) -> Text:
    text = Text()
    for kind, count in sorted(soak.vitals.kinds.items()):
        style = "green" if kind == Kind.OK else "yellow" if kind in _GOOD_KINDS else "red"
        text.append(f"{kind} ", style=style).append(f"{count:,}  ")
    return text
