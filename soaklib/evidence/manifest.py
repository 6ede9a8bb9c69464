"""The manifest of a bundle: what is in it, what is not and why, and where every number comes from.

``manifest.json`` is for programs and ``manifest.txt`` for people and for ``sha256sum --check``; the second follows from
the first. Neither lists itself or the other.
"""

from __future__ import annotations

import hashlib
import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from soaklib.errors import RunError
from soaklib.store.bundle import MANIFEST_NAME
from soaklib.store.quoting import is_text
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.analysis.sources.run import RunInfo

__all__ = [
    "MANIFEST_TEXT_NAME",
    "BundleManifest",
    "DatabaseSnapshot",
    "FileEntry",
    "GatewayFacts",
    "Part",
    "PartState",
    "SnapshotState",
    "Software",
    "TableRows",
    "facts_of_run",
    "file_entry",
    "no_name_in_a_bundle",
    "read_manifest",
    "run_files",
    "write_manifest",
]

MANIFEST_TEXT_NAME: Final = "manifest.txt"
MANIFESTS: Final = frozenset({MANIFEST_NAME, MANIFEST_TEXT_NAME})
_NOT_EVIDENCE: Final = frozenset({"live", "inbox"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BUNDLE: Final = re.compile(r"soak-artifacts-.*\.tar\.gz")


def _inside(path: str) -> str:
    if path != os.path.normpath(path) or path.startswith(("/", "..")) or "\\" in path:
        msg = f"{path!r} is no path inside a bundle"
        raise ValueError(msg)
    return path


class _Model(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Model):
    """A file of the bundle: its path in it, with ``/``, its length and the SHA-256 of its content."""

    path: Annotated[str, AfterValidator(_inside)]
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class PartState(StrEnum):
    """Whether a part of the evidence is there."""

    PRESENT = "present"
    MISSING = "missing"
    LEFT_OUT = "left out"  #: it is there, and was not packed because it holds a secret
    NOT_DUE = "not due"  #: it is due of other runs, and this one has nothing that it could be made of


class Part(_Model):
    """A part of the evidence that is due."""

    name: str
    state: PartState
    detail: str = ""


class SnapshotState(StrEnum):
    """What the snapshot of the gateway's database is worth."""

    GOOD = "good"  #: read to its end or restored, and every table has the rows that it should have
    INSUFFICIENT = "insufficient"  #: not taken, or not shown to be whole
    NOT_APPLICABLE = "not applicable"  #: the run knows of no database


class TableRows(_Model):
    """A table of the snapshot: how many rows of it the dump holds, none for one that is there as schema only."""

    table: str
    rows: int = Field(ge=0)
    schema_only: bool = False


class DatabaseSnapshot(_Model):
    """The snapshot of the gateway's database.

    Attributes
    ----------
    state, detail
        What it is worth, and one sentence on why.
    kind
        Whose dump it is; None when there is none.
    taken_at
        UTC, ISO 8601.
    tables
        What is in it.
    includes_secrets
        Whether token and credential tables are there with their rows, because that was asked for.
    """

    state: SnapshotState
    detail: str
    kind: Literal["sqlite", "postgresql"] | None = None
    taken_at: str | None = None
    tables: tuple[TableRows, ...] = ()
    includes_secrets: bool = False


class GatewayFacts(_Model):
    """What is known of the gateway under load; `facts` is what its /health tells that does not change by the second."""

    target: str
    embedded: bool
    facts: dict[str, JsonValue]
    detail: str


class Software(_Model):
    """What made the bundle; `source_sha256` is of soaklib's source files, so that equal means the same software."""

    soaklib: str
    source_sha256: str
    python: str
    platform: str
    packages: dict[str, str]
    git_commit: str | None


class BundleManifest(_Model):
    """The manifest.

    Attributes
    ----------
    format
        Version of this model.
    run_id, status, started_at, completed_at, duration_s, seed, speed, rps, hours, plan, settings
        As the run's own row says; times are UTC in ISO 8601, `completed_at` and `duration_s` None for a run that did
        not end by itself.
    made_with, environment
        soaklib's version that made the run, and host, Python and packages at that time.
    collected_with
        What made the bundle.
    gateway
        The gateway under load.
    database_snapshot
        The snapshot of its database.
    parts
        Every part of the evidence that is due, and whether it is here.
    files
        Every file of the bundle but the manifests, by path.
    """

    format: Literal[1] = 1
    run_id: str
    status: str
    started_at: str
    completed_at: str | None
    duration_s: float | None
    seed: int
    speed: float
    rps: float
    hours: float
    plan: str
    settings: dict[str, JsonValue]
    made_with: str
    environment: dict[str, JsonValue]
    collected_with: Software
    gateway: GatewayFacts
    database_snapshot: DatabaseSnapshot
    parts: tuple[Part, ...]
    files: tuple[FileEntry, ...]

    def as_text(self) -> str:
        """Give ``manifest.txt``."""
        software = self.collected_with
        facts = {
            "run": f"{self.run_id} ({self.status})",
            "started": self.started_at,
            "completed": self.completed_at or "-",
            "plan": f"{self.plan}: {self.hours:g} soak-hours at {self.rps:g} slots a soak-second, "
            f"speed {self.speed:g}, seed {self.seed}",
            "gateway": f"{self.gateway.target}{' (embedded)' if self.gateway.embedded else ''}; {self.gateway.detail}",
            "made with": f"soaklib {self.made_with}, host {self.environment.get('host', 'unknown')}",
            "collected with": f"soaklib {software.soaklib} ({software.git_commit or 'no git commit'}), "
            f"Python {software.python}",
            "database": f"{self.database_snapshot.state}: {self.database_snapshot.detail}",
        }
        lines = [f"# {name:<15} {_one_line(value)}" for name, value in facts.items()]
        lines += ["#", "# the evidence that is due:"]
        lines += [
            f"#   {part.state:<9} {part.name}{f': {_one_line(part.detail)}' * bool(part.detail)}" for part in self.parts
        ]
        lines += ["#", "# sizes in bytes:"]
        lines += [f"#   {entry.size_bytes:>15,} {entry.path}" for entry in self.files]
        lines += ["#", f"# SHA-256; check with: sha256sum --check {MANIFEST_TEXT_NAME}"]
        lines += [f"{entry.sha256}  {entry.path}" for entry in self.files]
        return "\n".join(lines) + "\n"


def facts_of_run(info: RunInfo) -> dict[str, Any]:
    """Give what a manifest says as the run's own row does, by its name there."""
    return {
        "run_id": info.run_id,
        "status": info.status,
        "started_at": info.started_utc.isoformat(),
        "completed_at": None if info.completed_utc is None else info.completed_utc.isoformat(),
        "duration_s": info.duration_s,
        "seed": info.seed,
        "speed": info.speed,
        "rps": info.rps,
        "hours": info.hours,
        "plan": info.plan.name,
        "settings": dict(info.settings),
        "made_with": info.soaklib_version,
        "environment": dict(info.environment),
    }


def run_files(folder: Path) -> list[str]:
    """Give the files of a run's folder that belong into its bundle, by path.

    Left out are the manifests, bundles, hidden files (locks and what is half written), what a live run is looked at
    through, and links.
    """
    names = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts) or parts[0] in _NOT_EVIDENCE
        ours = len(parts) == 1 and (path.name in MANIFESTS or _BUNDLE.fullmatch(path.name))
        if not hidden and not ours and path.is_file() and not path.is_symlink():
            names.append("/".join(parts))
    return sorted(names)


def no_name_in_a_bundle(name: str) -> str | None:
    """Say why a file's path cannot stand in a manifest; None if it can."""
    if "\\" in name:
        return "there is a backslash in its name"
    if not is_text(name):
        return "its name is no UTF-8 text"
    return "there is a line end or another control character in its name" if _CONTROL.search(name) else None


def file_entry(folder: Path, name: str) -> FileEntry:
    """Give the entry of a file as it is now."""
    with (folder / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(path=name, size_bytes=os.fstat(file.fileno()).st_size, sha256=digest)


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write ``manifest.json`` and ``manifest.txt``."""
    for name, text in (
        (MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n"),
        (MANIFEST_TEXT_NAME, manifest.as_text()),
    ):
        with whole_file(folder / name) as part:
            part.write_text(text, "utf-8")


def read_manifest(folder: Path) -> BundleManifest:
    """Read ``manifest.json``.

    Raises
    ------
    RunError
        There is none, or it is not what this version writes.
    """
    path = folder / MANIFEST_NAME
    try:
        return BundleManifest.model_validate_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{MANIFEST_NAME} cannot be read: {exc.strerror if isinstance(exc, OSError) else exc}"
        raise RunError(msg) from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"{MANIFEST_NAME} is not the manifest of a bundle: {where + ': ' if where else ''}{first['msg']}"
        raise RunError(msg) from exc


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
