"""The verdicts on a run and its totals as the terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table

from soaklib.commands.terminal import plain, say
from soaklib.records import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from soaklib.records import Verdict

__all__ = ["show_verdicts"]

_MEASUREMENT: Final = "measurement valid"
_ORDER: Final = {State.FAIL: 0, State.INSUFFICIENT: 1, State.NOT_APPLICABLE: 2, State.PASS: 3}
_STATE_STYLE: Final = {State.PASS: "green", State.FAIL: "bold red", State.INSUFFICIENT: "yellow"}


def show_verdicts(verdicts: Iterable[Verdict], summed_up: dict[str, Any], console: Console) -> None:
    """Show the verdicts as a table, what did not pass first and with what is required, and the totals under it."""
    verdicts = sorted(verdicts, key=lambda verdict: _ORDER[State(verdict.state)])
    title = plain(f"run {summed_up['run_id']}: {summed_up['status']}")
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("verdict", no_wrap=True)
    table.add_column("criterion", min_width=20)
    table.add_column("seen")
    for verdict in verdicts:
        style = _STATE_STYLE.get(State(verdict.state), "dim")
        seen = verdict.detail if verdict.state == State.PASS else f"{verdict.detail} (required: {verdict.threshold})"
        table.add_row(plain(verdict.state, style), plain(verdict.name), plain(seen))
    console.print(table)
    totals = summed_up["totals"]
    rates = ", ".join(
        f"{name.replace('_', ' ')} {'-' if summed_up[name] is None else format(summed_up[name], '.3f')} %"
        for name in ("success_rate", "denial_rate", "failure_rate")
    )
    say(
        console,
        f"{totals['total']:,} planned calls: {totals['ok']:,} ok, {totals['denied']:,} denied, "
        f"{totals['fail']:,} failed; {rates}",
    )
    if any(verdict.name == _MEASUREMENT and verdict.state == State.FAIL for verdict in verdicts):
        say(
            console,
            "this machine could not keep the schedule, so the other verdicts say less of the gateway: give the soak "
            "cores of its own, or rehearse at a lower --speed",
            "yellow",
        )
