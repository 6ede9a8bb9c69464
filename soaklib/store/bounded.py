"""Compressed files, told by their first bytes and not by their names, read with a bound on what comes out."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from typing import IO, TYPE_CHECKING, Final, cast

from soaklib.errors import RunError

if TYPE_CHECKING:
    from io import BufferedIOBase

__all__ = ["DECOMPRESSION_ERRORS", "Allowance", "Bounded", "DamagedError", "decompressed"]


class DamagedError(EOFError):
    """What is compressed is cut short or damaged, in the words of a library that has no error of its own for it."""


DECOMPRESSION_ERRORS: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""What reading a compressed file that is cut short or damaged raises."""

_MOST_EXPANSION: Final = 200
"""A run's database, its text and its dump shrink to a tenth or so; what shrinks more than this is no run."""

_ALWAYS_ALLOWED_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20

_BZIP2: Final = re.compile(rb"BZh[1-9]")
"""Three letters alone may begin any text."""


class Allowance:
    """How many bytes all that is compressed in one file may give together: what is beyond is a decompression bomb.

    Parameters
    ----------
    source_bytes
        How long the file is, which the bound is a multiple of.
    name
        What to call it in the message.
    """

    def __init__(self, source_bytes: int, name: str) -> None:
        self._left_bytes = self._most_bytes = _ALWAYS_ALLOWED_BYTES + _MOST_EXPANSION * source_bytes
        self._name = name

    def spend(self, size_bytes: int) -> None:
        """Count bytes that were given, or are to be written.

        Raises
        ------
        RunError
            There are more than may be.
        """
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            msg = (
                f"{self._name} holds more than {self._most_bytes:,} bytes, far more than its size allows for; not read"
            )
            raise RunError(msg)


class Bounded:
    """A stream that may give only so many bytes.

    Parameters
    ----------
    stream
        What to read from.
    allowance
        What is spent by reading; streams of one file share it.
    """

    def __init__(self, stream: BufferedIOBase, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """Read at most `size` bytes, fewer wherever that is all there is for now; none at the end.

        So what comes before a damaged place is had before the error is raised.

        Raises
        ------
        RunError
            There are more than may be.
        """
        try:
            data = self._stream.read1(size)
        except gzip.BadGzipFile:
            raise
        except OSError as exc:
            if exc.errno is not None:  # the file system's; bzip2's damage has no number
                raise
            raise DamagedError(str(exc)) from exc
        self._allowance.spend(len(data))
        return data

    def drain(self) -> None:
        """Read to the end, so that the checksum of what is compressed is looked at."""
        while self.read():
            pass


def decompressed(stream: BufferedIOBase) -> BufferedIOBase | None:
    """Give what a seekable stream holds compressed by gzip, bzip2 or xz; None when it is none of these."""
    start = stream.read(6)
    stream.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=cast("IO[bytes]", stream), mode="rb")
    if _BZIP2.match(start):
        return bz2.BZ2File(cast("IO[bytes]", stream))
    if start.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(cast("IO[bytes]", stream))
    return None
