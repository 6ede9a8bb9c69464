"""Values of settings as they are given: what each has to look like, said before anything runs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator

__all__ = [
    "ABORT_PATTERN", "AgentLimit", "Pair", "abort_rule", "absolute_database", "base_url", "limit_on_agents",
    "refuse_no_file",
]  # fmt: skip

ABORT_PATTERN: Final = r"success_rate\s*<\s*(?P<floor>\d+(?:\.\d+)?)\s+for\s+(?P<length>\d+(?:\.\d+)?)(?P<unit>s|m|h)"
"""The form of ``--abort-when``."""
_AGENT_LIMIT: Final = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,6})s")


class AgentLimit(NamedTuple):
    """How many calls a gateway lets an agent make: so many in any stretch of so many seconds."""

    calls: int
    window_s: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``5/60s``; the seconds are soak time for the embedded gateway, else wall time.

        Raises
        ------
        ValueError
            It has another form.
        """
        if (found := _AGENT_LIMIT.fullmatch(text.strip())) is None:
            msg = 'must have the form "5/60s": calls, and seconds in which they are allowed'
            raise ValueError(msg)
        return cls(int(found[1]), float(found[2]))


def refuse_no_file(flag: str, path: Path) -> None:
    """Refuse what cannot be written as a file: a folder, or a file in a folder that is not there.

    Raises
    ------
    ValueError
        It is such a path.
    """
    if path.is_dir() or not path.parent.is_dir():
        msg = f"{flag} {path} is no file that can be written: name one in a folder that is there"
        raise ValueError(msg)


def base_url(value: str) -> str:
    """Check the base URL of a gateway, without its last slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = "must be a base URL such as http://127.0.0.1:3000"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "must not hold credentials (they would be logged); pass --header-env Authorization=VARIABLE"
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "must be a base URL without ? or #"
        raise ValueError(msg)
    if parts.port == 0:  # asking for it refuses one that is no number, or beyond 65535
        msg = "must name a port from 1 to 65535"
        raise ValueError(msg)
    return value.rstrip("/")


def absolute_database(url: str) -> str:
    """Check a database's URL; that of an SQLite file gets its whole path, to name the same file from any folder."""
    path = url.removeprefix("sqlite:///")
    if path in {url, ""} and not url.startswith(("postgres://", "postgresql://")):
        msg = "must be sqlite:///path or postgresql://user:password@host/name"
        raise ValueError(msg)
    return url if path == url or path.startswith("/") else f"sqlite:///{Path(path).absolute()}"


def _pair(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+=[^=\s].*", value):
        msg = "must have the form NAME=VALUE"
        raise ValueError(msg)
    return value


def abort_rule(value: str) -> str:
    """Check the condition of ``--abort-when``: one that a run can meet, and need not meet."""
    rule = re.fullmatch(ABORT_PATTERN, value.strip())
    if rule is None:
        msg = 'must have the form "success_rate < 50 for 10m"'
        raise ValueError(msg)
    if not 0 < float(rule["floor"]) <= 100 or not 0 < float(rule["length"]) < math.inf:  # noqa: PLR2004 - percent
        msg = 'must be of more than 0 and at most 100 percent, for some time, as in "success_rate < 50 for 10m"'
        raise ValueError(msg)
    return value.strip()


def limit_on_agents(value: str) -> str:
    """Check the form of ``--agent-limit``."""
    AgentLimit.parse(value)
    return value.strip()


Pair = Annotated[str, AfterValidator(_pair)]
