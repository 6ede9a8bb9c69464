"""How every request reaches the gateway, the load's, the admin calls' and the guard's: one TLS, one name, no proxy.

No proxy is ever used, whatever ``http_proxy``, ``https_proxy`` or ``all_proxy`` say: a proxy would see every token, and
its own limits and failures would be taken for the gateway's. Standard library only, for the guard's sake.
"""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["USER_AGENT", "proxy_note", "refuse_bad_header", "tls_context"]

USER_AGENT: Final = f"soaklib/{version('soaklib')}"
"""What every request calls itself, unless ``--header-env`` names another."""

_AUTHORITIES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name other authorities than the system's own."""
_MOST_CONTEXTS: Final = 8
_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")


def tls_context(ca_file: Path | str | None) -> ssl.SSLContext:
    """Give a verifying TLS context; `ca_file` adds authorities to the system's.

    Raises
    ------
    SettingsError
        The file holds no certificate, or cannot be read.
    """
    named = [None if ca_file is None else os.fspath(ca_file), *map(os.environ.get, _AUTHORITIES)]
    return _context(*named, stamps=tuple(map(_stamp, named)))


@lru_cache(_MOST_CONTEXTS)
def _context(ca_file: str | None, *_: str | None, stamps: tuple[object, ...]) -> ssl.SSLContext:
    """Make a context once for what its files hold now: it takes as long as hundreds of calls, and load may be on."""
    del stamps
    context = ssl.create_default_context()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as exc:
        msg = (
            f"--ca-file {ca_file} holds no certificate in PEM: pass the file of the authority that signed the gateway's"
        )
        raise SettingsError(msg) from exc
    except OSError as exc:
        msg = f"--ca-file {ca_file} cannot be read ({exc.strerror}): pass a PEM file of certificates"
        raise SettingsError(msg) from exc
    return context


def _stamp(path: str | None) -> tuple[int, int, int] | None:
    """Give what changes with a file, or with what is in a folder; None where there is none."""
    try:
        stat = Path(path or os.devnull).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def refuse_bad_header(name: str, value: str) -> None:
    """Refuse a header that cannot be sent, before anything is sent, without showing its value.

    Raises
    ------
    SettingsError
        The value holds a line end or another control character, or bytes that are no text.
    """
    if any((character < " " and character != "\t") or character == "\x7f" for character in value):
        msg = f"the value of the header {name} holds a line end or another control character: leave it out"
        raise SettingsError(msg)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        msg = f"the value of the header {name} is no UTF-8 text: set it anew"
        raise SettingsError(msg) from exc


def proxy_note(environment: Mapping[str, str] | None = None) -> str | None:
    """Give the sentence that a proxy which the environment names is not used; None where it names none."""
    environment = os.environ if environment is None else environment
    named = [name for name in environment if name.lower() in _PROXY_VARIABLES and environment[name]]
    if not named:
        return None
    return f"{', '.join(sorted(named))} is not obeyed: every request goes straight to the gateway, none through a proxy"
