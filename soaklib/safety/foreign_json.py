"""What others say as JSON: an answer's body, a piece of a stream, a note."""

from __future__ import annotations

import json
from typing import Final

import orjson

__all__ = ["json_as_read", "json_of", "objects_as_read", "objects_of"]

_MOST_SECOND_LOOK_BYTES: Final = 4 << 20
"""Of a text that is no JSON as it should be: the second look is ten times as slow, and the loop waits for it."""


def json_of(text: bytes) -> dict[str, object] | None:
    """Give the JSON object that a text is; None where it is none."""
    value = _value_of(text)
    return value if isinstance(value, dict) else None


def objects_of(text: bytes) -> list[dict[str, object]]:
    """Give the JSON objects that a text is: itself, or those of an array; none where it is neither."""
    return _objects_in(_value_of(text))


def json_as_read(text: bytes) -> dict[str, object] | None:
    """Give the JSON object that most clients would read a text as; None where there is none.

    They take what the standard leaves out or warns of: ``NaN`` and ``Infinity``, half of a surrogate pair, a mark at
    the beginning. A text in such an object may be one that cannot be encoded: it is for looking at, not for sending on.
    """
    value = _as_read(text)
    return value if isinstance(value, dict) else None


def objects_as_read(text: bytes) -> list[dict[str, object]]:
    """Give the JSON objects that most clients would read a text as: itself, or those of an array."""
    return _objects_in(_as_read(text))


def _value_of(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _as_read(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _second_look(text)


def _objects_in(value: object) -> list[dict[str, object]]:
    among = value if isinstance(value, list) else [value]
    return [one for one in among if isinstance(one, dict)]


def _second_look(text: bytes) -> object:
    if len(text) > _MOST_SECOND_LOOK_BYTES:
        return None
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or nested deeper than anyone reads
        return None
