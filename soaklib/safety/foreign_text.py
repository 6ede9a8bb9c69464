"""What somebody else said, made into text that may be kept, sent on and shown: a header, an error's words, a name."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MOST_NAME", "MOST_WORDS", "is_plain", "plain_text"]

MOST_WORDS: Final = 200
"""Characters that are kept of what a gateway says of an error."""

MOST_NAME: Final = 256
"""Characters that a name or an id of a gateway's may have."""

_LOOK_AT: Final = 16
"""How many times the characters that are kept are looked at: what is cut off need not be cleaned."""

_BLANK: Final = re.compile(r"\s+")
# controls (terminal escapes begin with one), lone surrogates, which no encoder takes, and what reorders a line
_UNSHOWN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff]"
)


def plain_text(said: str | bytes, *, most: int = MOST_WORDS) -> str:
    """Give a text as one line of characters that can be stored and shown, of `most` at most.

    Parameters
    ----------
    said
        Any text or bytes; bytes are read as UTF-8. What is no character, or would command a terminal, becomes U+FFFD.
    most
        Characters to keep; the last is an ellipsis where more were said.
    """
    head = said[: most * _LOOK_AT]
    text = head if isinstance(head, str) else head.decode("utf-8", "replace")
    if len(text) <= most and text.isascii() and text.isprintable():
        return text
    text = _UNSHOWN.sub("\ufffd", _BLANK.sub(" ", text).strip())
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def is_plain(said: str, *, most: int = MOST_NAME) -> bool:
    """Say whether a text can be kept and shown as it is: for one that is sent back, and cannot be mended on the way."""
    return 0 < len(said) <= most and said.isprintable()
