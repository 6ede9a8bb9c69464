"""The verdict on a run in one sentence, from the states of its criteria."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["ORDER", "verdict_headline", "verdict_sentence", "verdict_word"]

ORDER: Final = {State.FAIL: 0, State.INSUFFICIENT: 1, State.PASS: 2, State.NOT_APPLICABLE: 3}
"""How criteria are listed: what failed first, then what is open."""

_MOST_NAMES: Final = 3


def verdict_word(criteria: Iterable[Mapping[str, Any]]) -> str:
    """Give ``fail``, ``open`` (nothing failed, something could not be judged), ``pass`` or ``none`` (not judged)."""
    states = {row["state"] for row in criteria}
    if State.FAIL in states:
        return "fail"
    if State.INSUFFICIENT in states:
        return "open"
    return "pass" if State.PASS in states else "none"


def verdict_headline(criteria: Iterable[Mapping[str, Any]]) -> str:
    """Say how a run was judged, in as few words as a headline has.

    Parameters
    ----------
    criteria
        Rows with ``state``.
    """
    states = [row["state"] for row in criteria]
    failed, unjudged = states.count(State.FAIL), states.count(State.INSUFFICIENT)
    judged = failed + states.count(State.PASS)
    questions = f"{unjudged} open question{'' if unjudged == 1 else 's'}"
    if failed:
        text = f"FAIL: {failed} of {_criteria(judged)} {'fails' if failed == 1 else 'fail'}"
        return f"{text}, with {questions}" if unjudged else text
    if unjudged:
        return f"PASS with {questions}"
    return "PASS" if judged else "Not judged yet"


def verdict_sentence(criteria: Iterable[Mapping[str, Any]]) -> str:
    """Say in one sentence how a run was judged.

    Parameters
    ----------
    criteria
        Rows with ``name`` and ``state``.
    """
    rows = list(criteria)
    failed = [row["name"] for row in rows if row["state"] == State.FAIL]
    unjudged = [row["name"] for row in rows if row["state"] == State.INSUFFICIENT]
    passed = sum(row["state"] == State.PASS for row in rows)
    judged = len(failed) + passed
    open_end = f"{len(unjudged)} open question{'' if len(unjudged) == 1 else 's'}: {_names(unjudged)}"
    if failed:
        fail = "fails" if len(failed) == 1 else "fail"
        said = f"FAIL: {len(failed)} of {_criteria(judged)} {fail}: {_names(failed)}"
        return f"{said}; {open_end}" if unjudged else said
    if unjudged:
        return f"PASS with {open_end}; {passed} of {_criteria(judged, 'judged ')} {'passes' if passed == 1 else 'pass'}"
    if passed:
        return (
            f"PASS: all {passed} criteria that apply pass" if passed > 1 else "PASS: the criterion that applies passes"
        )
    return "Not judged yet"


def _criteria(n: int, which: str = "") -> str:
    return f"{n} {which}criterion" if n == 1 else f"{n} {which}criteria"


def _names(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
