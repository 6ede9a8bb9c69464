"""``python -m soaklib.changes``: make a soak's changes by hand, at a 4Runr gateway or under a run that is going on.

Each is really done, between two health gates (switching chaos off is never gated); asking twice changes nothing the
second time, but for credentials, which rotate again; ``--restore`` puts back what was in force before the first change.
With ``--run`` the gateway is that of the run, and what was done becomes events of the run, if it is going on. Of one
that was killed, chaos that is switched off is owed no more.

What the run's row names (headers' variables, a file with authorities, where to send them) is used only while the run is
going on in a folder of this user's own. Of any other folder somebody else may be the author: what is secret must then
be named on the command line, or in the environment, and so must the gateway that it is sent to.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, get_args

from soaklib.analysis.sources.run import find_run, open_run
from soaklib.commands.flags import Flags
from soaklib.commands.process import command, run_on_the_fastest_loop
from soaklib.errors import ExitCode, RecordingError, SettingsError, SoaklibError
from soaklib.plan.changes import ChaosChange, CredentialsChange, PolicyChange
from soaklib.plan.loading import load_settings
from soaklib.plan.parts import NAME_PATTERN
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.records.moments import utc_stamp
from soaklib.runner.inbox import leave_note
from soaklib.runner.journal import UndoJournal
from soaklib.safety.foreign_text import plain_text
from soaklib.safety.ownership import is_own_folder
from soaklib.store.lock import RunLock, is_owned
from soaklib.targets.fourrunr.api import GatewayApi
from soaklib.targets.fourrunr.byhand import ByHand
from soaklib.targets.fourrunr.target import FourRunrTarget
from soaklib.targets.undo import UndoLog, default_undo_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from soaklib.analysis.sources.run import RunInfo
    from soaklib.plan.settings import SoakSettings

__all__ = ["flags", "main"]

_TOOL: Final = "openai"
_OF_ONE_TOOL: Final = frozenset({"rotate-credentials", "update-policy", "chaos-on"})
_WRITTEN_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.1


@dataclass
class _Notes:
    """Leaves notes for a run that is going on; none without one."""

    folder: Path | None
    left: list[Path] = field(default_factory=list)

    def __call__(self, name: str, detail: str) -> None:
        if self.folder is None:
            return
        stamp = utc_stamp(dt.datetime.now(dt.UTC))
        try:
            self.left.append(leave_note(self.folder, name, f"by hand at {stamp}: {detail}"))
        except OSError as exc:
            msg = f"the run in {self.folder} cannot be told: {exc.strerror}"
            raise RecordingError(msg) from exc

    def are_written(self) -> bool:
        """Wait a little for the run to write the notes down; say whether it did."""
        ends_s = time.monotonic() + _WRITTEN_WITHIN_S
        while any(note.exists() for note in self.left):
            if time.monotonic() > ends_s:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        info, notes, ended = _run(options)
        if options.change in _OF_ONE_TOOL and options.tool is None:
            options.tool = _default_tool(options.change, info)
        settings = _settings(options, info, is_trusted=notes.folder is not None and is_own_folder(notes.folder))
        said = run_on_the_fastest_loop(_change(options, settings, notes, None if info is None else info.run_id))
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    if options.change == "chaos-off" and ended is not None and (owed := _settled(ended, options.tool)) is not None:
        print(owed, file=sys.stderr)
    if notes.left and not notes.are_written():
        print("the run has not written it down yet; it does so as long as it goes on", file=sys.stderr)
    print(said)
    return ExitCode.OK


async def _change(options: argparse.Namespace, settings: SoakSettings, notes: _Notes, run_id: str | None) -> str:
    token = os.environ.get(ADMIN_TOKEN_VARIABLE)
    url = str(settings.gateway_url)
    async with GatewayApi(
        url,
        timeout_s=settings.http_timeout_ms / 1000,
        # here the admin token goes with every call, since the state that is changed is read first
        headers=settings.headers() | ({} if token is None else {"X-Admin-Token": token}),
        ca_file=settings.ca_file,
    ) as api:
        by_hand = ByHand(api, UndoLog(default_undo_path(), url), notes)
        match options.change:
            case "rotate-credentials":
                act = by_hand.restore_credentials if options.restore else by_hand.rotate_credentials
                return await act(options.tool)
            case "chaos-on":
                return await by_hand.chaos_on(options.tool, options.mode, options.pct)
            case "chaos-off":
                return await by_hand.chaos_off(options.tool)
            case "update-policy" if options.restore:
                return await by_hand.restore_policy(options.tool)
            case "update-policy":
                return await by_hand.update_policy(options.tool, options.limit, run_id)
            case _:
                return await by_hand.health_check()


def _settled(folder: Path, tool: str | None) -> str | None:
    """Take chaos that is off now from what a run owes that was killed; say what it still does, if there is any."""
    journal = UndoJournal(folder)
    if not journal:
        return None
    try:
        with RunLock(folder):
            journal = UndoJournal(folder)
            for debt in journal:
                if debt.do == "chaos" and tool in {None, debt.subject}:
                    journal.settle(debt)
    except SoaklibError as exc:
        return f"the run's journal of what it owes was left as it is: {exc}"
    if not journal:
        return None
    owed = []
    for debt in journal:
        undoing = journal.undoing(debt)
        by = "" if undoing is None else f" ({undoing[0]} {undoing[1]})"
        owed.append(plain_text(f"{debt.do} {debt.subject}{by}"))
    return f"the run still owes the end of {', '.join(owed)}; python -m soaklib.run --resume {folder} takes it back"


def _run(options: argparse.Namespace) -> tuple[RunInfo | None, _Notes, Path | None]:
    """Give the run that was named, what takes its events, and its folder if it is not going on."""
    if options.run is None:
        return None, _Notes(None), None
    folder = find_run(options.run).resolve()
    with open_run(folder) as run:
        info = run.info
    if (kind := info.plan.target.kind) != FourRunrTarget.kind:  # whose /health may be something else, and cost money
        msg = (
            f"the gateway of the run {info.run_id} is of kind {plain_text(kind)!r}, whose changes are not made by "
            "hand: put them into its plan"
        )
        raise SettingsError(msg)
    if options.gateway_url is not None and options.gateway_url.rstrip("/") != info.target:
        target = plain_text(info.target)
        msg = f"--gateway-url {options.gateway_url} is not the gateway of the run, {target}: leave one of them out"
        raise SettingsError(msg)
    if not is_owned(folder):
        print(f"the run {info.run_id} is not going on: no event is written", file=sys.stderr)
        return info, _Notes(None), folder
    return info, _Notes(folder), None


def _default_tool(what: str, info: RunInfo | None) -> str:
    """Give the tool of the run's own change of this sort, or its first; without a run, that of the default plan."""
    if info is None:
        return _TOOL
    for change in info.plan.changes:
        match change:
            case CredentialsChange() if what == "rotate-credentials":
                return change.tool
            case ChaosChange() if what == "chaos-on":
                return change.tool
            case PolicyChange() if what == "update-policy":
                return change.action.split(":")[0]
    return info.plan.tools[0]


