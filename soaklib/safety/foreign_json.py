"""What others say as JSON: an answer's body, a piece of a stream, a note."""

from __future__ import annotations

import orjson

__all__ = ["json_of"]


def json_of(text: bytes) -> dict[str, object] | None:
    """Give the JSON object that a text is; None where it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
