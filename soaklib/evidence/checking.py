"""Is a bundle what it says it is? Needs no service and no network.

Authentic means: every file of the manifest is there, as it was, and no other is; the tables are those of a run; no
secret is in it; the database dump can be read to its end; and verdicts, summary, the whitepaper's claims, texts and
Parquet files follow from the data. What the verdicts say does not matter for that. Every failure is told; the exit code
is that of the first of:

==== ==================================================================================================
code meaning
==== ==================================================================================================
0    authentic
2    bad usage: there is no such file or folder
10   the archive cannot be unpacked: it is cut short, damaged, no tar, or holds what no bundle holds
11   the manifest is missing, or is none, or its two forms disagree
12   a secret is in it
13   the database dump cannot be read to its end, or holds other rows than the manifest says
14   a verdict, the summary, a claim of the whitepaper or a text does not follow from the data, or what is kept of a
     reference from that run
15   a Parquet file does not hold the rows of its table
16   a file of the manifest is missing
17   a file is there that the manifest does not name
18   a file is not as it was: its size or its SHA-256 differs
19   the run's database is not that of a run of this version
==== ==================================================================================================

The order goes from the particular to the general: a dump that was cut short is also a file that is not as it was.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from soaklib.analysis.sources.run import open_foreign_run, open_run
from soaklib.errors import RunError, SourceError
from soaklib.evidence.dump import DUMP_NAME
from soaklib.evidence.dump_reading import count_dump
from soaklib.evidence.judging import verdicts_on
from soaklib.evidence.manifest import (
    MANIFEST_TEXT_NAME,
    MANIFESTS,
    PartState,
    SnapshotState,
    file_entry,
    read_manifest,
    run_files,
)
from soaklib.evidence.provenance import software
from soaklib.evidence.reference import not_of_reference
from soaklib.evidence.results import unfounded_results
from soaklib.evidence.seal import SEAL_FOLDER, broken_seals
from soaklib.evidence.secrets_scan import find_secrets
from soaklib.store.bundle import extract
from soaklib.store.quoting import refuse_no_text
from soaklib.store.schema import foreign_schema
from soaklib.store.tables import DATABASE_NAME
from soaklib.whitepaper.checking import unfounded_claims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.evidence.manifest import BundleManifest

__all__ = ["Problem", "VerifyCode", "verify"]


class VerifyCode(IntEnum):
    """What is wrong with a bundle, and the command's exit code for it; the module's table says more."""

    ARCHIVE = 10
    MANIFEST = 11
    SECRET = 12
    DUMP = 13
    RESULT = 14
    SEAL = 15
    MISSING = 16
    ADDED = 17
    CHANGED = 18
    SCHEMA = 19


class Problem(NamedTuple):
    """One thing that is wrong: its kind, and a sentence."""

    code: VerifyCode
    text: str


class Verification(NamedTuple):
    """What was found out about a bundle.

    Attributes
    ----------
    problems
        What is wrong; none for an authentic bundle.
    notes
        What its reader should know although nothing is wrong: parts that were not there, verdicts that fail.
    """

    problems: list[Problem]
    notes: list[str]


def verify(bundle: Path, *, reference: Path | None = None) -> Verification:
    """Check a bundle, or the folder that one was unpacked to.

    Parameters
    ----------
    bundle
        ``soak-artifacts-<run-id>.tar.gz``, another tar of the same files, or a folder.
    reference
        The good run that it was judged against, to hold what is kept of that against; None to take it as it is.

    Raises
    ------
    RunError
        There is no such file or folder, or no such good run; or the folder's path is no UTF-8 text.
    """
    if not bundle.exists():
        msg = f"there is no {bundle}; pass a bundle, soak-artifacts-<run-id>.tar.gz, or the folder of an unpacked one"
        raise RunError(msg)
    if reference is not None:
        open_run(reference).close()
    with ExitStack() as stack:
        if bundle.is_dir():
            refuse_no_text(bundle)
            return _verify_folder(bundle, run_files(bundle), reference)
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soaklib-verify-")))
        try:
            folder = extract(bundle, top)
        except RunError as exc:
            return Verification([Problem(VerifyCode.ARCHIVE, str(exc))], [])
        return _verify_folder(folder, _every_file(top, folder), reference)


def _every_file(top: Path, folder: Path) -> list[str]:
    """Give all files of an archive but the manifests, those beside the run's folder included."""
    manifests = {folder / name for name in MANIFESTS}
    paths = [path for path in top.rglob("*") if not path.is_dir() and path not in manifests]
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


def _verify_folder(folder: Path, names: list[str], reference: Path | None) -> Verification:
    try:
        manifest = read_manifest(folder)
    except RunError as exc:
        return Verification([Problem(VerifyCode.MANIFEST, str(exc))], [])
    problems = [
        *_manifest_text(folder, manifest),
        *_files(folder, names, manifest),
        *_secrets(folder, names, manifest),
        *_dump(folder, manifest),
    ]
    notes = _notes(manifest)
    if (folder / DATABASE_NAME).is_file():
        found, remarks = _run(folder, manifest, reference)
        problems += found
        notes += remarks
    return Verification(sorted(problems, key=lambda problem: problem.code), notes)


