"""What is secret, taken out of a text before anyone sees or keeps it: the one place that knows where it may stand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MASK", "echoes_of", "mask_url", "redacted", "url_secrets"]

MASK: Final = "***"

_LEAST_SECRET: Final = 4  # a shorter header value is no secret, and masking it would make words unreadable
_START: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PARAMETER: Final = re.compile(r"[?&]([^=&]*)=([^&]*)")
_KEYWORD: Final = re.compile(r"(?:^|\s)(\w+)\s*=\s*('(?:[^'\\]|\\.)*'?|\S+)")
_PORT: Final = re.compile(r"\d{1,5}[/?]")
_SECRET_NAME: Final = re.compile(
    r"(?:ssl)?pass(?:word|wd|phrase)?|pwd|.*(?:secret|token)|scram_(?:client|server)_key", re.IGNORECASE
)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Give a text with every secret in it masked.

    Parameters
    ----------
    text
        What somebody else said, such as a gateway's answer, which may echo what it was sent.
    secrets
        What must not be seen; empty ones are left out.
    """
    for secret in sorted({one for one in secrets if one}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def echoes_of(secrets: Iterable[str]) -> Iterator[str]:
    """Give secrets as an answer may echo them: whole, without their scheme (``Bearer``), and inside a JSON string."""
    for secret in secrets:
        for form in {secret, secret.rpartition(" ")[2]}:
            if len(form) >= _LEAST_SECRET:
                yield form
                for is_ascii in (True, False):
                    yield json.dumps(form, ensure_ascii=is_ascii)[1:-1]


def mask_url(url: str) -> str:
    """Give a URL, well formed or not, or libpq's ``keyword=value`` form, with everything in it masked that is secret.

    Secret are its user's password, and passwords among its parameters however they are written: ``?password=``,
    ``&sslpassword=``, percent-encoded.
    """
    for start, end in sorted(_secret_places(url), reverse=True):
        url = url[:start] + MASK + url[end:]
    return url


def url_secrets(url: str) -> frozenset[str]:
    """Give what :func:`mask_url` masks, as it is written and as it is meant: to look for, or to redact, elsewhere."""
    written = {url[start:end] for start, end in _secret_places(url)} - {MASK}
    written |= {one.strip("'") for one in written}
    # After an @ that should have been written %40, libpq takes the rest of a password for part of the host.
    parts = {f"{rest}@" for password in written for rest in password.split("@")[1:] if rest}
    return frozenset(one for one in written | parts | {unquote(one) for one in written} if one)


def _secret_places(url: str) -> Iterator[tuple[int, int]]:
    """Give the starts and ends of what is secret, without overlaps."""
    start = _START.match(url)
    if start is None:
        parameters = _KEYWORD.finditer(url)
    else:
        password = _password(url, start.end())
        if password is not None:
            yield password
        parameters = _PARAMETER.finditer(url, start.end() if password is None else password[1])
    for found in parameters:
        if _SECRET_NAME.fullmatch(unquote(found[1]).strip()) and found[2]:
            yield found.span(2)


def _password(url: str, start: int) -> tuple[int, int] | None:
    """Give where a user's password stands; one with ``/`` or ``?`` in it, which should be written %2F, is one too."""
    slash = url.find("/", start)
    at = url.rfind("@", start, slash if slash >= 0 else len(url))
    if at < 0:
        at = url.rfind("@", start)
    colon = url.find(":", start, max(at, start))
    if colon < 0 or start <= slash < colon or colon + 1 == at or _PORT.match(url, colon + 1):
        return None
    return colon + 1, at
