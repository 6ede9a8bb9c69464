"""What DuckDB says when something is wrong, as far as readers and the writer go by it."""

from __future__ import annotations

from typing import Final

__all__ = ["LOCKED", "first_line"]

LOCKED: Final = "Could not set lock"  # DuckDB's words for another process that holds the file


def first_line(exc: BaseException) -> str:
    """Give the first line of what an error says, which with DuckDB's is the sentence."""
    return (str(exc) or type(exc).__name__).splitlines()[0]
