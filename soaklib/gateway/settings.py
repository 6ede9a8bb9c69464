"""The command line of the gateway, read into one frozen value that is checked before anything runs."""

import argparse
import contextlib
import difflib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from soaklib.gateway.faults import FaultError, FaultPlan, fault_table, parse_faults
from soaklib.gateway.quirks import NO_QUIRKS, REAL_QUIRKS, REAL_RATE_LIMIT, Quirks

ADMIN_TOKEN_VARIABLE = "SOAK_GATEWAY_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, no secret
SIGNING_KEY_VARIABLE = "SOAK_GATEWAY_SIGNING_KEY"
DATABASE_VARIABLE = "SOAK_GATEWAY_DATABASE_URL"


class SettingsError(ValueError):
    """Settings that contradict each other, in a sentence for the user."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What a gateway is made with.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    speed
        Soak seconds in a wall second; the gateway's own durations are divided by it.
    seed
        Seed of every random decision.
    database_url
        ``sqlite:///PATH`` (``sqlite:////ABSOLUTE``) or ``postgresql://...``; None is a private temporary SQLite
        file that is removed at the exit.
    rate_limit
        Calls an agent may make in 60 soak seconds; None is no limit.
    quirks
        Warts of the real gateway that are kept.
    faults
        Faults that are switched on.
    admin_token
        What admin routes and policy writes ask for; None asks for nothing, which only a loopback address may.
    signing_key
        Key of the token signatures. Derived from the seed by default on loopback, so that a token outlives a
        restart of the process as it does there; random elsewhere.
    production
        As NODE_ENV=production there: chaos is refused.
    exit_with_parent
        End when stdin reaches its end.
    """

    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    seed: int = 0
    database_url: str | None = None
    rate_limit: int | None = None
    quirks: Quirks = NO_QUIRKS
    faults: FaultPlan = field(default_factory=FaultPlan)
    admin_token: str | None = field(default=None, repr=False)
    signing_key: bytes | None = field(default=None, repr=False)
    production: bool = False
    exit_with_parent: bool = False

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.admin_token:
            message = (
                f"Listening on {self.host} opens the admin routes to the network: set {ADMIN_TOKEN_VARIABLE} to a "
                "token that callers have to send, or listen on 127.0.0.1."
            )
            raise SettingsError(message)
        if self.database_url is not None:
            _check_database_url(self.database_url)

    def token_key(self) -> bytes:
        """Return the key that signs tokens."""
        if self.signing_key:
            return self.signing_key
        return f"soaklib reference gateway, seed {self.seed}".encode() if is_loopback(self.host) else os.urandom(32)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach ``host``; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check_database_url(url: str) -> None:
    with contextlib.suppress(ValueError):  # a bracket that is not closed
        parts = urlsplit(url)
        if parts.scheme == "sqlite" and not parts.netloc and parts.path.strip("/"):
            return
        if parts.scheme in {"postgresql", "postgres"}:
            return
    message = "The database URL is sqlite:///PATH, sqlite:////ABSOLUTE/PATH or postgresql://USER@HOST/NAME."
    raise SettingsError(message)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        message = f"it has to be a number, not {text!r}"
        raise argparse.ArgumentTypeError(message) from exc


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        message = f"it has to be a whole number, not {text!r}"
        raise argparse.ArgumentTypeError(message) from exc


def _positive_number(text: str) -> float:
    number = _number(text)
    if not 0.0 < number < float("inf"):
        message = f"it has to be more than 0, not {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def _port(text: str) -> int:
    number = _whole_number(text)
    if not 0 <= number <= 65_535:  # noqa: PLR2004 - the range of a port
        message = f"a port is a number from 0 (any free one) to 65535, not {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def _positive_count(text: str) -> int:
    number = _whole_number(text)
    if number < 1:
        message = f"it has to be at least 1, not {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> GatewaySettings:
    """Read the command line; on a mistake print a sentence on stderr and exit with code 2."""
    parser = flags()
    options = parser.parse_args(arguments)
    real = options.quirks == "real"
    try:
        return GatewaySettings(
            host=options.host,
            port=options.port,
            speed=options.speed,
            seed=options.seed,
            database_url=options.database_url or environment.get(DATABASE_VARIABLE) or None,
            rate_limit=options.rate_limit or (REAL_RATE_LIMIT if real else None),
            quirks=REAL_QUIRKS if real else NO_QUIRKS,
            faults=parse_faults(options.fault),
            admin_token=environment.get(ADMIN_TOKEN_VARIABLE) or None,
            signing_key=environment.get(SIGNING_KEY_VARIABLE, "").encode() or None,
            production=environment.get("NODE_ENV") == "production",
            exit_with_parent=options.exit_with_parent,
        )
    except (FaultError, SettingsError) as problem:
        parser.error(str(problem))


def flags() -> argparse.ArgumentParser:
    """Give the flags of the gateway."""
    parser = _Flags(
        prog="soaklib gateway",
        description="The reference gateway. Prints one JSON line with its URL and pid on stdout when it is listening.",
        epilog=f"faults (name, form of the value, meaning):\n{fault_table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="port to listen on; 0 is any free one (default: %(default)s)")
    add("--speed", type=_positive_number, default=1.0, help="soak seconds in a wall second (default: 1)")
    add("--seed", type=_whole_number, default=0, help="seed of every random decision (default: %(default)s)")
    add(
        "--database-url",
        metavar="URL",
        help="sqlite:///PATH or postgresql://...; default: a temporary file. A URL with a password is better in "
        f"{DATABASE_VARIABLE} than on a command line, which every user of the machine can read",
    )
    add("--rate-limit", type=_positive_count, metavar="N", help="calls an agent may make in 60 soak seconds")
    add("--quirks", choices=["none", "real"], default="none", help="keep the warts of the real gateway")
    add("--fault", action="append", default=[], metavar="NAME=VALUE", help="switch a fault on (see below)")
    add("--exit-with-parent", action="store_true", help="end when stdin reaches its end")
    return parser


class _Flags(argparse.ArgumentParser):
    """A parser that says a mistake in one line; the gateway stands alone, and so has one of its own."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        if message.startswith("unrecognized"):
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.7)
            message = f"there is no flag {unknown}" + "".join(f": did you mean {flag}?" for flag in near)
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")
