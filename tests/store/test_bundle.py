"""A bundle unpacked to be looked at."""

import gzip
import os
import tarfile
import time

import pytest
from bundles import repacked

from soaklib.errors import RunError
from soaklib.store.bundle import pack, unpack


@pytest.fixture
def bundle(tmp_path):
    """A bundle with two files."""
    (tmp_path / "files" / "inner").mkdir(parents=True)
    (tmp_path / "files" / "run.duckdb").write_bytes(b"x" * 100_000)
    (tmp_path / "files" / "inner" / "b").write_bytes(b"")
    path = tmp_path / "soak-artifacts-r.tar.gz"
    pack(tmp_path / "files", ["run.duckdb", "inner/b"], path, top="r", mtime_s=1_795_000_000)
    return path


def test_what_was_packed_is_unpacked(bundle):
    """Into a private folder of the run's name, with content and times."""
    folder = unpack(bundle)
    assert folder.name == "r"
    assert (folder / "run.duckdb").read_bytes() == b"x" * 100_000
    assert (folder / "inner" / "b").stat().st_mtime == 1_795_000_000
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_bundle_is_unpacked_once_unless_it_has_changed(bundle):
    """By its path, time and size."""
    first = unpack(bundle)
    assert unpack(bundle) == first
    os.utime(bundle, ns=(time.time_ns(), time.time_ns()))
    assert unpack(bundle) != first


def test_a_bundle_that_is_not_there_is_told(tmp_path):
    """With what to pass."""
    with pytest.raises(RunError, match=r"cannot be read: No such file or directory; pass a bundle, soak-artifacts-"):
        unpack(tmp_path / "gone.tar.gz")


def test_a_disk_that_is_full_is_told_before_it_is(bundle, monkeypatch):
    """With what to set."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())
    with pytest.raises(RunError, match=r"does not fit on the disk of .*; set TMPDIR to a folder on a larger one"):
        unpack(bundle)


class _Usage:
    """A full disk."""

    free = 99_999


def test_a_run_without_a_manifest_can_be_opened(tmp_path):
    """Any tar with a run's database will do; only verify asks for the manifest."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "run.duckdb").write_bytes(b"x")
    folder = unpack(repacked(tmp_path / "files", tmp_path / "x.tar", top=".", mode="w"))
    assert (folder / "run.duckdb").read_bytes() == b"x"


def sparse_tar(length_bytes):
    """Give a tar as GNU tar writes one with a file that is one hole."""
    header = tarfile.TarInfo("run.duckdb")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (length_bytes, 0)  # one part, empty, where the file ends
    block[483:495] = b"%011o\0" % length_bytes
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_the_holes_of_a_sparse_file_count(tmp_path, packed):
    """A tar of some bytes does not become a file of hundreds of megabytes."""
    bundle = tmp_path / "soak-artifacts-r.tar.gz"
    bundle.write_bytes(packed(sparse_tar(300 << 20)))
    with pytest.raises(RunError, match="far more than its size allows for"):
        unpack(bundle)
    bundle.write_bytes(packed(sparse_tar(3 << 20)))
    assert (unpack(bundle) / "run.duckdb").stat().st_size == 3 << 20


def test_files_are_bounded_together(tmp_path):
    """Each of them alone would be allowed."""
    bundle = tmp_path / "soak-artifacts-r.tar.gz"
    one = sparse_tar(40 << 20)[:512]
    other = one.replace(b"run.duckdb", b"run.duckdc")
    other = other[:148] + b"%06o\0 " % (sum(other[:148]) + 8 * 32 + sum(other[156:])) + other[156:]
    bundle.write_bytes(gzip.compress(one + other + bytes(1024)))
    with pytest.raises(RunError, match="far more than its size allows for"):
        unpack(bundle)
