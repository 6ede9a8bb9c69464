"""What is told of a bundle whose archive is damaged, is none, or is an attack; none of them is unpacked far."""

import gzip
import io
import shutil
import tarfile

import pytest
from bundles import flip, repacked

from soaklib.commands.verify import main
from soaklib.evidence.checking import VerifyCode
from soaklib.evidence.collecting import collect


@pytest.fixture(scope="module")
def bundle(rehearsal, tmp_path_factory):
    """A bundle."""
    folder = tmp_path_factory.mktemp("collected") / rehearsal.folder.name
    shutil.copytree(rehearsal.folder, folder)
    return collect(folder)


@pytest.mark.parametrize("cut_bytes", [4, 1000, None])
def test_a_truncated_archive(bundle, tmp_path, capsys, cut_bytes):
    """It is told that it ends early, in the middle or when only the checksum at its end is missing."""
    short = tmp_path / "short.tar.gz"
    content = bundle.read_bytes()
    short.write_bytes(content[: -(cut_bytes or len(content) // 2)])
    assert main([str(short)]) == VerifyCode.ARCHIVE
    assert f"archive: {short} is cut short or damaged and cannot be unpacked: " in capsys.readouterr().err


def test_a_damaged_archive(bundle, tmp_path, capsys):
    """A flipped byte of what is compressed shows before any file is looked at."""
    damaged = tmp_path / "damaged.tar.gz"
    shutil.copy(bundle, damaged)
    flip(damaged, damaged.stat().st_size // 2)
    assert main([str(damaged)]) == VerifyCode.ARCHIVE
    assert "is cut short or damaged and cannot be unpacked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", gzip.compress(b"no tar at all" * 100)], ids=["empty", "page", "no tar"]
)
def test_a_file_that_is_no_archive(tmp_path, capsys, content):
    """An empty file, a web page and a gzip of something else are told as no bundle."""
    path = tmp_path / "soak-artifacts-x.tar.gz"
    path.write_bytes(content)
    assert main([str(path)]) == VerifyCode.ARCHIVE
    assert f"archive: {path} is not a bundle that can be unpacked: " in capsys.readouterr().err


def test_an_archive_without_a_run(tmp_path, capsys):
    """What is missing is told."""
    (tmp_path / "readme.txt").write_text("x")
    path = repacked(tmp_path / "readme.txt", tmp_path / "a.tar.gz")
    assert main([str(path)]) == VerifyCode.ARCHIVE
    assert "holds no run: neither manifest.json nor run.duckdb is in it" in capsys.readouterr().err


def member(name, *, type_=tarfile.REGTYPE, link="", size=0):
    """Make a member by hand."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type_, link, size
    return info


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../outside.txt")], "is not a bundle that can be unpacked: "),
        ([member("run/../../outside.txt")], "is not a bundle that can be unpacked: "),
        ([member("run/a", type_=tarfile.SYMTYPE, link="/etc/passwd")], "which is no plain file"),
        ([member("run/a", type_=tarfile.LNKTYPE, link="run/b")], "which is no plain file"),
        ([member("run/a", type_=tarfile.FIFOTYPE)], "which is no plain file"),
        ([member("run/a"), member("run/./a")], "holds 'run/a' twice"),
    ],
)
def test_an_archive_that_is_an_attack(tmp_path, capsys, members, said):
    """Nothing is written outside, and links, devices and a file twice are refused."""
    path = tmp_path / "a" / "b" / "evil.tar.gz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for info in members:
            archive.addfile(info)
    assert main([str(path)]) == VerifyCode.ARCHIVE
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_decompression_bomb(tmp_path, capsys, monkeypatch):
    """It is not unpacked beyond what a run of its size could hold."""
    monkeypatch.setattr("soaklib.store.bounded._ALWAYS_ALLOWED_BYTES", 4 << 20)
    path = tmp_path / "bomb.tar.gz"
    size = 20 << 20
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member("run/run.duckdb", size=size), _Zeros(size))
    assert main([str(path)]) == VerifyCode.ARCHIVE
    assert "far more than its size allows for; not read" in capsys.readouterr().err


class _Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size):
        self._left = size

    def read(self, size=-1):
        """Read zeros."""
        size = min(self._left, size)
        self._left -= size
        return bytes(size)
