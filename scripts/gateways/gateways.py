"""Starts a real gateway on the loopback, with the soak's own mock upstream behind it; soaks it, where that is asked.

A gateway is a folder beside this file:

==================== =================================================================================================
file                 what
==================== =================================================================================================
``requirements.txt`` what is installed into ``.gateways/NAME``, pinned (``scripts/setup gateways NAME``); none for what
                     soaklib brings itself
``gateway.toml``     how it is started (:class:`Recipe`)
``soak.toml``        the head of its plan: its name, its ``[target]``, and what only it can be asked; what all that
                     speak the same wire share stands beside this file; ``gateway.toml`` says which files make the plan
``prepare.py``       optional: run by the gateway's own Python when it answers, with ``GATEWAY_URL``, ``UPSTREAM_URL``
                     and the recipe's keys in its environment; prints one JSON object of further variables for the soak
the rest             its configuration; ``@PORT@``, ``@UPSTREAM@`` and ``@UPSTREAM_PORT@`` are filled in
==================== =================================================================================================

All files are copied into a working folder first, since gateways write beside their configuration. While a gateway is
soaked, its memory and CPU time are read from outside, all of its processes together, alike for all: many expose
neither, and what one exposes may be another's behind it. They are kept beside the run (:mod:`soaklib.digests.process`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ending import code_of, end
from watching import watching

from soaklib.digests.process import PROCESS_NAME

PLAN_NAME: Final = "plan.toml"
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
INSTALLED: Final = ROOT / ".gateways"
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PORTS: Final = range(20_000, 32_000)  # below those that outgoing connections are given
_POLL_S: Final = 0.2


class GatewayError(Exception):
    """A gateway could not be started; says why, and where its log is."""


@dataclass(frozen=True)
class Recipe:
    """How a gateway is started: its ``gateway.toml``.

    Attributes
    ----------
    about
        What it is, in a line.
    command
        What starts it in the working folder; ``{bin}`` is where its programs are, ``{python}`` its Python, ``{port}``,
        ``{upstream}`` and ``{upstream_port}`` are filled in, and ``{port2}``, where it listens on another, too;
        ``{soaklib}`` is the Python of soaklib. Empty where there is no gateway: what is soaked is the upstream itself.
    ready
        A path that is answered, by anything but a 5xx, once it is up.
    plan
        The files that make the plan of its soak, in order, from its folder on.
    start_s
        How long that may take.
    has_upstream
        Whether the soak's own mock upstream stands behind it.
    behaviour
        How the upstream behaves until it is told otherwise.
    tools
        Names of the upstream's MCP tools; none for those that it has anyway.
    environment
        Variables of the gateway.
    keys
        Variables of the soak: keys that are good for nothing but this gateway.
    soak
        What ``soaklib run`` is told beside the plan and the URL.
    """

    about: str
    ready: str
    command: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=lambda: ["soak.toml"])
    start_s: float = 90.0
    has_upstream: bool = True
    behaviour: dict = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    soak: list[str] = field(default_factory=list)


def names():
    """Give the gateways there are."""
    return sorted(path.parent.name for path in HERE.glob("*/gateway.toml"))


def recipe_of(name):
    """Give how a gateway is started."""
    return Recipe(**tomllib.loads((HERE / name / "gateway.toml").read_text()))


def plan_text(name):
    """Give the plan of a gateway's soak: its files one after the other, which is one TOML text."""
    return "\n".join((HERE / name / part).read_text() for part in recipe_of(name).plan)


def is_installed(name):
    """Say whether ``scripts/setup gateways`` has installed a gateway, or has nothing to install."""
    return not (HERE / name / "requirements.txt").exists() or any((INSTALLED / name).glob(".installed-*"))


def free_port(begin=0):
    """Give a port that nothing listens on now, and that no outgoing connection is given; from one on, where asked."""
    begin = begin - _PORTS[0] if begin else os.getpid() * 7 % len(_PORTS)
    for offset in range(len(_PORTS)):
        port = _PORTS[(begin + offset) % len(_PORTS)]
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    msg = f"no free port from {_PORTS[0]} to {_PORTS[-1]}"
    raise GatewayError(msg)


