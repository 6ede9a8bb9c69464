"""The bundle as a file: a tar of the run's files in one folder, the same bytes for the same files, safe to unpack."""

from __future__ import annotations

import atexit
import gzip
import os
import shutil
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from soaklib.errors import RecordingError, RunError
from soaklib.store.bounded import DECOMPRESSION_ERRORS, Allowance, Bounded, decompressed
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MANIFEST_NAME", "bundle_name", "extract", "is_unpacked", "pack", "unpack"]

MANIFEST_NAME: Final = "manifest.json"

_COMPRESSION_LEVEL: Final = 6
_FILE_MODE: Final = 0o644
_MOST_MEMBERS: Final = 20_000

_unpacked: dict[tuple[Path, int, int], Path] = {}


def bundle_name(run_id: str) -> str:
    """Give the file name of a run's bundle."""
    return f"soak-artifacts-{run_id}.tar.gz"


def pack(folder: Path, names: Iterable[str], bundle: Path, *, top: str, mtime_s: int) -> None:
    """Pack files into a bundle, which is there whole or not at all.

    Owner, mode, times and order of the members, and the gzip header, say nothing of who packs and when, so that the
    same files give the same bytes.

    Parameters
    ----------
    folder
        What the names are relative to.
    names
        The files.
    bundle
        The file to write; put in place only when it is whole and on disk.
    top
        Name of the one folder in the archive.
    mtime_s
        Time of every member, seconds since the epoch.

    Raises
    ------
    RecordingError
        It cannot be written; nothing is left of it.
    """
    try:
        with whole_file(bundle) as part, part.open("wb") as file:
            with (
                gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, file, mtime=0) as zipped,
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name in sorted(names):
                    member = tarfile.TarInfo(f"{top}/{name}")
                    member.mode, member.mtime = _FILE_MODE, mtime_s
                    with (folder / name).open("rb") as source:
                        member.size = os.fstat(source.fileno()).st_size
                        archive.addfile(member, source)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(bundle.parent)
    except OSError as exc:
        msg = f"the bundle {bundle} cannot be written: {exc.strerror or exc}"
        raise RecordingError(msg) from exc


def extract(bundle: Path, into: Path) -> Path:
    """Unpack a bundle into an empty folder and give the folder in it that holds the run.

    Any tar of a bundle's files will do, compressed by gzip, bzip2, xz or not at all, with or without a folder around
    them. Nothing is written outside `into`; links, devices, a file twice and a decompression bomb are refused.

    Raises
    ------
    RunError
        It is no such archive, is cut short or damaged, holds what is refused, or no run.
    """
    try:
        with bundle.open("rb") as file:
            inner = decompressed(file)
            with closing(inner or file) as stream:
                size_bytes = bundle.stat().st_size
                bounded = Bounded(stream, Allowance(size_bytes, str(bundle)))
                _extract_members(bounded, bundle, into, written=Allowance(size_bytes, str(bundle)))
                bounded.drain()
    except DECOMPRESSION_ERRORS as exc:
        msg = f"{bundle} is cut short or damaged and cannot be unpacked: {exc}"
        raise RunError(msg) from exc
    except tarfile.TarError as exc:
        msg = f"{bundle} is not a bundle that can be unpacked: {exc}"
        raise RunError(msg) from exc
    except OSError as exc:
        msg = f"{bundle} cannot be unpacked into {into}: {exc.strerror or exc}"
        raise RunError(msg) from exc
    return _run_folder(bundle, into)


def unpack(bundle: Path) -> Path:
    """Unpack a bundle for as long as this process lives, and give the run's folder.

    It goes to a private folder under the system's folder for temporary files (``TMPDIR``), which is taken away when the
    process ends; a bundle that has not changed is unpacked once.

    Raises
    ------
    RunError
        As for :func:`extract`, or there is no such file.
    """
    try:
        status = bundle.stat()
    except OSError as exc:
        msg = f"{bundle} cannot be read: {exc.strerror}; pass a bundle, soak-artifacts-<run-id>.tar.gz"
        raise RunError(msg) from exc
    key = (bundle.resolve(), status.st_mtime_ns, status.st_size)
    if key not in _unpacked:
        into = Path(tempfile.mkdtemp(prefix="soaklib-bundle-"))
        atexit.register(shutil.rmtree, into, ignore_errors=True)
        _unpacked[key] = extract(bundle, into)
    return _unpacked[key]


def is_unpacked(folder: Path) -> bool:
    """Say whether a folder is where :func:`unpack` put a bundle: whoever made the bundle is its author."""
    return folder.resolve() in {unpacked.resolve() for unpacked in _unpacked.values()}


def _extract_members(stream: Bounded, bundle: Path, into: Path, *, written: Allowance) -> None:
    seen: set[str] = set()
    # the tar is read as a stream, front to back, so that the bound on its length is one on everything
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as archive:
        for member in archive:
            if member.isdir():
                continue
            name = os.path.normpath(member.name)
            if not member.isreg():
                msg = f"{bundle} holds {member.name!r}, which is no plain file; a bundle has no links and no devices"
                raise RunError(msg)
            if name in seen or len(seen) >= _MOST_MEMBERS:
                what = f"{name!r} twice" if name in seen else f"more than {_MOST_MEMBERS:,} files"
                msg = f"{bundle} holds {what}; that is no bundle"
                raise RunError(msg)
            seen.add(name)
            size_bytes = _written_bytes(member)
            written.spend(size_bytes)  # a sparse file's holes are in no stream, and are bytes all the same
            if size_bytes > shutil.disk_usage(into).free:
                msg = f"{bundle} does not fit on the disk of {into}; set TMPDIR to a folder on a larger one"
                raise RunError(msg)
            archive.extract(member, into, filter="data")


def _written_bytes(member: tarfile.TarInfo) -> int:
    """Give how long a member is when it is unpacked: of a sparse one, where the last of its parts ends."""
    parts: list[tuple[int, int]] = getattr(member, "sparse", None) or []
    return max([member.size, *(start + length for start, length in parts)])


def _run_folder(bundle: Path, into: Path) -> Path:
    folders = [into, *sorted(path for path in into.iterdir() if path.is_dir())]
    for name in (MANIFEST_NAME, DATABASE_NAME):
        for folder in folders:
            if (folder / name).is_file():
                return folder
    msg = f"{bundle} holds no run: neither {MANIFEST_NAME} nor {DATABASE_NAME} is in it"
    raise RunError(msg)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