def _run(folder: Path, manifest: BundleManifest, reference: Path | None) -> tuple[list[Problem], list[str]]:
    """Check the run's database, and what follows from it; a database that is none of ours is not queried."""
    if foreign := foreign_schema(folder / DATABASE_NAME):
        text = f"{DATABASE_NAME} is not the database of a run of this version: {'; '.join(foreign)}"
        return [Problem(VerifyCode.SCHEMA, text)], []
    try:
        with open_foreign_run(folder) as run:
            verdicts = verdicts_on(run)
            unfounded, remarks = unfounded_results(run, manifest, verdicts)
            if reference is not None and (why := not_of_reference(run, reference)) is not None:
                unfounded.append(why)
            elif run.info.reference is not None:
                remarks.append(f"latency and errors were judged against the day of {run.info.reference.run_id}")
            is_same_version = software().source_sha256 == manifest.collected_with.source_sha256
            unfounded += unfounded_claims(run, verdicts, is_same_version=is_same_version)
        problems = [Problem(VerifyCode.RESULT, text) for text in unfounded]
        if (folder / SEAL_FOLDER).is_dir():
            problems += [Problem(VerifyCode.SEAL, text) for text in broken_seals(folder)]
    except (RunError, duckdb.Error, ValueError) as exc:  # ValueError: a settings or plan text that is none
        text = f"{DATABASE_NAME} cannot be read as a run: {' '.join(str(exc).split())}"
        return [Problem(VerifyCode.SCHEMA, text)], []
    return problems, remarks


def _manifest_text(folder: Path, manifest: BundleManifest) -> Iterator[Problem]:
    try:
        text = (folder / MANIFEST_TEXT_NAME).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        yield Problem(VerifyCode.MANIFEST, f"{MANIFEST_TEXT_NAME} is missing or cannot be read")
        return
    if text != manifest.as_text():
        yield Problem(VerifyCode.MANIFEST, f"{MANIFEST_TEXT_NAME} does not say what manifest.json says")


def _files(folder: Path, names: list[str], manifest: BundleManifest) -> Iterator[Problem]:
    listed = {entry.path: entry for entry in manifest.files}
    for name in sorted(set(listed) - set(names)):
        yield Problem(VerifyCode.MISSING, f"{name} is missing")
    for name in sorted(set(names) - set(listed)):
        yield Problem(VerifyCode.ADDED, f"{name} was added: the manifest does not name it")
    for name in sorted(set(names) & set(listed)):
        found = file_entry(folder, name)
        if found.size_bytes != listed[name].size_bytes:
            text = f"{name} was changed: it has {found.size_bytes:,} bytes instead of {listed[name].size_bytes:,}"
            yield Problem(VerifyCode.CHANGED, text)
        elif found != listed[name]:
            yield Problem(VerifyCode.CHANGED, f"{name} was changed: its SHA-256 is not that of the manifest")


def _secrets(folder: Path, names: list[str], manifest: BundleManifest) -> Iterator[Problem]:
    for name in [*names, *MANIFESTS]:
        if name == DUMP_NAME and manifest.database_snapshot.includes_secrets:
            continue  # asked for with --include-secrets, and said in the notes
        path = folder / name
        for finding in find_secrets(path, name) if path.is_file() else ():
            yield Problem(VerifyCode.SECRET, f"{finding.where} holds {finding.what}")


def _dump(folder: Path, manifest: BundleManifest) -> Iterator[Problem]:
    dump = folder / DUMP_NAME
    if not dump.is_file():
        is_listed = any(entry.path == DUMP_NAME for entry in manifest.files)  # then it is said to be missing
        if manifest.database_snapshot.state is SnapshotState.GOOD and not is_listed:
            yield Problem(VerifyCode.DUMP, f"{DUMP_NAME} is not there, and the manifest says that it is good")
        return
    try:
        found = count_dump(dump)
    except SourceError as exc:
        yield Problem(VerifyCode.DUMP, f"{DUMP_NAME} cannot be read to its end: {exc}")
        return
    expected = {table.table: table.rows for table in manifest.database_snapshot.tables}
    differing = sorted(table for table in expected if found.get(table, 0) != expected[table])
    differing += sorted(set(found) - set(expected))
    for table in differing:
        text = f"{DUMP_NAME} holds {found.get(table, 0):,} rows of {table} instead of {expected.get(table, 0):,}"
        yield Problem(VerifyCode.DUMP, text)


def _notes(manifest: BundleManifest) -> list[str]:
    notes = [
        f"{part.state}: {part.name}{f' ({part.detail})' * bool(part.detail)}"
        for part in manifest.parts
        if part.state is not PartState.PRESENT
    ]
    snapshot = manifest.database_snapshot
    if snapshot.state is not SnapshotState.GOOD:
        notes.append(f"database snapshot {snapshot.state}: {snapshot.detail}")
    if snapshot.includes_secrets:
        notes.append(f"{DUMP_NAME} holds the rows of tables with tokens and credentials, as was asked for")
    return notes
