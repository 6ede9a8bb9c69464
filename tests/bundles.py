"""Helpers to take a bundle apart, change something, and put it together again."""

import contextlib
import json
import shutil
import tarfile

import duckdb

from soaklib.evidence.manifest import BundleManifest, file_entry, read_manifest, write_manifest
from soaklib.gateway.database import SqliteDatabase
from soaklib.gateway.records import AgentRow, CredentialRow, TokenRow
from soaklib.store.bundle import extract

# Of the right form, made for these tests, and good for nothing.
TOKEN = "eyJhZ2VudF9pZCI6ImEiLCJ0b29scyI6WyJzZXJwYXBpIl0sIm5vbmNlIjoiMTIzNDU2Nzg5MCJ9" + "." + "0a1b2c3d" * 8


def loose_copy(folder, into):
    """Copy a finished run's folder without what `collect` makes, and without the snapshot of the gateway's database."""
    left_out = shutil.ignore_patterns("soak-artifacts-*", "manifest.*", "database-snapshot.*")
    return shutil.copytree(folder, into / folder.name, ignore=left_out)


def gateway_database(path):
    """Write a SQLite database as the reference gateway does; give its URL."""
    database = SqliteDatabase(path)
    database.open()
    database.write(
        [
            AgentRow("agent-1", "it's one", "scraper", "soaklib", "active", 1_795_000_000.0),
            AgentRow("agent-2", "two\nlines; and a COMMIT;\n", "enricher", "soaklib", "active", 1_795_000_001.0),
            TokenRow("token-1", "agent-1", "a" * 64, "b" * 64, "[]", "[]", 1_795_000_000.0, 1_795_000_900.0, None),
            CredentialRow("credential-1", "openai", "v1", "c" * 64, True, 1_795_000_000.0, None, None),
        ]
    )
    database.close()
    return f"sqlite:///{path}"


def unpacked(bundle, into):
    """Unpack a bundle to be changed; give the run's folder."""
    into.mkdir()
    return extract(bundle, into)


def repacked(folder, bundle, *, top="run", mode="w:gz"):
    """Pack a folder as anyone would."""
    with tarfile.open(bundle, mode) as archive:
        archive.add(folder, top)
    return bundle


def rehash(folder, **changes):
    """Make a manifest that knows the files as they are now, as someone would who knows how."""
    manifest = read_manifest(folder)
    files = tuple(file_entry(folder, entry.path) for entry in manifest.files)
    write_manifest(folder, manifest.model_copy(update={"files": files} | changes))


def edit_manifest(folder, **changes):
    """Change members of manifest.json, and nothing else."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_database(folder, *statements):
    """Change the run's tables."""
    with contextlib.closing(duckdb.connect(str(folder / "run.duckdb"))) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


def manifest_of(bundle):
    """Read the manifest inside a bundle."""
    with tarfile.open(bundle) as archive:
        [member] = [member for member in archive if member.name.endswith("/manifest.json")]
        return BundleManifest.model_validate_json(archive.extractfile(member).read())


def flip(path, at):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
