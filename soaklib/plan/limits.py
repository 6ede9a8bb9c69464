"""What a soak may take at most, known before it starts."""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_QUEUED_ROWS"]

MOST_QUEUED_ROWS: Final = 500_000