class Gateway:
    """A real gateway, started in a folder of its own and stopped by its pid.

    Parameters
    ----------
    name
        Of its folder beside this file.
    folder
        The working folder, which is made: configuration, logs.
    """

    def __init__(self, name, folder):
        self.name = name
        self.folder = Path(folder)
        self.recipe = recipe_of(name)
        self.port = self._port2 = 0
        self.upstream = ""
        self.variables = {}
        self._process = self._upstream_process = None

    def __enter__(self):
        shutil.copytree(HERE / self.name, self.folder, dirs_exist_ok=True)
        (self.folder / PLAN_NAME).write_text(plan_text(self.name))
        try:
            if self.recipe.has_upstream:
                self._start_upstream()
            self.port = self._own_port()
            self._port2 = free_port(self.port + 1)
            self._fill_in()
            self.start()
            self.variables = self.recipe.keys | ({"SOAK_UPSTREAM_CONTROL": self.control} if self.upstream else {})
            self.variables |= self._prepare()
        except BaseException:  # an interrupt too: nobody but this object knows what runs
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        end(self._upstream_process)
        self._upstream_process = None

    @property
    def url(self):
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        """The gateway's process; the upstream's, where that is what is soaked."""
        return (self._process or self._upstream_process).pid

    @property
    def control(self):
        """The URL at which the upstream is told to misbehave."""
        return f"{self.upstream}/control"

    def start(self):
        """Start it, and wait until it answers."""
        if not self.recipe.command:
            return  # the upstream answers already
        log = self.folder / "gateway.log"
        environment = os.environ | {name: self._filled(value) for name, value in self.recipe.environment.items()}
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [self._filled(word) for word in self.recipe.command],
                cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,  # its workers end with it; Ctrl-C is ours alone
            )  # fmt: skip
        deadline_s = time.monotonic() + self.recipe.start_s
        while not self._answers():
            if (code := code_of(self._process)) is not None:
                msg = f"{self.name} ended with {code} before it answered; see {log}"
                raise GatewayError(msg)
            if time.monotonic() > deadline_s:
                msg = f"{self.name} did not answer at {self.recipe.ready} within {self.recipe.start_s:g} s; see {log}"
                raise GatewayError(msg)
            time.sleep(_POLL_S)

    def stop(self):
        """Stop it, and what it started; the upstream stays."""
        end(self._process)
        self._process = None

    def restart(self):
        """Stop it and start it again on the same port, in the same folder."""
        self.stop()
        self.start()

    def soak_command(self, *more):
        """Give the command that soaks it, its plan and the rate it bears included."""
        program = str(Path(sys.executable).parent / "soaklib")
        return [
            program,
            "run",
            "--plan",
            str(self.folder / PLAN_NAME),
            "--gateway-url",
            self.url,
            *self.recipe.soak,
            *more,
        ]

    def _own_port(self):
        """Give where it is to listen, now that the upstream has its port: on that, where it is the upstream."""
        return free_port() if self.recipe.command else int(self.upstream.rpartition(":")[2])

    def _answers(self):
        try:
            with _DIRECT.open(self.url + self.recipe.ready, timeout=5):
                return True
        except urllib.error.HTTPError as answer:
            return answer.code < 500  # noqa: PLR2004 - the first server error
        except OSError:
            return False

    def _start_upstream(self):
        self._upstream_process = subprocess.Popen(
            [sys.executable, "-m", "soaklib.upstream", "--behaviour", json.dumps(self.recipe.behaviour),
             "--port", str(free_port()), "--exit-with-parent",
             *(["--tools", ",".join(self.recipe.tools)] if self.recipe.tools else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        line = self._upstream_process.stdout.readline()
        if not line:
            msg = "the mock upstream did not start"
            raise GatewayError(msg)
        self.upstream = json.loads(line)["url"]

    def _filled(self, text):
        return text.format(
            bin=INSTALLED / self.name / "bin", python=INSTALLED / self.name / "bin" / "python", soaklib=sys.executable,
            port=self.port, port2=self._port2, upstream=self.upstream, upstream_port=self.upstream.rpartition(":")[2],
        )  # fmt: skip

    def _fill_in(self):
        for path in self.folder.iterdir():
            if path.is_file() and path.suffix != ".log":
                text = path.read_text()
                filled = text.replace("@PORT@", str(self.port)).replace("@UPSTREAM@", self.upstream)
                path.write_text(filled.replace("@UPSTREAM_PORT@", self.upstream.rpartition(":")[2]))

    def _prepare(self):
        script = self.folder / "prepare.py"
        if not script.exists():
            return {}
        environment = os.environ | self.variables | {"GATEWAY_URL": self.url, "UPSTREAM_URL": self.upstream}
        told = subprocess.run(
            [INSTALLED / self.name / "bin" / "python", script],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if told.returncode:
            msg = f"{self.name} could not be prepared:\n{told.stderr}"
            raise GatewayError(msg)
        return json.loads(told.stdout)


def _show(gateway):
    print(f"{gateway.name}: {gateway.recipe.about}")
    print(f"  {gateway.url}, pid {gateway.pid}; log and configuration in {gateway.folder}")
    if gateway.upstream:
        print(f"  upstream {gateway.upstream}, told to misbehave by PUT {gateway.control}")
    print("To soak it, in another terminal:\n")
    for name, value in gateway.variables.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"{shlex.join(gateway.soak_command('--hours', '0.1'))}\n")
    print("Ctrl-C stops it.", flush=True)


def _soak(gateway, more):
    """Soak it; give the soak's exit code. Ctrl-C and SIGTERM are for the soak, which ends by itself then."""
    watched = gateway.folder / PROCESS_NAME
    with watching(gateway.pid, watched):
        code, said = _soaked(gateway, more)
    folder = Path(said[-1]) if said else None
    if folder is not None and (folder / "run.duckdb").is_file():  # else there was no run: it was refused, or a check
        shutil.copyfile(watched, folder / PROCESS_NAME)
    return code


def _soaked(gateway, more):
    """Give the soak's exit code and the lines of its standard output, of which the last names the run's folder."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(gateway.soak_command(*more), env=os.environ | gateway.variables, stdout=output) as soak,
    ):
        signal.signal(signal.SIGTERM, lambda *_: soak.terminate())
        while True:
            try:
                code = soak.wait()
                break
            except KeyboardInterrupt:
                continue
        output.seek(0)
        said = output.read()
    print(said, end="", flush=True)
    return code, said.splitlines()


def main():
    """Start a gateway and wait for Ctrl-C, or soak it."""
    parser = argparse.ArgumentParser(prog="scripts/gateways/start", allow_abbrev=False)
    parser.add_argument("do", choices=["start", "soak"])
    parser.add_argument("name", choices=names())
    given, more = parser.parse_known_args()
    if more and given.do == "start":
        parser.error(f"unknown: {' '.join(more)}")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    runs = INSTALLED / "run"
    runs.mkdir(parents=True, exist_ok=True)
    try:
        with Gateway(given.name, tempfile.mkdtemp(prefix=f"{given.name}-", dir=runs)) as gateway:
            if given.do == "soak":
                return _soak(gateway, more)
            _show(gateway)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    except GatewayError as problem:
        print(problem, file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
