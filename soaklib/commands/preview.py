"""The plan of a soak as a person sees it before the start: what happens when, how much of it, and what it takes."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from rich import box
from rich.table import Table

from soaklib.commands.terminal import plain, say
from soaklib.plan.cadence import sampling_s
from soaklib.plan.changes import (
    ChaosChange,
    CredentialsChange,
    HttpChange,
    LastingChange,
    PolicyChange,
    UpstreamChange,
)
from soaklib.plan.forecast import ROW_BYTES, bytes_text
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE, is_loopback
from soaklib.reports.text_table import plain_table
from soaklib.safety.reaching import proxy_note
from soaklib.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from soaklib.plan.changes import Change
    from soaklib.plan.forecast import Forecast
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["Preview", "show_plan", "spoken_openly"]

_COLUMNS: Final = ("what", "soak time", "lasts", "wall clock", "in detail")


class Preview(NamedTuple):
    """What is shown.

    Attributes
    ----------
    settings, plan, outlook
        The soak, and what it will do and need.
    hindered
        What stands in the way of a change, by its place in the plan.
    notes
        Further sentences that warn.
    starts_utc
        When it would start.
    zone
        Of the wall-clock times; None for this machine's.
    """

    settings: SoakSettings
    plan: Plan
    outlook: Forecast
    hindered: Mapping[int, str]
    notes: Sequence[str]
    starts_utc: dt.datetime
    zone: dt.tzinfo | None = None


def show_plan(preview: Preview, console: Console) -> None:
    """Show the plan: tables on a terminal, columns of plain text elsewhere; then the sentences that warn."""
    settings = preview.settings
    title = (
        f"{preview.plan.name}: {settings.hours:g} soak-hours in {_length(settings.wall_duration_s)} of wall time, "
        f"{settings.rps * settings.speed:g} slots a second, to {settings.gateway_url or 'the reference gateway'}"
    )
    _show_table(console, title, _COLUMNS, _happenings(preview))
    calls = [tuple(entry) for entry in preview.outlook.calls]
    about = "" if preview.outlook.is_exact else "about "
    totals = (
        f"{preview.outlook.slots:,} slots, {about}{preview.outlook.rows:,} planned calls, each one row "
        "(a chain's later steps are planned, and skipped where an earlier one is not ok)"
    )
    _show_table(console, totals, ("purpose", "role", "tool", "action", "calls"), calls)
    for line in _needs(preview):
        say(console, line)
    for warning in _warnings(preview):
        say(console, warning, "yellow")


def _show_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    say(console, title, "bold")
    if not console.is_terminal:
        say(console, plain_table(columns, rows) + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, value in zip(columns, rows[0], strict=True):
        is_number, is_first = isinstance(value, int), name == columns[0]
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_first)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else plain(str(value)) for value in row))
    console.print(table)


# -- what happens when


def _happenings(preview: Preview) -> list[tuple[str, str, str, str, str]]:
    """Give the rows of the schedule: the start, the changes in order of time, what recurs, the end."""
    settings, plan, outlook = preview.settings, preview.plan, preview.outlook
    duration_s, intervals = settings.duration_s, plan.intervals
    agents = f"{settings.agents_per_role} each for {', '.join(plan.roles)}"
    rows = [("start", _soak(0), "", _clock(preview, 0), f"agents ({agents}), with what they need to call")]
    for number, change in sorted(enumerate(plan.changes), key=lambda pair: pair[1].at):
        starts_s, lasts_s = change.at * duration_s, _lasts_s(change, duration_s)
        rows.append(
            (
                change.do, _soak(starts_s) + (f" to {_soak(starts_s + lasts_s)}" if lasts_s else ""),
                _both(lasts_s, settings.speed) if lasts_s else "", _clock(preview, starts_s),
                _detail(change) + (f" ({preview.hindered[number]})" if number in preview.hindered else ""),
            )
        )  # fmt: skip
    rotate_s = intervals.rotate_tokens_s
    tokens = f"{outlook.rotations:,} times, for tokens of {_length(intervals.token_lifetime_s)}"
    snapshots, scrapes = outlook.snapshots, outlook.scrapes
    sampled_s = sampling_s(intervals.scrape_s, duration_s, settings.speed)
    rows += [
        _recurring(preview, "token rotation", rotate_s, first_s=rotate_s, times=outlook.rotations, detail=tokens),
    ]
    if (path := load_target(plan.target).metrics.path) is None:
        rows += [(what, "", "", "", "never: the gateway has no metrics") for what in ("snapshot", "samples")]
    else:
        rows += [
            _recurring(preview, "snapshot", intervals.snapshot_s, detail=f"{snapshots:,} and a final one, of {path}"),
            _recurring(preview, "samples", sampled_s, detail=f"{scrapes:,} times {path} and what tells its health"),
        ]
    rows += [
        _recurring(preview, "probe", probe.every_s, detail=f"{probe.role} tries {probe.scope}: must be denied")
        for probe in plan.probes
    ]
    ends = f"open calls waited for up to {settings.drain_s:g} s, changes taken back, what was made for the soak removed"
    return [*rows, ("end", _soak(duration_s), _both(duration_s, settings.speed), _clock(preview, duration_s), ends)]


def _recurring(
    preview: Preview, what: str, every_s: float, *, first_s: float = 0.0, times: int = 1, detail: str
) -> tuple[str, str, str, str, str]:
    when = f"every {_length(every_s)}"
    if not times:
        return what, when, "", "", f"never: the soak is shorter ({detail})"
    return what, f"{when} from {_soak(first_s)}", "", _clock(preview, first_s), detail


def _lasts_s(change: Change, duration_s: float) -> float:
    return change.lasts * duration_s if isinstance(change, LastingChange) else 0.0


def _detail(change: Change) -> str:
    match change:
        case CredentialsChange():
            return f"{change.tool} gets a new credential"
        case ChaosChange():
            return f"{change.tool}: mode {change.mode}, {change.pct} % of the calls"
        case PolicyChange():
            return f"quota on {change.action} of {change.role} to {change.planned_ratio:g} x the calls planned"
        case HttpChange():
            there, back = change.make, change.undo
            return f"{change.name}: {there.method} {there.path}, then {back.method} {back.path}"
        case UpstreamChange():
            told = ", ".join(f"{key} {value}" for key, value in change.behave.items())
            return f"{change.name}: the upstream behaves as told ({told})"


# -- what it takes


def _needs(preview: Preview) -> list[str]:
    outlook, settings = preview.outlook, preview.settings
    disk = (
        f"disk: about {bytes_text(outlook.disk_bytes)} at most in {settings.out} "
        f"({bytes_text(outlook.free_bytes)} free), at {ROW_BYTES} bytes a row, the bundle included"
    )
    memory = (
        f"memory: up to {bytes_text(outlook.memory_bytes)} ({bytes_text(outlook.available_bytes)} available) with "
        f"{settings.in_flight_cap:,} operations in flight, the most there may be, and a full queue to the disk"
    )
    return [disk, memory]


def _warnings(preview: Preview) -> list[str]:
    changes = preview.plan.changes
    hindered = [
        f"the change {changes[number].do} at {_soak(changes[number].at * preview.settings.duration_s)}: {problem}"
        for number, problem in preview.hindered.items()
    ]
    unused = None if preview.settings.embedded else proxy_note()
    notes = [*preview.notes, *spoken_openly(preview.settings), *([] if unused is None else [unused])]
    return [*hindered, *notes, *preview.outlook.warnings()]


def spoken_openly(settings: SoakSettings) -> list[str]:
    """Give a sentence where tokens would go over a network as they are: plain HTTP to another machine."""
    url = settings.gateway_url
    if url is None or urlsplit(url).scheme != "http" or is_loopback(url):
        return []
    names = ["the agents' tokens", *(f"the header {pair.partition('=')[0]}" for pair in settings.header_env)]
    if ADMIN_TOKEN_VARIABLE in os.environ:
        names.append("the admin token")
    told = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return [f"{url} is not on this machine and speaks plain HTTP: {told} can be read on the way there; use https"]


# -- words for times


def _soak(soak_s: float) -> str:
    """Word a soak second: H+8, H+12:30, H+0:00:05."""
    whole = round(soak_s)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    if seconds:
        return f"H+{hours}:{minutes:02}:{seconds:02}"
    return f"H+{hours}:{minutes:02}" if minutes else f"H+{hours}"


def _length(seconds: float) -> str:
    """Word a length of time by its largest units: 24 h, 12 h 30 min, 2.5 s."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.3g} s"
    whole = round(seconds)
    days = whole // 86_400 if whole > 86_400 else 0  # noqa: PLR2004 - a day itself is said in hours
    left = whole - days * 86_400
    parts = ((days, "d"), (left // 3600, "h"), (left // 60 % 60, "min"), (left % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _both(soak_s: float, speed: float) -> str:
    """Word a length in soak time, and in wall time where that differs."""
    return _length(soak_s) if speed == 1 else f"{_length(soak_s)} ({_length(soak_s / speed)} wall)"


def _clock(preview: Preview, soak_s: float) -> str:
    """Word the wall-clock time of a soak second: local with its offset, and the date in UTC where that is another."""
    utc = preview.starts_utc + dt.timedelta(seconds=soak_s / preview.settings.speed)
    local = utc.astimezone(preview.zone)
    offset = f"{local:%z}"
    text = f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}"
    return text if local.date() == utc.date() else f"{text} ({utc:%Y-%m-%d} in UTC)"
