"""Starts what a rehearsal soaks as a process of its own on a free port of the loopback.

That is the reference gateway for the 4Runr wire, and the soak's own mock upstream for OpenAI's and MCP's.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

from soaklib.errors import ExitCode, SettingsError, TargetError
from soaklib.gateway.settings import DATABASE_VARIABLE
from soaklib.plan.model import TargetTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["EmbeddedGateway", "EmbeddedUpstream", "embedded", "rehearsed"]

_START_WITHIN_S: Final = 30.0
_STOP_WITHIN_S: Final = 15.0


_UPSTREAM_KINDS: Final = frozenset({"openai", "mcp"})


class _Embedded:
    """A server of ours, started on entering and stopped on leaving; it ends with this process whatever happens.

    Parameters
    ----------
    what
        How it is called when it does not start.
    command
        Module and options.
    environment
        Of the process.
    log
        File that its standard error goes to.

    Attributes
    ----------
    url
        Its base URL.
    database_url
        Its database's URL; None where it has none.

    Raises
    ------
    SettingsError, TargetError
        It did not start, for an option that it does not know or for another reason; the text has its own words.
    """

    url: str
    database_url: str | None

    def __init__(self, what: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._what = what
        self._command = [sys.executable, "-m", *command, "--port", "0", "--exit-with-parent"]
        self._environment = environment
        self._log = log

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                env=self._environment,
            )  # fmt: skip
        output = self._process.stdout
        ready = output is not None and select.select([output], [], [], _START_WITHIN_S)[0]
        line = output.readline() if output is not None and ready else b""
        try:
            said = json.loads(line)
            self.url = said["url"]
            self.database_url = self._database_of(said)
        except (ValueError, KeyError) as exc:
            self.__exit__()
            words = self._log.read_text("utf-8", "replace").strip().splitlines()
            msg = f"{self._what} did not start: {words[-1] if words else 'it said nothing'}"
            raise (SettingsError if self._process.returncode == ExitCode.USAGE else TargetError)(msg) from exc
        return self

    def _database_of(self, said: Mapping[str, str]) -> str | None:
        """Give its database's URL, by what it said when it was listening."""
        del said
        return None

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class EmbeddedGateway(_Embedded):
    """The reference gateway.

    Parameters
    ----------
    settings
        Its speed, seed, faults and quirks, and its database, where it is not to be a file of its own that it removes.
    log
        File that its standard error goes to.
    """

    def __init__(self, settings: SoakSettings, log: Path) -> None:
        self._given_url = settings.database_url
        # Not on the command line, which every user of the machine can read: the URL may hold a password.
        environment = {name: value for name, value in os.environ.items() if name != DATABASE_VARIABLE}
        if settings.database_url is not None:
            environment[DATABASE_VARIABLE] = settings.database_url
        command = [
            "soaklib.gateway", "--speed", repr(settings.speed), "--seed", str(settings.seed),
            *(word for fault in settings.gateway_fault for word in ("--fault", fault)),
            *(("--quirks", settings.gateway_quirks) if settings.gateway_quirks else ()),
        ]  # fmt: skip
        super().__init__("the reference gateway", command, environment, log)

    def _database_of(self, said: Mapping[str, str]) -> str | None:
        return self._given_url or f"sqlite:///{said['sqlite_file']}"


class EmbeddedUpstream(_Embedded):
    """The soak's own mock upstream.

    Parameters
    ----------
    settings
        Its seed.
    log
        File that its standard error goes to.

    Raises
    ------
    SettingsError
        The settings are for the reference gateway.
    """

    def __init__(self, settings: SoakSettings, log: Path) -> None:
        if settings.gateway_fault or settings.gateway_quirks or settings.database_url:
            msg = (
                "--gateway-fault, --gateway-quirks and --database-url are for the reference gateway; this plan is "
                "rehearsed against the mock upstream"
            )
            raise SettingsError(msg)
        super().__init__("the mock upstream", ["soaklib.upstream", "--seed", str(settings.seed)], dict(os.environ), log)


def rehearsed(plan: Plan) -> Plan:
    """Give a plan as it is rehearsed: what speaks to our upstream knows that it does."""
    if plan.target.kind not in _UPSTREAM_KINDS:
        return plan
    target = TargetTable(kind=plan.target.kind, **(plan.target.options | {"is_upstream": True}))
    return plan.model_copy(update={"target": target})


def embedded(kind: str, settings: SoakSettings, log: Path) -> EmbeddedGateway | EmbeddedUpstream:
    """Give what a kind of gateway is rehearsed with.

    Raises
    ------
    SettingsError
        There is nothing of ours that speaks its wire.
    """
    if kind in _UPSTREAM_KINDS:
        return EmbeddedUpstream(settings, log)
    if kind == "4runr":
        return EmbeddedGateway(settings, log)
    msg = f"nothing of soaklib's speaks as a gateway of kind {kind!r}: pass --gateway-url"
    raise SettingsError(msg)
