"""Files that are there whole or not at all: written beside their place, and put there when they are done."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give where to write what is to be at `path`; it gets there, in one step, when the block has ended well.

    Whoever looks meanwhile sees what was there before. Where the block fails, nothing is left behind.

    Yields
    ------
    pathlib.Path
        ``.NAME.part`` in the same folder.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # what failed is told; that its rest cannot be removed either says nothing new
            part.unlink(missing_ok=True)
        raise
