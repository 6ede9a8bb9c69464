"""Where a bundle comes from: the software that made it, and what the gateway under load says of itself."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.artifacts.manifest import GatewayFacts, Software

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

__all__ = ["gateway_facts", "git_commit", "software"]

_ANSWER_WITHIN_S: Final = 3.0
_MOST_ANSWER_BYTES: Final = 64 << 10
_CHANGING: Final = frozenset({"ok", "timestamp", "uptime", "memory", "pid"})
_PACKAGE: Final = re.compile(r"[A-Za-z0-9._-]+")


def software() -> Software:
    """Give the versions of soaklib, Python and of those of soaklib's dependencies that are installed."""
    names = {match[0] for line in requires("soaklib") or () if (match := _PACKAGE.match(line))} - {"soaklib"}
    return Software(
        soaklib=version("soaklib"),
        source_sha256=_source_sha256(),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: found for name in sorted(names) if (found := _version(name)) is not None},
        git_commit=git_commit(),
    )


def _source_sha256() -> str:
    """Give the SHA-256 of all files of the package, code, plans and templates: their paths and contents, by path."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def git_commit() -> str | None:
    """Give the commit of the checkout that soaklib runs from, ``-dirty`` if it was changed; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def gateway_facts(
    target: str, *, embedded: bool, headers: Mapping[str, str], ca_file: Path | None, known: GatewayFacts | None
) -> GatewayFacts:
    """Ask a gateway's /health what it says of itself that stays the same: its version, platform, settings.

    Parameters
    ----------
    target
        Its base URL.
    embedded
        Whether it was the reference gateway started by the run.
    headers, ca_file
        What lets the call in, and what its TLS is verified by.
    known
        What an earlier bundle of the run knew; kept when the gateway does not answer any more.
    """
    try:
        facts = _health(f"{target}/health", headers, ca_file)
    except (OSError, ValueError) as exc:
        if known is not None and known.facts:
            return known
        why = exc.reason if isinstance(exc, urllib.error.URLError) else exc
        detail = f"its /health told nothing when the bundle was made: {why}"
        return GatewayFacts(target=target, embedded=embedded, facts={}, detail=detail)
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if not isinstance(value, dict | list))
    detail = f"as its /health says: {told}" if told else "its /health says nothing of its version or settings"
    return GatewayFacts(target=target, embedded=embedded, facts=facts, detail=detail)


def _health(url: str, headers: Mapping[str, str], ca_file: Path | None) -> dict[str, JsonValue]:
    """Give the unchanging members of the answer, those of inner objects as ``outer.inner``."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http(s), checked by the run's settings
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # as the load went: straight
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(request, timeout=_ANSWER_WITHIN_S) as answer:
        body = json.loads(answer.read(_MOST_ANSWER_BYTES))
    return _unchanging(body, "") if isinstance(body, dict) else {}


def _unchanging(body: dict[str, JsonValue], prefix: str) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {}
    for name, value in body.items():
        if name in _CHANGING:
            continue
        if isinstance(value, dict):
            facts |= _unchanging(value, f"{prefix}{name}.")
        else:
            facts[prefix + name] = value
    return facts


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
