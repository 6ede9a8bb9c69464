"""Values of settings as they are given: what each has to look like, said before anything runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

__all__ = ["ABORT_PATTERN", "Pair", "abort_rule", "absolute_database", "base_url"]

ABORT_PATTERN: Final = r"success_rate\s*<\s*(?P<floor>\d+(?:\.\d+)?)\s+for\s+(?P<length>\d+(?:\.\d+)?)(?P<unit>s|m|h)"
"""The form of ``--abort-when``."""


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
    return value.rstrip("/")


def absolute_database(url: str) -> str:
    """Give the URL of an SQLite file with its whole path, so that it names the same file from any folder."""
    path = url.removeprefix("sqlite:///")
    return url if path in {url, ""} or path.startswith("/") else f"sqlite:///{Path(path).absolute()}"


def _pair(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+=[^=\s].*", value):
        msg = "must have the form NAME=VALUE"
        raise ValueError(msg)
    return value


def abort_rule(value: str) -> str:
    """Check the condition of ``--abort-when``."""
    if not re.fullmatch(ABORT_PATTERN, value.strip()):
        msg = 'must have the form "success_rate < 50 for 10m"'
        raise ValueError(msg)
    return value.strip()


Pair = Annotated[str, AfterValidator(_pair)]
