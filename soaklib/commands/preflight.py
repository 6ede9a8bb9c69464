"""The preflight as a command sees it: run before a soak, shown as a table, and refused where the soak would be lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from soaklib.analysis.sources.request_log import look_up_request_log
from soaklib.commands.process import run_on_the_fastest_loop
from soaklib.commands.terminal import plain, say
from soaklib.commands.unjudged import unjudged
from soaklib.errors import SettingsError, SourceError, TargetError
from soaklib.evidence.comparison import PlannedLoad
from soaklib.evidence.reference import refuse_as_reference
from soaklib.fleet.launch import refuse_unfit_scheduler
from soaklib.plan.forecast import forecast, refuse_small_disk
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.reports.text_table import plain_table
from soaklib.runner.preflight.findings import Found, Standing
from soaklib.runner.preflight.machine import look_at_machine
from soaklib.runner.preflight.whole import Preflight
from soaklib.runner.surroundings import Surroundings
from soaklib.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from soaklib.commands.unjudged import Unjudged
    from soaklib.plan.forecast import Forecast
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["foreseen", "refuse_problems", "show_findings", "try_out", "with_limit"]

_STYLES: Final[dict[str, str]] = {Standing.OK: "green", Standing.PROBLEM: "bold red", Standing.NOTE: "yellow"}
_COLUMNS: Final = ("tried", "found", "in detail")
_UNJUDGED_COLUMNS: Final = ("not applicable", "because")


def foreseen(settings: SoakSettings, plan: Plan) -> Forecast:
    """Give what a soak will do and need; refuse what cannot hold it, before the gateway hears of it or a run is made.

    Parameters
    ----------
    settings, plan
        The soak.

    Raises
    ------
    SettingsError
        The disk is too small, the good run is no measure of this one, or the scheduler would run a lane again.
    TargetError
        The scheduler does not answer, or has no worker.
    """
    outlook = forecast(settings, plan)
    refuse_small_disk(outlook, settings.out)
    if settings.reference is not None:
        refuse_as_reference(settings.reference, PlannedLoad.of(settings, plan))
    if settings.scheduler is not None:
        refuse_unfit_scheduler(settings.scheduler)
    return outlook


def try_out(
    settings: SoakSettings,
    plan: Plan,
    outlook: Forecast,
    *,
    url: str,
    log_url: str | None,
    hindered: Mapping[int, str],
    console: Console,
) -> Found:
    """Try everything that a soak will do, once, and show what was found.

    Parameters
    ----------
    settings, plan, outlook
        The soak, and what it will do and need.
    url, log_url
        The gateway, and its database where it is known.
    hindered
        What is known to stand in the way of a change, by its place.
    console
        Where it is shown.

    Raises
    ------
    SettingsError, TargetError
        The soak would be lost; the text says by what.
    """
    found = Found()
    look_at_machine(settings, outlook, plan.calls_per_slot, found)
    _look_up_log(log_url, found)
    surroundings = Surroundings(settings, url, headers=settings.headers(), secret=os.environ.get(ADMIN_TOKEN_VARIABLE))
    check = Preflight(
        settings=settings, plan=plan, target=load_target(plan.target), surroundings=surroundings, base_url=url,
        hindered=hindered, found=found,
    )  # fmt: skip
    run_on_the_fastest_loop(check.run())
    show_findings(found, list(unjudged(plan, outlook, found, hindered)), console)
    refuse_problems(found)
    return found


def _look_up_log(url: str | None, found: Found) -> None:
    what = "request log"
    if url is None:
        found.add(what, Standing.NOT_APPLICABLE, "no --database-url: the books are balanced without it")
        return
    try:
        look_up_request_log(url)
    except (SourceError, SettingsError) as exc:
        found.add(what, Standing.PROBLEM, str(exc))
    else:
        found.add(what, Standing.OK, "it can be read")


def show_findings(found: Found, unjudged_: Sequence[Unjudged], console: Console) -> None:
    """Show what was found, and which criteria will not apply."""
    _show(console, "preflight", _COLUMNS, [(one.what, str(one.standing), one.detail) for one in found.findings])
    if unjudged_:
        _show(console, "what this soak cannot judge", _UNJUDGED_COLUMNS, unjudged_)


def _show(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    say(console, title, "bold")
    if not console.is_terminal:
        say(console, plain_table(columns, rows) + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(plain(word, _STYLES.get(word, "")) for word in row))
    console.print(table)


def refuse_problems(found: Found) -> None:
    """Refuse a soak that would be lost.

    Raises
    ------
    SettingsError
        There are too few agents for the limit of one, and nothing else is wrong.
    TargetError
        Something else is.
    """
    problems = found.problems
    if not problems:
        return
    words = "; ".join(f"{one.what}: {one.detail}" for one in problems)
    msg = f"{words} (--no-preflight starts all the same)"
    raise (SettingsError if all(one.is_of_settings for one in problems) else TargetError)(msg)


def with_limit(settings: SoakSettings, found: Found) -> SoakSettings:
    """Give the settings with the limit that was found, as if it had been stated: the run keeps it, and judges by it."""
    if settings.agent_limit is not None or found.limit is None:
        return settings
    stated = f"{found.limit.calls}/{found.limit.window_s:g}s"
    return settings.model_copy(update={"agent_limit": stated})
