"""What is secret, taken out of a text before anyone sees or keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MASK", "redacted"]

MASK: Final = "***"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Give a text with every secret in it masked.

    Parameters
    ----------
    text
        What somebody else said, such as a gateway's answer, which may echo what it was sent.
    secrets
        What must not be seen; empty ones are left out.
    """
    for secret in sorted({one for one in secrets if one}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
