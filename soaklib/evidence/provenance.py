"""Where a bundle comes from: the software that made it, and what its run kept of what the gateway says of itself."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, JsonValue, ValidationError

from soaklib.evidence.manifest import GatewayFacts, Software

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import RunInfo

__all__ = ["gateway_facts", "git_commit", "software"]

_PACKAGE: Final = re.compile(r"[A-Za-z0-9._-]+")


class _Said(BaseModel):
    """What the gateway said at one time."""

    facts: dict[str, JsonValue]
    detail: str


class _Kept(BaseModel):
    """What the run keeps of it, as :mod:`soaklib.runner.gateway_facts` writes it."""

    begin: _Said
    end: _Said | None = None


@functools.cache
def software() -> Software:
    """Give the versions of soaklib, Python and of those of soaklib's dependencies that are installed.

    Looked at once a process: what it runs stays what it was when it began.
    """
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


def gateway_facts(info: RunInfo, known: GatewayFacts | None = None) -> GatewayFacts:
    """Give what a run has kept of what its gateway said of itself; nobody is asked.

    Parameters
    ----------
    info
        The run's manifest row.
    known
        What an earlier bundle of the run knew, for a run of a version that kept nothing.
    """
    try:
        kept = _Kept.model_validate(info.environment.get("gateway"))
    except ValidationError:
        if known is not None:
            return known
        return GatewayFacts(target=info.target, embedded=info.embedded, facts={}, detail="the run kept nothing of it")
    began, ended = kept.begin, kept.end
    detail = began.detail
    if ended is not None and not began.facts:
        began, detail = ended, f"when the run ended: {ended.detail}"
    elif ended is not None and ended.facts and ended.facts != began.facts:
        names = sorted({name for name, _ in ended.facts.items() ^ began.facts.items()})
        changed = ", ".join(f"{name} {ended.facts.get(name, 'gone')}" for name in names)
        detail = f"{detail}; when the run ended it said otherwise: {changed}"
    return GatewayFacts(target=info.target, embedded=info.embedded, facts=began.facts, detail=detail)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
