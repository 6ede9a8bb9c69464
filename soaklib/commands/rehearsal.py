"""Starts the reference gateway as a process of its own on a free port of the loopback, for a rehearsal."""

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

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.plan.settings import SoakSettings

__all__ = ["EmbeddedGateway"]

_START_WITHIN_S: Final = 30.0
_STOP_WITHIN_S: Final = 15.0


class EmbeddedGateway:
    """The reference gateway, started on entering and stopped on leaving; it ends with this process whatever happens.

    Parameters
    ----------
    settings
        Its speed, seed, faults and quirks.
    log
        File that its standard error goes to.

    Attributes
    ----------
    url
        Its base URL.
    database_url
        Its database's URL: that of the settings, or of a file of its own that it removes when it ends.

    Raises
    ------
    SettingsError, TargetError
        It did not start, for a fault or quirk it does not know or for another reason; the text has its own words.
    """

    url: str
    database_url: str

    def __init__(self, settings: SoakSettings, log: Path) -> None:
        self._given_url = settings.database_url
        self._command = [
            sys.executable, "-m", "soaklib.gateway", "--port", "0", "--exit-with-parent",
            "--speed", repr(settings.speed), "--seed", str(settings.seed),
            *(word for fault in settings.gateway_fault for word in ("--fault", fault)),
            *(("--quirks", settings.gateway_quirks) if settings.gateway_quirks else ()),
        ]  # fmt: skip
        # Not on the command line, which every user of the machine can read: the URL may hold a password.
        self._environment = {name: value for name, value in os.environ.items() if name != DATABASE_VARIABLE}
        if settings.database_url is not None:
            self._environment[DATABASE_VARIABLE] = settings.database_url
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
            self.database_url = self._given_url or f"sqlite:///{said['sqlite_file']}"
        except (ValueError, KeyError) as exc:
            self.__exit__()
            words = self._log.read_text("utf-8", "replace").strip().splitlines()
            msg = f"the reference gateway did not start: {words[-1] if words else 'it said nothing'}"
            raise (SettingsError if self._process.returncode == ExitCode.USAGE else TargetError)(msg) from exc
        return self

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
