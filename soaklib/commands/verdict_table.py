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


def show_verdicts(
    verdicts: Iterable[Verdict], summed_up: dict[str, Any], console: Console, *, refused_probes: int = 0
) -> None:
    """Show the verdicts as a table, what did not pass first and with what is required, and the totals under it.

    Parameters
    ----------
    verdicts, summed_up
        How a run was judged, and its summary.
    console
        Where to show it.
    refused_probes
        How many of the calls that the summary takes for failed, by their kind, are probes that were rightly refused.
    """
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
    say(console, _totals(summed_up, refused_probes))
    if any(verdict.name == _MEASUREMENT and verdict.state == State.FAIL for verdict in verdicts):
        say(
            console,
            "this machine could not keep the schedule, so the other verdicts say less of the gateway: give the soak "
            "cores of its own, or rehearse at a lower --speed",
            "yellow",
        )


def _totals(summed_up: dict[str, Any], refused_probes: int) -> str:
    """Word what became of all calls."""
    totals = summed_up["totals"]
    counts = [f"{totals['ok']:,} ok", f"{totals['denied']:,} denied"]
    if refused_probes:
        what = "probe refused as it" if refused_probes == 1 else "probes refused as they"
        counts.append(f"{refused_probes:,} {what} must be")
    failed = totals["fail"] - refused_probes
    share = f" ({100 * failed / totals['total']:.3f} %)" if totals["total"] else ""
    rates = ", ".join(
        f"{name.replace('_', ' ')} {'-' if summed_up[name] is None else format(summed_up[name], '.3f')} %"
        for name in ("success_rate", "denial_rate")
    )
    return f"{totals['total']:,} planned calls: {', '.join(counts)}, {failed:,} failed{share}; {rates}"
