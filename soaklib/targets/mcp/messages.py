"""Which of the JSON-RPC messages that came together is the answer: a server may send several as one array."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["answer_among", "is_answer"]


def is_answer(message: dict[str, object]) -> bool:
    """Say whether a message is an answer, and nothing that a server tells or asks beside it."""
    return "result" in message or "error" in message


def answer_among(messages: Sequence[dict[str, object]]) -> dict[str, object] | None:
    """Give the answer among messages, else the first of them; None where there is none."""
    return next(filter(is_answer, messages), messages[0] if messages else None)