def _settings(options: argparse.Namespace, info: RunInfo | None, *, is_trusted: bool) -> SoakSettings:
    """Give the settings of a soak, of which the gateway's address and what lets a call in are of use here."""
    url = options.gateway_url if info is None else info.target
    of_run = info.settings if info is not None and is_trusted else {}
    headers = list(options.header_env) or of_run.get("header_env", [])
    ca_file = options.ca_file or of_run.get("ca_file")
    flags = [word for pair in headers for word in ("--header-env", str(pair))]
    flags += [] if ca_file is None else ["--ca-file", str(ca_file)]
    flags += [] if url is None else ["--gateway-url", url]
    settings = load_settings(flags)
    if settings.gateway_url is None:
        msg = "no gateway is named: pass --gateway-url URL, --run RUN, or set GATEWAY_URL"
        raise SettingsError(msg)
    if info is not None and not is_trusted:
        _refuse_what_only_the_run_names(options, settings, info)
    return settings


def _refuse_what_only_the_run_names(options: argparse.Namespace, settings: SoakSettings, info: RunInfo) -> None:
    """Refuse to send what is secret to where somebody else's file may say."""
    named = options.gateway_url or os.environ.get("GATEWAY_URL", "")
    sends_secrets = bool(settings.header_env) or ADMIN_TOKEN_VARIABLE in os.environ
    unnamed = [
        flag
        for flag, is_unnamed in (
            ("--header-env", bool(info.settings.get("header_env")) and not settings.header_env),
            ("--ca-file", bool(info.settings.get("ca_file")) and settings.ca_file is None),
            ("--gateway-url", sends_secrets and named.rstrip("/") != info.target),
        )
        if is_unnamed
    ]
    if unnamed:
        msg = (
            "the run is not going on in a folder that is yours alone, so what its file names is not used unseen: "
            f"pass {' and '.join(unnamed)} as well"
        )
        raise SettingsError(msg)


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib changes",
        description="Make a change by hand, between two health gates.",
        epilog=f"An admin token is read from {ADMIN_TOKEN_VARIABLE}. With --run, what the run's file names (headers, "
        "authorities, gateway) is used while the run is going on in a folder that is yours alone; of any other folder, "
        "what is secret and where it goes must be named here as well. Every request goes straight to the gateway: "
        "http_proxy and the like are not obeyed. "
        "Exit codes: 0 done, or there was nothing to do; 2 bad usage; 3 the gateway cannot be used or did not do it.",
    )
    common = Flags(add_help=False)
    common.add_argument("--gateway-url", metavar="URL", help="base URL of the gateway [GATEWAY_URL]")
    common.add_argument("--run", metavar="RUN", help="folder or id of a run, or 'latest': its gateway, and its events")
    common.add_argument("--header-env", metavar="NAME=VARIABLE", action="append", default=[], help="as for soaklib.run")
    common.add_argument("--ca-file", metavar="FILE", help="as for soaklib.run")
    changes = parser.add_subparsers(dest="change", required=True, metavar="CHANGE")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return changes.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[common])

    rotate = add("rotate-credentials", "give a tool a new credential and activate it")
    rotate.add_argument("--restore", action="store_true", help="activate the one from before the first rotation")
    policy = add("update-policy", "set the limit of the quotas on a tool's actions")
    what = policy.add_mutually_exclusive_group(required=True)
    what.add_argument("--limit", type=_whole(1, 10**12), metavar="N", help="calls a window")
    what.add_argument("--restore", action="store_true", help="set the limits from before the first change by hand")
    chaos_on = add("chaos-on", "inject chaos into a tool")
    modes = get_args(ChaosChange.model_fields["mode"].annotation)
    chaos_on.add_argument("--mode", choices=modes, default="500", help="[500]")
    chaos_on.add_argument("--pct", type=_whole(1, 100), default=50, metavar="P", help="percent of the calls [50]")
    chaos_off = add("chaos-off", "clear chaos; not gated, and as often as one likes")
    for change in (rotate, policy, chaos_on):
        change.add_argument("--tool", type=_tool, help=f"[{_TOOL}; with --run, the tool of the plan's own such change]")
    chaos_off.add_argument("--tool", type=_tool, help="[every tool that has some]")
    add("health-check", "say whether the gateway is fit for a change")
    return parser


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Give what reads a whole number within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,15}", text) or not least <= int(text) <= most:
            msg = f"{text!r} is no whole number from {least:,} to {most:,}"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return read


def _tool(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        msg = f"{text!r} is no tool: letters, digits, _ . and -"
        raise argparse.ArgumentTypeError(msg)
    return text
